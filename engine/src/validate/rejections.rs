//! Rejections: the rows of a batch that may not go into its table, and why. The text of a letter is written when it
//! is asked for, as all letters of a batch together may take many times its memory.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow::util::display::array_value_to_string;
use barograph_lake::schema::FIRST_VALUE_COLUMN;
use barograph_lake::{TableSchema, Timestamp};

use super::key_at;
use super::row::RowWriter;

/// A row that may not go into its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// What is wrong with it.
    pub reason: String,
    /// The row as it was sent, as a JSON object.
    pub row: String,
}

/// What may be wrong with a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is null and may not be.
    Null = 1,
    /// The table's type cannot hold it.
    Unfit,
    /// No such key is known.
    Unknown,
    /// No such year is taken.
    Outside,
    /// The instant lies too far ahead.
    Future,
    /// It is outside the plausible range.
    Implausible,
}

const FAULTS: [Fault; 6] =
    [Fault::Null, Fault::Unfit, Fault::Unknown, Fault::Outside, Fault::Future, Fault::Implausible];

/// The first fault of each row that has one.
#[derive(Debug)]
pub(super) struct Faults {
    /// Of each row its column and fault, or 0; empty if no row has one.
    marks: Vec<u32>,
    rows: usize,
}

impl Faults {
    pub(super) fn new(rows: usize) -> Self {
        Self { marks: Vec::new(), rows }
    }

    pub(super) fn add(&mut self, row: usize, column: usize, fault: Fault) {
        if self.marks.is_empty() {
            self.marks.resize(self.rows, 0);
        }
        if let Some(mark @ 0) = self.marks.get_mut(row) {
            *mark = (column as u32) << 3 | fault as u32;
        }
    }

    /// The rows without a fault; `None` if that is all.
    pub(super) fn accepted(&self) -> Option<BooleanArray> {
        let all = self.marks.is_empty();
        (!all).then(|| self.marks.iter().map(|mark| Some(*mark == 0)).collect())
    }

    /// The rows with a fault of a batch `sent` in plain types, whose columns became `columns` of the table.
    pub(super) fn rejections(
        self,
        schema: &TableSchema,
        sent: RecordBatch,
        columns: Vec<ArrayRef>,
    ) -> Rejections {
        let count = self.marks.iter().filter(|mark| **mark != 0).count();
        let of = (count > 0).then(|| Of { schema: schema.clone(), sent, columns });
        Rejections { marks: self.marks, next: 0, left: count, of }
    }
}

/// The rows of a batch that may not go into its table, in their order.
#[derive(Debug)]
pub struct Rejections {
    marks: Vec<u32>,
    next: usize,
    left: usize,
    of: Option<Of>,
}

/// The batch, and what became of its columns.
#[derive(Debug)]
struct Of {
    schema: TableSchema,
    sent: RecordBatch,
    columns: Vec<ArrayRef>,
}

impl Rejections {
    /// Number of rows that are left.
    pub fn len(&self) -> usize {
        self.left
    }

    /// Whether no row is left.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// How many rows have each fault, in the order of [`REJECTIONS`](crate::statistics::REJECTIONS).
    pub(crate) fn by_fault(&self) -> [u64; FAULTS.len()] {
        let mut counts = [0; FAULTS.len()];
        for mark in self.marks.iter().filter(|mark| **mark != 0) {
            let fault = (mark & 7) as usize;
            if let Some(count) = fault.checked_sub(1).and_then(|at| counts.get_mut(at)) {
                *count += 1;
            }
        }
        counts
    }

    /// Whether row `row` of the batch is among them.
    pub fn holds(&self, row: usize) -> bool {
        self.marks.get(row).is_some_and(|mark| *mark != 0)
    }

    /// The next of them, as many as fit in about `bytes`; at least one if any is left.
    pub(crate) fn take(&mut self, bytes: usize) -> Vec<Rejected> {
        let Some(of) = &self.of else { return Vec::new() };
        let writer = RowWriter::new(&of.sent);
        let (mut taken, mut held) = (Vec::new(), 0);
        while let Some(mark) = self.marks.get(self.next)
            && held < bytes
        {
            if *mark != 0 {
                let reason = of.reason(self.next, *mark);
                let row = writer.write(self.next);
                held += reason.len() + row.len() + size_of::<Rejected>();
                taken.push(Rejected { reason, row });
                self.left -= 1;
            }
            self.next += 1;
        }
        taken
    }
}

impl IntoIterator for Rejections {
    type Item = Rejected;
    type IntoIter = std::vec::IntoIter<Rejected>;

    fn into_iter(mut self) -> Self::IntoIter {
        self.take(usize::MAX).into_iter()
    }
}

impl Of {
    fn reason(&self, row: usize, mark: u32) -> String {
        let column = (mark >> 3) as usize;
        let name = self.schema.arrow().field(column).name();
        let Some(values) = self.columns.get(column) else { return name.clone() };
        let fault = FAULTS.iter().find(|fault| **fault as u32 == mark & 7);
        let micros = || values.as_primitive::<TimestampMicrosecondType>().value(row);
        match fault {
            Some(Fault::Unfit) => {
                let sent = self.sent.column_by_name(name);
                let value = sent.and_then(|sent| array_value_to_string(sent, row).ok());
                let value = value.unwrap_or_else(|| "value".to_owned());
                format!("{name} = {value} does not fit {}", values.data_type())
            }
            Some(Fault::Unknown) => format!("{name} = {} is not known", key_at(values, row)),
            Some(Fault::Outside) => {
                format!("{name} = {} µs is outside the years 1 to 9999", micros())
            }
            Some(Fault::Future) => {
                format!("{name} = {} is too far in the future", Timestamp::from_micros(micros()))
            }
            Some(Fault::Implausible) => self.implausible(column, values, row),
            Some(Fault::Null) | None => format!("{name} is null"),
        }
    }

    fn implausible(&self, column: usize, values: &ArrayRef, row: usize) -> String {
        let declared = column.checked_sub(FIRST_VALUE_COLUMN);
        let Some(declared) = declared.and_then(|at| self.schema.values().get(at)) else {
            return String::new();
        };
        let value = match values.data_type() {
            DataType::Int16 => values.as_primitive::<Int16Type>().value(row).to_string(),
            DataType::Int32 => values.as_primitive::<Int32Type>().value(row).to_string(),
            DataType::Int64 => values.as_primitive::<Int64Type>().value(row).to_string(),
            DataType::Float32 => values.as_primitive::<Float32Type>().value(row).to_string(),
            _ => values.as_primitive::<Float64Type>().value(row).to_string(),
        };
        let unit = declared.unit.iter().map(|unit| format!(" {unit}")).collect::<String>();
        let [min, max] = declared.range.unwrap_or_default();
        format!("{} = {value}{unit} is outside {min} to {max}", declared.name)
    }
}
