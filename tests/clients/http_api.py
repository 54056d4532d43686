"""Does the HTTP API do what docs/http.md says, and do other people's clients take it for what they know?

    python http_api.py http://127.0.0.1:8815

The server has the built-in tables, which are empty, and `cors_origins = ["https://page.example"]`.
"""

import datetime
import gzip
import io
import json
import socket
import sys
import time

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import requests
from openapi_spec_validator import OpenAPIV31SpecValidator
from openapi_spec_validator import validate as validate_openapi

from checks import Checks, equal
from http_influx import INFLUX
from http_node import NODE
from http_open_meteo import OPEN_METEO
from http_stations import STATIONS

CHECKS = Checks()
PARIS, TOKYO = 2988507, 1850147
HOUR = 3600
# The readings of this many minutes of two cities, up to the last full minute.
MINUTES = 26 * 60


class Subject:
    def __init__(self, url):
        self.url = url
        self.now = int(time.time()) // 60 * 60
        self.http = requests.Session()
        rows = [
            {
                "city_id": city,
                "reading_at": instant(self.now - 60 * minute),
                "temperature": minute % 40 - 10 + city % 2 / 2,
                "humidity": 50.0,
                "precipitation": 0.25,
                "wind_speed": 10.0,
                "wind_direction": minute % 360,
            }
            for city in (PARIS, TOKYO)
            for minute in range(MINUTES)
        ]
        self.rows = rows
        reply = self.post("/api/v1/tables/readings", json=rows)
        equal(reply.status_code, 200)
        equal(reply.json()["accepted"], len(rows))
        equal(reply.json()["rejected"], 0)

    def get(self, path, headers=None, **params):
        return self.http.get(self.url + path, params=params, headers=headers)

    def post(self, path, **arguments):
        return self.http.post(self.url + path, **arguments)


def instant(seconds):
    time = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


LATEST = "/api/v1/tables/readings/latest"
RANGE = "/api/v1/tables/readings/range"


@CHECKS.check
def latest_is_the_newest_reading(subject):
    reply = subject.get(LATEST, keys=f"{TOKYO},{PARIS}", columns="temperature,humidity")
    equal(reply.status_code, 200)
    equal(reply.headers["content-type"], "application/json")
    at = instant(subject.now)
    equal(
        reply.json(),
        [
            {"city_id": TOKYO, "reading_at": at, "temperature": -9.5, "humidity": 50.0},
            {"city_id": PARIS, "reading_at": at, "temperature": -9.5, "humidity": 50.0},
        ],
    )
    by_name = subject.get(LATEST, place=["Tokyo", "Paris,FR"], columns="temperature,humidity")
    equal(by_name.json(), reply.json())


@CHECKS.check
def at_is_the_reading_at_or_before_an_instant(subject):
    time = instant(subject.now - 30)
    rows = subject.get("/api/v1/tables/readings/at", time=time, keys=PARIS).json()
    equal([row["reading_at"] for row in rows], [instant(subject.now - 60)])


@CHECKS.check
def a_range_is_the_same_in_every_format(subject):
    query = {"keys": PARIS, "from": instant(subject.now - 600), "where": "temperature > -5"}
    expected = subject.get(RANGE, **query).json()
    equal(len(expected), 6)
    lines = subject.get(RANGE, format="ndjson", **query).text.splitlines()
    equal([json.loads(line) for line in lines], expected)
    arrow = subject.get(RANGE, {"accept": "application/vnd.apache.arrow.stream"}, **query)
    table = pa.ipc.open_stream(arrow.content).read_all()
    equal(table.column_names, list(expected[0]))
    equal(table["temperature"].to_pylist(), [row["temperature"] for row in expected])
    parquet = subject.get(RANGE, format="parquet", **query)
    equal(parquet.headers["content-type"], "application/vnd.apache.parquet")
    equal(pa.parquet.read_table(io.BytesIO(parquet.content)).to_pylist(), table.to_pylist())
    csv = subject.get(RANGE, {"accept": "text/csv"}, **query)
    read = pa.csv.read_csv(io.BytesIO(csv.content))
    equal(read["city_id"].to_pylist(), table["city_id"].to_pylist())
    equal(read.num_rows, 6)


