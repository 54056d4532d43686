//! The conversion of cells into the instants of a time column.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, PrimitiveBuilder, StringArray, StringBuilder,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use arrow::util::display::array_value_to_string;

use super::super::time::number::Decimal;
use super::super::time::{Found, Read, Reading};
use super::Faults;
use super::nulls::Nulls;
use super::numbers::EXACT;
use super::text::Reader;
use crate::{Error, Result};

/// Instants, and those who read them.
pub(super) type Instants<'a> = (ArrayRef, Reading<'a>);

/// Adds what was found while instants were read, of the first piece of a file or a later one.
pub(super) fn found(read: Instants<'_>, first: bool, found: &mut Found) -> Result<ArrayRef> {
    let (instants, reading) = read;
    found.add(reading.end(first)?);
    Ok(instants)
}

/// Times that are text.
pub(super) fn of_texts<'a>(
    reader: &Reader<'_>,
    texts: &StringArray,
    mut reading: Reading<'a>,
    faults: &mut Faults,
) -> Result<Instants<'a>> {
    let mut instants = Column::with_capacity(texts.len());
    reader.each(texts, faults, |row, text, faults| {
        instants.take(row, text.map(|text| reading.text(text)), faults);
        true
    });
    Ok((instants.finish(), reading))
}

/// Times that are numbers, dates or timestamps.
pub(super) fn of_cells<'a>(
    reader: &Reader<'_>,
    cells: &ArrayRef,
    mut reading: Reading<'a>,
    faults: &mut Faults,
) -> Result<Instants<'a>> {
    if let DataType::Timestamp(TimeUnit::Microsecond, zone) = cells.data_type()
        && (zone.is_some() || reading.is_utc())
    {
        let micros = cells.as_primitive::<TimestampMicrosecondType>().clone();
        return Ok((Arc::new(micros.with_timezone("UTC")), reading));
    }
    let mut instants = Column::with_capacity(cells.len());
    let rows = 0..cells.len();
    if let Some((clock, ns, is_utc)) = clock(cells)? {
        for row in rows {
            let time = clock.is_valid(row).then(|| i128::from(clock.value(row)) * ns);
            instants.take(row, time.map(|time| reading.clock(time, is_utc)), faults);
        }
        return Ok((instants.finish(), reading));
    }
    match cells.data_type() {
        whole if whole.is_integer() && *whole != DataType::UInt64 => {
            let numbers = cast(cells, &DataType::Int64)?;
            let numbers = numbers.as_primitive::<Int64Type>();
            for row in rows {
                let read = numbers.is_valid(row).then(|| {
                    let number = numbers.value(row);
                    reading.count(Decimal::whole(number.into()), || number.to_string())
                });
                instants.take(row, read, faults);
            }
        }
        DataType::Float64 | DataType::Float32 | DataType::Float16 => {
            let numbers = cast(cells, &DataType::Float64)?;
            let numbers = numbers.as_primitive::<Float64Type>();
            for row in rows {
                let read = numbers.is_valid(row).then(|| {
                    let (number, text) = (numbers.value(row), numbers.value(row).to_string());
                    let exact = (number.abs() <= EXACT).then(|| Decimal::read(&text)).flatten();
                    let unfit = || format!("{}: {text} does not fit a time", reader.field.name());
                    exact.ok_or_else(unfit).and_then(|n| reading.count(n, || text.clone()))
                });
                instants.take(row, read, faults);
            }
        }
        DataType::Null => rows.for_each(|row| instants.take(row, None, faults)),
        number if number.is_numeric() => {
            for row in rows {
                let read = if cells.is_null(row) {
                    None
                } else {
                    Some(reading.text(&array_value_to_string(cells, row)?))
                };
                instants.take(row, read, faults);
            }
        }
        other => {
            return Err(Error::request(format!(
                "column {} is to come from {:?}, whose type {other} holds no times",
                reader.field.name(),
                reader.source
            )));
        }
    }
    Ok((instants.finish(), reading))
}

/// What clocks showed, how many ns one of its units is, and whether they were in UTC; `None` for other cells.
fn clock(cells: &ArrayRef) -> Result<Option<(Int64Array, i128, bool)>> {
    let (ns, is_utc) = match cells.data_type() {
        DataType::Timestamp(unit, zone) => {
            let ns = match unit {
                TimeUnit::Second => 1_000_000_000,
                TimeUnit::Millisecond => 1_000_000,
                TimeUnit::Microsecond => 1_000,
                TimeUnit::Nanosecond => 1,
            };
            (ns, zone.is_some())
        }
        DataType::Date32 => (86_400_000_000_000, false),
        DataType::Date64 => (1_000_000, false),
        _ => return Ok(None),
    };
    let whole = match cells.data_type() {
        DataType::Date32 => cast(&cast(cells, &DataType::Int32)?, &DataType::Int64)?,
        _ => cast(cells, &DataType::Int64)?,
    };
    Ok(Some((whole.as_primitive::<Int64Type>().clone(), ns, is_utc)))
}

/// The cells of several columns, joined by a blank; null where one of them is missing.
pub(super) fn joined(columns: &[&ArrayRef], nulls: &Nulls<'_>) -> Result<StringArray> {
    let texts: Vec<StringArray> =
        columns.iter().map(|cells| plain(&nulls.removed(cells)?)).collect::<Result<_>>()?;
    let rows = texts.first().map_or(0, Array::len);
    let mut joined = StringBuilder::with_capacity(rows, rows * 20);
    let mut text = String::new();
    for row in 0..rows {
        text.clear();
        let mut whole = true;
        for (at, cells) in texts.iter().enumerate() {
            let cell = if cells.is_valid(row) { cells.value(row).trim() } else { "" };
            whole &= !nulls.is(cell);
            text.push_str(if at == 0 { "" } else { " " });
            text.push_str(cell);
        }
        joined.append_option(whole.then_some(text.as_str()));
    }
    Ok(joined.finish())
}

/// Cells as text; numbers that are whole without a decimal point.
fn plain(cells: &ArrayRef) -> Result<StringArray> {
    if cells.data_type().is_floating() {
        let numbers = cast(cells, &DataType::Float64)?;
        let numbers = numbers.as_primitive::<Float64Type>();
        return Ok(numbers.iter().map(|number| number.map(|n| n.to_string())).collect());
    }
    Ok(cast(cells, &DataType::Utf8)?.as_string::<i32>().clone())
}

/// Instants on their way into a column.
struct Column(PrimitiveBuilder<TimestampMicrosecondType>);

impl Column {
    fn with_capacity(rows: usize) -> Self {
        Self(PrimitiveBuilder::with_capacity(rows))
    }

    fn take(&mut self, row: usize, read: Option<Read>, faults: &mut Faults) {
        match read {
            None => self.0.append_null(),
            Some(Ok(instant)) => self.0.append_value(instant.as_micros()),
            Some(Err(reason)) => {
                self.0.append_null();
                faults.add(row, || reason);
            }
        }
    }

    fn finish(mut self) -> ArrayRef {
        Arc::new(self.0.finish().with_timezone("UTC"))
    }
}
