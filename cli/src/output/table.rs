//! Rows as a table for people.
//!
//! ```text
//! city     city_id  reading_at            temperature (°C)
//! Tokyo    1850147  2026-11-22 10:00:00Z              14.2
//! Paris    2988507  2026-11-22 10:00:00Z                 –
//! ```

use std::io::Write;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Field};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use barograph_lake::schema::KEY_COLUMN;
use unicode_width::UnicodeWidthStr;

use super::any_type;
use crate::Result;
use crate::cities::{CITY_KEY, Cities, City};

const NULL: &str = "–";
/// Digits that a double is shown with at least, three of them after the point.
const DIGITS: i32 = 6;
const DECIMALS: i32 = 3;
/// Doubles with fewer or more digits before the point are shown with a power of ten.
const POWERS: std::ops::Range<i32> = -5..16;

/// Writes aligned columns. Widths are those of the first batch; a longer cell of a later batch moves
/// the cells after it.
pub(super) struct TableWriter<W> {
    to: W,
    cities: Option<&'static Cities>,
    widths: Option<Vec<usize>>,
}

impl<W: Write> TableWriter<W> {
    pub(super) fn new(to: W, cities: bool) -> Result<Self> {
        let cities = if cities { Some(Cities::built_in()?) } else { None };
        Ok(Self { to, cities, widths: None })
    }

    pub(super) fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        let schema = rows.schema();
        let mut columns: Vec<Column> = Vec::with_capacity(rows.num_columns() + 1);
        for (field, values) in schema.fields().iter().zip(rows.columns()) {
            let options = options(field.data_type());
            let formatter = ArrayFormatter::try_new(values.as_ref(), &options)?;
            let mut cells = Vec::with_capacity(rows.num_rows());
            for row in 0..rows.num_rows() {
                cells.push(match as_float(values, row) {
                    Some(value) => readable(value),
                    None => printable(formatter.value(row).try_to_string()?),
                });
            }
            columns.push(Column { header: header(field), right: is_number(field), cells });
        }
        if let Some(cities) = self.cities
            && let Some(keys) = columns.get(KEY_COLUMN)
            && keys.header == CITY_KEY
        {
            let name = |id: &String| id.parse().ok().and_then(|id| cities.get(id)).map(label);
            let cells =
                keys.cells.iter().map(|id| name(id).unwrap_or_else(|| NULL.to_owned())).collect();
            columns.insert(0, Column { header: "city".to_owned(), right: false, cells });
        }
        if self.widths.is_none() {
            if rows.num_rows() == 0 {
                return Ok(());
            }
            let widths: Vec<usize> = columns.iter().map(Column::width).collect();
            let line = line(columns.iter().map(|c| (c.header.as_str(), c.right)), &widths);
            writeln!(self.to, "{line}")?;
            self.widths = Some(widths);
        }
        let widths = self.widths.as_deref().unwrap_or_default();
        for row in 0..rows.num_rows() {
            let cells =
                columns.iter().map(|c| (c.cells.get(row).map_or("", String::as_str), c.right));
            writeln!(self.to, "{}", line(cells, widths))?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<W> {
        if self.widths.is_none() {
            writeln!(self.to, "no rows")?;
        }
        Ok(self.to)
    }
}

struct Column {
    header: String,
    right: bool,
    cells: Vec<String>,
}

impl Column {
    fn width(&self) -> usize {
        let cells = self.cells.iter().map(|cell| cell.width());
        cells.max().unwrap_or(0).max(self.header.width())
    }
}

fn line<'a>(cells: impl Iterator<Item = (&'a str, bool)>, widths: &[usize]) -> String {
    let mut line = String::new();
    for ((cell, right), &width) in cells.zip(widths) {
        if !line.is_empty() {
            line.push_str("  ");
        }
        let padding = " ".repeat(width.saturating_sub(cell.width()));
        if right {
            line.push_str(&padding);
            line.push_str(cell);
        } else {
            line.push_str(cell);
            line.push_str(&padding);
        }
    }
    line.truncate(line.trim_end().len());
    line
}

/// The name of a column, with its unit.
pub(crate) fn header(field: &Field) -> String {
    printable(match field.metadata().get("unit") {
        Some(unit) => format!("{} ({unit})", field.name()),
        None => field.name().clone(),
    })
}

/// How values of a type are written: times in their own zone with its offset, `Z` where that is UTC.
fn options(kind: &DataType) -> FormatOptions<'static> {
    let is_elsewhere = |kind: &DataType| matches!(kind, DataType::Timestamp(_, Some(zone)) if !["UTC", "+00:00", "Z"].contains(&zone.as_ref()));
    let zoned = match any_type(kind, &is_elsewhere) {
        true => "%Y-%m-%d %H:%M:%S%.f%:z",
        false => "%Y-%m-%d %H:%M:%S%.fZ",
    };
    FormatOptions::default()
        .with_null(NULL)
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
        .with_timestamp_tz_format(Some(zoned))
}

/// A text as it can stand in one cell: signs that move the cursor, change the terminal or turn the direction
/// of writing are written out.
pub(crate) fn printable(text: String) -> String {
    let moves = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    match text.contains(moves) {
        false => text,
        true => {
            let written = |c: char| match moves(c) {
                true => c.escape_default().to_string(),
                false => c.to_string(),
            };
            text.chars().map(written).collect()
        }
    }
}

fn is_number(field: &Field) -> bool {
    field.data_type().is_numeric()
}

/// Double precision values, which are means and sums, would show digits that mean nothing: six are shown.
fn as_float(values: &dyn Array, row: usize) -> Option<f64> {
    use arrow::array::AsArray;
    use arrow::datatypes::Float64Type;
    (*values.data_type() == DataType::Float64 && values.is_valid(row))
        .then(|| values.as_primitive::<Float64Type>().value(row))
}

/// A number in so many digits as people read.
pub(crate) fn readable(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    let digits = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
    if !POWERS.contains(&digits) {
        return format!("{value:e}");
    }
    let decimals = (DIGITS - 1 - digits).max(DECIMALS) as usize;
    let text = format!("{value:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn label(city: &City) -> String {
    format!("{}, {}", city.name, city.country)
}
