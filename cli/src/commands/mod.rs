//! The commands of the program, one file each.

mod alter;
mod check_store;
mod config;
mod delete;
mod export;
mod import;
mod jobs;
mod lake;
mod query;
mod redrive;
mod release_log;
mod serve;
mod sql;
mod times;
mod token;
mod top;

use std::path::PathBuf;

use crate::arguments::{Arguments, Command, LakeCommand};
use crate::settings::{Layers, Settings};
use crate::{Result, demo, logging, traces};

/// What `serve` reports.
const SERVE_LEVEL: &str = "warn,barograph=info";
/// What every other command reports.
const LEVEL: &str = "warn";

/// Runs the command that the arguments name.
pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let mut layers = Layers::from_process(arguments.config, arguments.set);
    if let Command::Config(command) = &arguments.command {
        return config::run(command, &layers);
    }
    let flags = &mut layers.flags;
    let mut set = |name: &str, value: &Option<String>| {
        if let Some(value) = value {
            flags.push((name.to_owned(), value.clone()));
        }
    };
    let text = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    set("endpoint_ca", &text(&arguments.ca));
    set("endpoint_certificate", &text(&arguments.cert));
    set("endpoint_key", &text(&arguments.key));
    set("endpoint_token", &text(&arguments.token));
    match &arguments.command {
        Command::Demo(command) => {
            set("data", &command.data);
            set("flight.listen", &command.listen);
        }
        Command::Serve(command) => {
            set("data", &command.data);
            set("flight.listen", &command.listen);
        }
        Command::Latest(command) => set("endpoint", &command.answer.endpoint),
        Command::Range(command) => set("endpoint", &command.answer.endpoint),
        Command::Sql(command) => set("endpoint", &command.answer.endpoint),
        Command::Top(command) => set("endpoint", &command.endpoint),
        Command::Import(command) => {
            set("data", &command.data);
            set("endpoint", &command.endpoint);
        }
        Command::Export(command) => set("endpoint", &command.endpoint),
        Command::Lake(LakeCommand::Delete(command)) => set("endpoint", &command.endpoint),
        Command::Lake(LakeCommand::Alter(command)) => {
            set("data", &command.data);
            set("endpoint", &command.endpoint);
        }
        Command::Lake(command) => set("data", command.data()),
        Command::Jobs(command) => set("data", command.data()),
        Command::Redrive(command) => set("endpoint", &command.endpoint),
        Command::Token(_) | Command::Config(_) => {}
    }
    let settings: Settings = layers.resolve()?;
    let serving = matches!(arguments.command, Command::Serve(_));
    let traced = if serving { traces::open(&settings.traces)? } else { None };
    let (recorder, exporter) = traced.unzip();
    logging::start(&settings, if serving { SERVE_LEVEL } else { LEVEL }, recorder)?;
    match arguments.command {
        Command::Demo(command) => demo::run(command, settings).await,
        Command::Serve(command) => serve::run(command, settings, layers, exporter).await,
        Command::Latest(command) => query::latest(command, &settings).await,
        Command::Range(command) => query::range(command, &settings).await,
        Command::Sql(command) => sql::run(command, &settings).await,
        Command::Top(command) => top::run(command, &settings).await,
        Command::Export(command) => export::run(command, &settings).await,
        Command::Import(command) => import::run(command, settings).await,
        Command::Lake(command) => lake::run(command, &settings).await,
        Command::Jobs(command) => jobs::run(command, &settings).await,
        Command::Redrive(command) => redrive::run(command, &settings).await,
        Command::Token(command) => token::run(command, &settings),
        Command::Config(_) => Ok(()),
    }
}
