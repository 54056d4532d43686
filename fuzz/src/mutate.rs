//! The mutator: makes an input of others. What it draws is fixed by the generator that it is given.

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;

use crate::pool::Pool;

/// Bytes at which something begins or ends.
const BYTES: [u8; 16] =
    [0, 1, 2, 7, 8, 0x0a, 0x20, 0x22, 0x2f, 0x30, 0x5c, 0x7f, 0x80, 0xc3, 0xfe, 0xff];
/// Texts of numbers at the bounds of their types.
const NUMBERS: [&str; 16] = [
    "0",
    "-0",
    "1",
    "-1",
    "127",
    "32768",
    "2147483648",
    "-2147483649",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551616",
    "1e308",
    "1e-400",
    "0.1",
    "253402300800000000",
];
/// Largest piece that is inserted, doubled or left out.
const PIECE_MAX: usize = 64;
/// Most changes to one input.
const CHANGES_MAX: u32 = 8;

/// What inputs are made of besides those of the pool.
#[derive(Debug, Clone)]
pub(crate) struct Mutator {
    /// Words of the format.
    pub(crate) tokens: Vec<Vec<u8>>,
    /// Longest input.
    pub(crate) bytes_max: usize,
}

impl Mutator {
    /// An input made from one of the pool by a few changes.
    pub(crate) fn input(&self, pool: &Pool, random: &mut SmallRng) -> Vec<u8> {
        let mut input = pool.draw(random).to_vec();
        let changes = 1 + random.random::<u32>().trailing_zeros().min(CHANGES_MAX - 1);
        for _ in 0..changes {
            self.change(&mut input, pool, random);
        }
        input.truncate(self.bytes_max);
        input
    }

    fn change(&self, input: &mut Vec<u8>, pool: &Pool, random: &mut SmallRng) {
        let has_tokens = !self.tokens.is_empty();
        match random.random_range(0..if has_tokens { 20_u32 } else { 16 }) {
            0 | 1 => flip(input, random),
            2 => set(input, BYTES.choose(random).copied().unwrap_or_default(), random),
            3 => set(input, random.random(), random),
            4..=6 => integer(input, random),
            7 => insert(input, &bytes(random), random),
            8 => {
                let piece = range(input, random);
                input.drain(piece);
            }
            9 => {
                let piece = input[range(input, random)].to_vec();
                insert(input, &piece, random);
            }
            10 => repeat(input, self.bytes_max, random),
            11 => swap(input, random),
            12 => input.truncate(place(input, random)),
            13 => splice(input, pool.draw(random), random),
            14 => {
                let other = pool.draw(random);
                insert(input, &other[range(other, random)], random);
            }
            15 => number(input, random),
            choice => {
                let Some(token) = self.tokens.choose(random) else { return };
                match choice.is_multiple_of(2) {
                    true => insert(input, token, random),
                    false => {
                        let piece = range(input, random);
                        input.splice(piece, token.iter().copied());
                    }
                }
            }
        }
    }
}

/// A place in an input, or its end.
fn place(input: &[u8], random: &mut SmallRng) -> usize {
    random.random_range(0..=input.len())
}

/// A piece of an input, mostly a short one.
fn range(input: &[u8], random: &mut SmallRng) -> std::ops::Range<usize> {
    let start = place(input, random);
    let most = if random.random_ratio(1, 8) { input.len() } else { PIECE_MAX };
    let end = start + random.random_range(0..=most.min(input.len() - start));
    start..end
}

fn flip(input: &mut [u8], random: &mut SmallRng) {
    if let Some(byte) = (!input.is_empty()).then(|| random.random_range(0..input.len())) {
        input[byte] ^= 1 << random.random_range(0..8);
    }
}

fn set(input: &mut [u8], to: u8, random: &mut SmallRng) {
    if let Some(byte) = (!input.is_empty()).then(|| random.random_range(0..input.len())) {
        input[byte] = to;
    }
}

