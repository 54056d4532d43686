//! The reader of a file that another program added to the table.
//!
//! Such a file has the table's columns in any order, of types that can be cast to the table's; value columns may be
//! missing. Its rows are in no order and of any hours, and its entry is trusted for nothing but which of them are
//! deleted. The times are read first, so that the rows of a few hours are then read without the row groups of others.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, new_null_array};
use arrow::compute::{CastOptions, cast_with_options, filter_record_batch};
use arrow::datatypes::TimestampMicrosecondType;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection};
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::LakeTable;
use super::sizes::{batch_rows, decoded_bytes};
use crate::delta::deleted_rows;
use crate::file::places::check_places;
use crate::schema::TIME_COLUMN;
use crate::snapshot::ForeignFile;
use crate::{
    Change, Error, ErrorKind, FileEntry, Hour, Operation, Outcome, Result, Snapshot, TimeRange,
    Timestamp,
};

/// Rows decoded at a time, at most.
const BATCH_ROWS: usize = 8_192;

/// The reader of a file of another program, with the times of its rows.
#[derive(Debug)]
pub struct ForeignReader {
    table: LakeTable,
    object: Object,
    metadata: ArrowReaderMetadata,
    /// The smallest and largest instant in each row group that has rows.
    groups: Vec<(usize, Timestamp, Timestamp)>,
    hours: BTreeMap<Hour, u64>,
    /// The numbers of the rows that are deleted, ascending.
    deleted: Vec<u64>,
    faults: Faults,
}

/// What is said of a file that cannot be taken over.
#[derive(Debug)]
struct Faults {
    subject: String,
    cure: String,
}

impl Faults {
    fn new(table: &LakeTable, snapshot: &Snapshot, file: &ForeignFile) -> Self {
        let name = table.schema().name();
        let version = snapshot.own().map_or_else(|| "N".to_owned(), |own| own.to_string());
        let listed = match snapshot.own() {
            Some(_) => "",
            None => " (`barograph lake history` shows the versions)",
        };
        Self {
            subject: format!("the file {:?} of another program in table {name:?}", file.path),
            cure: format!(
                "go back to the version before it with `barograph lake restore {name} --version {version}`{listed}, or \
                 undo it with the program that made it"
            ),
        }
    }

    fn of(&self, what: &str) -> Error {
        Error::request(format!("{} {what}: {}", self.subject, self.cure))
    }

    fn lacks_rows(&self, error: Error) -> Error {
        match error.kind() {
            ErrorKind::Store => error,
            _ => self.of(&format!("has deleted rows that cannot be determined: {error}")),
        }
    }

    /// Of an error of reading the file: the store may answer later, and the bytes stay what they are.
    fn read(&self, error: ParquetError) -> Error {
        let of_store = match &error {
            ParquetError::External(source) => source.downcast_ref::<object_store::Error>(),
            _ => None,
        };
        match of_store {
            Some(object_store::Error::NotFound { .. }) => self.of("is not there"),
            Some(_) => Error::new(ErrorKind::Store, &self.subject).with_source(error),
            None => self.of(&format!("cannot be read: {error}")),
        }
    }
}

/// Bytes of an object, as the Parquet reader asks for them.
#[derive(Debug, Clone)]
struct Object {
    store: Arc<dyn ObjectStore>,
    location: Path,
    bytes: u64,
}

impl AsyncFileReader for Object {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        Box::pin(async move { self.store.get_range(&self.location, range).await.map_err(external) })
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        Box::pin(
            async move { self.store.get_ranges(&self.location, &ranges).await.map_err(external) },
        )
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        Box::pin(async move {
            let bytes = self.bytes;
            ParquetMetaDataReader::new().load_and_finish(self, bytes).await.map(Arc::new)
        })
    }
}

