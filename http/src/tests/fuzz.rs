//! Fuzz target of HTTP: requests with their parameters, headers and bodies, answered by a server that runs.

use std::collections::BTreeMap;

use barograph_engine::SystemClock;
use barograph_fuzz::Target;
use barograph_lake::{Size, TableDeclaration, TableSchema, ValueColumn, ValueType};

use super::*;
use crate::StationSettings;
use crate::stations::{Form, row_of};

/// What stands between the head and the body of an input.
const BETWEEN: &[u8] = b"\n\n";

fn requests() -> Vec<String> {
    let heads = [
        "GET /api/v1/tables",
        "GET /api/v1/tables/readings/latest?keys=1,2&columns=temperature&format=csv",
        "GET /api/v1/tables/readings/at?keys=1&time=2026-01-01T00:00:00Z&format=ndjson",
        "GET /api/v1/tables/readings/range?keys=1&from=2025-12-31&to=2026-01-02&where=temperature%20%3E%201&limit=9&format=json",
        "GET /api/v1/tables/readings/range?every=1h&aggregates=temperature:mean,temperature:max&as_of=1&format=arrow\nAccept-Encoding: gzip;q=0.5, zstd",
        "GET /api/v1/sql?q=SELECT+count(*)+FROM+readings&format=parquet",
        "GET /v1/forecast?latitude=48.85&longitude=2.35&hourly=temperature_2m&current=temperature_2m&timezone=auto&past_days=2",
        "GET /v1/archive?id=1&start_date=2026-01-01&end_date=2026-01-02&daily=temperature_2m_max&timeformat=unixtime&format=csv",
        "GET /api/v1/openapi.json\nIf-None-Match: \"a\"\nAccept: application/json;q=0.1, */*",
        "GET /ping\nX-Request-Id: 7",
        "GET /metrics\nAccept: application/openmetrics-text",
        "PUT /api/v1/tables/readings",
        "GET /weatherstation/updateweatherstation.php?ID=1&PASSWORD=x&dateutc=2026-01-01+00%3A03%3A00&tempf=68.5&humidity=-9999&baromin=29.92&action=updateraw",
        "GET /weatherstation/updateweatherstation.php?ID=x&dateutc=now&tempf=warm\nSec-Fetch-Site: cross-site",
    ];
    let bodies = [
        (
            "POST /api/v1/tables/readings?precision=s\nContent-Type: application/json",
            "[{\"city_id\":1,\"reading_at\":1767225600,\"temperature\":1.5},{\"city_id\":\"x\"}]",
        ),
        (
            "POST /api/v1/tables/readings\nContent-Type: application/x-ndjson",
            "{\"city_id\":1,\"reading_at\":\"2026-01-01T00:01:00Z\",\"temperature\":null}\n7\n",
        ),
        (
            "POST /api/v1/tables/readings\nContent-Type: text/csv",
            "city_id,reading_at,temperature\n1,2026-01-01T00:02:00Z,\"1.5\"\n2\n",
        ),
        (
            "POST /api/v1/sql\nContent-Type: application/json",
            "{\"query\":\"SELECT $1 + temperature FROM readings\",\"parameters\":[1.5]}",
        ),
        (
            "POST /api/v2/write?org=o&bucket=b&precision=ns",
            "readings,city_id=1 temperature=20.5,note=\"dry\\\"\n\",open=true,count=3i 1767225600000000000\n# none\nx",
        ),
        (
            "POST /write?db=b&precision=ms\nContent-Encoding: gzip",
            "readings,city_id=1 temperature=20.5",
        ),
        (
            "POST /data/report/?token=x\nContent-Type: application/x-www-form-urlencoded",
            "PASSKEY=2&stationtype=GW1100B&dateutc=2026-01-01+00:04:00&tempf=64.40&windspeedmph=4.47&hourlyrainin=0.02",
        ),
        (
            "POST /api/v3/write_lp?db=b&accept_partial=false",
            "readings city_id=1i,temperature=1e400",
        ),
    ];
    let bodies = bodies.into_iter().map(|(head, body)| format!("{head}\n\n{body}"));
    heads.into_iter().map(str::to_owned).chain(bodies).collect()
}

const TOKENS: [&str; 38] = [
    "keys=",
    "&columns=",
    "&from=",
    "&to=",
    "&time=",
    "&where=",
    "&limit=",
    "&every=",
    "&aggregates=",
    "&as_of=",
    "&after=",
    "&format=",
    "&precision=",
    "&q=SELECT+",
    "&latitude=91",
    "&longitude=",
    "&hourly=",
    "&daily=",
    "&timezone=Europe/Berlin",
    "&start_date=",
    "&end_date=",
    "&past_days=",
    "&dateutc=now",
    "&tempf=1e308",
    "&PASSWORD=%00",
    "&ID=",
    "%00",
    "%ff",
    "%2B",
    "\nAccept: ",
    "\nAccept-Encoding: ",
    "\nContent-Type: text/csv",
    "\nContent-Encoding: zstd",
    "\nAuthorization: Basic ",
    "\nIf-None-Match: ",
    "\n\n",
    "null",
    "[[[[",
];

