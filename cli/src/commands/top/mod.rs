//! `barograph top`: the figures of a server, looked at again and again.
//!
//! Figures come from `GET /metrics`, over the connection of the other calls: counters that are there anyway, read without a
//! query, so that a server at its limits can be watched as well. Only what has a name and no figure (members, jobs,
//! statements) comes from the tables `system.*`.

mod exposition;
mod figures;
mod lists;
mod screen;

use std::io::Write;
use std::time::Duration;

use barograph_engine::{Clock, SystemClock};
use barograph_flight::Client;
use barograph_lake::Span;

use self::exposition::Scrape;
use self::figures::Figures;
use self::lists::Lists;
use self::screen::{Sort, cut, lines};
use crate::arguments::TopArguments;
use crate::output::{printable, say};
use crate::settings::Settings;
use crate::terminal::{self, Keys};
use crate::{Error, Result, signals, wiring};

/// The lists are waited for at least so long.
const LISTS_WITHIN: Duration = Duration::from_secs(2);
/// Takes a screen of its own, and hides the cursor; and what undoes both.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

pub(super) async fn run(arguments: TopArguments, settings: &Settings) -> Result<()> {
    let client = wiring::connect(settings).await?;
    let mut watch = Watch::new(client, settings.endpoint.clone(), arguments.every);
    match terminal::is_interactive() && !arguments.once {
        true => watch.show().await,
        false => {
            let text = signals::unless_stopped(async {
                watch.look().await?;
                SystemClock.sleep(watch.every.duration()).await;
                watch.look().await?;
                Ok(watch.lines().join("\n"))
            });
            say(text.await?)
        }
    }
}

/// A server that is watched.
struct Watch {
    client: Client,
    endpoint: String,
    every: Span,
    sort: Sort,
    /// The last two scrapes, with the elapsed time at which they were made.
    before: Option<(Scrape, Span)>,
    now: Option<(Scrape, Span)>,
    lists: Option<Lists>,
}

impl Watch {
    fn new(client: Client, endpoint: String, every: Span) -> Self {
        let (before, now, lists) = (None, None, None);
        Self { client, endpoint, every, sort: Sort::default(), before, now, lists }
    }

    /// Looks at the server.
    async fn look(&mut self) -> Result<()> {
        let text = self.client.metrics().await?;
        let at = SystemClock.elapsed();
        self.before = self.now.replace((Scrape::read(&text), at));
        let within = LISTS_WITHIN.max(self.every.duration());
        self.lists = Some(Lists::read(&self.client, within).await);
        Ok(())
    }

    /// What was seen: rates since the look before, or nothing yet.
    fn lines(&self) -> Vec<String> {
        let (Some((now, at)), Some(lists)) = (&self.now, &self.lists) else { return Vec::new() };
        let (before, since) = self.before.as_ref().map_or((now, *at), |(of, since)| (of, *since));
        let figures = Figures::new(before, now, at.saturating_sub(since).duration());
        let time = SystemClock.now().floor_to(Span::SECOND).to_string();
        lines(&self.endpoint, &time, &figures, lists, self.sort)
    }

    /// Shows the figures until the key `q` or a signal.
    async fn show(&mut self) -> Result<()> {
        // A server that is not there is told as by every other command.
        self.look().await?;
        let mut keys = Keys::new()?;
        let _screen = Screen::enter()?;
        let stopped = signals::stop();
        tokio::pin!(stopped);
        let mut failed = None;
        loop {
            self.draw(failed.as_ref())?;
            let due = SystemClock.sleep(self.every.duration());
            tokio::pin!(due);
            loop {
                tokio::select! {
                    () = &mut stopped => return Ok(()),
                    () = &mut due => break,
                    key = keys.next() => match key {
                        Some(b'q' | b'Q' | 3 | 4) | None => return Ok(()),
                        Some(b's' | b'S') => {
                            self.sort = self.sort.next();
                            self.draw(failed.as_ref())?;
                        }
                        Some(b' ' | b'r' | b'R') => break,
                        Some(_) => {}
                    },
                }
            }
            failed = tokio::select! {
                () = &mut stopped => return Ok(()),
                looked = self.look() => looked.err(),
            };
        }
    }

    fn draw(&self, failed: Option<&Error>) -> Result<()> {
        let (columns, rows) = terminal::size().unwrap_or((80, 24));
        let rows = usize::from(rows);
        let said = match failed {
            Some(error) => {
                printable(format!("no answer, tried again every {}: {error}", self.every))
            }
            None => format!(
                "q quits, s sorts tables (by {}), space looks at once; every {}",
                self.sort.name(),
                self.every
            ),
        };
        let mut lines = self.lines();
        lines.truncate(rows.saturating_sub(2));
        lines.extend([String::new(), said]);
        let mut text = String::from("\x1b[H");
        for (at, line) in lines.iter().enumerate() {
            let end = if at + 1 < lines.len() { "\r\n" } else { "" };
            text.push_str(&format!("{}\x1b[K{end}", cut(line, usize::from(columns))));
        }
        text.push_str("\x1b[J");
        put(&text)
    }
}

/// The screen while it is ours.
struct Screen;

impl Screen {
    fn enter() -> Result<Self> {
        put(ENTER)?;
        Ok(Self)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = put(LEAVE);
    }
}

fn put(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}
