//! Import beside a live engine: files of random rows in random order, over a store that may fail, resumed after each
//! failure; then every fault of the store in turn.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use barograph_engine::validate::Rules;
use barograph_engine::{Clock, ManualClock};
use barograph_jobs::compact::CompactionSettings;
use barograph_jobs::import::{DirectImport, Imported, Mapping, Options, State, Stop};
use barograph_lake::store::faults::{Fault, FaultPlan, Operation};
use barograph_lake::time::MICROS_PER_HOUR;
use barograph_lake::{LakeStore, Size, Span};
use barograph_query::SqlExpressions;
use rand::Rng;
use rand::seq::SliceRandom;

use crate::model::{Row, schema};
use crate::simulation::{World, world};

/// Rows as a file that can be imported.
fn csv(rows: &[Row]) -> String {
    let mut text = String::from("city_id,reading_at,temperature,direction,note\n");
    let cell = |cell: Option<String>| cell.unwrap_or_default();
    for (key, time, (temperature, direction, note)) in rows {
        let temperature = cell(temperature.map(|value| value.to_string()));
        let direction = cell(direction.map(|value| value.to_string()));
        writeln!(text, "{key},{time},{temperature},{direction},{}", cell(note.clone())).unwrap();
    }
    text
}

/// An import over the current lake; little memory makes many runs.
fn import(lake: LakeStore, clock: &Arc<ManualClock>, memory: usize) -> DirectImport {
    DirectImport {
        target: lake.url().to_string(),
        lake,
        table: Arc::new(schema("readings")),
        rules: Rules { future: clock.now() + 5 * Span::MINUTE, known_keys: None },
        clock: Arc::clone(clock) as _,
        compaction: CompactionSettings { file_bytes: Size::bytes(6_000), ..Default::default() },
        mapping: Mapping::default(),
        options: Options { batch_rows: 40, memory, ..Options::new(Arc::new(SqlExpressions)) },
        stop: Stop::default(),
    }
}

async fn run(
    import: &DirectImport,
    files: &[PathBuf],
    folder: &Path,
) -> barograph_jobs::Result<Imported> {
    let mut imported = Imported::default();
    let mut state = State::open(folder.join("imports.json")).unwrap();
    import.run(files, &mut state, &mut imported, &mut |_| ()).await?;
    assert!(imported.files.iter().all(|file| {
        file.read == file.accepted + file.unreadable + file.implausible && !file.stopped
    }));
    Ok(imported)
}

impl World {
    /// Imports a file or two, which may hold rows of hours that are open, landed or compacted.
    pub(crate) async fn import(&mut self) {
        // Rows that have not landed win over imported ones.
        let all_landed = self.rng.random_bool(0.5) && self.engine().flush().await.is_ok();
        let mut rows: Vec<Row> = (0..self.rng.random_range(1..900)).map(|_| self.row()).collect();
        if !all_landed {
            rows.iter_mut().for_each(|row| row.0 += 100);
        }
        match self.rng.random_range(0..3) {
            0 => rows.sort_by_key(|row| (row.0, row.1)),
            1 => rows.sort_by_key(|row| row.1),
            _ => rows.shuffle(&mut self.rng),
        }
        let mut bad = self.row();
        bad.2.0 = Some(99.0);
        let cut = self.rng.random_range(0..=rows.len());
        let mut sent = rows.clone();
        sent.insert(cut, bad);
        let files: Vec<_> =
            ["first.csv", "second.csv"].map(|name| self.folder.path().join(name)).into();
        for (file, rows) in files.iter().zip([&sent[..cut], &sent[cut..]]) {
            std::fs::write(file, csv(rows)).unwrap();
        }
        self.pass(Span::MINUTE);
        let faults = self.faults();
        if self.rng.random_bool(0.5) {
            let fault = if self.rng.random_bool(0.5) { Fault::Fail } else { Fault::LoseReply };
            let operation = [Operation::Put, Operation::Get][self.rng.random_range(0..2)];
            let nth = self.rng.random_range(0..40);
            faults.set_plan(FaultPlan::none().on(operation, nth, fault));
        }
        let memory = self.rng.random_range(10_000..500_000);
        let mut import = import(self.lake(), &self.clock, memory);
        // Files that were changed since, at the same instant, are other files.
        import.options.restart = true;
        let first = run(&import, &files, self.folder.path()).await;
        faults.set_plan(FaultPlan::none());
        if first.is_err() {
            import.options.restart = false;
            run(&import, &files, self.folder.path()).await.unwrap();
        }
        self.model.put(&rows);
        self.rejected += 1;
        // The engine looks for commits of others.
        self.pass(Span::MINUTE);
        self.engine().land_due().await.unwrap();
        self.query().await;
        if self.rng.random_bool(0.3) {
            import.options.restart = true;
            let version = self.lake_version().await;
            let again = run(&import, &files[1..], self.folder.path()).await.unwrap();
            // The table holds these rows; a dead letter is another one each time.
            assert_eq!(again.merged.files, again.files[0].implausible);
            assert_eq!(version, self.lake_version().await);
            self.rejected += again.files[0].implausible;
            self.model.put(&rows[cut..]);
            self.pass(Span::MINUTE);
        }
    }

