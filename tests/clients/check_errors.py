"""Does every wrong ticket get a clear status and a message that names what is wrong?"""

import json

import pyarrow as pa
import pyarrow.flight as flight

from checks import Checks, equal, fails
from readings import DAY, day
from session import Session, descriptor, instant

CHECKS = Checks()
FROM, TO = instant(day(0)), instant(day(0) + DAY)
LATEST = {"v": 1, "table": "readings", "latest": {"keys": [2988507]}}
AT = {"v": 1, "table": "readings", "at": {"keys": [2988507], "time": FROM}}
RANGE = {"v": 1, "table": "readings", "range": {"keys": [2988507], "from": FROM, "to": TO}}
WINDOWS = {**RANGE, "every": "1h", "aggregates": {"temperature": ["mean"]}}


def changed(ticket, **more):
    """The ticket with fields set, or left out where None; `range_to=…` sets a field inside `range`."""
    ticket = json.loads(json.dumps(ticket))
    for name, value in more.items():
        place, name = (ticket[name[:5]], name[6:]) if name.startswith("range_") else (ticket, name)
        if value is None:
            place.pop(name, None)
        else:
            place[name] = value
    return ticket


# What is wrong, the ticket, what the message must say.
WRONG = [
    ("nothing", b"", ["empty"]),
    ("not JSON", b"latest please", ["JSON"]),
    ("cut off", b'{"v":1,"table":"readings"', ["JSON"]),
    ("not UTF-8", b'{"v":1,"table":"\xff"}', ["ticket"]),
    ("a list", b"[]", ["ticket"]),
    ("an unknown field", changed(LATEST, tabel=1), ["tabel", "table"]),
    ("an unknown field of latest", changed(LATEST, latest={"kees": [1]}), ["kees", "keys"]),
    ("an unknown field of at", changed(AT, at={"keys": [1], "when": FROM}), ["when", "time"]),
    ("an unknown field of range", changed(RANGE, range_until=TO), ["until", "to"]),
    ("no version", changed(LATEST, v=None), ["version", '"v":1']),
    ("another version", changed(LATEST, v=2), ["version 2", '"v":1']),
    ("a version in quotes", changed(LATEST, v="1"), ["v"]),
    ("no table", changed(LATEST, table=None), ["table"]),
    ("nothing to read", {"v": 1, "table": "readings"}, ["latest", "at", "range"]),
    ("two things to read", {**LATEST, **RANGE}, ["latest", "range"]),
    ("keys that are no list", changed(LATEST, latest={"keys": 2988507}), ["keys"]),
    ("keys that are text", changed(LATEST, latest={"keys": ["Paris"]}), ["Paris"]),
    ("a key that is no integer", changed(LATEST, latest={"keys": [1.5]}), ["1.5"]),
    ("a key of more than 32 bits", changed(LATEST, latest={"keys": [1 << 40]}), [str(1 << 40), "32"]),
    ("at without a time", changed(AT, at={"keys": [1]}), ["time"]),
    ("a time that is none", changed(AT, at={"keys": [1], "time": "noon"}), ["noon"]),
    ("a time that is a number", changed(AT, at={"keys": [1], "time": 12}), ["12"]),
    ("a day that is none", changed(RANGE, range_from="2026-02-30"), ["2026-02-30"]),
    ("to before from", changed(RANGE, range_from=TO, range_to=FROM), ["from", "to", "2025-03-02"]),
    ("to equal to from", changed(RANGE, range_to=FROM), ["from", "to"]),
    ("an unknown column", changed(LATEST, columns=["temprature"]), ["temprature", "temperature"]),
    ("a column twice", changed(LATEST, columns=["humidity", "humidity"]), ["humidity", "twice"]),
    ("columns that are no list", changed(LATEST, columns="humidity"), ["humidity"]),
    ("a filter of latest", changed(LATEST, filter="humidity > 1"), ["filter", "range"]),
    ("a filter that is no SQL", changed(RANGE, filter="temperature >"), ["temperature >"]),
    ("a filter of an unknown column", changed(RANGE, filter="temprature > 1"), ["temprature"]),
    ("a filter that is no condition", changed(RANGE, filter="temperature + 1"), ["temperature + 1"]),
    ("a filter with two statements", changed(RANGE, filter="humidity > 1; drop table readings"), [";"]),
    ("a limit of 0", changed(RANGE, limit=0), ["limit"]),
    ("a limit below 0", changed(RANGE, limit=-1), ["limit"]),
    ("a limit in quotes", changed(RANGE, limit="10"), ["limit"]),
    ("a limit of latest", changed(LATEST, limit=1), ["limit", "range"]),
    ("windows without aggregates", changed(WINDOWS, aggregates=None), ["aggregates"]),
    ("aggregates without windows", changed(WINDOWS, every=None), ["every"]),
    ("windows of no length", changed(WINDOWS, every="0s"), ["every"]),
    ("windows of unknown length", changed(WINDOWS, every="1 fortnight"), ["every", "fortnight"]),
    ("an unknown aggregate", changed(WINDOWS, aggregates={"temperature": ["median"]}), ["median", "mean"]),
    ("an aggregate twice", changed(WINDOWS, aggregates={"temperature": ["mean", "mean"]}), ["temperature", "twice"]),
    ("no aggregates", changed(WINDOWS, aggregates={}), ["aggregates"]),
    ("aggregates of an unknown column", changed(WINDOWS, aggregates={"rain": ["sum"]}), ["rain"]),
    ("aggregates of the key", changed(WINDOWS, aggregates={"city_id": ["sum"]}), ["city_id"]),
    ("windows and columns", changed(WINDOWS, columns=["humidity"]), ["columns", "aggregates"]),
    ("windows of latest", {**LATEST, "every": "1h", "aggregates": {"humidity": ["max"]}}, ["range"]),
]


