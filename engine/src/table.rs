//! A table in the running engine: its files in the lake, the view that queries see, and what earlier reads found. The
//! writer swaps the view, landing commits to the lake, and the engine reads; all of them share it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use barograph_lake::{LakeTable, Snapshot, TableSchema, TableVersion};

use crate::recent::Recent;
use crate::scan::newest::Newest;
use crate::scan::partition::Divisions;
use crate::silence::Reported;
use crate::statistics::PutCounts;
use crate::tail::TailView;
use crate::validate::KnownKeys;
use crate::view::View;

/// Reads whose division into partitions is kept.
const DIVISIONS_KEPT: usize = 8;
/// Views of earlier versions that are kept for further reads.
const EARLIER_VIEWS_CACHED: usize = 4;

/// A table.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) schema: Arc<TableSchema>,
    pub(crate) lake: LakeTable,
    /// Stored by the writer alone.
    pub(crate) view: ArcSwap<View>,
    /// The valid keys, if a dimension lists them.
    pub(crate) known_keys: Option<Arc<KnownKeys>>,
    /// The newest readings in the lake, from the files read so far.
    pub(crate) newest: Arc<Newest>,
    /// Where reads were divided into partitions.
    pub(crate) divisions: Divisions,
    /// Earlier versions that were read.
    pub(crate) earlier_views: Recent<TableVersion, Arc<View>>,
    pub(crate) puts: PutCounts,
    /// Which keys have reported.
    pub(crate) reported: Reported,
}

impl Table {
    /// A table that has just been opened.
    pub(crate) fn new(
        lake: LakeTable,
        snapshot: Snapshot,
        tail: TailView,
        known_keys: Option<Arc<KnownKeys>>,
    ) -> Self {
        let schema = Arc::clone(lake.schema());
        let view = View { schema: Arc::clone(&schema), snapshot: Arc::new(snapshot), tail };
        Self {
            schema,
            lake,
            view: ArcSwap::from_pointee(view),
            known_keys,
            newest: Arc::default(),
            divisions: Recent::new(DIVISIONS_KEPT),
            earlier_views: Recent::new(EARLIER_VIEWS_CACHED),
            puts: PutCounts::default(),
            reported: Reported::default(),
        }
    }
}
