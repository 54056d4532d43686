//! The wiring of the program: settings become a running engine, a lake, SQL, a schedule or a connection.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use barograph_access::{Access, tokens};
use barograph_engine::validate::Rules;
use barograph_engine::{Clock, Engine, LogSource, SystemClock, dead_letters};
use barograph_flight::{Client, FlightPeers, Listener, Server, access_by, audit_rows};
use barograph_http::{Http, Place, Places};
use barograph_jobs::compact::Compact;
use barograph_jobs::maintenance::{Expire, Sweep, Verify};
use barograph_jobs::quality::Site;
use barograph_jobs::schedule::{Job, Schedule, system_rows};
use barograph_jobs::{materialize, quality};
use barograph_lake::schema::{KeyType, TableDeclaration, ValueColumn, ValueType};
use barograph_lake::store::{LakeStore, StoreSettings};
use barograph_lake::{Key, LogPosition, TableSchema};
use barograph_query::Sql;

use crate::cities::Cities;
use crate::doors;
use crate::settings::tables::CITIES;
use crate::settings::{LogPlace, Settings, TOKEN_VARIABLE};
use crate::{Error, Result};

/// Folder of the lake inside the data folder.
const LAKE: &str = "lake";
/// Folder of the jobs' records inside the data folder.
const JOBS: &str = "jobs";
/// Folder of the log inside the data folder.
const LOG: &str = "log";
/// Who asks the store for what is put, landed and queried.
const SERVER: &str = "server";

/// The data folder on the local disk; `None` if `data` is an object-store URL. A `file://` URL has the characters
/// that URLs cannot hold in percent-encoding.
pub(crate) fn local_data(data: &str) -> Result<Option<PathBuf>> {
    match data.split_once("://") {
        Some(("file", _)) => Ok(LakeStore::open(data)?.local_path("")),
        Some(_) => Ok(None),
        None => Ok(Some(PathBuf::from(data))),
    }
}

/// The folder of all tables. Requests to an object store are counted as asked by `asked_by`.
pub(crate) fn lake(settings: &Settings, asked_by: &str) -> Result<LakeStore> {
    folder(settings, LAKE, asked_by)
}

/// A folder in that of the data.
pub(crate) fn folder(settings: &Settings, name: &str, asked_by: &str) -> Result<LakeStore> {
    // What one command or job reads is not what queries read again.
    let store = StoreSettings { cache_folder: None, ..settings.store.clone() };
    folder_with(settings, name, &store, asked_by)
}

fn folder_with(
    settings: &Settings,
    name: &str,
    store: &StoreSettings,
    asked_by: &str,
) -> Result<LakeStore> {
    Ok(match local_data(&settings.data)? {
        Some(folder) => LakeStore::local(&folder.join(name))?,
        None => LakeStore::open_with(&settings.data, store, asked_by)?.child(name),
    })
}

/// The folder of all tables, read through a cache on the disk if it is remote.
fn cached_lake(settings: &Settings) -> Result<LakeStore> {
    let mut store = settings.store.clone();
    if store.cache_folder.is_none() && local_data(&settings.data)?.is_none() {
        // A user without a home, or with one that is read-only, has no cache.
        let folder = user_cache().map(|cache| cache.join("barograph-store"));
        store.cache_folder = folder.filter(|folder| std::fs::create_dir_all(folder).is_ok());
        if store.cache_folder.is_none() && store.cache_bytes.get() > 0 {
            tracing::info!("no folder for a cache of remote files: set store.cache_folder");
        }
    }
    folder_with(settings, LAKE, &store, SERVER)
}

/// The folder of a local log.
pub(crate) fn log_folder(settings: &Settings) -> Result<PathBuf> {
    let inside = local_data(&settings.data)?.map(|folder| folder.join(LOG));
    settings.log_folder.clone().or(inside).ok_or_else(|| {
        Error::usage(format!(
            "data is {}, so the log needs a folder of its own on a local disk: set log_folder (--set log_folder=DIR), or keep it in the store (--set log=store)",
            settings.data
        ))
    })
}

/// The log of the settings, shared by processes that reach this one at `address`; empty if they cannot.
fn log(settings: &Settings, accept_damage: bool, address: &str) -> Result<LogSource> {
    match settings.log {
        LogPlace::Local => Ok(LogSource::Folder { path: log_folder(settings)?, accept_damage }),
        LogPlace::Store if accept_damage => Err(Error::usage(
            "a shared log has nothing that could be given up: leave out --accept-log-damage",
        )),
        LogPlace::Store => Ok(LogSource::Store { address: address.to_owned() }),
    }
}

