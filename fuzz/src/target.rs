//! A target: its seeds and bounds, and the run over its inputs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::current::{Current, Shared, Watchdog, enter};
use crate::memory::{Taken, counted, is_counting};
use crate::mutate::Mutator;
use crate::pool::Pool;

/// Number of inputs: a number, or a multiple of each target's own, like `100x`.
const INPUTS: &str = "BAROGRAPH_FUZZ_INPUTS";
/// Seed of the generator.
const SEED: &str = "BAROGRAPH_FUZZ_SEED";
/// File to which each target appends a line of what it did.
const REPORT: &str = "BAROGRAPH_FUZZ_REPORT";
/// A single block may be so many times larger than all that an input may hold, before it fails at once: what is over
/// the budget by less is reported as any other failure.
const BLOCK_FACTOR: usize = 8;
/// Allocations of an input, besides those for its bytes.
const ALLOCATIONS: u64 = 1 << 20;

/// Why an input was refused, as whoever sent it is told.
pub type Refusal = String;

/// A fuzz target.
pub struct Target {
    name: &'static str,
    seeds: Vec<Vec<u8>>,
    mutator: Mutator,
    inputs: u64,
    memory: (usize, usize),
    allocations: (u64, u64),
    mend: fn(&mut [u8]),
}

/// A folder for files that a target writes over and over: in memory where there is one.
pub fn folder() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

/// Folder of the seeds of a target that are kept as files.
pub(crate) fn seeds_folder(target: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/seeds")).join(target)
}

impl Target {
    /// The target `name` with the seeds in `fuzz/seeds/NAME`, and `inputs` inputs by default.
    pub fn new(name: &'static str, inputs: u64) -> Self {
        let mut files: Vec<_> = match std::fs::read_dir(seeds_folder(name)) {
            Ok(folder) => folder.map(|file| file.unwrap().path()).collect(),
            Err(_) => Vec::new(),
        };
        files.sort();
        Self {
            name,
            seeds: files.into_iter().map(|file| std::fs::read(file).unwrap()).collect(),
            mutator: Mutator { tokens: Vec::new(), bytes_max: 16 << 10 },
            inputs,
            memory: (4 << 20, 64),
            allocations: (ALLOCATIONS, 64),
            mend: |_| {},
        }
    }

    /// More seeds, made by the target.
    pub fn seeds(mut self, seeds: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        self.seeds.extend(seeds.into_iter().map(Into::into));
        self
    }

