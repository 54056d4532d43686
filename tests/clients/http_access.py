"""Attempts to get past access over HTTP: by each path, without credentials, with wrong ones, and with those of a role that is
given one column of one city, or may only write.

    python http_access.py http://127.0.0.1:8815 ADMIN READER WRITER

The role `reader` reads the column `temperature` of Paris in `readings`, `writer` puts rows into `readings`.
"""

import json
import sys
import time

import requests

from checks import Checks, equal

CHECKS = Checks()
PARIS, TOKYO = 2988507, 1850147
TABLE = "/api/v1/tables/readings"
READS = (
    "/api/v1/tables",
    f"{TABLE}/latest?keys={PARIS}",
    f"{TABLE}/at?keys={PARIS}&time=2100-01-01",
    f"{TABLE}/range",
    f"{TABLE}/live?keys={PARIS}",
    "/api/v1/sql?q=SELECT+1",
    f"/v1/forecast?id={PARIS}&current=temperature_2m",
    f"/v1/archive?id={PARIS}&hourly=temperature_2m&start_date=2026-01-01&end_date=2026-01-01",
)
WRITES = (TABLE, "/write", "/api/v2/write", "/api/v3/write_lp")


class Subject:
    def __init__(self, url, admin, reader, writer):
        self.url, self.admin, self.reader, self.writer = url, admin, reader, writer
        self.now = int(time.time()) // 60 * 60
        self.at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.now))
        rows = [
            {"city_id": city, "reading_at": self.at, "temperature": 20.5, "humidity": 33.0}
            for city in (PARIS, TOKYO)
        ]
        equal(self.ask(TABLE, admin, json=rows).json()["accepted"], 2)

    def ask(self, path, token, headers=None, scheme="Bearer", **body):
        headers = dict(headers or {})
        if token:
            headers["authorization"] = f"{scheme} {token}"
        method = "POST" if body else "GET"
        return requests.request(method, self.url + path, headers=headers, stream="live" in path, **body)

    def sql(self, text, token):
        return self.ask("/api/v1/sql", token, json={"query": text})


def body_of(path):
    kind = {"content-type": "application/json"} if path == TABLE else {}
    row = json.dumps([{"city_id": PARIS, "reading_at": "2026-01-01", "temperature": 1}])
    return kind, row if path == TABLE else f"readings,city_id={PARIS} temperature=1"


@CHECKS.check
def nobody_is_answered_without_credentials_that_are_known(subject):
    for path in READS:
        for token in (None, "wrong", subject.reader[:-1], subject.reader + "x"):
            reply = subject.ask(path, token)
            equal((path, token, reply.status_code), (path, token, 401))
            assert "Bearer" in reply.headers["www-authenticate"]
            assert "20.5" not in reply.text
        equal(subject.ask(path, subject.admin, scheme="Digest").status_code, 401)
    for path in WRITES:
        kind, body = body_of(path)
        equal((path, subject.ask(path, None, kind, data=body).status_code), (path, 401))
    for path in ("/health", "/ready", "/version", "/ping", "/api/v1/openapi.json"):
        assert subject.ask(path, None).status_code in (200, 204), path


@CHECKS.check
def credentials_are_taken_in_every_form(subject):
    path = f"{TABLE}/latest?keys={PARIS}&columns=temperature"
    for reply in (
        subject.ask(path, subject.reader),
        subject.ask(path, subject.reader, scheme="Token"),
        requests.get(subject.url + path, auth=("dashboard", subject.reader)),
    ):
        equal([row["temperature"] for row in reply.json()], [20.5])
    equal(requests.get(subject.url + path, auth=("operator", subject.reader)).status_code, 401)