@CHECKS.check
def wrong_tickets_are_refused_by_do_get(session: Session):
    """INVALID_ARGUMENT with a message that names field, value and mend; a good ticket is answered after each"""
    trouble = []
    for what, ticket, fragments in WRONG:
        try:
            fails(lambda ticket=ticket: session.get(ticket), pa.ArrowInvalid, *fragments)
            session.get(LATEST)
        except AssertionError as error:
            trouble.append(f"{what}: {error}")
    assert not trouble, "\n  ".join([f"{len(trouble)} of {len(WRONG)} wrong tickets:", *trouble])


@CHECKS.check
def wrong_commands_are_refused_by_get_flight_info_and_get_schema(session: Session):
    """the same tickets as command of a descriptor"""
    trouble = []
    for what, ticket, fragments in WRONG:
        if not ticket:
            continue
        for call in (session.client.get_flight_info, session.client.get_schema):
            try:
                fails(lambda: call(descriptor(ticket)), pa.ArrowInvalid, *fragments)
            except AssertionError as error:
                trouble.append(f"{what}: {error}")
    assert not trouble, "\n  ".join(["wrong commands:", *trouble])


@CHECKS.check
def what_is_not_there_is_not_found(session: Session):
    """NOT_FOUND: a table that is not there (the message lists those that are), endpoints that have expired"""
    for call in (session.get, session.info):
        fails(lambda: call(changed(LATEST, table="reedings")), KeyError, "reedings", "readings", "dead_letters")
    fails(lambda: session.info(("reedings",)), KeyError, "reedings", "readings")
    fails(lambda: session.info(("readings", "2026")), pa.ArrowInvalid, "2026")
    fails(lambda: session.get(changed(RANGE, view="0-0")), KeyError, "0-0", "GetFlightInfo")


@CHECKS.check
def too_large_a_ticket_is_refused_with_the_bounds_name(session: Session):
    """more keys and more bytes than the settings allow"""
    many = changed(LATEST, latest={"keys": list(range(1, 100_002))})
    fails(lambda: session.get(many), pa.ArrowInvalid, "ticket_keys_max", "100000")
    padded = json.dumps(LATEST) + " " * (2 << 20)
    fails(lambda: session.get(padded), Exception, "ticket_bytes_max")
    equal(session.get(LATEST).num_columns, 9, "columns of a good ticket afterwards")


@CHECKS.check
def a_deadline_ends_a_call_with_an_error(session: Session):
    """the client's own timeout: never a short answer that looks whole"""
    options = flight.FlightCallOptions(timeout=0.000_1)
    ticket = flight.Ticket(json.dumps({"v": 1, "table": "readings", "range": {}}))
    fails(lambda: session.client.do_get(ticket, options).read_all(), flight.FlightTimedOutError)
