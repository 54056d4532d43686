//! Rolling windows: the sum, mean, count, minimum or maximum over the rows before each row. They are frames of
//! window functions that end at the current row, over rows that are sorted already.
//!
//! ```text
//! avg(v) OVER (PARTITION BY city ORDER BY t RANGE BETWEEN INTERVAL '10 minutes' PRECEDING AND CURRENT ROW)
//!
//! city  t      v   frame          mean
//!   1   10:00  1   [10:00]        1
//!   1   10:05  3   [10:00,10:05]  2
//!   1   10:15  5   [10:05,10:15]  4
//!   2   10:00  7   [10:00]        7
//! ```
//!
//! `rule` takes DataFusion's operator out of a physical plan where this one gives the same answer, column by column
//! rather than value by value: `execute` runs it, `partition` finds the frames of one partition's rows, `column` folds
//! one aggregate over them, over the ranks of a column where values are compared. `windows` is the fold itself: nothing is
//! ever subtracted from a sum, so that sums of floats do not drift, and an infinity is gone when its row is.

mod column;
mod execute;
mod partition;
mod rule;
#[cfg(test)]
mod tests;
mod values;
mod windows;

pub(super) use rule::RollingRule;
