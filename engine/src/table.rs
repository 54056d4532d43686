//! A table in the running engine: its files in the lake, the view that queries see, and what earlier reads found. The
//! writer swaps the view, landing commits to the lake, and the engine reads; all of them share it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use barograph_lake::{FilePath, Key, KeySelection, LakeTable, Snapshot, TableSchema, TableVersion};
use hashbrown::HashSet;

use crate::recent::Recent;
use crate::scan::newest::Newest;
use crate::tail::TailView;
use crate::view::View;

/// Reads whose cuts are kept.
const CUTS_KEPT: usize = 8;
/// Views of earlier versions that are kept for further reads.
const PAST_KEPT: usize = 4;

/// A table.
#[derive(Debug)]
pub struct Table {
    pub(crate) schema: Arc<TableSchema>,
    pub(crate) lake: LakeTable,
    /// Stored by the writer alone.
    pub(crate) view: ArcSwap<View>,
    /// The valid keys, if a dimension lists them.
    pub(crate) known_keys: Option<Arc<HashSet<Key>>>,
    /// The newest readings in the lake, from the files read so far.
    pub newest: Arc<Newest>,
    /// Where reads were cut into parts.
    pub(crate) cuts: Recent<CutFrom, Arc<[Key]>>,
    /// Earlier versions that were read.
    pub(crate) past: Recent<TableVersion, Arc<View>>,
}

/// What the cuts of a read were found from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CutFrom {
    pub(crate) parts: usize,
    pub(crate) keys: KeySelection,
    pub(crate) files: Vec<FilePath>,
}

impl Table {
    /// A table that has just been opened.
    pub(crate) fn new(
        lake: LakeTable,
        snapshot: Snapshot,
        tail: TailView,
        known_keys: Option<Arc<HashSet<Key>>>,
    ) -> Self {
        let schema = Arc::clone(lake.schema());
        let view = View { schema: Arc::clone(&schema), snapshot: Arc::new(snapshot), tail };
        Self {
            schema,
            lake,
            view: ArcSwap::from_pointee(view),
            known_keys,
            newest: Arc::default(),
            cuts: Recent::new(CUTS_KEPT),
            past: Recent::new(PAST_KEPT),
        }
    }
}