fn external(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl LakeTable {
    /// Opens a file of another program in `snapshot`, and reads its times.
    ///
    /// # Errors
    /// A request error that names the file if it is not there, has other columns than the table, or a row without a time.
    pub async fn open_foreign(
        &self,
        snapshot: &Snapshot,
        file: &ForeignFile,
    ) -> Result<ForeignReader> {
        let faults = Faults::new(self, snapshot, file);
        let location = self.location(file).ok_or_else(|| faults.of("is not in its folder"))?;
        let store = Arc::clone(self.store().object());
        let bytes = match store.head(&location).await {
            Err(object_store::Error::NotFound { .. }) => return Err(faults.of("is not there")),
            meta => meta?.size,
        };
        let mut object = Object { store, location, bytes };
        // Values are cast to the table's types, so that the types of whoever wrote them do not matter.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = ArrowReaderMetadata::load_async(&mut object, options);
        let metadata = metadata.await.map_err(|e| faults.read(e))?;
        check_places(metadata.metadata(), bytes)
            .map_err(|e| faults.of(&format!("cannot be read: {e}")))?;
        let deleted = match &file.deleted {
            Some(deleted) => {
                deleted_rows(self.store(), deleted).await.map_err(|e| faults.lacks_rows(e))?
            }
            None => Vec::new(),
        };
        let mut reader = ForeignReader {
            table: self.clone(),
            object,
            metadata,
            groups: Vec::new(),
            hours: BTreeMap::new(),
            deleted,
            faults,
        };
        reader.check_columns()?;
        reader.read_times().await?;
        Ok(reader)
    }

    /// Where a file of another program stands, if it does so in the table's folder.
    fn location(&self, file: &ForeignFile) -> Option<Path> {
        let below = !file.path.contains("://") && !file.path.starts_with('/');
        let path = Path::from_url_path(&file.path).ok().filter(|_| below)?;
        Some(self.store().path(path.as_ref()))
    }

    /// Commits the adoption of the files of other programs in `base`: their rows, which are of `hours`, ascending, are
    /// in `added`, together with the rows of `removed`. Readers of `base` have not seen them.
    ///
    /// # Errors
    /// As of [`crate::Transaction::commit`].
    pub async fn take_over(
        &self,
        base: &Snapshot,
        removed: &[Arc<FileEntry>],
        added: Vec<Arc<FileEntry>>,
        hours: &[Hour],
        at: Timestamp,
    ) -> Result<Outcome> {
        let change = Change::of(hours.iter().copied(), None);
        let transaction = self.transaction(base, Operation::Adopt, change).without_foreign_files();
        transaction.remove(removed).add(added).commit(at).await
    }
}

impl ForeignReader {
    /// The number of rows of each hour.
    pub fn hours(&self) -> &BTreeMap<Hour, u64> {
        &self.hours
    }

    /// Bytes of a row in memory, about.
    pub fn row_bytes(&self) -> usize {
        let groups = self.metadata.metadata().row_groups();
        let bytes: i64 = groups.iter().map(decoded_bytes).sum();
        let rows: i64 = groups.iter().map(|group| group.num_rows()).sum();
        let packed = usize::try_from(bytes / rows.max(1)).unwrap_or(usize::MAX);
        // Of columns that are packed well, what a value takes in memory counts.
        packed.max(self.table.schema().arrow().fields().len() * 8)
    }

    /// Its rows in `time` with the table's columns, in any order.
    pub fn rows(&self, time: TimeRange) -> Result<BoxStream<'_, Result<RecordBatch>>> {
        let groups = self.groups.iter().filter(|(_, min, max)| time.touches(*min, *max));
        let groups: Vec<_> = groups.map(|(group, _, _)| *group).collect();
        let batches = self.stream(groups, ProjectionMask::all())?;
        Ok(batches.map(move |batch| self.fit(&batch?, time)).boxed())
    }

    fn stream(
        &self,
        groups: Vec<usize>,
        columns: ProjectionMask,
    ) -> Result<BoxStream<'_, Result<RecordBatch>>> {
        let (object, metadata) = (self.object.clone(), self.metadata.clone());
        let mut builder = ParquetRecordBatchStreamBuilder::new_with_metadata(object, metadata);
        if !self.deleted.is_empty() {
            builder = builder.with_row_selection(self.kept(&groups));
        }
        let builder = builder.with_row_groups(groups).with_projection(columns);
        let stream =
            builder.with_batch_size(batch_rows(self.metadata.metadata(), BATCH_ROWS)).build();
        let stream = stream.map_err(|e| self.faults.read(e))?;
        Ok(stream.map_err(|e| self.faults.read(e)).boxed())
    }

    /// The rows of row groups, ascending, that are not deleted.
    fn kept(&self, groups: &[usize]) -> RowSelection {
        let (mut kept, mut selected, mut first) = (Vec::new(), 0, 0);
        for (group, metadata) in self.metadata.metadata().row_groups().iter().enumerate() {
            let rows = u64::try_from(metadata.num_rows()).unwrap_or(0);
            if groups.contains(&group) {
                let from = self.deleted.partition_point(|row| *row < first);
                let deleted = self.deleted.iter().skip(from).take_while(|row| **row < first + rows);
                let mut next = 0;
                for deleted in deleted.map(|row| row - first).chain([rows]) {
                    kept.push(selected + next..selected + deleted);
                    next = deleted + 1;
                }
                selected += rows;
            }
            first += rows;
        }
        let whole = |row: u64| usize::try_from(row).unwrap_or(usize::MAX);
        let ranges = kept.into_iter().filter(|kept| !kept.is_empty());
        let ranges = ranges.map(|kept| whole(kept.start)..whole(kept.end));
        RowSelection::from_consecutive_ranges(ranges, whole(selected))
    }

    /// A column that the table does not know is not left out: its values would be lost without a word.
    fn check_columns(&self) -> Result<()> {
        let (schema, found) = (self.table.schema().arrow(), self.metadata.schema());
        let unknown = found.fields().iter().find(|f| schema.field_with_name(f.name()).is_err());
        if let Some(field) = unknown {
            return Err(self
                .faults
                .of(&format!("has the column {:?}, which the table does not have", field.name())));
        }
        let mut needed = schema.fields().iter().filter(|field| !field.is_nullable());
        match needed.find(|field| found.field_with_name(field.name()).is_err()) {
            Some(field) => Err(self.faults.of(&format!("lacks the column {:?}", field.name()))),
            None => Ok(()),
        }
    }

    async fn read_times(&mut self) -> Result<()> {
        let time = self.table.schema().arrow().field(TIME_COLUMN).clone();
        let columns = self.metadata.parquet_schema();
        let mask = ProjectionMask::columns(columns, [time.name().as_str()]);
        let (mut groups, mut hours) = (Vec::new(), BTreeMap::new());
        for group in 0..self.metadata.metadata().num_row_groups() {
            let mut range: Option<(Timestamp, Timestamp)> = None;
            let mut batches = self.stream(vec![group], mask.clone())?;
            while let Some(batch) = batches.try_next().await? {
                let times = self.values(batch.column(0), &time)?;
                for &at in times.as_primitive::<TimestampMicrosecondType>().values() {
                    let at = Timestamp::from_micros(at);
                    let hour = Hour::of(at).ok_or_else(|| {
                        self.faults.of(&format!(
                            "has the time {at}, outside the years that dates can name"
                        ))
                    })?;
                    *hours.entry(hour).or_insert(0) += 1;
                    let (min, max) = range.unwrap_or((at, at));
                    range = Some((min.min(at), max.max(at)));
                }
            }
            groups.extend(range.map(|(min, max)| (group, min, max)));
        }
        (self.groups, self.hours) = (groups, hours);
        Ok(())
    }

    /// The rows of `time` with the table's columns.
    fn fit(&self, rows: &RecordBatch, time: TimeRange) -> Result<RecordBatch> {
        let schema = self.table.schema().arrow();
        let columns = schema.fields().iter().map(|field| match rows.column_by_name(field.name()) {
            Some(column) => self.values(column, field),
            None => Ok(new_null_array(field.data_type(), rows.num_rows())),
        });
        let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
        let rows = RecordBatch::try_new(Arc::clone(schema), columns)?;
        let times = rows.column(TIME_COLUMN).as_primitive::<TimestampMicrosecondType>().values();
        let inside: BooleanArray =
            times.iter().map(|&at| Some(time.contains(Timestamp::from_micros(at)))).collect();
        Ok(filter_record_batch(&rows, &inside)?)
    }

    /// The values of a column as the table has them.
    fn values(&self, column: &ArrayRef, field: &arrow::datatypes::Field) -> Result<ArrayRef> {
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        let values = cast_with_options(column, field.data_type(), &strict).map_err(|e| {
            let (name, of) = (field.name(), column.data_type());
            self.faults
                .of(&format!("has {of} in the column {name:?}, which is {}", field.data_type()))
                .with_source(e)
        })?;
        match !field.is_nullable() && values.null_count() > 0 {
            true => Err(self.faults.of(&format!("has rows without {:?}", field.name()))),
            false => Ok(values),
        }
    }
}