    async fn lake_version(&self) -> u64 {
        let table = self.lake().child("readings");
        let table = barograph_lake::LakeTable::open_existing(table).await.unwrap();
        table.1.version().get()
    }
}

/// Rows of an hour, a day and a month.
fn few_periods(world: &mut World, count: i64) -> Vec<Row> {
    let now = world.now() / MICROS_PER_HOUR * MICROS_PER_HOUR;
    let ages = [2, 50, 60 * 24].map(|hours| now - hours * MICROS_PER_HOUR);
    let row = |(n, mut row): (usize, Row)| {
        row.1 = ages[n % 3] + row.1 % MICROS_PER_HOUR;
        row
    };
    (0..count).map(|_| world.row()).enumerate().map(row).collect()
}

/// Every operation on the store fails once, in turn, with and without being carried out; a put is also carried out
/// later, before the import is resumed or after.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_goes_on_after_any_fault_of_the_store() {
    let mut failed = 0;
    for operation in [Operation::Put, Operation::Get, Operation::List] {
        let late = (operation == Operation::Put).then_some(Fault::Late);
        for fault in [Fault::Fail, Fault::LoseReply].into_iter().chain(late) {
            for nth in 0.. {
                let mut world = world(nth).await;
                let landed = few_periods(&mut world, 300);
                world.put_rows(&landed).await;
                world.engine().flush().await.unwrap();
                let rows = few_periods(&mut world, 400);
                let file = world.folder.path().join("rows.csv");
                std::fs::write(&file, csv(&rows)).unwrap();
                let import = import(world.lake(), &world.clock, 100_000);
                let faults = world.faults();
                faults.set_plan(FaultPlan::none().on(operation, nth, fault));
                let files = [file];
                let first = run(&import, &files, world.folder.path()).await;
                let reached = faults.count(operation) > nth;
                faults.set_plan(FaultPlan::none());
                failed += u64::from(first.is_err());
                if nth % 2 == 0 {
                    faults.deliver().await;
                }
                if first.is_err() {
                    run(&import, &files, world.folder.path()).await.unwrap();
                }
                faults.deliver().await;
                let version = world.lake_version().await;
                let mut again = import;
                again.options.restart = true;
                let done = run(&again, &files, world.folder.path()).await.unwrap();
                assert_eq!(
                    (done.merged.files, world.lake_version().await),
                    (0, version),
                    "{operation:?} {nth}"
                );
                world.model.put(&rows);
                world.pass(Span::MINUTE);
                world.engine().land_due().await.unwrap();
                world.check_everything().await;
                world.check_lake().await;
                world.restart().await;
                world.check_everything().await;
                if !reached {
                    break;
                }
            }
        }
    }
    assert!(failed > 50, "{failed} faults");
}