/// Where others reach the process that listens there; they need not where its log is its own.
pub(crate) fn address(settings: &Settings, listener: &Listener) -> Result<String> {
    match listener.advertised() {
        Some(address) => Ok(address.to_owned()),
        None if settings.log == LogPlace::Local => Ok(String::new()),
        None => Err(Error::usage(format!(
            "flight.listen is {}, and the log is shared: say by flight.advertise (--set flight.advertise=HOST:PORT) where others reach this server",
            settings.flight.listen
        ))),
    }
}

/// Opens the engine and reports what it found in the log. Other processes of a shared log reach it at `address`.
pub(crate) async fn open_engine(
    settings: &Settings,
    accept_damage: bool,
    address: &str,
) -> Result<Arc<Engine>> {
    let log = log(settings, accept_damage, address)?;
    let engine = open(settings, settings.schemas()?, log).await?;
    for rollup in settings.rollups()? {
        engine.declare_rollup(rollup)?;
    }
    Ok(engine)
}

/// Opens the engine over other tables than those of the settings, without rollups.
pub(crate) async fn open_engine_of(
    settings: &Settings,
    tables: Vec<TableSchema>,
) -> Result<Arc<Engine>> {
    open(settings, tables, log(settings, false, "")?).await
}

async fn open(
    settings: &Settings,
    tables: Vec<TableSchema>,
    log: LogSource,
) -> Result<Arc<Engine>> {
    let cities = Cities::built_in()?;
    let cities = cities.all().iter().map(|city| Key::from(city.id));
    let engine = Engine::builder(cached_lake(settings)?)
        .settings(settings.engine.clone())
        .log(log)
        .peers(Arc::new(peers(settings).await?))
        .tables(tables)
        .dimension(CITIES, cities)
        .open()
        .await?;
    let found = engine.recovery();
    tracing::info!(
        records = found.records,
        rows = found.rows,
        landed_rows = found.landed_rows,
        torn_bytes = found.torn_bytes,
        "log replayed"
    );
    for lost in &found.lost {
        tracing::warn!("lost, as --accept-log-damage allows: {lost}");
    }
    Ok(engine)
}

/// Refuses to go on where other servers share the log.
pub(crate) async fn check_alone(engine: &Engine) -> Result<()> {
    match engine.members().await?.into_iter().find(|member| !member.is_self) {
        None => Ok(()),
        Some(other) => Err(Error::failed(format!(
            "another process has the lake open ({:?}, seen {} s ago): stop all servers first; one that died is forgotten after a minute",
            other.address,
            other.age.as_secs()
        ))),
    }
}

/// A table that the settings declare, or the dead letters.
pub(crate) fn table(settings: &Settings, name: &str) -> Result<TableSchema> {
    let letters = dead_letters::schema()?;
    let tables: Vec<_> = settings.schemas()?.into_iter().chain([letters]).collect();
    let names: Vec<_> = tables.iter().map(|table| table.name().to_owned()).collect();
    tables.into_iter().find(|table| table.name() == name).ok_or_else(|| {
        Error::usage(format!("there is no table {name:?}, there are {}", names.join(", ")))
    })
}

/// The rules for valid rows of a table.
pub(crate) fn rules(settings: &Settings, table: &TableSchema) -> Result<Rules> {
    let known_keys = match table.declaration().dimension.as_deref() {
        None => None,
        Some(CITIES) => Some(Arc::new(
            Cities::built_in()?.all().iter().map(|city| Key::from(city.id)).collect(),
        )),
        Some(other) => {
            let name = table.name();
            return Err(Error::usage(format!("table {name:?}: there is no dimension {other:?}")));
        }
    };
    let future = SystemClock.now().saturating_add(settings.engine.future_max);
    Ok(Rules { future, known_keys })
}

/// Access as the settings say.
pub(crate) fn access(settings: &Settings) -> Result<Arc<Access>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    Ok(access_by(&clock, settings.access.clone())?)
}

/// SQL over the tables of `engine`, with the cities, the jobs and the records of access as tables; in the place of `before`, if that was
/// served until now.
pub(crate) fn open_sql(
    settings: &Settings,
    engine: &Arc<Engine>,
    schedule: &Arc<Schedule>,
    access: &Arc<Access>,
    before: Option<&Sql>,
) -> Result<Arc<Sql>> {
    let dimensions = BTreeMap::from([(CITIES.to_owned(), Cities::built_in()?.rows()?)]);
    let mut system = system_rows(schedule)?;
    system.push(audit_rows(access)?);
    let engine = Arc::clone(engine);
    Ok(match before {
        Some(before) => before.reopened(engine, dimensions, system)?,
        None => {
            let sql = Sql::with_system(engine, settings.sql.clone(), dimensions, system)?;
            doors::catalogs(settings, sql)?
        }
    })
}

