//! The demonstration: simulated weather of real cities goes through the real engine, lands, is served and measured.
//!
//! ```text
//! weather ─► feed (late, repeated, nonsense) ─► Engine::put ─► land ─► Flight server ─► own client
//! ```
#![allow(
    clippy::disallowed_methods,
    reason = "it tells people how long things take, and waits for them"
)]

mod check;
mod climate;
#[cfg(test)]
mod faults;
mod feed;
mod fill;
mod noise;
mod state;
mod tour;
pub(crate) mod weather;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use barograph_engine::dead_letters::DEAD_LETTERS;
use barograph_engine::{Clock, Engine, SystemClock};
use barograph_flight::{Client, Listener, Server};
use barograph_jobs::schedule::Scheduler;
use barograph_lake::{Key, LakeTable, Span, TimeRange, Timestamp};
use tokio::sync::oneshot;

use crate::arguments::DemoArguments;
use crate::cities::{Cities, City};
use crate::doors::Doors;
use crate::figures::{duration, grouped};
use crate::metrics::JobFigures;
use crate::output::say;
use crate::settings::Settings;
use crate::settings::tables::{READINGS, readings};
use crate::{Error, Result, signals, wiring};
use check::Check;
use feed::{Feed, MINUTE};
use fill::{Filled, fill, put_all};
use state::State;
use weather::Weather;

/// The city that the tour looks at, if it measures.
const TOUR_CITY: i32 = 2_988_507;

/// Runs the demonstration.
pub(crate) async fn run(arguments: DemoArguments, settings: Settings) -> Result<()> {
    if settings.tables.get(READINGS) != Some(&readings()) {
        return Err(Error::usage(
            "the demonstration fills the built-in table readings, which the settings replace: leave out [tables.readings]",
        ));
    }
    let cities = Cities::built_in()?.largest(arguments.cities as usize);
    let weather = Arc::new(Weather::new(arguments.seed, &cities));
    let listener = Listener::bind_with(&settings.flight, &settings.access).await?;
    let doors = Doors::bind(&settings).await?;
    let access = wiring::access(&settings)?;
    let address = wiring::address(&settings, &listener)?;
    let engine = wiring::open_engine(&settings, false, &address).await?;
    let schedule = wiring::open_schedule(&settings, Some(&engine))?;
    let bound = || -> Result<Server> {
        let sql = wiring::open_sql(&settings, &engine, &schedule, &access, None)?;
        let server = Server::at(listener, None, Arc::clone(&engine), sql, settings.flight.clone())?;
        let server = wiring::with_http(&settings, server.with_access(Arc::clone(&access)))?;
        Ok(server.with_figures(JobFigures::new(&schedule)))
    };
    let server = match bound() {
        Ok(server) => server,
        Err(error) => {
            engine.shutdown().await?;
            return Err(error);
        }
    };
    let endpoint = server.url();
    doors.announce()?;
    let server = doors.of(&settings, server);
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(async move {
        // A dropped sender stops the server as well.
        let _ = stopped.await;
    }));
    let scheduler = (!arguments.once).then(|| Scheduler::start(&schedule));
    let demo = Demo { arguments, settings, cities, weather, engine, endpoint };
    let shown = tokio::select! {
        shown = demo.show() => shown,
        () = signals::stop() => say("\nStopping: running calls end, the log is synced."),
    };
    // The server shuts the engine down with it, in any case.
    drop(stop);
    if let Some(scheduler) = scheduler {
        scheduler.stop().await;
    }
    let served = serving.await.map_err(|e| Error::failed(format!("server: {e}")))?;
    shown?;
    Ok(served?)
}

struct Demo {
    arguments: DemoArguments,
    settings: Settings,
    cities: Vec<City>,
    weather: Arc<Weather>,
    engine: Arc<Engine>,
    endpoint: String,
}

impl Demo {
    async fn show(&self) -> Result<()> {
        let now = SystemClock.now();
        let to = now.floor_to(MINUTE) + MINUTE;
        let from = to - i64::from(self.arguments.hours) * Span::HOUR;
        let range = TimeRange { from, to };
        let mut state = self.state()?;
        let letters = self.engine.view(DEAD_LETTERS)?.rows();
        let gaps = state.gaps(range);
        let expected_letters = check::sum(
            gaps.iter()
                .map(|gap| Feed::new(Arc::clone(&self.weather), gap.first).expected(gap.range)),
        )?;
        say(format_args!(
            "Weather of {} cities over {} h into {}",
            grouped(self.cities.len() as u64),
            self.arguments.hours,
            self.settings.data
        ))?;
        let filled = fill(&self.engine, &self.weather, &gaps, &mut state).await?;
        let started = Instant::now();
        match self.arguments.once {
            true => {
                self.settle(&state).await?;
                self.engine.flush().await?
            }
            false => self.engine.land_due().await?,
        };
        self.report(&filled, started.elapsed())?;
        let client = Client::connect_with(&self.endpoint, &self.settings.client_tls()).await?;
        let client = match wiring::token(&self.settings)? {
            None => client,
            Some(token) => client.with_token(&token)?,
        };
        let city = self.city()?;
        let day = TimeRange { from: to - Span::DAY, to };
        tour::queries(&client, city, day).await?;
        if self.arguments.once {
            let grown = self.engine.view(DEAD_LETTERS)?.rows() - letters;
            let dead_letters = [expected_letters.rejected, filled.rejected, grown];
            return self.check(&client, &state, dead_letters, city).await;
        }
        let default = Settings::default();
        tour::try_it(&self.endpoint, &default, &self.settings)?;
        self.live(&mut state, to, city).await
    }

