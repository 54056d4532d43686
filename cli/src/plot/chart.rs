//! A chart: lines in a frame of two axes, under a title and what the lines say in numbers.

use barograph_lake::Timestamp;
use unicode_width::UnicodeWidthStr;

use super::axis::{self, Scale};
use super::canvas::{Canvas, DOWN};
use super::series::Line;

/// Colours of lines, as terminals number them: told apart by those who see few colours, too.
const COLOURS: [u8; 6] = [36, 33, 35, 32, 34, 31];
/// Rows of the canvas between two marks.
const ROWS_PER_MARK: usize = 3;
/// Characters of a time's label, with room beside it.
const TIME_LABEL: usize = 14;
/// A line is broken where points are so many times farther apart than they mostly are.
const GAP: i64 = 5;

/// The axes, which all charts of a column share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    scale: Scale,
    from: Timestamp,
    to: Timestamp,
    columns: usize,
    rows: usize,
    margin: usize,
}

impl Frame {
    /// Axes for all points of `lines` in a terminal so wide, with so many rows.
    pub(super) fn new(
        lines: &[Line],
        (from, to): (Timestamp, Timestamp),
        (width, rows): (u16, u16),
    ) -> Self {
        let values = || lines.iter().flat_map(|line| &line.points).map(|(_, value)| *value);
        let low = values().fold(f64::INFINITY, f64::min);
        let high = values().fold(f64::NEG_INFINITY, f64::max);
        let rows = usize::from(rows);
        let scale = Scale::new(low, high, rows / ROWS_PER_MARK);
        let margin = scale.marks().iter().map(|(_, label)| label.width()).max().unwrap_or(0);
        let columns = usize::from(width).saturating_sub(margin + 2).max(1);
        Self { scale, from, to, columns, rows, margin }
    }

    /// The dot of a point, from the left and from the top.
    fn dot(&self, canvas: &Canvas, (time, value): (Timestamp, f64)) -> (usize, usize) {
        let (across, down) = canvas.dots();
        let most = |count: usize| count.saturating_sub(1) as f64;
        let length = self.to.since(self.from).micros().max(1) as f64;
        let x = time.since(self.from).micros() as f64 / length;
        let y = 1.0 - self.scale.part(value);
        ((x * most(across)).round() as usize, (y * most(down)).round() as usize)
    }
}

/// A chart.
#[derive(Debug)]
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    pub(super) frame: Frame,
    pub(super) lines: &'a [Line],
    pub(super) is_coloured: bool,
}

impl Chart<'_> {
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}\n", self.title);
        for (at, line) in self.lines.iter().enumerate() {
            text.push_str(&self.painted(&told(line), at));
            text.push('\n');
        }
        let Frame { scale, rows, margin, .. } = self.frame;
        let mut canvas = Canvas::new(self.frame.columns, rows);
        for (at, line) in self.lines.iter().enumerate() {
            self.draw(&mut canvas, line, at);
        }
        let mut labels = vec![None; rows];
        for (value, label) in scale.marks() {
            let (_, y) = self.frame.dot(&canvas, (self.frame.from, value));
            if let Some(place) = labels.get_mut(y / DOWN) {
                *place = Some(label);
            }
        }
        for (row, label) in canvas.rows().zip(labels) {
            let (label, mark) = label.map_or((String::new(), '│'), |label| (label, '┤'));
            let padding = " ".repeat(margin.saturating_sub(label.width()));
            let drawn = self.row(row);
            text.push_str(format!("{padding}{label} {mark}{drawn}").trim_end());
            text.push('\n');
        }
        self.time_axis(&canvas, &mut text);
        text
    }

    fn draw(&self, canvas: &mut Canvas, line: &Line, colour: usize) {
        let mut apart: Vec<_> = line
            .points
            .windows(2)
            .filter_map(|pair| Some(pair.last()?.0.since(pair.first()?.0).micros()))
            .collect();
        let middle = apart.len() / 2;
        let usual = match apart.is_empty() {
            true => i64::MAX,
            false => *apart.select_nth_unstable(middle).1,
        };
        let mut before: Option<(Timestamp, (usize, usize))> = None;
        for &(time, value) in &line.points {
            let dot = self.frame.dot(canvas, (time, value));
            match before {
                Some((at, from)) if time.since(at).micros() <= usual.saturating_mul(GAP) => {
                    canvas.line(from, dot, colour);
                }
                _ => canvas.dot(dot.0, dot.1, colour),
            }
            before = Some((time, dot));
        }
    }

    /// A row of the canvas, with colours where they change.
    fn row(&self, row: impl Iterator<Item = (char, usize)>) -> String {
        let (mut text, mut run, mut of) = (String::new(), String::new(), 0);
        for (character, colour) in row {
            if colour != of && character != ' ' {
                text.push_str(&self.painted(&run, of));
                run.clear();
                of = colour;
            }
            run.push(character);
        }
        let run = run.trim_end();
        text + &self.painted(run, of)
    }

    fn painted(&self, text: &str, colour: usize) -> String {
        match COLOURS.get(colour % COLOURS.len()) {
            Some(code) if self.is_coloured && !text.trim().is_empty() => {
                format!("\x1b[{code}m{text}\x1b[0m")
            }
            _ => text.to_owned(),
        }
    }

    fn time_axis(&self, canvas: &Canvas, text: &mut String) {
        let Frame { scale, from, to, columns, margin, .. } = self.frame;
        let mut line: Vec<char> = vec!['─'; columns];
        let mut labels = String::new();
        for (time, label) in axis::times(from, to, columns / TIME_LABEL) {
            let column = self.frame.dot(canvas, (time, scale.low)).0 / super::canvas::ACROSS;
            if let Some(mark) = line.get_mut(column) {
                *mark = '┬';
            }
            // A label at the end is moved so far to the left that it has room.
            let start = column.min(columns.saturating_sub(label.width()));
            if start >= labels.width() {
                labels.push_str(&" ".repeat(start - labels.width()));
                labels.push_str(&label);
                labels.push(' ');
            }
        }
        let line: String = line.into_iter().collect();
        let margin = " ".repeat(margin + 1);
        text.push_str(&format!("{margin}└{line}\n{margin} {}\n", labels.trim_end()));
    }
}

/// What a line says in numbers.
fn told(line: &Line) -> String {
    let values = || line.points.iter().map(|(_, value)| *value);
    let low = values().fold(f64::INFINITY, f64::min);
    let high = values().fold(f64::NEG_INFINITY, f64::max);
    let last = values().next_back().unwrap_or(f64::NAN);
    let [low, high, last] = [low, high, last].map(crate::output::readable);
    let said = format!("min {low}, max {high}, last {last}");
    if line.name.is_empty() { said } else { format!("{}: {said}", line.name) }
}