/// The server with the HTTP API on its port, if the settings have it.
pub(crate) fn with_http(settings: &Settings, server: Server) -> Result<Server> {
    if !settings.http.enabled {
        return Ok(server);
    }
    let places = places(settings)?;
    let http = settings.http.clone();
    let http = Http::new(server.door(), http, places, settings.sql.reading_every);
    Ok(server.with_figures(http.figures()).with_routes(http.routes()))
}

/// The places that keys stand for: those of a file, or the built-in cities.
fn places(settings: &Settings) -> Result<Places> {
    if let Some(path) = &settings.http.open_meteo.places {
        let unreadable = |e: &dyn std::fmt::Display| {
            Error::usage(format!("http.open_meteo.places {}: {e}", path.display()))
        };
        let file = std::fs::File::open(path).map_err(|e| unreadable(&e))?;
        return Places::read(file).map_err(|e| unreadable(&e));
    }
    let cities = Cities::built_in()?;
    let places = cities.all().iter().map(|city| Place {
        key: Key::from(city.id),
        name: city.name.clone(),
        latitude: city.latitude,
        longitude: city.longitude,
        elevation: city.elevation,
        timezone: city.timezone.clone(),
    });
    let find = |text: &str| cities.key(text).map_err(|error| error.to_string());
    Ok(Places::new(places.collect(), Box::new(find)))
}

/// The jobs of the data folder. Those that put rows run where there is an engine, and can only be inspected
/// elsewhere.
pub(crate) fn open_schedule(
    settings: &Settings,
    engine: Option<&Arc<Engine>>,
) -> Result<Arc<Schedule>> {
    let store = folder(settings, JOBS, "scheduler")?;
    let clock = Arc::new(SystemClock);
    let rollups = settings.rollups()?;
    // Where nobody computes rollups, rows do not wait for them.
    let computed = if settings.jobs.rollup.enabled { rollups.clone() } else { Vec::new() };
    let expire = Expire {
        lake: lake(settings, "expire")?,
        clock: clock.clone(),
        retention: settings.retention.clone(),
        rollups: materialize::rollups(None, store.clone(), &computed),
    };
    let sweep = Sweep {
        lake: lake(settings, "sweep")?,
        clock: clock.clone(),
        kept: settings.scheduler.removed_files_kept,
        retention: settings.retention.clone(),
    };
    let verify = Verify { lake: lake(settings, "verify")? };
    let compact = Compact {
        lake: lake(settings, "compact")?,
        clock: clock.clone(),
        settings: settings.compaction.clone(),
    };
    let rollup = materialize::rollups(engine.cloned(), store.clone(), &rollups);
    let (source, checks) = settings.checked()?;
    let sites = Cities::built_in()?.all().iter().map(|city| Site {
        key: Key::from(city.id),
        latitude: city.latitude,
        longitude: city.longitude,
        elevation: city.elevation,
    });
    let quality =
        quality::quality(engine.cloned(), store.clone(), source, checks, sites.collect())?;
    let jobs: Vec<(Arc<dyn Job>, _)> = vec![
        (Arc::new(compact), settings.jobs.compact.clone()),
        (Arc::new(expire), settings.jobs.expire.clone()),
        (Arc::new(sweep), settings.jobs.sweep.clone()),
        (Arc::new(verify), settings.jobs.verify.clone()),
        (Arc::new(rollup), settings.jobs.rollup.clone()),
        (Arc::new(quality), settings.jobs.quality.clone()),
    ];
    Ok(Schedule::new(store, clock, settings.scheduler.clone(), jobs))
}

/// The other servers of a shared log: they speak TLS if this one does.
async fn peers(settings: &Settings) -> Result<FlightPeers> {
    if settings.log == LogPlace::Local {
        return Ok(FlightPeers::default());
    }
    let peers = encrypted_peers(settings).await?;
    match &settings.access.peer_token {
        None => Ok(peers),
        Some(path) => Ok(peers.with_token(&secret(path)?)?),
    }
}

async fn encrypted_peers(settings: &Settings) -> Result<FlightPeers> {
    let own = &settings.flight;
    if own.tls_certificate.is_none() {
        return Ok(FlightPeers::default());
    }
    let mut tls = settings.client_tls();
    if tls.certificate.is_none() {
        tls.certificate.clone_from(&own.tls_certificate);
        tls.key.clone_from(&own.tls_key);
    }
    Ok(FlightPeers::by_tls(&tls).await?)
}

/// Connects to the server that the settings name.
pub(crate) async fn connect(settings: &Settings) -> Result<Client> {
    let connected = Client::connect_with(&settings.endpoint, &settings.client_tls()).await;
    let client = connected.map_err(|error| match error.kind() {
        barograph_engine::ErrorKind::Unavailable => Error::failed(format!(
            "no server answers at {}: start one with `barograph serve` or `barograph demo`, or name another with --endpoint",
            settings.endpoint
        )),
        _ => Error::from(error),
    })?;
    match token(settings)? {
        None => Ok(client),
        Some(token) => Ok(client.with_token(&token)?),
    }
}

