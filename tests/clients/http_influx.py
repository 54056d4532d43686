"""Line protocol as InfluxDB 1, 2 and 3 take it, by hand and by their own clients."""

import gzip
import json
import time

import influxdb
import influxdb_client
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
from influxdb_client_3 import InfluxDBClient3, InfluxDBError, Point, WriteOptions, write_client_options
from influxdb_client_3.write_client.client.write_api import WriteType

from checks import Checks, equal

INFLUX = Checks()
BERLIN, ROME, MADRID = 2950159, 3169070, 3117735


def newest(subject, key):
    rows = subject.get("/api/v1/tables/readings/latest", keys=key).json()
    return rows[0] if rows else None


def letters(subject):
    return subject.get("/api/v1/sql", q="SELECT reason, row FROM dead_letters").json()


@INFLUX.check
def lines_become_rows_in_every_unit(subject):
    second = subject.now - 7200
    for path, unit, stamp, seconds in (
        ("/write", "s", second, 0),
        ("/write", "n", (second + 1) * 10**9 + 999, 1),
        ("/write", "u", (second + 2) * 10**6, 2),
        ("/write", "m", second // 60 + 1, 60),
        ("/api/v2/write", "ms", (second + 120) * 1000, 120),
        ("/api/v2/write", None, (second + 121) * 10**9, 121),
        ("/api/v3/write_lp", "second", second + 122, 122),
        ("/api/v3/write_lp", None, second + 123, 123),
        ("/api/v3/write_lp", "auto", (second + 124) * 1000, 124),
    ):
        lines = f"readings,city_id={BERLIN} temperature={len(path)} {stamp}\n"
        query = {"precision": unit} if unit else {}
        reply = subject.http.post(
            subject.url + path,
            params=query,
            data=gzip.compress(lines.encode()),
            headers={"content-encoding": "gzip"},
        )
        equal((path, unit, reply.status_code, reply.content), (path, unit, 204, b""))
        assert "x-barograph-position" in reply.headers
        row = newest(subject, BERLIN)
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second + seconds))
        told = (row["temperature"], row["reading_at"])
        equal((path, unit, told), (path, unit, (float(len(path)), at)))


@INFLUX.check
def fields_of_one_key_and_instant_are_one_row(subject):
    at = subject.now - 600
    lines = (
        "# a comment\n"
        f"readings,city_id=Rome,host=a temperature=20.5 {at}\n\n"
        f"readings,city_id=Rome humidity=40i,wind_direction=90.0 {at}\n"
    )
    reply = subject.post("/write?precision=s&db=x", data=lines.encode())
    equal((reply.status_code, reply.text), (204, ""))
    row = newest(subject, ROME)
    equal((row["temperature"], row["humidity"], row["wind_direction"]), (20.5, 40.0, 90))


@INFLUX.check
def measurements_are_mapped_as_the_settings_say(subject):
    lines = f"weather,station=Madrid\\,ES,site=roof temp=9.5,battery=3.3,wind=2 {subject.now}"
    reply = subject.post("/api/v2/write?precision=s&bucket=b&org=o", data=lines.encode())
    equal((reply.status_code, reply.text), (204, ""))
    row = newest(subject, MADRID)
    equal((row["temperature"], row["wind_speed"]), (9.5, 2.0))


@INFLUX.check
def a_time_that_is_left_out_is_now(subject):
    before = time.time()
    equal(subject.post("/write", data=f"readings city_id={ROME}i,temperature=1".encode()).status_code, 204)
    row = newest(subject, ROME)
    equal(row["temperature"], 1.0)
    assert row["reading_at"] >= time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(before - 1)), row


@INFLUX.check
def bad_lines_are_told_and_kept_and_good_ones_stored(subject):
    at = subject.now - 300
    bad = {
        2: (f"readings,city_id={ROME} temperature=warm {at}", "warm"),
        3: (f"readings,city_id={ROME} colour=1 {at}", "colour"),
        4: (f"nowhere,city_id={ROME} temperature=1 {at}", "nowhere"),
        5: (f'readings,city_id={ROME} temperature="1" {at}', "temperature"),
        6: (f"readings temperature=1 {at}", "city_id"),
        7: (f"readings,city_id=Xanadu9 temperature=1 {at}", "Xanadu9"),
        8: (f"readings,city_id={ROME} temperature=99 {at - 60}", "outside"),
        9: (f"readings,city_id={ROME} temperature=1 soon", "soon"),
        10: ("readings", "fields"),
        11: (f"readings,city_id={ROME} wind_direction=0.5 {at}", "whole"),
        12: (f"readings,city_id={ROME},team=x temperature=1 {at}", "team"),
    }
    lines = [f"readings,city_id={ROME} temperature=12.25 {at}"]
    lines += [line for line, _ in bad.values()]
    lines += [f"readings,city_id={ROME} temperature=13.25 {at + 60}"]
    body = "\n".join(lines).encode()
    reply = subject.post("/api/v3/write_lp?precision=second", data=body)
    equal(reply.status_code, 400)
    equal(reply.json()["error"], "partial write of line protocol occurred")
    told = {row["line_number"]: row for row in reply.json()["data"]}
    equal(sorted(told), sorted(bad))
    for number, (line, word) in bad.items():
        assert word in told[number]["error_message"], (word, told[number])
        if number != 8:
            equal(told[number]["original_line"], line)
    rows = subject.get(
        "/api/v1/tables/readings/range", keys=ROME, where="temperature in (12.25, 13.25)"
    ).json()
    equal(len(rows), 2)
    kept = letters(subject)
    for number, (line, word) in bad.items():
        found = [letter for letter in kept if word in letter["reason"]]
        assert found, (word, kept)
        if number != 8:
            assert any(json.loads(letter["row"]).get("line") == line for letter in found), (line, found)
    old = subject.post("/write?precision=s", data=body)
    assert old.json()["error"].startswith("partial write: line 2: "), old.text
    assert "dropped=11" in old.json()["error"] and "x-influxdb-error" in old.headers
    two = subject.post("/api/v2/write?precision=s", data=body).json()
    equal((two["code"], two["line"]), ("invalid", 2))
    all_bad = subject.post("/write", data=b"readings\n")
    assert all_bad.json()["error"].startswith("unable to parse"), all_bad.text


