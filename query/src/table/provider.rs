//! A lake table as DataFusion sees it: a provider that plans scans over the view its query has pinned.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use barograph_engine::View;
use barograph_engine::filter::Wanted;
use barograph_engine::rollup::Rollups;
use barograph_engine::scan::{Cost, Plan, Scan};
use barograph_engine::{Engine, Error, Restriction};
use barograph_lake::schema::{FIRST_VALUE_COLUMN, KEY_COLUMN, TIME_COLUMN};
use barograph_lake::{AsOf, Key, KeySelection, KeyType, TableSchema};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, ScalarValue, SplitPoint};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{
    AcrossPartitions, ConstExpr, EquivalenceProperties, LexOrdering, Partitioning, PhysicalExpr,
    PhysicalSortExpr, RangePartitioning,
};
use parking_lot::Mutex;

use crate::errors::external;
use crate::opaque::Planned;
use crate::pushdown::translate::Translator;
use crate::statement::divide::AnswerPartition;
use crate::table::exec::{Read, ScanExec};
use crate::table::shown::ShownTable;
use crate::table::statistics::TableStatistics;

/// Most files that are opened to tell a cost, unless an exact one is requested.
const COSTED_FILES: u64 = 4;
/// Most files that are opened to tell the cost of a read of few keys.
const COSTED_FILES_OF_KEYS: u64 = 64;

/// The views that a query reads until its end, and what its planning found out.
#[derive(Debug)]
pub(crate) struct Pinned {
    views: BTreeMap<String, Arc<View>>,
    rollups: Arc<Rollups>,
    /// Whether costs are to be exact and plans printed in full.
    pub(crate) explain: bool,
    cost: Mutex<Cost>,
    /// The partition of the answer that is requested.
    partition: Option<Arc<AnswerPartition>>,
    /// Whose queries are shown, if not those of all.
    viewer: Option<String>,
}

impl Pinned {
    /// The views of all tables at one instant.
    pub(crate) fn new(engine: &Engine, explain: bool) -> Self {
        // Before the views: they then have what these tell of.
        let rollups = engine.rollups();
        let (views, cost) = (engine.views(), Mutex::default());
        Self { views, rollups, explain, cost, partition: None, viewer: None }
    }

    /// The same views, with that of a partition.
    pub(crate) fn with_partition(mut self, partition: Option<Arc<AnswerPartition>>) -> Self {
        if let Some(partition) = &partition {
            self.views.insert(partition.table.clone(), Arc::clone(&partition.view));
        }
        self.partition = partition;
        self
    }

    /// The same views, for one who sees only their own queries.
    pub(crate) fn seen_by(mut self, viewer: Option<String>) -> Self {
        self.viewer = viewer;
        self
    }

    /// Whether the queries of `user` are shown.
    pub(crate) fn shows_queries_of(&self, user: &str) -> bool {
        self.viewer.as_ref().is_none_or(|viewer| viewer == user)
    }

    /// The keys among `keys` of a table that are requested.
    fn keys(&self, table: &str, keys: &KeySelection) -> KeySelection {
        match &self.partition {
            Some(of) if of.table == table => keys.within(of.keys.0, of.keys.1),
            _ => keys.clone(),
        }
    }

    /// Whether only one partition of the rows of `table` is requested.
    fn is_divided(&self, table: &str) -> bool {
        self.partition.as_ref().is_some_and(|of| of.table == table)
    }

    /// The view of a table.
    pub(crate) fn view(&self, table: &str) -> Result<&Arc<View>> {
        self.views.get(table).ok_or_else(|| {
            external(Error::internal(format!("the view of table {table:?} is not pinned")))
        })
    }

    /// The progress of the rollups in these views.
    pub(crate) fn rollups(&self) -> &Rollups {
        &self.rollups
    }

    /// All views, by table.
    pub(crate) fn views(&self) -> &BTreeMap<String, Arc<View>> {
        &self.views
    }

    /// The cost of all scans planned so far.
    pub(crate) fn cost(&self) -> Cost {
        *self.cost.lock()
    }

    pub(crate) fn add_cost(&self, cost: Cost) {
        let mut sum = self.cost.lock();
        *sum = sum.and(cost);
    }

    /// What the query of `session` has pinned; outside a query, the views of this moment.
    pub(crate) fn of(session: &dyn Session, engine: &Engine) -> Arc<Self> {
        let pinned = session.config().get_extension::<Self>();
        pinned.unwrap_or_else(|| Arc::new(Self::new(engine, false)))
    }
}

