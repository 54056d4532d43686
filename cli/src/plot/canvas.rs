//! The canvas: dots, two by four to a character of braille, each character in the colour of what was drawn last.

/// Dots of a character, across and down.
pub(super) const ACROSS: usize = 2;
pub(super) const DOWN: usize = 4;
/// The character without dots (Unicode, "Braille Patterns"); the bits above it are its dots.
const EMPTY: u32 = 0x2800;

/// A canvas of characters.
#[derive(Debug)]
pub(super) struct Canvas {
    columns: usize,
    rows: usize,
    /// Dots and colour of each character, row by row.
    cells: Vec<(u8, usize)>,
}

impl Canvas {
    pub(super) fn new(columns: usize, rows: usize) -> Self {
        Self { columns, rows, cells: vec![(0, 0); columns * rows] }
    }

    /// How many dots there are, across and down.
    pub(super) fn dots(&self) -> (usize, usize) {
        (self.columns * ACROSS, self.rows * DOWN)
    }

    /// Sets a dot, counted from the left and from the top.
    pub(super) fn dot(&mut self, x: usize, y: usize, colour: usize) {
        let bit = match (x % ACROSS, y % DOWN) {
            (0, 3) => 6,
            (_, 3) => 7,
            (column, row) => column * 3 + row,
        };
        let (column, row) = (x / ACROSS, y / DOWN);
        if column >= self.columns {
            return;
        }
        if let Some((dots, of)) = self.cells.get_mut(row * self.columns + column) {
            *dots |= 1 << bit;
            *of = colour;
        }
    }

    /// Draws a line between two dots (Bresenham).
    pub(super) fn line(&mut self, from: (usize, usize), to: (usize, usize), colour: usize) {
        let (mut x, mut y) = (from.0 as i64, from.1 as i64);
        let (end_x, end_y) = (to.0 as i64, to.1 as i64);
        let (across, down) = ((end_x - x).abs(), -(end_y - y).abs());
        let (step_x, step_y) = ((end_x - x).signum(), (end_y - y).signum());
        let mut error = across + down;
        loop {
            self.dot(x as usize, y as usize, colour);
            if (x, y) == (end_x, end_y) {
                return;
            }
            let twice = 2 * error;
            if twice >= down {
                error += down;
                x += step_x;
            }
            if twice <= across {
                error += across;
                y += step_y;
            }
        }
    }

    /// Its rows from the top: characters, each with its colour.
    pub(super) fn rows(&self) -> impl Iterator<Item = impl Iterator<Item = (char, usize)> + '_> {
        self.cells.chunks(self.columns.max(1)).map(|row| {
            row.iter().map(|(dots, colour)| {
                let character = char::from_u32(EMPTY + u32::from(*dots)).unwrap_or(' ');
                (if *dots == 0 { ' ' } else { character }, *colour)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(canvas: &Canvas) -> Vec<String> {
        canvas.rows().map(|row| row.map(|(of, _)| of).collect()).collect()
    }

    #[test]
    fn each_dot_has_its_place_in_a_character() {
        let mut canvas = Canvas::new(2, 1);
        for (x, y) in [(0, 0), (1, 3), (2, 1), (3, 2)] {
            canvas.dot(x, y, 0);
        }
        assert_eq!(drawn(&canvas), ["⢁⠢"]);
        canvas.dot(4, 0, 0);
        canvas.dot(0, 4, 0);
        assert_eq!(drawn(&canvas), ["⢁⠢"], "what lies outside is not drawn");
    }

    #[test]
    fn lines_join_their_ends() {
        let mut canvas = Canvas::new(4, 2);
        canvas.line((0, 7), (7, 0), 0);
        assert_eq!(drawn(&canvas), ["  ⡠⠊", "⡠⠊  "]);
        let mut canvas = Canvas::new(4, 2);
        canvas.line((7, 0), (0, 0), 0);
        canvas.line((0, 0), (0, 7), 0);
        assert_eq!(drawn(&canvas), ["⡏⠉⠉⠉", "⡇   "]);
    }
}
