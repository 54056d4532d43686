//! A lake table as DataFusion sees it: a provider that plans scans over the view its query has pinned.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use barograph_engine::filter::Wanted;
use barograph_engine::rollup::Rollups;
use barograph_engine::scan::plan::cut;
use barograph_engine::view::View;
use barograph_engine::{Engine, Error};
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
use datafusion::physical_plan::ExecutionPlan;
use parking_lot::Mutex;

use crate::errors::external;
use crate::pushdown::translate::Translator;
use crate::statement::divide::AnswerPart;
use crate::table::exec::{Read, ScanExec};
use crate::table::price::{self, Price};
use crate::table::statistics::TableStatistics;

/// Most files that are opened to tell a cost, unless an exact one is requested.
const PRICED_FILES: usize = 4;

/// The views that a query reads until its end, and what its planning found out.
#[derive(Debug)]
pub(crate) struct Pinned {
    views: BTreeMap<String, Arc<View>>,
    rollups: Arc<Rollups>,
    /// Whether costs are to be exact and plans printed in full.
    pub(crate) explain: bool,
    price: Mutex<Price>,
    /// The part of the answer that is requested.
    part: Option<Arc<AnswerPart>>,
}

impl Pinned {
    /// The views of all tables at one instant.
    pub(crate) fn new(engine: &Engine, explain: bool) -> Self {
        // Before the views: they then have what these tell of.
        let rollups = engine.rollups();
        Self { views: engine.views(), rollups, explain, price: Mutex::default(), part: None }
    }

    /// The same views, with that of a part.
    pub(crate) fn with_part(mut self, part: Option<Arc<AnswerPart>>) -> Self {
        if let Some(part) = &part {
            self.views.insert(part.table.clone(), Arc::clone(&part.view));
        }
        self.part = part;
        self
    }

    /// The keys among `keys` of a table that are requested.
    fn keys(&self, table: &str, keys: &KeySelection) -> KeySelection {
        match &self.part {
            Some(part) if part.table == table => keys.within(part.keys.0, part.keys.1),
            _ => keys.clone(),
        }
    }

    /// Whether only a part of the rows of `table` is requested.
    fn is_divided(&self, table: &str) -> bool {
        self.part.as_ref().is_some_and(|part| part.table == table)
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
    pub(crate) fn price(&self) -> Price {
        *self.price.lock()
    }

    pub(crate) fn charge(&self, price: Price) {
        let mut sum = self.price.lock();
        *sum = sum.and(price);
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
    statistics: TableStatistics,
}

impl LakeProvider {
    pub(crate) fn new(engine: Arc<Engine>, table: Arc<TableSchema>, as_of: Option<AsOf>) -> Self {
        Self { engine, table, as_of, statistics: TableStatistics::default() }
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

#[async_trait]
impl TableProvider for LakeProvider {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.table.arrow())
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

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let pinned = Pinned::of(session, &self.engine);
        let (mut wanted, exact) = Translator::new(&self.table).wanted(filters);
        wanted.keys = pinned.keys(self.table.name(), &wanted.keys);
        let view = self.view(&pinned, &wanted).await?;
        let all = (0..self.table.arrow().fields().len()).collect();
        let output = projection.unwrap_or(&all);
        let columns: Vec<_> =
            output.iter().copied().filter(|&column| column >= FIRST_VALUE_COLUMN).collect();
        let read = Arc::new(Read {
            engine: Arc::clone(&self.engine),
            view,
            wanted,
            columns,
            aggregation: None,
        });
        let limit = limit.filter(|_| exact);
        let whole = read.whole(limit);
        let execution = self.engine.execution(&read.view, whole.clone()).map_err(external)?;
        let bound = price::bound(&execution);
        let slice_rows = self.engine.settings().scan_slice_rows as u64;
        let wanted_parts = session.config().target_partitions();
        let few = bound.rows <= 2 * slice_rows
            || matches!(&whole.keys, KeySelection::List(keys) if keys.len() < 2 * wanted_parts)
            || limit.is_some_and(|limit| limit as u64 <= slice_rows && whole.filter.is_none());
        let cuts = if few || wanted_parts < 2 {
            Arc::default()
        } else {
            self.engine.cuts(&execution, wanted_parts).await.map_err(external)?
        };
        let schema = Arc::new(self.table.arrow().project(output)?);
        let key_at = output.iter().position(|&column| column == KEY_COLUMN);
        let time_at = output.iter().position(|&column| column == TIME_COLUMN);
        let layout =
            Layout { schema, key_at, time_at, keys: &whole.keys, key_type: self.table.key_type() };
        let mut next = FIRST_VALUE_COLUMN;
        let places = output.iter().map(|&column| {
            if column < FIRST_VALUE_COLUMN {
                column
            } else {
                next += 1;
                next - 1
            }
        });
        let statistics = self.statistics.of(&execution, output).await.map_err(external)?;
        let exactly = pinned.explain
            || bound.files as usize <= PRICED_FILES
            || matches!(whole.keys, KeySelection::List(_));
        let price = match exactly {
            true => price::price(&execution).await.map_err(external)?,
            false => bound,
        };
        pinned.charge(price);
        let plan = match pinned.explain {
            true => Some(self.engine.plan(&read.view, &whole).await.map_err(external)?),
            false => None,
        };
        let mut exec = ScanExec::new(
            read,
            places.collect(),
            parts(&whole.keys, &cuts),
            layout.equivalences()?,
            layout.partitioning(&cuts)?,
            limit,
        );
        exec.cuts = cuts;
        exec.statistics = Arc::new(statistics);
        exec.price = price;
        exec.plan = plan.map(Arc::new);
        Ok(Arc::new(exec))
    }
}

/// The selections between ascending cuts.
pub(crate) fn parts(keys: &KeySelection, cuts: &[Key]) -> Arc<[KeySelection]> {
    if cuts.is_empty() {
        return Arc::new([keys.clone()]);
    }
    cut(keys, cuts.iter().map(|&key| (key, 1)).chain([(Key::MIN, 1)]).collect(), 1).into()
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
            KeyType::Int32 => ScalarValue::Int32(i32::try_from(key).ok()),
            KeyType::Int64 => ScalarValue::Int64(Some(key)),
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

    /// The distribution of rows over partitions.
    pub(crate) fn partitioning(&self, cuts: &[Key]) -> Result<Partitioning> {
        let count = cuts.len() + 1;
        let by_key = self.key_at.and_then(|at| LexOrdering::new([ascending(self.column(at))]));
        match by_key {
            Some(by_key) if count > 1 => {
                let points = cuts.iter().map(|&key| SplitPoint::new(vec![self.key(key)]));
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