    /// Delivers what was still on its way when an earlier run was stopped.
    async fn settle(&self, state: &State) -> Result<()> {
        for range in state.filled() {
            let mut feed = Feed::new(Arc::clone(&self.weather), range.from);
            put_all(&self.engine, feed.pending(range.to)?).await?;
        }
        Ok(())
    }

    /// Where the demonstration keeps what it has filled; refuses data that is not its own.
    fn state(&self) -> Result<State> {
        let path = match wiring::local_data(&self.settings.data)? {
            Some(folder) => folder.join("demo.json"),
            None => {
                let name: String = self
                    .settings
                    .data
                    .chars()
                    .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
                    .collect();
                wiring::user_state().join(PathBuf::from(format!("demo-{name}.json")))
            }
        };
        let state = State::open(&path, self.arguments.seed, self.arguments.cities)?;
        if state.is_new() && !path.exists() && self.engine.view(READINGS)?.rows() > 0 {
            return Err(Error::usage(format!(
                "{} holds readings that are not the demonstration's: name another folder with --data",
                self.settings.data
            )));
        }
        state.save()?;
        Ok(state)
    }

    fn city(&self) -> Result<&City> {
        let tour = self.cities.iter().find(|city| city.id == TOUR_CITY);
        let city = tour.or(self.cities.first());
        city.ok_or_else(|| Error::usage("there is no city"))
    }

    fn report(&self, filled: &Filled, landing: Duration) -> Result<()> {
        tour::filled(filled, landing)?;
        let view = self.engine.view(READINGS)?;
        let files = view.snapshot.files();
        let rows = files.iter().map(|file| file.rows).sum();
        tour::lake(files.len(), rows, view.lake_bytes(), view.tail.rows())
    }

    async fn check(
        &self,
        client: &Client,
        state: &State,
        dead_letters: [u64; 3],
        city: &City,
    ) -> Result<()> {
        let lake = wiring::lake(&self.settings, "demo")?;
        let (table, snapshot) = LakeTable::open_existing(lake.child(READINGS)).await?;
        let expected = check::sum(
            state
                .filled()
                .map(|range| Feed::new(Arc::clone(&self.weather), range.from).expected(range)),
        )?;
        let check = Check {
            client,
            weather: &self.weather,
            table: &table,
            snapshot: &snapshot,
            filled: state.filled().collect(),
            rows: expected.rows,
            dead_letters,
        };
        check.run(city).await
    }

    /// Puts the readings of each minute as it comes.
    async fn live(&self, state: &mut State, from: Timestamp, city: &City) -> Result<()> {
        say("Live readings follow, every minute; Ctrl-C stops.")?;
        let first = state.filled().find(|range| range.to == from).map_or(from, |range| range.from);
        let mut feed = Feed::new(Arc::clone(&self.weather), first);
        let mut minute = from;
        loop {
            let wait = minute - SystemClock.now();
            if wait > Span::ZERO {
                tokio::time::sleep(wait.duration()).await;
                continue;
            }
            let arrival = feed.arrival(minute)?;
            let started = Instant::now();
            let batches = std::iter::once(arrival.prompt).chain(arrival.others).collect();
            let put = put_all(&self.engine, batches).await?;
            let took = started.elapsed();
            state.fill(TimeRange { from: minute, to: minute + MINUTE })?;
            self.tell(minute, &put, took, city)?;
            minute += MINUTE;
        }
    }

    fn tell(&self, minute: Timestamp, put: &Filled, took: Duration, city: &City) -> Result<()> {
        let view = self.engine.view(READINGS)?;
        let line = format!(
            "{minute}  {} readings durable and visible in {}; tail {} rows; {} {}",
            grouped(put.accepted),
            duration(took),
            grouped(view.tail.rows()),
            city.name,
            self.reading(minute, Key::from(city.id))?
        );
        match std::io::stdout().is_terminal() {
            true => say(line),
            false => {
                tracing::info!("{line}");
                Ok(())
            }
        }
    }

    /// The reading of a city in words.
    fn reading(&self, minute: Timestamp, key: Key) -> Result<String> {
        use arrow::array::{Array, AsArray};
        use arrow::datatypes::Float32Type;
        let hour = barograph_lake::Hour::of(minute);
        let Some(hour) = hour else { return Ok(String::new()) };
        let station = self.weather.stations_in(hour, |id| Key::from(id) == key).batch(minute)?;
        let value = |name: &str| {
            let column = station.column_by_name(name)?.as_primitive_opt::<Float32Type>()?;
            (!column.is_empty() && column.is_valid(0)).then(|| column.value(0))
        };
        let text = |name: &str, unit: &str| {
            value(name).map_or_else(|| format!("– {unit}"), |value| format!("{value} {unit}"))
        };
        Ok(format!("{}, {}", text("temperature", "°C"), text("pressure", "hPa")))
    }
}
