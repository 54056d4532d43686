"""What can programs in JavaScript do, by the Flight SQL client that npm has?"""

import contextlib
import json
import os
import pathlib
import signal

import pyarrow as pa

import node
import sql_data as data
from sql_matrix import Matrix

MATRIX = Matrix()
DRIVER = "flight-sql-client (Node)"
PACKAGE = "@lakehouse-rs/flight-sql-client"
VERSION = "0.0.10"
# The server says it, the client does not pass it on.
HALF = "half"
SCRIPT = pathlib.Path(__file__).with_suffix(".cjs")


def can(feature):
    return MATRIX.can(DRIVER, feature)


def calling(subject, call, argument=None, **headers):
    """A process that calls a method of the client."""
    request = {"port": subject.port, "headers": [{"key": k, "value": v} for k, v in headers.items()], "call": call}
    if argument is not None:
        request["argument"] = argument
    return node.started(SCRIPT, json.dumps(request), f"{PACKAGE}@{VERSION}")


def called(subject, call, argument=None, **headers):
    """What a method of the client gives: a table, or the message of its error."""
    process = calling(subject, call, argument, **headers)
    answer, error = process.communicate()
    if process.returncode:
        return error.decode()
    return pa.ipc.open_file(pa.py_buffer(answer)).read_all()


def query(subject, text, **headers):
    return called(subject, "query", text, **headers)


@can("statement")
def statement(subject):
    data.same(query(subject, data.TEMPERATURES.format(data.CITIES[9])), data.temperatures(), "temperatures")


@can("empty")
def empty(subject):
    rows = query(subject, "SELECT * FROM readings WHERE city_id = -1")
    assert rows.num_rows == 0 and rows.schema.names[:2] == ["city_id", "reading_at"], rows.schema


@can("types")
def types(subject):
    data.check_types(query(subject, data.TYPES_QUERY))


@can("wide")
def wide(subject):
    rows = query(subject, data.WIDE)
    assert (rows.num_rows, rows.num_columns) == (1, 1_000)


@can("large")
def large(subject):
    rows = query(subject, data.LARGE)
    assert rows.num_rows == data.LARGE_ROWS and rows["n"].to_pylist() == list(range(1, data.LARGE_ROWS + 1))


@can("partitions")
def partitions(subject):
    # The client fetches all parts by itself and gives them as one.
    rows = query(subject, data.MANY, **{data.ENDPOINTS_HEADER: str(data.ENDPOINTS)})
    data.same(rows, data.of_many(), "the parts")


@can("objects")
def objects(subject):
    assert called(subject, "getCatalogs").to_pylist() == [{"catalog_name": "barograph"}]
    schemas = called(subject, "getDbSchemas", {})["db_schema_name"].to_pylist()
    assert {"public", "system"} <= set(schemas), schemas
    tables = called(subject, "getTables", {"dbSchemaFilterPattern": "public", "tableNameFilterPattern": "%dings"})
    assert tables["table_name"].to_pylist() == ["readings"], tables


@can("table_schema")
def table_schema(subject):
    tables = called(subject, "getTables", {"tableNameFilterPattern": "readings", "includeSchema": True})
    schema = pa.ipc.read_schema(pa.py_buffer(tables["table_schema"][0].as_py()))
    assert schema.names[:3] == ["city_id", "reading_at", "temperature"], schema


@can("syntax_error")
def syntax_error(subject):
    assert "Error" in query(subject, "SELEC 1")
    return HALF


@can("missing_table")
def missing_table(subject):
    assert "Error" in query(subject, "SELECT * FROM reedings")
    return HALF


@can("timeout")
def timeout(subject):
    # The client waits on when an answer breaks off: the server is asked what became of the statement.
    slow = data.SLOW.replace("count(*)", "count(*) AS waited")
    became = "SELECT state FROM system.queries WHERE text LIKE '%AS waited%' AND text NOT LIKE '%system%'"
    process = calling(subject, "query", slow, **{"x-barograph-timeout": "100ms"})
    try:
        while True:
            ended = process.poll() is not None
            states = query(subject, became)["state"].to_pylist()
            if not set(states) <= {"queued", "planning", "running"}:
                break
            assert not ended, process.communicate()
        assert states == ["timed out"], states
    finally:
        # The command may be a script that has started Node: both are to go.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    return HALF


@can("time_zone")
def time_zone(subject):
    assert "Asia/Tokyo" in query(subject, data.ZONE, **{"x-barograph-time-zone": "Asia/Tokyo"}).to_pylist()[0]["zone"]


@can("updates")
def updates(subject):
    assert "Error" in query(subject, "DELETE FROM readings")
    return HALF