/// A declared table, or its rows in the lake at an earlier version.
#[derive(Debug)]
pub(crate) struct LakeProvider {
    pub(crate) engine: Arc<Engine>,
    pub(crate) table: Arc<TableSchema>,
    pub(crate) as_of: Option<AsOf>,
    /// What of it is shown, if not all.
    restriction: Option<Arc<Restriction>>,
    statistics: TableStatistics,
}

impl LakeProvider {
    pub(crate) fn new(
        engine: Arc<Engine>,
        (table, restriction): ShownTable,
        as_of: Option<AsOf>,
    ) -> Self {
        Self { engine, table, as_of, restriction, statistics: TableStatistics::default() }
    }

    /// The rows that a scan sees.
    async fn view(&self, pinned: &Pinned, wanted: &Wanted) -> Result<Arc<View>> {
        let name = self.table.name();
        match self.as_of {
            // Whoever divided the answer knows the view.
            Some(as_of) if !pinned.is_divided(name) => {
                let view = self.engine.view_as_of(name, as_of, &wanted.keys, wanted.time);
                view.await.map_err(external)
            }
            _ => pinned.view(name).cloned(),
        }
    }
}

impl LakeProvider {
    /// The plan in at most `count` partitions; in one if it reads little.
    async fn divided(&self, plan: Plan, count: usize) -> Result<Plan> {
        let slice_rows = self.engine.settings().scan_slice_rows as u64;
        let Scan { keys, filter, limit, .. } = plan.request();
        let few = plan.cost().rows <= 2 * slice_rows
            || matches!(keys, KeySelection::List(keys) if keys.len() < 2 * count)
            || limit.is_some_and(|limit| limit as u64 <= slice_rows && filter.is_none());
        match few || count < 2 {
            true => Ok(plan),
            false => self.engine.divided(plan, count).await.map_err(external),
        }
    }
}

impl TableProvider for LakeProvider {
    fn schema(&self) -> SchemaRef {
        visible(&self.table, self.restriction.as_ref())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let translator = Translator::new(&self.table);
        let answer = |filter: &&Expr| match translator.condition(filter) {
            Some(translated) if translated.exact => TableProviderFilterPushDown::Exact,
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(answer).collect())
    }

    fn scan<'s, 'n, 'p, 'f, 'a>(
        &'s self,
        session: &'n dyn Session,
        projection: Option<&'p Vec<usize>>,
        filters: &'f [Expr],
        limit: Option<usize>,
    ) -> Planned<'a>
    where
        Self: 'a,
        's: 'a,
        'n: 'a,
        'p: 'a,
        'f: 'a,
    {
        let pinned = Pinned::of(session, &self.engine);
        let (mut wanted, exact) = Translator::new(&self.table).wanted(filters);
        wanted.keys = pinned.keys(self.table.name(), &wanted.keys);
        if let Some(restriction) = &self.restriction {
            restriction.narrow(&mut wanted);
        }
        let limit = limit.filter(|_| exact);
        let partitions = session.config().target_partitions();
        Box::pin(async move {
            let view = self.view(&pinned, &wanted).await?;
            let output = &output(&self.table, self.restriction.as_ref(), projection);
            let columns: Vec<_> =
                output.iter().copied().filter(|&column| column >= FIRST_VALUE_COLUMN).collect();
            let read = Arc::new(Read {
                engine: Arc::clone(&self.engine),
                view,
                wanted,
                columns,
                aggregation: None,
                is_restricted: self.restriction.is_some(),
            });
            let plan = self.divided(read.plan(limit)?, partitions).await?;
            let schema = Arc::new(self.table.arrow().project(output)?);
            let key_at = output.iter().position(|&column| column == KEY_COLUMN);
            let time_at = output.iter().position(|&column| column == TIME_COLUMN);
            let keys = &read.wanted.keys;
            let layout = Layout { schema, key_at, time_at, keys, key_type: self.table.key_type() };
            let mut next = FIRST_VALUE_COLUMN;
            let places = output.iter().map(|&column| {
                if column < FIRST_VALUE_COLUMN {
                    column
                } else {
                    next += 1;
                    next - 1
                }
            });
            let statistics = self.statistics.of(&plan, output).await.map_err(external)?;
            let plan = looked_into(plan, pinned.explain).await?;
            pinned.add_cost(plan.cost());
            let starts = plan.partition_starts();
            let (equivalences, partitioning) =
                (layout.equivalences()?, layout.partitioning(&starts)?);
            let mut exec = ScanExec::new(read, places.collect(), plan, equivalences, partitioning);
            exec.statistics = Arc::new(statistics);
            // The inputs of a scan tell of rows that are not given.
            exec.explain = pinned.explain && self.restriction.is_none();
            Ok(Arc::new(exec) as _)
        })
    }
}

