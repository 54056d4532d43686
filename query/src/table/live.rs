//! `live`: the windows of a rollup at this moment. Its own rows where they are up to date with the source, and windows
//! computed from the source where they are not.
//!
//! ```text
//! windows       fresh  fresh  stale  fresh  stale  stale
//! live          ───── rollup ──►└─┐   ──►     └──┐
//!               without stale and emptied rows   └── aggregating scans of the source
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int64Type, SchemaRef, TimestampMicrosecondType};
use barograph_engine::rollup::{ROWS_COLUMN, RegisteredRollup, Rollup};
use barograph_engine::{Engine, Error, Restriction, Result, Scan, ScanStream, View};
use barograph_lake::schema::{FIRST_VALUE_COLUMN, TIME_COLUMN};
use barograph_lake::{KeySelection, TimeRange, Timestamp};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result as QueryResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::{StreamExt, TryStreamExt, stream};

use crate::errors::external;
use crate::opaque::Planned;
use crate::pushdown::translate::Translator;
use crate::table::provider::{Pinned, output, visible};

/// The windows of a rollup at this moment.
pub(crate) struct LiveProvider {
    pub(crate) engine: Arc<Engine>,
    pub(crate) rollup: Arc<Rollup>,
    /// What of it is shown, if not all.
    pub(crate) restriction: Option<Arc<Restriction>>,
}

impl fmt::Debug for LiveProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rollup = self.rollup.table().name();
        f.debug_struct("LiveProvider").field("rollup", &rollup).finish_non_exhaustive()
    }
}

impl TableProvider for LiveProvider {
    fn schema(&self) -> SchemaRef {
        visible(self.rollup.table(), self.restriction.as_ref())
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    /// Keys and windows narrow what is read and computed; every condition is evaluated again above.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> QueryResult<Vec<TableProviderFilterPushDown>> {
        let translator = Translator::new(self.rollup.table());
        let answer = |filter: &&Expr| {
            let Some(translated) = translator.condition(filter) else {
                return TableProviderFilterPushDown::Unsupported;
            };
            let mut of_place = true;
            translated.node.visit_columns(&mut |column| of_place &= column <= TIME_COLUMN);
            match of_place {
                true => TableProviderFilterPushDown::Inexact,
                false => TableProviderFilterPushDown::Unsupported,
            }
        };
        Ok(filters.iter().map(answer).collect())
    }

    fn scan<'s, 'n, 'p, 'f, 'a>(
        &'s self,
        session: &'n dyn Session,
        projection: Option<&'p Vec<usize>>,
        filters: &'f [Expr],
        _: Option<usize>,
    ) -> Planned<'a>
    where
        Self: 'a,
        's: 'a,
        'n: 'a,
        'p: 'a,
        'f: 'a,
    {
        let pinned = Pinned::of(session, &self.engine);
        let table = self.rollup.table();
        let (mut wanted, _) = Translator::new(table).wanted(filters);
        if let Some(restriction) = &self.restriction {
            restriction.narrow(&mut wanted);
        }
        Box::pin(async move {
            let output = output(table, self.restriction.as_ref(), projection);
            let shown = Arc::new(table.arrow().project(&output)?);
            let read = match &self.restriction {
                None => output.clone(),
                Some(restriction) => restriction.reads(&output),
            };
            let schema = Arc::new(table.arrow().project(&read)?);
            let (source, kept) =
                (pinned.view(self.rollup.source().name())?, pinned.view(table.name())?);
            let rollups = pinned.rollups();
            let declared = rollups.get(table.name());
            let declared = declared
                .ok_or_else(|| external(RegisteredRollup::missing(rollups, table.name())))?;
            let stale =
                self.engine.stale_windows(declared, [source, kept]).await.map_err(external)?;
            let live = Live {
                engine: Arc::clone(&self.engine),
                rollup: Arc::clone(&self.rollup),
                source: Arc::clone(source),
                kept: Arc::clone(kept),
                stale,
                keys: wanted.keys,
                windows: wanted.time,
                output: read,
                schema,
            };
            for (view, scan) in live.scans() {
                pinned.add_cost(self.engine.plan(view, scan).map_err(external)?.cost());
            }
            let partition: Arc<dyn PartitionStream> = Arc::new(LiveStream {
                live: Arc::new(live),
                restriction: self.restriction.clone(),
                schema: Arc::clone(&shown),
            });
            let exec =
                StreamingTableExec::try_new(shown, vec![partition], None, None, false, None)?;
            Ok(Arc::new(exec) as _)
        })
    }
}

/// One read of the windows.
#[derive(Debug)]
struct Live {
    engine: Arc<Engine>,
    rollup: Arc<Rollup>,
    source: Arc<View>,
    /// The rows of the rollup.
    kept: Arc<View>,
    /// First instants of the windows that are computed.
    stale: BTreeSet<Timestamp>,
    keys: KeySelection,
    /// First instants of the windows that are requested.
    windows: TimeRange,
    output: Vec<usize>,
    schema: SchemaRef,
}

