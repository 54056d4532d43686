//! Plots for terminals: a chart of each column of numbers over time, with a line for each place. Where there are no colours, each
//! place has a chart of its own, all on one scale.
//!
//! ```text
//! temperature (°C)
//! Paris, FR: min 11.2, max 20.4, last 14.0
//!  20 ┤⠀⠀⡠⠔⠒⠢⡀
//!  15 ┤⡠⠊⠀⠀⠀⠀⠈⠢⡀
//!     └┬──────────┬────
//!      10:00      11:00
//! ```

mod axis;
mod canvas;
mod chart;
mod series;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use self::chart::{Chart, Frame};
use self::series::Collected;
use crate::Result;

/// Charts that are shown; with more nobody sees anything.
const CHARTS_MAX: usize = 24;
/// Lines of one chart that eyes, and the colours of terminals, tell apart.
const LINES_MAX: usize = 6;
/// Rows of a chart's canvas.
const ROWS: u16 = 12;
/// Columns of a terminal that does not say how wide it is, and the least that a chart can be drawn in.
const WIDTH: u16 = 80;
const WIDTH_MIN: u16 = 40;

/// Rows on their way to a plot.
#[derive(Debug)]
pub(crate) struct Plot {
    collected: Collected,
    width: u16,
    is_coloured: bool,
}

impl Plot {
    /// A plot of rows of `schema`, which are those of places where `has_cities`, for what stdout is. With `of_keys`, the first
    /// column is the key of a table.
    pub(crate) fn new(schema: &SchemaRef, has_cities: bool, of_keys: bool) -> Result<Self> {
        let collected = Collected::new(schema, has_cities, of_keys)?;
        let size = crate::terminal::size();
        let width = size.map_or(WIDTH, |(columns, _)| columns).max(WIDTH_MIN);
        Ok(Self { collected, width, is_coloured: crate::terminal::is_coloured() })
    }

    /// Takes rows.
    pub(crate) fn take(&mut self, rows: &RecordBatch) -> Result<()> {
        self.collected.take(rows)
    }

    /// The plot as text.
    pub(crate) fn text(self) -> String {
        let Self { collected, width, is_coloured } = self;
        let Some(times) = collected.times() else {
            return "no plot: the answer has no numbers\n".to_owned();
        };
        let mut charts = Vec::new();
        for (title, lines) in collected.charts() {
            let frame = Frame::new(&lines, times, (width, ROWS));
            let of_one = if is_coloured { LINES_MAX } else { 1 };
            for lines in lines.chunks(of_one) {
                charts.push(Chart { title: &title, frame, lines, is_coloured }.text());
            }
        }
        let hidden = charts.len().saturating_sub(CHARTS_MAX);
        charts.truncate(CHARTS_MAX);
        let mut text = charts.join("\n");
        if hidden > 0 {
            text.push_str(&format!(
                "\n{hidden} more charts are not shown: name fewer places, or columns with --columns\n"
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests;
