//! The interactive SQL shell: statements end with a semicolon and may take several lines; a line that begins with a
//! backslash is for the shell itself.
//!
//! Ctrl-C drops the statement that is being written, or stops the one that runs.
#![allow(
    clippy::disallowed_methods,
    reason = "it tells people how long things take, and waits for them"
)]

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::{ErrorKind as IoErrorKind, Write};
use std::path::PathBuf;
use std::time::Duration;

use barograph_flight::Client;
use barograph_query::{Script, in_one_line};
use clap::ValueEnum;
use dialoguer::theme::SimpleTheme;
use dialoguer::{History, Input};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::complete::Words;
use super::{AnswerSummary, answer, error_place};
use crate::figures::grouped;
use crate::output::{Format, check_terminal};
use crate::{Error, Result, progress};

/// Statements remembered from one conversation to the next.
const HISTORY_MAX: usize = 1_000;
/// Seconds between two answers of `\watch`.
const WATCH_SECONDS: f64 = 2.0;

const HELP: &str = r"SELECT …;          run a statement, ended by a semicolon
\d                 list tables
\d TABLE           list the columns of a table
\format NAME       set the output format: table, csv, json
\timing            turn the display of elapsed time on or off
\kill ID           stop a query of system.queries, whoever started it
\watch [SECONDS]   repeat the last statement until Ctrl-C
\q                 quit
Arrow keys recall earlier statements, Tab completes names, Ctrl-C discards the current input.";

const TABLES: &str = "select table_schema as schema, table_name as table, table_type as type \
    from information_schema.tables where table_schema <> 'information_schema' order by 1, 2";

/// How long the signal of a key may be on its way.
const SIGNAL_WAIT: Duration = Duration::from_millis(200);

/// Talks until the user leaves.
pub(super) async fn run(client: Client, format: Format) -> Result<()> {
    let words = Words::of(&client).await.unwrap_or_default();
    let interrupts = signal(SignalKind::interrupt())?;
    let mut shell = Shell {
        client,
        format,
        timing: true,
        last: None,
        words,
        history: StatementHistory::load(),
        interrupts,
    };
    progress::line("SQL, ended by a semicolon; \\? for help, \\q to leave");
    let mut text = String::new();
    loop {
        let prompt = if text.is_empty() { "barograph" } else { "        …" };
        match tokio::task::block_in_place(|| shell.read(prompt)) {
            Ok(line) if text.is_empty() && line.trim_start().starts_with('\\') => {
                match shell.command(line.trim()).await {
                    Ok(true) => shell.history.remember(line.trim().to_owned()),
                    Ok(false) => return Ok(()),
                    Err(error) => progress::line(&error.to_string()),
                }
            }
            Ok(line) if text.is_empty() && ["quit", "exit"].contains(&line.trim()) => return Ok(()),
            Ok(line) => {
                text.push_str(&line);
                text.push('\n');
                if text.trim().is_empty() {
                    text.clear();
                    continue;
                }
                let script = Script::of(&text);
                for statement in &script.ended {
                    shell.history.keep(statement);
                    shell.ask(statement).await;
                    shell.last = Some((*statement).to_owned());
                }
                text = match (script.ended.is_empty(), script.rest) {
                    (_, "") => String::new(),
                    (true, _) => text,
                    (false, rest) => format!("{rest}\n"),
                };
            }
            Err(dialoguer::Error::IO(error)) if error.kind() == IoErrorKind::Interrupted => {
                text.clear();
                println!();
                // The key comes as a signal as well, which must not stop the next statement.
                let _ = tokio::time::timeout(SIGNAL_WAIT, shell.interrupts.recv()).await;
            }
            Err(dialoguer::Error::IO(error)) => return Err(error.into()),
        }
    }
}

struct Shell {
    client: Client,
    format: Format,
    timing: bool,
    last: Option<String>,
    words: Words,
    history: StatementHistory,
    interrupts: Signal,
}

impl Shell {
    fn read(&mut self, prompt: &str) -> dialoguer::Result<String> {
        Input::with_theme(&SimpleTheme)
            .with_prompt(prompt)
            .allow_empty(true)
            .history_with(&mut self.history)
            .completion_with(&self.words)
            .interact_text()
    }