/// Some bytes: random ones, or one over and over.
fn bytes(random: &mut SmallRng) -> Vec<u8> {
    let length = random.random_range(1..=16);
    match random.random() {
        true => (0..length).map(|_| random.random()).collect(),
        false => vec![BYTES.choose(random).copied().unwrap_or_default(); length],
    }
}

fn insert(input: &mut Vec<u8>, piece: &[u8], random: &mut SmallRng) {
    let at = place(input, random);
    input.splice(at..at, piece.iter().copied());
}

/// Writes an integer of 1 to 8 bytes near a bound, or a little more or less than what stood there.
fn integer(input: &mut [u8], random: &mut SmallRng) {
    let width = *[1, 2, 4, 8].choose(random).unwrap_or(&4);
    let Some(last) = input.len().checked_sub(width) else { return };
    let at = random.random_range(0..=last);
    let at = if random.random() { at / width * width } else { at };
    let (little, near) = (random.random::<bool>(), random.random_range(-2..=2_i64).cast_unsigned());
    let field = &mut input[at..at + width];
    if !little {
        field.reverse();
    }
    let mut word = [0; 8];
    word[..width].copy_from_slice(field);
    let bits = 8 * width as u32;
    let base = match random.random_range(0..5) {
        0 => u64::from_le_bytes(word),
        1 => 0,
        2 => 1 << (bits - 1),
        3 => 1 << random.random_range(0..bits),
        _ => u64::MAX,
    };
    field.copy_from_slice(&base.wrapping_add(near).to_le_bytes()[..width]);
    if !little {
        field.reverse();
    }
}

/// Puts a piece there many times: what is nested gets deep by it, and what is counted long.
fn repeat(input: &mut Vec<u8>, bytes_max: usize, random: &mut SmallRng) {
    let piece = range(input, random);
    let times = 1 << random.random_range(1..12);
    let room = bytes_max.saturating_sub(input.len());
    let times = (room / piece.len().max(1)).min(times);
    let many = input[piece.clone()].repeat(times);
    input.splice(piece.end..piece.end, many);
}

fn swap(input: &mut Vec<u8>, random: &mut SmallRng) {
    let first = range(input, random);
    let piece: Vec<u8> = input.drain(first).collect();
    insert(input, &piece, random);
}

/// The beginning of the one and the end of the other.
fn splice(input: &mut Vec<u8>, other: &[u8], random: &mut SmallRng) {
    input.truncate(place(input, random));
    input.extend_from_slice(&other[place(other, random)..]);
}

/// Puts another number in place of one that is written in digits.
fn number(input: &mut Vec<u8>, random: &mut SmallRng) {
    let start = place(input, random);
    let Some(first) = input[start..].iter().position(u8::is_ascii_digit) else { return };
    let first = start + first;
    let digits = input[first..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = NUMBERS.choose(random).copied().unwrap_or_default();
    input.splice(first..first + digits, number.bytes());
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_seed_of_the_generator_fixes_the_inputs_and_their_length_is_bounded() {
        let pool = Pool::new(vec![Vec::new(), b"{\"limit\":1000}".to_vec(), vec![7; 300]]);
        let mutator = Mutator { tokens: vec![b"null".to_vec()], bytes_max: 500 };
        let inputs = |seed| -> Vec<Vec<u8>> {
            let mut random = SmallRng::seed_from_u64(seed);
            (0..2_000).map(|_| mutator.input(&pool, &mut random)).collect()
        };
        let first = inputs(1);
        assert_eq!(first, inputs(1));
        assert_ne!(first, inputs(2));
        assert!(first.iter().all(|input| input.len() <= 500));
        let has =
            |part: &[u8]| first.iter().any(|input| input.windows(part.len()).any(|w| w == part));
        assert!(has(b"null") && has(b"9223372036854775807") && has(&[7, 7, 7, 0xff, 0xff]));
    }
}