    /// Words of the format.
    pub fn tokens<'t>(mut self, tokens: impl IntoIterator<Item = &'t str>) -> Self {
        self.mutator.tokens.extend(tokens.into_iter().map(|token| token.as_bytes().to_vec()));
        self
    }

    /// Inputs are at most so long; 16 KiB if nothing is said.
    pub fn bytes_max(mut self, bytes_max: usize) -> Self {
        self.mutator.bytes_max = bytes_max;
        self
    }

    /// An input may hold so many bytes, and so many more for each of its own; 4 MiB and 64 if nothing is said.
    pub fn memory(mut self, bytes: usize, each: usize) -> Self {
        self.memory = (bytes, each);
        self
    }

    /// Makes a changed input one that gets further: checksums and lengths that would have to be right.
    pub fn mend(mut self, mend: fn(&mut [u8])) -> Self {
        self.mend = mend;
        self
    }

    /// Runs `check` over the seeds and over inputs made of them.
    ///
    /// # Panics
    /// At the first input that panics, takes more than its budget, or is refused without a reason.
    pub fn run(self, mut check: impl FnMut(&[u8]) -> Result<(), Refusal>) {
        assert!(is_counting(), "the tests of this crate need barograph_fuzz::Allocator");
        assert!(!self.seeds.is_empty(), "{}: no seeds in {:?}", self.name, seeds_folder(self.name));
        let (inputs, seed) = (self.inputs_wanted(), variable(SEED).unwrap_or(1));
        let current = Current { target: self.name, seed, ..Current::default() };
        let current = Arc::new(Mutex::new(current));
        let _watchdog = Watchdog::over(&current);
        let mut pool = Pool::new(self.seeds.clone());
        let mut random = SmallRng::seed_from_u64(seed);
        let mut sums = Sums::default();
        for number in 0..pool.seeds().len() as u64 + inputs {
            let input = match pool.seeds().get(number as usize) {
                Some(seed) => seed.clone(),
                None => {
                    let mut input = self.mutator.input(&pool, &mut random);
                    (self.mend)(&mut input);
                    input
                }
            };
            let (outcome, taken) = self.one(&current, number, &input, &mut check);
            sums.add(&outcome, taken);
            pool.note(&input, &outcome.err().unwrap_or_default());
        }
        enter(None);
        sums.print(self.name, pool.outcomes());
    }

    fn one(
        &self,
        current: &Shared,
        number: u64,
        input: &[u8],
        check: &mut impl FnMut(&[u8]) -> Result<(), Refusal>,
    ) -> (Result<(), Refusal>, Taken) {
        {
            let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
            current.number = number;
            current.input.clear();
            current.input.extend_from_slice(input);
        }
        enter(Some(Arc::clone(current)));
        let most = self.memory.0 + self.memory.1 * input.len();
        let work = || catch_unwind(AssertUnwindSafe(|| check(input)));
        let (outcome, taken) = counted(most.saturating_mul(BLOCK_FACTOR), work);
        let allocations = self.allocations.0 + self.allocations.1 * input.len() as u64;
        let why = match &outcome {
            Err(panic) => Some(format!("it panics: {}", text_of(panic.as_ref()))),
            Ok(Err(refusal)) if refusal.trim().is_empty() => {
                Some("it is refused without a reason".to_owned())
            }
            Ok(_) if taken.bytes > most => {
                Some(format!("it holds {} bytes, {most} are allowed", taken.bytes))
            }
            Ok(_) if taken.allocations > allocations => Some(format!(
                "it allocates {} times, {allocations} times are allowed",
                taken.allocations
            )),
            Ok(_) => None,
        };
        match (why, outcome) {
            (None, Ok(outcome)) => (outcome, taken),
            (why, _) => {
                let current = current.lock().unwrap_or_else(PoisonError::into_inner);
                panic!("{}", current.report(&why.unwrap_or_default()));
            }
        }
    }

    fn inputs_wanted(&self) -> u64 {
        let Ok(text) = std::env::var(INPUTS) else { return self.inputs };
        let wanted = match text.strip_suffix('x') {
            Some(times) => times.parse::<u64>().map(|times| self.inputs.saturating_mul(times)),
            None => text.parse(),
        };
        wanted
            .unwrap_or_else(|_| panic!("{INPUTS}={text}: write a number, or a multiple like 100x"))
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What the inputs of a target came to.
#[derive(Debug, Default)]
struct Sums {
    inputs: u64,
    accepted: u64,
    bytes: usize,
}

impl Sums {
    fn add(&mut self, outcome: &Result<(), Refusal>, taken: Taken) {
        self.inputs += 1;
        self.accepted += u64::from(outcome.is_ok());
        self.bytes = self.bytes.max(taken.bytes);
    }

    fn print(&self, target: &str, outcomes: usize) {
        let Self { inputs, accepted, bytes } = self;
        let line = format!(
            "| {target} | {inputs} | {accepted} | {outcomes} | {} KiB |\n",
            bytes.div_ceil(1 << 10)
        );
        print!("{line}");
        if let Some(path) = std::env::var_os(REPORT) {
            use std::io::Write;
            let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
            file.write_all(line.as_bytes()).unwrap();
        }
    }
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}: write a whole number")))
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: crate::Allocator<std::alloc::System> = crate::Allocator(std::alloc::System);

    fn target(name: &'static str) -> Target {
        Target::new(name, 20_000).seeds(["length 5"]).bytes_max(100)
    }

    /// What the run over `check` fails by, with the kept input.
    fn failure(
        name: &'static str,
        check: impl Fn(&[u8]) -> Result<(), Refusal>,
    ) -> (String, Vec<u8>) {
        let failed = catch_unwind(AssertUnwindSafe(|| target(name).run(check))).unwrap_err();
        let message = text_of(failed.as_ref()).to_owned();
        let path = message.split("kept as ").nth(1).unwrap().split(": ").next().unwrap();
        let input = std::fs::read(path).unwrap();
        std::fs::remove_file(path).unwrap();
        (message, input)
    }

    #[test]
    fn what_is_wrong_with_an_input_is_found_and_the_input_is_kept() {
        let (message, input) = failure("panicking", |input| match input.get(3) {
            Some(0xff) => panic!("not this one"),
            _ => Ok(()),
        });
        assert!(message.contains("it panics: not this one"), "{message}");
        assert_eq!(input[3], 0xff);

        let (message, _) = failure("holding", |input| {
            let length = if input.len() > 50 { 5 << 20 } else { 1 };
            drop(std::hint::black_box(Vec::<u8>::with_capacity(length)));
            Ok(())
        });
        assert!(message.contains("it holds 5242880 bytes"), "{message}");

        let (message, _) = failure("working", |input| {
            let times = if input.len() > 50 { 2 * ALLOCATIONS } else { 1 };
            (0..times).for_each(|i| drop(std::hint::black_box(Box::new(i))));
            Ok(())
        });
        assert!(message.contains("it allocates"), "{message}");

        let (message, _) = failure("silent", |_| Err(" ".to_owned()));
        assert!(message.contains("without a reason"), "{message}");
    }

    #[test]
    fn a_block_that_no_input_is_worth_is_refused_to_who_can_do_without() {
        let path = std::env::temp_dir().join("barograph-fuzz/sparing-1-0");
        let _ = std::fs::remove_file(&path);
        let sparing = Target::new("sparing", 3).seeds(["length 5"]);
        sparing.run(|_| {
            let mut block = Vec::<u8>::new();
            block.try_reserve(1 << 40).map_err(|_| "too much".to_owned())
        });
        assert_eq!(std::fs::read(&path).unwrap(), b"length 5");
        std::fs::remove_file(path).unwrap();
    }
}
