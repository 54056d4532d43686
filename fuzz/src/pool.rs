//! The pool: seeds, and inputs whose outcome was a new one. Without the coverage that a fuzzer with a compiler of its own
//! sees, the messages of refusals tell how far an input came.

use std::collections::{HashSet, VecDeque};

use rand::Rng;
use rand::rngs::SmallRng;

/// Inputs kept beside the seeds; the oldest goes first.
const FOUND_MAX: usize = 512;
/// So many characters of a message tell it from others.
const SHAPE_CHARACTERS: usize = 96;

/// Inputs to begin with.
#[derive(Debug)]
pub(crate) struct Pool {
    seeds: Vec<Vec<u8>>,
    found: VecDeque<Vec<u8>>,
    shapes: HashSet<String>,
}

impl Pool {
    pub(crate) fn new(seeds: Vec<Vec<u8>>) -> Self {
        Self { seeds, found: VecDeque::new(), shapes: HashSet::new() }
    }

    pub(crate) fn seeds(&self) -> &[Vec<u8>] {
        &self.seeds
    }

    /// Outcomes that were seen.
    pub(crate) fn outcomes(&self) -> usize {
        self.shapes.len()
    }

    /// One of the inputs; seeds are half of the draws.
    pub(crate) fn draw(&self, random: &mut SmallRng) -> &[u8] {
        if self.found.is_empty() || random.random_bool(0.5) {
            return &self.seeds[random.random_range(0..self.seeds.len())];
        }
        &self.found[random.random_range(0..self.found.len())]
    }

    /// Keeps an input if nothing ended like it before.
    pub(crate) fn note(&mut self, input: &[u8], message: &str) {
        if self.shapes.insert(shape(message)) {
            if self.found.len() == FOUND_MAX {
                self.found.pop_front();
            }
            self.found.push_back(input.to_vec());
        }
    }
}

/// A message without the numbers and the quoted parts of its input.
fn shape(message: &str) -> String {
    let (mut shape, mut quoted) = (String::new(), false);
    let mut characters = message.chars().take(4 * SHAPE_CHARACTERS);
    while let Some(character) = characters.next() {
        match character {
            '\\' if quoted => drop(characters.next()),
            '"' | '`' | '\'' => quoted = !quoted,
            _ if quoted => {}
            character if character.is_ascii_digit() => {
                if !shape.ends_with('0') {
                    shape.push('0');
                }
            }
            character => shape.push(character),
        }
        if shape.len() >= SHAPE_CHARACTERS {
            break;
        }
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_differ_in_values_are_one_outcome() {
        let mut pool = Pool::new(vec![vec![1]]);
        pool.note(&[2], "row 17 of \"a\": too long");
        pool.note(&[3], "row 4 of \"what else\": too long");
        pool.note(&[4], "row 4 of \"a\": too short");
        assert_eq!(pool.found, [vec![2], vec![4]]);
    }
}
