//! A job: it makes a plan, tells its cost, and works through it.

use std::fmt::Debug;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::context::Context;
use super::record::{Figures, RunRequest};
use crate::Result;

/// Steps that a plan shows; the cost of all is counted.
const STEPS_KEPT: usize = 1_000;

/// Work that is done over and over in the background.
///
/// 1. `name` is of `a-z` and stays the same; records and settings go by it.
/// 2. `plan` changes nothing.
/// 3. `run` asks [`Context::check`] before each step, and ends with its error.
/// 4. What a step did is whole before [`Context::save`] says so; a run that was cut off anywhere, and is
///    begun again with the checkpoint saved last, comes to the same end.
/// 5. `run` keeps to the context's budget, and does what takes a processor's time on threads for it.
/// 6. A part of the work that fails (a period, a file, a table) is told to [`Context::failed`], and the others
///    are done: the run ends as failed, as its record says.
/// 7. It never runs twice at the same time, but a process that stood still for longer than its lease may
///    carry out the step that it stood in: what a step changes goes through commits that others can win.
pub trait Job: Debug + Send + Sync {
    /// Its name.
    fn name(&self) -> &'static str;

    /// A line about what it does.
    fn about(&self) -> &'static str;

    /// The plan of a run.
    ///
    /// # Errors
    /// `Request` if it cannot do what is asked.
    fn plan<'a>(&'a self, request: &'a RunRequest) -> BoxFuture<'a, Result<Plan>>;

    /// Carries out a run.
    ///
    /// # Errors
    /// `Unavailable` and `Resources` are tried again from the last checkpoint, any other ends the run.
    fn run<'a>(
        &'a self,
        request: &'a RunRequest,
        context: &'a Context,
    ) -> BoxFuture<'a, Result<()>>;

    /// Ready when there is work before the job is due, in this process; never for a job that runs by the clock alone.
    fn woken(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

/// What a run is about to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What is done, in order, up to a bound.
    pub steps: Vec<Step>,
    /// How many steps there are.
    pub steps_count: u64,
    /// What all of them read or delete.
    #[serde(rename = "price")]
    pub cost: Figures,
}

/// A part of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The table it works on.
    pub table: String,
    /// What it does there.
    pub what: String,
    /// What it reads or deletes.
    #[serde(rename = "price")]
    pub cost: Figures,
}

/// Something that a run found and an operator should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The table.
    pub table: String,
    /// The object or the hour.
    pub subject: String,
    /// What it is, and what was expected.
    pub detail: String,
    /// Whether rows are lost, doubled or wrong.
    pub damage: bool,
}

impl Plan {
    /// Adds a step.
    pub fn add(&mut self, table: &str, what: impl Into<String>, cost: Figures) {
        self.steps_count += 1;
        self.cost = self.cost.plus(cost);
        if self.steps.len() < STEPS_KEPT {
            self.steps.push(Step { table: table.to_owned(), what: what.into(), cost });
        }
    }

    /// Adds that nothing can be done on a table, and why.
    pub fn cannot(&mut self, table: &str, error: &dyn std::error::Error) {
        self.add(table, format!("cannot be done: {error}"), Figures::default());
    }
}