@CHECKS.check
def a_reader_sees_its_column_of_its_city_by_every_path(subject):
    for path in (f"{TABLE}/latest", f"{TABLE}/at?time=2100-01-01", f"{TABLE}/range"):
        reply = subject.ask(path, subject.reader)
        equal(reply.status_code, 200)
        for row in reply.json():
            equal(set(row), {"city_id", "reading_at", "temperature", "ingested_at"})
            equal(row["city_id"], PARIS)
    for path in (
        f"{TABLE}/latest?keys={TOKYO}",
        f"{TABLE}/latest?place=Tokyo",
        f"{TABLE}/range?keys={TOKYO}",
        f"{TABLE}/range?where=city_id={TOKYO}",
        f"{TABLE}/range?every=1h&aggregates=temperature:count&keys={TOKYO}",
    ):
        equal((path, subject.ask(path, subject.reader).json()), (path, []))
    for path in (
        f"{TABLE}/latest?columns=humidity",
        f"{TABLE}/range?columns=humidity",
        f"{TABLE}/range?where=humidity=33",
        f"{TABLE}/range?every=1h&aggregates=humidity:max",
        f"/v1/forecast?id={PARIS}&current=relative_humidity_2m",
        f"/v1/forecast?id={PARIS}&daily=relative_humidity_2m_mean",
    ):
        reply = subject.ask(path, subject.reader)
        equal((path, reply.status_code), (path, 400))
        said = reply.json().get("detail") or reply.json()["reason"]
        assert "33" not in said.replace("humidity=33", ""), said
    answer = subject.ask(f"/v1/forecast?id={TOKYO}&current=temperature_2m&hourly=temperature_2m", subject.reader).json()
    equal(answer["current"]["temperature_2m"], None)
    equal(set(answer["hourly"]["temperature_2m"]), {None})
    answer = subject.ask(f"/v1/forecast?id={PARIS}&current=temperature_2m", subject.reader).json()
    equal(answer["current"]["temperature_2m"], 20.5)


@CHECKS.check
def a_reader_sees_no_other_table_and_cannot_tell_whether_there_is_one(subject):
    tables = subject.ask("/api/v1/tables", subject.reader).json()["tables"]
    equal([table["name"] for table in tables], ["readings"])
    equal((tables[0]["rows"], tables[0]["bytes"]), (None, None))
    names = [column["name"] for column in tables[0]["columns"]]
    assert "humidity" not in names and "temperature" in names, names
    replies = [
        subject.ask(f"/api/v1/tables/{name}/latest?keys=1", subject.reader)
        for name in ("dead_letters", "nowhere")
    ]
    equal([reply.status_code for reply in replies], [403, 403])
    details = [reply.json()["detail"] for reply in replies]
    equal(details[0].replace("dead_letters", "nowhere"), details[1])
    for text in (
        "SELECT * FROM dead_letters",
        "SELECT humidity FROM readings",
        "SELECT * FROM system.audit",
    ):
        assert subject.sql(text, subject.reader).status_code in (400, 403), text
    equal(subject.sql("SELECT count(*) AS n FROM readings", subject.reader).json(), [{"n": 1}])


@CHECKS.check
def what_others_write_is_not_told_by_tags_and_ages(subject):
    path = f"{TABLE}/range?keys={PARIS}"
    tag = subject.ask(path, subject.reader).headers["etag"]
    row = {"city_id": TOKYO, "reading_at": subject.at, "temperature": 21.5, "humidity": 33.0}
    equal(subject.ask(TABLE, subject.admin, json=row).json()["accepted"], 1)
    reply = subject.ask(path, subject.reader, {"if-none-match": tag})
    equal((reply.status_code, reply.headers["cache-control"]), (304, "no-cache"))
    live = subject.ask(f"{TABLE}/live?keys={PARIS},{TOKYO}", subject.reader)
    lines = live.iter_lines(decode_unicode=True)
    first = [next(lines), next(lines)]
    equal(first[0], "event: readings")
    equal({row["city_id"] for row in json.loads(first[1].removeprefix("data: "))}, {PARIS})
    live.close()


