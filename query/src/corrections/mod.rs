//! Corrections of the parser, the planner and the optimizer, where they take a statement for something else than the
//! standard and this engine's documentation say. Each names the version that it corrects and what that makes of a
//! statement; `tests/upstream.rs` fails for each as soon as DataFusion alone gives the right answer, but for
//! `ambiguous_columns`, `excluded_plans` and `time_zones`, which take a table of files, several of the others, or a
//! session to show.
//!
//! - `number_literals`, `precedence`, `spelling`, `distinct_order`, `ignored_clauses`, `dialect`, `information_schema`:
//!   what the parser reads otherwise, ignores, or does not know.
//! - `using_joins`, `named_windows`, `intervals`, `single_precision`, `constant_arguments`, `time_precision`,
//!   `time_zones`, `volatile_between`: columns of joins, intervals, numbers, times, and volatile values.
//! - `subqueries`, `in_subqueries`, `multisets`: queries in conditions, and sets that count.
//! - `three_valued_logic`, `null_equal_joins`, `global_aggregates`, `excluded_plans`, `interval_analysis`,
//!   `ambiguous_columns`, `limit_pushdown`: what rules of the optimizer conclude, and must not.

pub(crate) mod ambiguous_columns;
pub(crate) mod constant_arguments;
pub(crate) mod dialect;
pub(crate) mod distinct_order;
pub(crate) mod excluded_plans;
pub(crate) mod global_aggregates;
pub(crate) mod ignored_clauses;
pub(crate) mod in_subqueries;
pub(crate) mod information_schema;
pub(crate) mod interval_analysis;
pub(crate) mod intervals;
pub(crate) mod limit_pushdown;
pub(crate) mod multisets;
pub(crate) mod named_windows;
pub(crate) mod null_equal_joins;
pub(crate) mod number_literals;
pub(crate) mod precedence;
pub(crate) mod single_precision;
pub(crate) mod spelling;
pub(crate) mod subqueries;
pub(crate) mod three_valued_logic;
pub(crate) mod time_precision;
pub(crate) mod time_zones;
pub(crate) mod using_joins;
pub(crate) mod volatile_between;