/// The columns of a table that are shown.
pub(crate) fn visible(table: &TableSchema, restriction: Option<&Arc<Restriction>>) -> SchemaRef {
    Arc::clone(restriction.map_or(table, |of| of.visible()).arrow())
}

/// The indexes in a table of the columns that `projection` names by their indexes among those that are shown.
pub(crate) fn output(
    table: &TableSchema,
    restriction: Option<&Arc<Restriction>>,
    projection: Option<&Vec<usize>>,
) -> Vec<usize> {
    match (restriction, projection) {
        (None, Some(projection)) => projection.clone(),
        (None, None) => (0..table.arrow().fields().len()).collect(),
        (Some(of), Some(projection)) => projection.iter().map(|&at| of.column(at)).collect(),
        (Some(of), None) => of.columns().to_vec(),
    }
}

/// The plan with its slices if it is explained, and its exact cost if that is, or costs little to know.
async fn looked_into(plan: Plan, explain: bool) -> Result<Plan> {
    if explain {
        return plan.sliced().await.map_err(external)?.costed().await.map_err(external);
    }
    let files_max = match plan.request().keys {
        KeySelection::List(_) => COSTED_FILES_OF_KEYS,
        _ => COSTED_FILES,
    };
    match plan.cost().files <= files_max {
        true => plan.costed().await.map_err(external),
        false => Ok(plan),
    }
}

/// Positions of key and time in the output of a scan.
pub(crate) struct Layout<'a> {
    pub(crate) schema: SchemaRef,
    pub(crate) key_at: Option<usize>,
    pub(crate) time_at: Option<usize>,
    pub(crate) keys: &'a KeySelection,
    pub(crate) key_type: KeyType,
}

impl Layout<'_> {
    fn column(&self, at: usize) -> Arc<dyn PhysicalExpr> {
        Arc::new(Column::new(self.schema.field(at).name(), at))
    }

    fn key(&self, key: Key) -> ScalarValue {
        match self.key_type {
            KeyType::Int32 => ScalarValue::Int32(i32::try_from(key.get()).ok()),
            KeyType::Int64 => ScalarValue::Int64(Some(key.get())),
        }
    }

    /// The order of the rows, and the columns that have the same value in all of them.
    pub(crate) fn equivalences(&self) -> Result<EquivalenceProperties> {
        let one = match self.keys {
            KeySelection::List(keys) if keys.len() == 1 => keys.first().copied(),
            KeySelection::Range { from, to } if from == to => Some(*from),
            _ => None,
        };
        let sorted = match (one, self.key_at, self.time_at) {
            (Some(_), _, time) => time.into_iter().collect(),
            (None, Some(key), time) => [key].into_iter().chain(time).collect(),
            (None, None, _) => Vec::new(),
        };
        let sorted = sorted.into_iter().map(|at| ascending(self.column(at)));
        let mut properties =
            EquivalenceProperties::new_with_orderings(Arc::clone(&self.schema), [sorted]);
        if let (Some(key), Some(at)) = (one, self.key_at) {
            let value = AcrossPartitions::Uniform(Some(self.key(key)));
            properties.add_constants([ConstExpr::new(self.column(at), value)])?;
        }
        Ok(properties)
    }

    /// The distribution of rows over partitions, of which all but the first begin at `starts`.
    pub(crate) fn partitioning(&self, starts: &[Key]) -> Result<Partitioning> {
        let count = starts.len() + 1;
        let by_key = self.key_at.and_then(|at| LexOrdering::new([ascending(self.column(at))]));
        match by_key {
            Some(by_key) if count > 1 => {
                let points = starts.iter().map(|&key| SplitPoint::new(vec![self.key(key)]));
                Ok(Partitioning::Range(RangePartitioning::try_new(by_key, points.collect())?))
            }
            _ => Ok(Partitioning::UnknownPartitioning(count)),
        }
    }
}

fn ascending(column: Arc<dyn PhysicalExpr>) -> PhysicalSortExpr {
    let options = arrow::compute::SortOptions { descending: false, nulls_first: false };
    PhysicalSortExpr::new(column, options)
}