@CHECKS.check
def windows_are_those_of_tickets(subject):
    rows = subject.get(
        RANGE,
        keys=PARIS,
        every="1h",
        aggregates="precipitation:sum,precipitation:count,temperature:max",
    ).json()
    equal(sum(row["precipitation_count"] for row in rows), MINUTES)
    assert all(row["precipitation_sum"] == row["precipitation_count"] / 4 for row in rows), rows


@CHECKS.check
def large_answers_are_streamed_and_compressed(subject):
    plain = subject.get(RANGE, {"accept-encoding": "identity"})
    equal(len(plain.json()), 2 * MINUTES)
    equal(plain.headers["transfer-encoding"], "chunked")
    packed = subject.get(RANGE, {"accept-encoding": "gzip"})
    equal(packed.headers["content-encoding"], "gzip")
    equal(packed.json(), plain.json())
    raw = subject.http.get(subject.url + RANGE, headers={"accept-encoding": "zstd"}, stream=True)
    equal(raw.headers["content-encoding"], "zstd")
    stream = pa.CompressedInputStream(pa.BufferReader(raw.raw.read(decode_content=False)), "zstd")
    equal(json.loads(stream.read()), plain.json())
    small = subject.get(LATEST, {"accept-encoding": "gzip"}, keys=PARIS, columns="temperature")
    assert "content-encoding" not in small.headers and "content-length" in small.headers


@CHECKS.check
def an_answer_that_has_not_changed_is_not_sent_again(subject):
    for path, query in ((LATEST, {"keys": PARIS}), (RANGE, {"keys": PARIS}), (RANGE, {})):
        reply = subject.get(path, **query)
        tag = reply.headers["etag"]
        again = subject.get(path, {"if-none-match": tag}, **query)
        equal((again.status_code, again.content, again.headers["etag"]), (304, b"", tag))
        other = subject.get(path, {"if-none-match": tag}, format="csv", **query)
        equal(other.status_code, 200)
    query = {"keys": PARIS, "columns": "temperature"}
    tag = subject.get(LATEST, **query).headers["etag"]
    row = {"city_id": PARIS, "reading_at": instant(subject.now), "temperature": 1.5}
    equal(subject.post("/api/v1/tables/readings", json=row).json()["accepted"], 1)
    equal(subject.get(LATEST, {"if-none-match": tag}, **query).status_code, 200)
    equal(subject.post("/api/v1/tables/readings", json=subject.rows[:1]).status_code, 200)
    equal(subject.get(LATEST, {"if-none-match": tag}, **query).status_code, 304)


@CHECKS.check
def an_answer_says_how_long_it_may_be_kept(subject):
    kept = subject.get(LATEST, keys=PARIS).headers["cache-control"]
    assert kept == "no-cache" or 0 < int(kept.removeprefix("max-age=")) <= 60, kept


@CHECKS.check
def sql_is_answered_with_values(subject):
    text = "SELECT city_id, count(*) AS n FROM readings WHERE city_id = $1 GROUP BY city_id"
    reply = subject.post("/api/v1/sql", json={"query": text, "parameters": [PARIS]})
    equal(reply.json(), [{"city_id": PARIS, "n": MINUTES}])
    reply = subject.get("/api/v1/sql", q="SELECT 1 AS a, 'x' AS b", format="csv")
    equal(reply.text, "a,b\n1,x\n")
    wrong = subject.get("/api/v1/sql", q="SELECT nothing FROM readings")
    equal(wrong.status_code, 400)
    assert "nothing" in wrong.json()["detail"], wrong.text


@CHECKS.check
def the_position_of_a_write_is_read_behind(subject):
    row = {"city_id": 2643743, "reading_at": instant(subject.now), "temperature": 7.25}
    reply = subject.post("/api/v1/tables/readings", json=[row])
    position = reply.headers["x-barograph-position"]
    equal(reply.json()["position"], position)
    rows = subject.get(LATEST, keys=2643743, after=position, columns="temperature").json()
    equal([row["temperature"] for row in rows], [7.25])
    rows = subject.get(LATEST, {"x-barograph-after": position}, keys=2643743).json()
    equal(len(rows), 1)