/// The status of the answer to the request of an input; none if there is no answer.
async fn ask(address: std::net::SocketAddr, input: &[u8]) -> Option<u16> {
    let at = input.windows(BETWEEN.len()).position(|window| window == BETWEEN);
    let (head, body) = match at {
        Some(at) => (&input[..at], &input[at + BETWEEN.len()..]),
        None => (input, &[][..]),
    };
    let head = String::from_utf8_lossy(head).replace('\r', "");
    let (first, headers) = head.split_once('\n').unwrap_or((&head, ""));
    // That answer has no end.
    if first.contains("live") {
        return None;
    }
    let mut request = format!("{first} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n").into_bytes();
    request.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    let headers = headers.lines().filter(|line| !line.to_lowercase().starts_with("content-length"));
    headers.for_each(|line| request.extend_from_slice(format!("{line}\r\n").as_bytes()));
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(body);
    let mut connection = TcpStream::connect(address).await.unwrap();
    // A request that is refused early is not read to its end.
    let _ = connection.write_all(&request).await;
    let _ = connection.shutdown().await;
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer).await;
    let status = answer.get(9..12).and_then(|status| std::str::from_utf8(status).ok());
    status.and_then(|status| status.parse().ok())
}

#[test]
fn fuzz_station_forms() {
    let settings = StationSettings {
        keys: BTreeMap::from([("KPARIS1".to_owned(), "7".to_owned())]),
        columns: BTreeMap::from([("rain".to_owned(), vec!["rainin".to_owned()])]),
        ..StationSettings::default()
    };
    let of = |name: &str, of, unit: &str| ValueColumn::new(name, of).unit(unit);
    let declaration = TableDeclaration::new("id", "at")
        .column(of("temperature", ValueType::Float32, "°C"))
        .column(of("wind_speed", ValueType::Int16, "km/h"))
        .column(of("rain", ValueType::Float64, "mm"));
    let table = Arc::new(TableSchema::new("readings", declaration).unwrap());
    let places = Places::new(Vec::new(), Box::new(|_| Err("no places".to_owned())));
    let seeds = [
        "ID=KPARIS1&PASSWORD=x&dateutc=2026-01-01+10%3A32%3A35&tempf=68&windspeedmph=10&rainin=0.5",
        "ID=9&dateutc=now&tempf=-9999&rainin=&%ff=%00",
    ];
    let tokens = [
        "ID=",
        "&dateutc=",
        "&tempf=",
        "&rainin=",
        "&windspeedmph=",
        "now",
        "1e308",
        "-9999",
        "%",
        "+",
        "nan",
    ];
    let seeds = seeds.map(|seed| seed.to_owned());
    let target =
        Target::new("station_forms", 20_000).seeds(seeds).tokens(tokens).bytes_max(1 << 10);
    target.memory(4 << 20, 1_024).run(|input| {
        let form = Form::read(input);
        let mut rows = row_of(&form, "ID", &table, (&settings, &places), START)?;
        let (rows, numbers) = rows.take().unwrap().unwrap();
        assert_eq!((rows.num_rows(), numbers), (1, vec![1]));
        Ok(())
    });
}

#[test]
fn fuzz_http() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir_in(barograph_fuzz::folder()).unwrap();
    let (address, stop, task) = runtime.block_on(async {
        let log = LogSource::Folder { path: folder.path().join("log"), accept_damage: false };
        let engine = engine_in(folder.path()).settings(landing_on_request()).log(log);
        let engine = engine.clock(Arc::new(SystemClock)).table(readings_table(["temperature"]));
        let engine = engine.open().await.unwrap();
        let rows = temperatures((0..4).map(|id| (id, START, 20.5)));
        engine.put("readings", rows, "test", Durability::Memory).await.unwrap();
        let settings =
            SqlSettings { value_bytes_max: Size::bytes(1 << 20), ..SqlSettings::default() };
        let sql = Sql::new(Arc::clone(&engine), settings).unwrap();
        let listen = "127.0.0.1:0".to_owned();
        let after_wait_max = Span::from_micros(1);
        let settings = FlightSettings { listen, after_wait_max, ..FlightSettings::default() };
        let server = Server::bind(Arc::clone(&engine), sql, settings).await.unwrap();
        let places =
            "id,name,latitude,longitude,elevation,timezone\n1,Paris,48.85,2.35,35,Europe/Paris\n";
        let places = Places::read(places.as_bytes()).unwrap();
        let http = Http::new(server.door(), HttpSettings::default(), places, Span::MINUTE);
        let server = server.with_routes(http.routes());
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.serve(async {
            let _ = stopped.await;
        }));
        (address, stop, task)
    });
    let target = Target::new("http", 1_000).seeds(requests()).tokens(TOKENS).bytes_max(4 << 10);
    target.memory(64 << 20, 1_024).run(|input| match runtime.block_on(ask(address, input)) {
        Some(200..300) => Ok(()),
        Some(500) => panic!("the server has a defect"),
        // Digits do not tell outcomes apart.
        Some(status) => Err(format!("refused: {}", "x".repeat(usize::from(status % 100)))),
        None => Err("no answer".to_owned()),
    });
    stop.send(()).unwrap();
    runtime.block_on(task).unwrap().unwrap();
}