/// The token that client commands show, if there is one.
pub(crate) fn token(settings: &Settings) -> Result<Option<String>> {
    match &settings.endpoint_token {
        Some(path) => secret(path).map(Some),
        None => Ok(std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty())),
    }
}

/// The token in a file.
fn secret(path: &Path) -> Result<String> {
    tokens::read_secret(path).map_err(|error| Error::usage(error.to_string()))
}

/// Connects likewise, so that what was acknowledged at `after` is shown.
pub(crate) async fn connect_after(
    settings: &Settings,
    after: Option<LogPosition>,
) -> Result<Client> {
    let client = connect(settings).await?;
    Ok(after.map_or_else(|| client.clone(), |position| client.after(position)))
}

/// The declaration of a table of a server, as far as its columns tell it.
pub(crate) fn remote_table(name: &str, schema: &Schema) -> Result<TableSchema> {
    let unexpected = |what: &str| Error::failed(format!("the server's table {name:?} has {what}"));
    let fields = schema.fields();
    let [key, time, values @ .., _ingested_at] = fields.as_ref() else {
        return Err(unexpected("too few columns"));
    };
    let key_type = match key.data_type() {
        DataType::Int32 => KeyType::Int32,
        DataType::Int64 => KeyType::Int64,
        other => return Err(unexpected(&format!("a key of type {other}"))),
    };
    let value_type = |data_type: &DataType| {
        Ok(match data_type {
            DataType::Int16 => ValueType::Int16,
            DataType::Int32 => ValueType::Int32,
            DataType::Int64 => ValueType::Int64,
            DataType::Float32 => ValueType::Float32,
            DataType::Float64 => ValueType::Float64,
            DataType::Utf8 => ValueType::Utf8,
            DataType::Timestamp(..) => ValueType::Timestamp,
            other => return Err(unexpected(&format!("a column of type {other}"))),
        })
    };
    let columns = values
        .iter()
        .map(|field| {
            Ok(ValueColumn {
                name: field.name().clone(),
                value_type: value_type(field.data_type())?,
                unit: field.metadata().get("unit").cloned(),
                range: None,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let declaration =
        TableDeclaration::new(key.name(), time.name()).key_type(key_type).columns(columns);
    Ok(TableSchema::new(name, declaration)?)
}

/// The folder where this user's programs keep their state between runs.
pub(crate) fn user_state() -> PathBuf {
    user_folder("XDG_STATE_HOME", ".local/state")
        .map_or_else(|| Path::new(".barograph").to_owned(), |state| state.join("barograph"))
}

/// The folder where this user's programs keep what they can get again.
fn user_cache() -> Option<PathBuf> {
    user_folder("XDG_CACHE_HOME", ".cache")
}

/// The folder that a variable names, or one in the user's home.
fn user_folder(variable: &str, in_home: &str) -> Option<PathBuf> {
    let folder = |variable: &str| {
        std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
    };
    folder(variable).or_else(|| folder("HOME").map(|home| home.join(in_home)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use crate::settings::tables::{READINGS, readings};

    #[test]
    fn data_is_a_folder_or_a_url() {
        for (data, folder) in [
            ("data", Some("data")),
            ("my data", Some("my data")),
            ("my%20data", Some("my%20data")),
            ("file:///srv/data", Some("/srv/data")),
            ("file:///srv/my%20data", Some("/srv/my data")),
            ("file:///srv/50%25", Some("/srv/50%")),
            ("file:///srv/w%C3%A4rme/", Some("/srv/wärme")),
            ("file:///srv/wärme", Some("/srv/wärme")),
            ("file://localhost/srv/data", Some("/srv/data")),
            ("s3://bucket/data", None),
        ] {
            assert_eq!(local_data(data).unwrap(), folder.map(PathBuf::from), "{data}");
        }
        for wrong in ["file://data", "file://host/data"] {
            let error = local_data(wrong).unwrap_err().to_string();
            assert!(error.contains("file:///srv/"), "{error}");
        }
        let settings = Settings { data: "s3://bucket/data".to_owned(), ..Settings::default() };
        assert!(log_folder(&settings).unwrap_err().to_string().contains("log_folder"));
        let folder = Some(PathBuf::from("/log"));
        assert_eq!(
            log_folder(&Settings { log_folder: folder, ..settings }).unwrap(),
            Path::new("/log")
        );
        assert_eq!(log_folder(&Settings::default()).unwrap(), Path::new("barograph-data/log"));
    }

    #[test]
    fn a_servers_columns_tell_its_table() {
        let table = TableSchema::new(READINGS, readings()).unwrap();
        let told = remote_table(READINGS, table.arrow()).unwrap();
        assert_eq!(told.arrow(), table.arrow());
    }
}
