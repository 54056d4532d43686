//! Corrections of the parser, the planner and the optimizer, where they take a statement for something else than the
//! standard and this engine's documentation say. Each names the version that it corrects and what that makes of a
//! statement; `tests/upstream.rs` fails for each as soon as DataFusion alone gives the right answer, but for `unambiguous`,
//! `spared` and `zones`, which take a table of files, several of the others, or a session to show.
//!
//! - `numbers`, `precedence`, `spelling`, `order`, `unheard`, `dialect`, `names`: what the parser reads otherwise, passes over, or does not know.
//! - `using`, `named_windows`, `spans`, `literals`, `constants`, `instants`, `zones`, `drawn`: columns of joins, intervals, numbers, times, and values that are drawn.
//! - `subqueries`, `membership`, `multisets`: queries in conditions, and sets that count.
//! - `unknown`, `nulls`, `totals`, `spared`, `opaque`, `unambiguous`, `cutoff`: what rules of the optimizer conclude, and must not.

pub(crate) mod constants;
pub(crate) mod cutoff;
pub(crate) mod dialect;
pub(crate) mod drawn;
pub(crate) mod instants;
pub(crate) mod literals;
pub(crate) mod membership;
pub(crate) mod multisets;
pub(crate) mod named_windows;
pub(crate) mod names;
pub(crate) mod nulls;
pub(crate) mod numbers;
pub(crate) mod opaque;
pub(crate) mod order;
pub(crate) mod precedence;
pub(crate) mod spans;
pub(crate) mod spared;
pub(crate) mod spelling;
pub(crate) mod subqueries;
pub(crate) mod totals;
pub(crate) mod unambiguous;
pub(crate) mod unheard;
pub(crate) mod unknown;
pub(crate) mod using;
pub(crate) mod zones;