@CHECKS.check
def failures_name_the_thing_the_value_and_the_mend(subject):
    for path, query, status, words in (
        ("/api/v1/tables/nowhere/latest", {}, 404, ["nowhere", "readings"]),
        (RANGE, {"keys": "Paris"}, 400, ["keys", "Paris", "place="]),
        (RANGE, {"kees": "1"}, 400, ["kees", "keys"]),
        (RANGE, {"from": "soon"}, 400, ["soon", "2026"]),
        (RANGE, {"every": "1h"}, 400, ["every", "aggregates"]),
        (RANGE, {"format": "xml"}, 400, ["xml", "parquet"]),
        (RANGE, {"columns": "colour"}, 400, ["colour", "temperature"]),
        ("/api/v1/tables/readings/at", {}, 400, ["time"]),
        ("/api/v1/sql", {}, 400, ["q"]),
        (LATEST, {"after": "soon"}, 400, ["soon", "position"]),
    ):
        reply = subject.get(path, {"x-request-id": "mine-7"}, **query)
        equal((path, query, reply.status_code), (path, query, status))
        equal(reply.headers["content-type"], "application/problem+json")
        problem = reply.json()
        equal((problem["status"], problem["request_id"]), (status, "mine-7"))
        equal(reply.headers["x-request-id"], "mine-7")
        for word in words:
            assert word in problem["detail"], (word, problem)
    reply = subject.post(LATEST)
    equal((reply.status_code, reply.headers["allow"]), (405, "GET, HEAD, OPTIONS"))
    made = subject.get(LATEST, {"x-request-id": "a b"}, keys=PARIS).headers["x-request-id"]
    assert len(made) == 32, made


@CHECKS.check
def head_and_options_are_answered(subject):
    head = subject.http.head(subject.url + LATEST, params={"keys": PARIS})
    equal((head.status_code, head.content), (200, b""))
    equal(head.headers["etag"], subject.get(LATEST, keys=PARIS).headers["etag"])
    options = subject.http.options(subject.url + "/api/v1/sql")
    equal((options.status_code, options.headers["allow"]), (204, "GET, HEAD, POST, OPTIONS"))


@CHECKS.check
def pages_of_allowed_origins_may_ask(subject):
    page = {"origin": "https://page.example"}
    equal(subject.get(LATEST, page, keys=PARIS).headers["access-control-allow-origin"], page["origin"])
    asked = page | {
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
    }
    reply = subject.http.options(subject.url + "/api/v1/sql", headers=asked)
    equal(reply.headers["access-control-allow-headers"], "content-type")
    assert "POST" in reply.headers["access-control-allow-methods"]
    other = subject.get(LATEST, {"origin": "https://other.example"}, keys=PARIS)
    assert "access-control-allow-origin" not in other.headers
    for origin, status in (
        ("https://other.example", 403),
        ("null", 403),
        ("https://page.example", 200),
        (subject.url, 200),
    ):
        reply = subject.post("/api/v1/sql", json={"query": "SELECT 1"}, headers={"origin": origin})
        equal((origin, reply.status_code), (origin, status))


def events(reply):
    event = {}
    for line in reply.iter_lines(decode_unicode=True):
        if not line and event:
            yield event
            event = {}
        elif line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            event[name] = value


@CHECKS.check
def live_readings_come_as_events_and_go_on_where_they_ended(subject):
    path = "/api/v1/tables/readings/live"
    cairo, lima = 360630, 3936456

    def put(city, temperature):
        row = {"city_id": city, "reading_at": instant(subject.now), "temperature": temperature}
        equal(subject.post("/api/v1/tables/readings", json=row).json()["accepted"], 1)

    def follow(headers=None):
        params = {"keys": f"{cairo},{lima}", "columns": "temperature"}
        reply = requests.get(subject.url + path, params=params, headers=headers, stream=True)
        equal((reply.status_code, reply.headers["content-type"]), (200, "text/event-stream"))
        return reply

    put(cairo, 1.5)
    with follow() as reply:
        coming = events(reply)
        first = next(coming)
        equal(first["event"], "readings")
        equal([row["temperature"] for row in json.loads(first["data"])], [1.5])
        put(PARIS, 3.0)
        put(lima, 2.5)
        second = next(coming)
        equal(json.loads(second["data"])[0]["city_id"], lima)
        assert second["id"] > first["id"]
    put(cairo, 4.5)
    with follow({"last-event-id": second["id"]}) as reply:
        third = json.loads(next(events(reply))["data"])
        assert {"city_id": cairo, "reading_at": instant(subject.now), "temperature": 4.5} in third
    equal(subject.post("/api/v1/tables/readings", json=subject.rows[:1]).status_code, 200)
    equal(subject.get(path).status_code, 400)
    equal(subject.get(path, {"last-event-id": "x"}, keys=cairo).status_code, 400)


