"""Can a large range be fetched in parallel, and is what the server lists what it has?"""

import concurrent.futures
import json
import threading

import pyarrow as pa
import pyarrow.flight as flight

from checks import Checks, equal, same_rows
from readings import DAY, MINUTE, WHOLE_SCHEMA, Model, cities, day
from session import Session, descriptor, range_ticket

CHECKS = Checks()
CITIES = sorted(cities()[200:500])
START = day(20)


def fetch(session, info):
    """All endpoints at the same time, each over a connection of its own; joined in the order of the endpoints."""

    def one(endpoint):
        with session.another() as connection:
            return connection.client.do_get(endpoint.ticket).read_all()

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        return pa.concat_tables(threads.map(one, info.endpoints))


@CHECKS.check
def endpoints_together_give_the_rows_of_one_answer(session: Session):
    """GetFlightInfo by command and by path, in the tail and in the lake: several endpoints, the same rows in order"""
    model = Model()
    session.put(model.make(CITIES, [START + minute * MINUTE for minute in range(100)]))
    ticket = range_ticket(None, START, START + DAY)
    for place in ("tail", "lake"):
        info = session.info(ticket)
        assert len(info.endpoints) > 1, f"{place}: one endpoint; set flight.endpoint_rows lower for these checks"
        equal(info.schema, WHOLE_SCHEMA, f"{place}: schema")
        single = session.get(ticket)
        same_rows(single.drop_columns(["ingested_at"]), model.table(), f"{place}: single answer")
        same_rows(fetch(session, info), single, f"{place}: endpoints")
        if info.total_records >= 0:
            assert info.total_records >= single.num_rows, f"{place}: {info.total_records} records announced"
        whole = session.info(("readings",))
        rows = fetch(session, whole)
        same_rows(rows, session.range(), f"{place}: whole table by path")
        session.flush()


@CHECKS.check
def endpoints_of_narrow_questions(session: Session):
    """filters, columns, windows and limits: the endpoints give what one answer gives, in its schema"""
    for more in (
        {"columns": ["humidity"]},
        {"filter": "temperature > 30"},
        {"every": "1h", "aggregates": {"temperature": ["mean"], "pressure": ["count"]}},
        {"limit": 70},
        {"filter": "temperature > 30", "limit": 70},
    ):
        ticket = range_ticket(CITIES, START, START + DAY, **more)
        info = session.info(ticket)
        single = session.get(ticket)
        equal(info.schema, single.schema, f"schema of {more}")
        same_rows(fetch(session, info), single, f"{more}")
    for ticket in (
        {"v": 1, "table": "readings", "latest": {"keys": CITIES[:3]}},
        range_ticket(CITIES[:1], START - DAY, START),
    ):
        info = session.info(ticket)
        assert len(info.endpoints) >= 1, ticket
        same_rows(fetch(session, info), session.get(ticket), f"{ticket}")


@CHECKS.check
def endpoints_show_one_moment_while_rows_come_and_land(session: Session):
    """another connection puts minute after minute and flushes: the endpoints together show whole minutes only"""
    start, keys = day(21), CITIES[:100]
    model, known = Model(), 0
    sent, acknowledged, stop = [0], [0], threading.Event()
    trouble = []

    def write():
        try:
            with session.another() as connection:
                minute = 0
                while not stop.is_set() and minute < 2_000:
                    batch = Model().make(keys, [start + minute * MINUTE])
                    sent[0] = minute + 1
                    connection.put(batch, "memory")
                    acknowledged[0] = minute + 1
                    minute += 1
                    if minute % 20 == 0:
                        connection.flush()
        except Exception as error:
            trouble.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    several = 0
    try:
        while acknowledged[0] < 160 and not trouble:
            before = acknowledged[0]
            info = session.info(range_ticket(keys, start, start + 2 * DAY))
            after = sent[0]
            rows = fetch(session, info)
            several += len(info.endpoints) > 1
            if len(info.endpoints) == 1:
                # A single endpoint is of one moment by itself: that of its fetching.
                after = sent[0]
            minutes, rest = divmod(rows.num_rows, len(keys))
            equal(rest, 0, "cities short of a minute")
            assert before <= minutes <= after, f"{minutes} minutes seen, {before} acknowledged before, {after} sent"
            model.make(keys, [start + minute * MINUTE for minute in range(known, minutes)])
            known = max(known, minutes)
            expected = model.table(stop=start + minutes * MINUTE)
            same_rows(rows.drop_columns(["ingested_at"]), expected, f"{minutes} minutes")
    finally:
        stop.set()
        writer.join()
    equal(trouble, [], "errors of the writer")
    assert several, "never more than one endpoint: set flight.endpoint_rows lower for these checks"


@CHECKS.check
def tables_are_listed_with_their_schemas(session: Session):
    """ListFlights, GetSchema by path and by command"""
    listed = {tuple(part.decode() for part in info.descriptor.path): info for info in session.client.list_flights()}
    for table in ("readings", "dead_letters"):
        assert (table,) in listed, f"{table} not among {sorted(listed)}"
        schema = session.client.get_schema(descriptor((table,))).schema
        equal(schema, listed[(table,)].schema, f"schema of {table}")
    readings = listed[("readings",)]
    equal(readings.schema, WHOLE_SCHEMA, "schema of readings")
    assert readings.total_records >= len(CITIES) * 100, f"{readings.total_records} records"
    windows = range_ticket(None, START, START + DAY, every="1h", aggregates={"temperature": ["mean"]})
    names = session.client.get_schema(descriptor(windows)).schema.names
    equal(names, ["city_id", "window_start", "temperature_mean"], "schema of windows")


@CHECKS.check
def actions_are_listed_and_run(session: Session):
    """ListActions, flush with its report, plan of a ticket"""
    names = {action.type for action in session.client.list_actions()}
    assert {"flush", "plan"} <= names, names
    at = day(22)
    session.put(Model().make(CITIES, [at + minute * MINUTE for minute in range(3)]))
    report = session.flush()
    assert report["files"] >= 1 and report["rows"] >= 3 * len(CITIES) and report["bytes"] > 0, report
    # Jobs put rows that follow from those that landed; when these have landed too, nothing is left.
    while (report := session.flush())["files"] > 0:
        pass
    equal(report["rows"], 0, "rows of a flush of nothing")
    plan = b"".join(session.action("plan", range_ticket(CITIES[:1], at, at + DAY))).decode()
    assert "readings" in plan and ".parquet" in plan, plan
    try:
        plan = json.loads(plan)
    except ValueError:
        pass


@CHECKS.check
def an_unknown_action_is_refused(session: Session):
    """DoAction of a name that is not listed"""
    try:
        session.action("fly")
    except (pa.ArrowException, flight.FlightError, NotImplementedError, KeyError) as error:
        assert "fly" in str(error), error
    else:
        raise AssertionError("no error")