    /// Answers a statement, unless Ctrl-C comes first; says what went wrong.
    async fn ask(&mut self, statement: &str) -> bool {
        // A Ctrl-C from before is not meant for this statement.
        while futures::FutureExt::now_or_never(self.interrupts.recv()).is_some() {}
        let told = tokio::select! {
            told = answer(&self.client, statement, self.format) => told,
            _ = self.interrupts.recv() => Err(Error::stopped("stopped")),
        };
        match told {
            Ok(AnswerSummary { rows, took }) => {
                if self.timing {
                    let rows = grouped(rows);
                    progress::line(&format!("{rows} rows in {:.1} ms", took.as_secs_f64() * 1e3));
                }
                true
            }
            Err(error) => {
                progress::line(&error_place::with_place(error, statement).to_string());
                false
            }
        }
    }

    /// Does what a line with a backslash says; `false` to leave.
    async fn command(&mut self, line: &str) -> Result<bool> {
        let mut words = line.split_whitespace();
        let (name, argument) = (words.next().unwrap_or_default(), words.next());
        match (name, argument.map(|word| word.trim_end_matches(';'))) {
            ("\\q", None) => return Ok(false),
            ("\\?", None) => println!("{HELP}"),
            ("\\d", None) => {
                self.ask(TABLES).await;
            }
            ("\\d", Some(table)) => {
                let (schema, table) = table.rsplit_once('.').unwrap_or(("public", table));
                let quoted = |text: &str| text.replace('\'', "''");
                let columns = format!(
                    "select column_name as column, data_type as type, is_nullable as nullable \
                     from information_schema.columns where table_schema = '{}' and table_name = '{}' \
                     order by ordinal_position",
                    quoted(schema),
                    quoted(table)
                );
                self.ask(&columns).await;
            }
            ("\\timing", None) => {
                self.timing = !self.timing;
                let state = if self.timing { "are" } else { "are not" };
                progress::line(&format!("times {state} shown"));
            }
            ("\\format", Some(name)) => {
                let format = Format::from_str(name, true).map_err(|_| {
                    Error::usage(format!("\\format {name}: choose from table, csv, json"))
                })?;
                check_terminal(format)?;
                self.format = format;
            }
            ("\\kill", Some(id)) => {
                self.client.kill(id).await?;
                progress::line(&format!("query {id} is stopped"));
            }
            ("\\watch", seconds) => self.watch(seconds).await?,
            _ => return Err(Error::usage(format!("{line}: \\? lists the commands"))),
        }
        Ok(true)
    }

    async fn watch(&mut self, seconds: Option<&str>) -> Result<()> {
        let seconds = match seconds {
            None => WATCH_SECONDS,
            Some(text) => {
                text.parse().ok().filter(|seconds| (0.1..=86_400.0).contains(seconds)).ok_or_else(
                    || Error::usage(format!("\\watch {text}: seconds from 0.1 to 86400")),
                )?
            }
        };
        let Some(statement) = self.last.clone() else {
            return Err(Error::usage("\\watch: run a statement first; it is then repeated"));
        };
        while self.ask(&statement).await {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs_f64(seconds)) => {}
                _ = self.interrupts.recv() => break,
            }
        }
        Ok(())
    }
}

/// Earlier statements, the last one first, kept in a file of the user.
struct StatementHistory {
    lines: VecDeque<String>,
    file: Option<PathBuf>,
}

impl StatementHistory {
    fn load() -> Self {
        let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
        let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
        let file = state.or_else(home).map(|state| state.join("barograph").join("sql-history"));
        let text = file.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
        let lines = text.unwrap_or_default();
        let lines: VecDeque<_> = lines.lines().rev().take(HISTORY_MAX).map(str::to_owned).collect();
        Self { lines, file }
    }

    /// Remembers a statement, if it can stand in one line.
    fn keep(&mut self, statement: &str) {
        if let Some(line) = in_one_line(statement) {
            self.remember(line + ";");
        }
    }

    /// Remembers a line. A history that cannot be written is no reason to stop.
    fn remember(&mut self, line: String) {
        if self.lines.front() == Some(&line) {
            return;
        }
        if let Some(file) = &self.file
            && let Some(folder) = file.parent()
            && std::fs::create_dir_all(folder).is_ok()
            && let Ok(mut file) = OpenOptions::new().create(true).append(true).open(file)
        {
            let _ = writeln!(file, "{line}");
        }
        self.lines.push_front(line);
        self.lines.truncate(HISTORY_MAX);
    }
}

impl History<String> for StatementHistory {
    fn read(&self, back: usize) -> Option<String> {
        self.lines.get(back).cloned()
    }

    /// Statements are kept when they are whole, not line by line.
    fn write(&mut self, _: &String) {}
}
