//! Access over a real socket: every door, tried by callers who may less than everything.

mod doors;
mod handles;
mod limits;
mod sql;

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Int32Array, RecordBatch};
use barograph_access::tokens::{NewToken, create};
use barograph_access::{AccessSettings, Verb};
use barograph_engine::{Clock, Durability, LogSource, SystemClock};
use barograph_test_support::{engine_in, instants, landing_on_request, readings_table};

use super::{MINUTE, Running, START, serve};
use crate::{Client, FlightSettings, access_by};

/// Roles of the callers. A reader is given two of four cities, one of two columns, and no row of 100 degrees or more.
const ROLES: &str = r#"{
    "reader": {"grants": [{"verbs": ["read"], "tables": ["readings"], "columns": ["temperature"],
        "keys": [1, 2], "filter": "temperature < 100"}]},
    "tenant": {"grants": [{"verbs": ["read", "write", "delete"], "tables": ["readings"], "keys": ["1..2"]}]},
    "writer": {"grants": [{"verbs": ["write"], "tables": ["readings"]}]},
    "observer": {"grants": [{"verbs": ["observe"]}]},
    "keeper": {"grants": [{"verbs": ["jobs"]}]},
    "peer": {"grants": [{"verbs": ["peer"]}]},
    "nobody": {},
    "slow": {"grants": [{"verbs": ["read", "write"], "tables": ["*"]}],
        "limits": {"requests_per_second": 3, "running_max": 2}}
}"#;

/// A server that asks who calls, with a token for each role.
pub(super) struct Guarded {
    pub(super) server: Running,
    tokens: Vec<(String, String)>,
    folder: tempfile::TempDir,
}

impl Guarded {
    /// The token of a role.
    pub(super) fn token(&self, role: &str) -> &str {
        &self.tokens.iter().find(|(of, _)| of == role).unwrap().1
    }

    /// A client that shows the token of a role.
    pub(super) fn client(&self, role: &str) -> Client {
        self.server.client.with_token(self.token(role)).unwrap()
    }

    pub(super) fn tokens_file(&self) -> std::path::PathBuf {
        self.folder.path().join("tokens.json")
    }
}

/// Readings of cities 1 to 4 every 10 minutes for two hours; those of a city get warmer, and one of each is too hot to be
/// shown.
fn readings() -> RecordBatch {
    let all = (1..=4).flat_map(|city| (0..12).map(move |at| (city, at)));
    let (cities, ats): (Vec<i32>, Vec<i64>) = all.unzip();
    let warm = |(city, at): (&i32, &i64)| match *at == 5 {
        true => 100.0 + *city as f32,
        false => *city as f32 * 10.0 + *at as f32,
    };
    let temperatures: Float32Array = cities.iter().zip(&ats).map(|of| Some(warm(of))).collect();
    let humidity: Float32Array = ats.iter().map(|at| Some(*at as f32 / 2.0)).collect();
    RecordBatch::try_from_iter([
        ("city_id", Arc::new(Int32Array::from(cities)) as ArrayRef),
        ("reading_at", instants(ats.iter().map(|at| START + 10 * at * MINUTE))),
        ("temperature", Arc::new(temperatures) as ArrayRef),
        ("humidity", Arc::new(humidity) as ArrayRef),
    ])
    .unwrap()
}

fn settings(tokens: &Path) -> AccessSettings {
    AccessSettings {
        tokens: Some(tokens.to_owned()),
        roles: serde_json::from_str(ROLES).unwrap(),
        ..AccessSettings::default()
    }
}

/// A server with the tables `readings` and `secrets`, both with rows.
pub(super) async fn guarded() -> Guarded {
    guarded_with(Arc::new(SystemClock), |_| {}).await
}

async fn guarded_with(clock: Arc<dyn Clock>, change: impl FnOnce(&mut AccessSettings)) -> Guarded {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let mut settings = settings(&path);
    change(&mut settings);
    let names = settings.roles.keys().cloned().chain(["admin".to_owned()]);
    let tokens = names.map(|role| {
        let new = NewToken {
            name: format!("{role}-1"),
            roles: vec![role.clone()],
            ..NewToken::default()
        };
        let (token, _) = create(&path, new, clock.now()).unwrap();
        (role, token)
    });
    let tokens = tokens.collect();
    let data = tempfile::tempdir().unwrap();
    let log = LogSource::Folder { path: data.path().join("log"), accept_damage: false };
    let secrets = barograph_lake::TableSchema::new(
        "secrets",
        readings_table(["temperature", "humidity"]).declaration().clone(),
    );
    let engine =
        engine_in(data.path()).settings(landing_on_request()).log(log).clock(clock.clone());
    let engine = engine.table(readings_table(["temperature", "humidity"])).table(secrets.unwrap());
    let engine = engine.open().await.unwrap();
    for table in ["readings", "secrets"] {
        engine.put(table, readings(), "test", Durability::Disk).await.unwrap();
    }
    let access = access_by(engine.clock(), settings).unwrap();
    assert!(access.grants_verb(Verb::Peer));
    let server = serve(data, engine, FlightSettings::default(), None, Some(access)).await;
    Guarded { server, tokens, folder }
}