impl Live {
    /// Columns that are read from the rollup besides key and window: whether a window has rows, and those that are
    /// requested.
    fn columns(&self) -> Vec<usize> {
        let asked = self.output.iter().copied().filter(|&column| column > ROWS_COLUMN);
        [ROWS_COLUMN].into_iter().chain(asked).collect()
    }

    fn reading(&self) -> Scan {
        Scan {
            keys: self.keys.clone(),
            time: self.windows,
            columns: self.columns(),
            filter: None,
            aggregation: None,
            limit: None,
        }
    }

    /// Ranges of neighbouring windows that are computed.
    fn ranges(&self) -> Vec<TimeRange> {
        let mut ranges: Vec<TimeRange> = Vec::new();
        for window in self.stale.iter().filter(|&&start| self.windows.contains(start)) {
            let window = self.rollup.window(*window);
            match ranges.last_mut() {
                Some(last) if last.to == window.from => last.to = window.to,
                _ => ranges.push(window),
            }
        }
        ranges
    }

    /// The scans of the rollup and its source.
    fn scans(&self) -> impl Iterator<Item = (&Arc<View>, Scan)> {
        let kept = std::iter::once((&self.kept, self.reading()));
        let computed = self.ranges().into_iter();
        let computed =
            computed.map(|windows| (&self.source, self.rollup.scan(self.keys.clone(), windows)));
        kept.chain(computed)
    }

    /// Rows of the rollup that are up to date with the source.
    async fn fresh(self: Arc<Self>) -> Result<ScanStream> {
        let rows = self.engine.scan(Arc::clone(&self.kept), self.reading()).await?;
        let live = Arc::clone(&self);
        let batches = rows.batches.map(move |batch| live.select(batch?));
        Ok(ScanStream { schema: Arc::clone(&self.schema), batches: batches.boxed() })
    }

    fn select(&self, batch: RecordBatch) -> Result<RecordBatch> {
        let windows = batch.column(TIME_COLUMN).as_primitive::<TimestampMicrosecondType>();
        let rows = batch.column(FIRST_VALUE_COLUMN).as_primitive::<Int64Type>();
        let fresh = windows.values().iter().zip(rows.values());
        let is_stale = |start: Timestamp| self.stale.contains(&self.rollup.window(start).from);
        let fresh: BooleanArray = fresh
            .map(|(&start, &rows)| Some(rows > 0 && !is_stale(Timestamp::from_micros(start))))
            .collect();
        let batch = filter_record_batch(&batch, &fresh)?;
        let read = self.columns();
        self.project(batch.num_rows(), |column| {
            let place = read.iter().position(|&read| read == column);
            let place = place.map_or(column, |place| FIRST_VALUE_COLUMN + place);
            batch.columns().get(place).cloned()
        })
    }

    /// Windows computed from the source.
    async fn computed(self: Arc<Self>, windows: TimeRange) -> Result<ScanStream> {
        let now = self.engine.now();
        let (source, keys) = (Arc::clone(&self.source), self.keys.clone());
        let rows = self.engine.roll_up(&self.rollup, source, keys, windows).await?;
        let live = Arc::clone(&self);
        let batches = rows.batches.map(move |batch| {
            let batch = batch?;
            let at = TimestampMicrosecondArray::from_value(now.as_micros(), batch.num_rows());
            let at: ArrayRef = Arc::new(at.with_timezone("UTC"));
            let columns = batch.num_columns();
            live.project(batch.num_rows(), |column| match column {
                _ if column == columns => Some(Arc::clone(&at)),
                _ => batch.columns().get(column).cloned(),
            })
        });
        Ok(ScanStream { schema: Arc::clone(&self.schema), batches: batches.boxed() })
    }

    /// The columns that are requested.
    fn project(
        &self,
        rows: usize,
        column: impl Fn(usize) -> Option<ArrayRef>,
    ) -> Result<RecordBatch> {
        let missing = |at: usize| Error::internal(format!("live: column {at} was not read"));
        let columns = self.output.iter().map(|&at| column(at).ok_or_else(|| missing(at)));
        let columns: Vec<_> = columns.collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

#[derive(Debug)]
struct LiveStream {
    live: Arc<Live>,
    restriction: Option<Arc<Restriction>>,
    /// The columns that are requested, the first of those that are read.
    schema: SchemaRef,
}

impl PartitionStream for LiveStream {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let live = Arc::clone(&self.live);
        let fresh = stream::once(Arc::clone(&live).fresh());
        let computed =
            stream::iter(live.ranges()).then(move |windows| Arc::clone(&live).computed(windows));
        let batches = fresh.chain(computed).map_ok(|rows| rows.batches).try_flatten();
        let (live, restriction) = (Arc::clone(&self.live), self.restriction.clone());
        let shown = self.schema.fields().len();
        let batches = batches.map(move |rows| match &restriction {
            None => rows.map_err(external),
            Some(of) => {
                of.let_through(&rows.map_err(external)?, &live.output, shown).map_err(external)
            }
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}