@CHECKS.check
def the_document_is_valid_openapi(subject):
    document = subject.get("/api/v1/openapi.json").json()
    equal(document["openapi"], "3.1.0")
    validate_openapi(document, cls=OpenAPIV31SpecValidator)
    for path, methods in document["paths"].items():
        for method in methods:
            url = path.replace("{table}", "readings")
            reply = subject.http.request("OPTIONS", subject.url + url)
            assert method.upper() in reply.headers["allow"], (path, method)


@CHECKS.check
def tables_are_listed_with_their_columns(subject):
    tables = {table["name"]: table for table in subject.get("/api/v1/tables").json()["tables"]}
    readings = tables["readings"]
    equal((readings["key"], readings["time"]), ("city_id", "reading_at"))
    units = {column["name"]: column["unit"] for column in readings["columns"]}
    equal(units["temperature"], "°C")


@CHECKS.check
def rows_in_csv_and_lines_are_stored_and_bad_ones_told(subject):
    at = instant(subject.now - 40 * HOUR)
    body = f"city_id,reading_at,temperature\n{PARIS},{at},3.5\n{PARIS},{at},warm\n1,{at},3.5\n"
    reply = subject.post(
        "/api/v1/tables/readings", data=body, headers={"content-type": "text/csv"}
    ).json()
    equal((reply["accepted"], reply["rejected"]), (1, 2))
    equal([row["row"] for row in reply["rejections"]], [3, 4])
    assert "warm" in reply["rejections"][0]["reason"], reply
    assert "not known" in reply["rejections"][1]["reason"], reply
    seconds = subject.now - 41 * HOUR
    lines = json.dumps({"city_id": PARIS, "reading_at": seconds, "humidity": 20}) + "\n{}\n[]\n"
    reply = subject.http.post(
        subject.url + "/api/v1/tables/readings",
        params={"precision": "s"},
        data=gzip.compress(lines.encode()),
        headers={"content-type": "application/x-ndjson", "content-encoding": "gzip"},
    ).json()
    equal((reply["accepted"], reply["rejected"]), (1, 2))
    letters = subject.get("/api/v1/sql", q="SELECT reason FROM dead_letters").json()
    reasons = " ".join(letter["reason"] for letter in letters)
    for word in ("warm", "not known", "city_id is missing", "not an object"):
        assert word in reasons, (word, letters)


@CHECKS.check
def wrong_bodies_are_refused(subject):
    path = "/api/v1/tables/readings"
    kind = {"content-type": "application/json"}
    for body, headers, status in (
        (b"[{", kind, 400),
        (b"x", {"content-type": "text/plain"}, 415),
        (b"[]", kind | {"content-encoding": "br"}, 415),
        (b"[]", kind | {"content-encoding": "gzip"}, 400),
        (b"city,at\n", {"content-type": "text/csv"}, 400),
    ):
        reply = subject.post(path, data=body, headers=headers)
        equal((body, reply.status_code), (body, status))
    large = gzip.compress(bytes(2 << 20))
    reply = subject.post(path, data=large, headers=kind | {"content-encoding": "gzip"})
    equal(reply.status_code, 413)


@CHECKS.check
def a_client_that_leaves_ends_its_answer(subject):
    host, port = subject.url.removeprefix("http://").split(":")
    for _ in range(20):
        with socket.create_connection((host, int(port))) as connection:
            request = f"GET {RANGE} HTTP/1.1\r\nHost: {host}\r\n\r\n"
            connection.sendall(request.encode())
            connection.recv(100)
    equal(subject.get(LATEST, keys=PARIS).status_code, 200)


@CHECKS.check
def requests_are_counted(subject):
    text = subject.get("/metrics").text
    for line in (
        'barograph_http_answers_total{endpoint="latest",status="2xx"}',
        'barograph_http_seconds_count{endpoint="range"}',
        'barograph_query_seconds_count{kind="latest"}',
    ):
        assert line in text, line


if __name__ == "__main__":
    CHECKS.include(OPEN_METEO)
    CHECKS.include(NODE)
    CHECKS.include(STATIONS)
    CHECKS.include(INFLUX)
    sys.exit(CHECKS.run(Subject(sys.argv[1]), *sys.argv[2:]))
