//! Tests of the SQL functions: scripts with published figures, random inputs against naive models, and the reference
//! page.
#![allow(
    clippy::disallowed_methods,
    reason = "a test waits for what is to hold, and looks at it now and then"
)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../examples/embedded.rs"]
#[allow(unreachable_pub, reason = "an example of its own has it at the root")]
mod embedded;
mod frames;
mod models;
mod plans;
mod reference;
mod rolling;
mod script;
mod server;

use barograph_query::functions::register;
use datafusion::prelude::{SessionConfig, SessionContext};

/// A session with small or large batches and one or several partitions.
pub(crate) fn session(partitions: usize, batch_rows: usize) -> SessionContext {
    let config =
        SessionConfig::new().with_target_partitions(partitions).with_batch_size(batch_rows);
    let context = SessionContext::new_with_config(config);
    register(&context).expect("functions");
    context
}

/// Runs `text` in every shape of execution that could change an answer.
async fn holds(text: &str) {
    for (partitions, batch_rows) in [(1, 8192), (4, 2), (3, 1)] {
        let mut context = session(partitions, batch_rows);
        let wrong = script::run(&mut context, text).await;
        assert!(
            wrong.is_empty(),
            "{partitions} partitions, batches of {batch_rows}:\n{}",
            wrong.join("\n\n")
        );
    }
}

#[test]
fn the_example_runs() {
    embedded::main().unwrap();
}

macro_rules! scripts {
    ($($name:ident),*) => { $(
        #[tokio::test]
        async fn $name() {
            holds(include_str!(concat!(stringify!($name), ".slt"))).await;
        }
    )* };
}

scripts!(weather, aggregates, gap_fill, asof, numbers, zeros);