@INFLUX.check
def nothing_is_stored_if_no_part_shall_be(subject):
    before = len(letters(subject))
    lines = f"readings,city_id={MADRID} temperature=33.5 {subject.now - 900}\nreadings\n"
    reply = subject.post("/api/v3/write_lp?accept_partial=false&precision=second", data=lines.encode())
    equal((reply.status_code, reply.json()["error"]), (400, "parsing failed for write_lp endpoint"))
    rows = subject.get("/api/v1/tables/readings/range", keys=MADRID, where="temperature = 33.5")
    equal((rows.json(), len(letters(subject))), ([], before))


@INFLUX.check
def wrong_requests_are_refused_in_the_words_of_their_version(subject):
    equal(subject.post("/write?precision=d", data=b"").json().keys(), {"error"})
    reply = subject.post("/api/v2/write?precision=d", data=b"")
    equal((reply.status_code, reply.json()["code"]), (400, "invalid"))
    large = gzip.compress(bytes(2 << 20))
    reply = subject.post("/api/v2/write", data=large, headers={"content-encoding": "gzip"})
    equal((reply.status_code, reply.json()["code"]), (413, "request too large"))
    equal(subject.post("/write", data=b"").status_code, 204)


@INFLUX.check
def many_lines_are_stored(subject):
    start = subject.now - 30 * 86400
    count = 150_000
    lines = "".join(
        f"readings,city_id={MADRID} temperature={i % 50},humidity={i % 100},pressure=1000 {start + i}\n"
        for i in range(count)
    )
    reply = subject.post(
        "/api/v2/write?precision=s",
        data=gzip.compress(lines[: 900_000].rsplit("\n", 1)[0].encode()),
        headers={"content-encoding": "gzip"},
    )
    equal((reply.status_code, reply.text), (204, ""))
    expected = lines[:900_000].rsplit("\n", 1)[0].count("\n") + 1
    text = f"SELECT count(*) AS n FROM readings WHERE city_id = {MADRID} AND pressure = 1000"
    equal(subject.get("/api/v1/sql", q=text).json(), [{"n": expected}])


@INFLUX.check
def the_client_of_influxdb_1_writes(subject):
    host, port = subject.url.removeprefix("http://").split(":")
    client = influxdb.InfluxDBClient(host, int(port), database="weather", gzip=True)
    assert client.ping().startswith("barograph")
    point = {
        "measurement": "readings",
        "tags": {"city_id": str(ROME)},
        "time": subject.now - 60,
        "fields": {"temperature": 4.75},
    }
    assert client.write_points([point], time_precision="s")
    try:
        client.write_points([point | {"fields": {"colour": 1.0}}], time_precision="s")
        raise AssertionError("a bad point was taken")
    except influxdb.exceptions.InfluxDBClientError as error:
        equal(error.code, 400)
        assert "colour" in error.content, error.content


@INFLUX.check
def the_client_of_influxdb_2_writes(subject):
    with influxdb_client.InfluxDBClient(subject.url, token="t", org="o", enable_gzip=True) as client:
        assert client.ping()
        assert client.version().startswith("barograph")
        equal(client.health().name, "barograph")
        write = client.write_api(write_options=SYNCHRONOUS)
        point = influxdb_client.Point("readings").tag("city_id", "Berlin").field("temperature", 6.5)
        write.write("bucket", record=point.time(subject.now, influxdb_client.WritePrecision.S))
        equal(newest(subject, BERLIN)["temperature"], 6.5)
        try:
            write.write("bucket", record="readings,city_id=Berlin colour=1")
            raise AssertionError("a bad point was taken")
        except ApiException as error:
            equal(error.status, 400)
            assert "colour" in error.message, error.message


@INFLUX.check
def the_client_of_influxdb_3_writes(subject):
    for uses_version_2 in (True, False):
        how = WriteOptions(
            write_type=WriteType.synchronous, use_v2_api=uses_version_2, max_retries=0
        )
        options = write_client_options(write_options=how)
        temperature = 7.5 + uses_version_2
        with InfluxDBClient3(
            host=subject.url, database="weather", token="t", write_client_options=options
        ) as client:
            point = Point("readings").tag("city_id", "Berlin").field("temperature", temperature)
            client.write(record=point.time(subject.now, write_precision="s"), write_precision="s")
            equal(newest(subject, BERLIN)["temperature"], temperature)
            try:
                client.write(record="readings,city_id=Berlin colour=1")
                raise AssertionError("a bad point was taken")
            except InfluxDBError as error:
                assert "colour" in str(error), error