@CHECKS.check
def a_writer_writes_and_reads_nothing(subject):
    for path in WRITES:
        kind, body = body_of(path)
        reply = subject.ask(path, subject.writer, kind, data=body)
        assert reply.status_code in (200, 204), (path, reply.text)
        equal((path, subject.ask(path, subject.reader, kind, data=body).status_code), (path, 403))
    for path in READS[1:4]:
        equal((path, subject.ask(path, subject.writer).status_code), (path, 403))
    equal(subject.ask("/api/v1/tables", subject.writer).json(), {"tables": []})
    assert subject.sql("SELECT * FROM readings", subject.writer).status_code in (400, 403)
    letter = subject.ask("/api/v1/tables/dead_letters", subject.writer, json=[{"reason": "x"}])
    equal(letter.status_code, 403)
    reply = subject.ask("/write", subject.writer, data="dead_letters id=1i\nreadings\n")
    equal(reply.status_code, 400)
    assert "is no table" in reply.text, reply.text
    # By this member a redrive reads a letter back as a row: none that a client has sent is kept.
    forged = {"city_id": TOKYO, "reading_at": subject.at, "temperature": 12.125, "$types": "int32"}
    subject.ask(TABLE, subject.writer, json=forged)
    kept = """SELECT "row" AS kept FROM dead_letters WHERE "row" LIKE '%12.125%'"""
    letters = subject.sql(kept, subject.admin).json()
    equal(len(letters), 1)
    assert "$types" not in letters[0]["kept"], letters


@CHECKS.check
def stations_are_let_in_by_a_token_in_their_form(subject):
    form = {"dateutc": "now", "tempf": "50"}
    for path, station, place in (
        ("/weatherstation/updateweatherstation.php", "ID", "PASSWORD"),
        ("/data/report/", "PASSKEY", "token"),
    ):

        def send(token, headers=None):
            query = {place: token} if token else {}
            values = {station: PARIS, **form}
            if station == "ID":
                return requests.get(subject.url + path, params=query | values, headers=headers)
            return requests.post(subject.url + path, params=query, data=values, headers=headers)

        for token in (None, "wrong", subject.writer[:-1], "\u20ac"):
            reply = send(token)
            equal((path, token, reply.status_code), (path, token, 401))
            assert reply.text.startswith("INVALIDPASSWORDID|"), reply.text
        reply = send(subject.writer)
        equal((path, reply.status_code, reply.text), (path, 200, "success\n"))
        equal((path, send(subject.reader).status_code), (path, 403))
        # The header goes first: a parameter adds no right to what it says.
        reply = send(subject.admin, {"authorization": "Bearer wrong"})
        equal((path, reply.status_code), (path, 401))
    # No other path takes a token from its address.
    equal(requests.get(f"{subject.url}{TABLE}/latest", params={"token": subject.admin}).status_code, 401)
    kept = """SELECT count(*) AS n FROM dead_letters WHERE reason LIKE '%{}%' OR "row" LIKE '%{}%'"""
    equal(subject.sql(kept.format(subject.writer, subject.writer), subject.admin).json(), [{"n": 0}])


@CHECKS.check
def requests_are_recorded_with_who_asked(subject):
    kind, body = body_of(TABLE)
    refused = subject.ask(f"{TABLE}?precision=d", subject.writer, kind, data=body)
    equal(refused.status_code, 400)
    # They are written a moment after the answer; long enough for any test.
    for _ in range(12_000):
        rows = subject.sql(
            "SELECT identity, action, outcome FROM system.audit WHERE door = 'http'", subject.admin
        ).json()
        seen = {(row["identity"], row["action"], row["outcome"]) for row in rows}
        wanted = {
            ("sensor", "write_v2", "done"),
            ("sensor", "wunderground", "done"),
            ("sensor", "ecowitt", "done"),
            ("dashboard", "ecowitt", "denied"),
            ("sensor", "latest", "denied"),
            ("sensor", "put", "failed"),
            ("", "latest", "unauthenticated"),
        }
        if wanted <= seen:
            return
        time.sleep(0.05)
    raise AssertionError(seen)


if __name__ == "__main__":
    sys.exit(CHECKS.run(Subject(*sys.argv[1:5]), *sys.argv[5:]))
