"""What can older and plainer clients do: flightsql-dbapi, which knows no handles that change, and pyarrow.flight with
messages of Flight SQL packed by hand?"""

import pyarrow as pa
import pyarrow.flight as flight
from flightsql import FlightSQLClient, connect, flightsql_pb2
from flightsql.client import TableRef
from google.protobuf import any_pb2

import sql_data as data
from sql_matrix import Matrix

MATRIX = Matrix()
OLD = "flightsql-dbapi"
PLAIN = "pyarrow.flight"
SQLSTATE = "(SQLSTATE "


def can(driver, feature):
    return MATRIX.can(driver, feature)


def client(subject):
    return FlightSQLClient(host=subject.host, port=subject.port, insecure=True)


def execute(subject, text, *parameters):
    cursor = connect(client(subject)).cursor()
    cursor.execute(text, list(parameters))
    return cursor


def read(subject, info):
    return client(subject).do_get(info.endpoints[0].ticket).read_all()


def fails(call, kind, *words):
    try:
        answer = call()
    except kind as error:
        for word in words:
            assert word in str(error), f"{word!r} is not in {error}"
        return
    raise AssertionError(f"no error, but {answer!r}")


@can(OLD, "statement")
def old_statement(subject):
    rows = execute(subject, data.TEMPERATURES.format(data.CITIES[9])).fetchall()
    expected = data.temperatures().to_pydict()
    assert [row[0] for row in rows] == expected["city_id"]


@can(OLD, "empty")
def old_empty(subject):
    cursor = execute(subject, "SELECT * FROM readings WHERE city_id = -1")
    assert cursor.fetchall() == [] and len(cursor.description) == 9


@can(OLD, "types")
def old_types(subject):
    data.check_types(read(subject, client(subject).execute(data.TYPES_QUERY)))


@can(OLD, "wide")
def old_wide(subject):
    assert execute(subject, data.WIDE).fetchall() == [list(range(1_000))]


@can(OLD, "large")
def old_large(subject):
    assert read(subject, client(subject).execute(data.LARGE)).num_rows == data.LARGE_ROWS


@can(OLD, "parameters")
def old_parameters(subject):
    text = "SELECT count(*) AS n FROM readings WHERE city_id = ? AND reading_at >= ?"
    start = data.instant(data.START).isoformat()
    expected = len(data.MODEL.select(keys=[data.CITIES[3]], start=data.START))
    assert execute(subject, text, data.CITIES[3], start).fetchall() == [[expected]]


@can(OLD, "parameter_types")
def old_parameter_types(subject):
    for value in (True, -7, 0.1, "é'", b"\x00\xff"):
        assert execute(subject, "SELECT ? AS v", value).fetchall() == [[value]], value


@can(OLD, "many_parameters")
def old_many_parameters(subject):
    cursor = connect(client(subject)).cursor()
    cursor.executemany("SELECT city_id FROM readings WHERE city_id = ?", [[city] for city in data.CITIES])


@can(OLD, "objects")
def old_objects(subject):
    connection = connect(client(subject))
    assert {"public", "system"} <= set(connection.flightsql_get_schema_names())
    assert "readings" in connection.flightsql_get_table_names("public")


@can(OLD, "table_schema")
def old_table_schema(subject):
    columns = connect(client(subject)).flightsql_get_columns("readings", "public")
    assert [column["name"] for column in columns][:2] == ["city_id", "reading_at"], columns


@can(OLD, "table_types")
def old_table_types(subject):
    rows = read(subject, client(subject).get_table_types())
    assert rows.column(0).to_pylist() == ["SYSTEM TABLE", "TABLE"]


@can(OLD, "primary_keys")
def old_primary_keys(subject):
    keys = connect(client(subject)).flightsql_get_primary_keys("readings", "public")
    assert [key["column_name"] for key in keys] == ["city_id", "reading_at"], keys


@can(OLD, "foreign_keys")
def old_foreign_keys(subject):
    asked, table = client(subject), TableRef(table="readings")
    for info in (asked.get_exported_keys(table), asked.get_imported_keys(table), asked.get_cross_reference(table, table)):
        rows = read(subject, info)
        assert (rows.num_rows, rows.num_columns) == (0, 13), rows.schema


@can(OLD, "info")
def old_info(subject):
    told = connect(client(subject)).flightsql_get_sql_info([0, 8, 504])
    assert told == {0: "barograph", 8: 0, 504: '"'}, told


@can(OLD, "xdbc")
def old_xdbc(subject):
    rows = read(subject, client(subject).get_xdbc_type_info(None))
    assert {"INTEGER", "VARCHAR", "TIMESTAMP"} <= set(rows.column("type_name").to_pylist())


@can(OLD, "syntax_error")
def old_syntax_error(subject):
    fails(lambda: execute(subject, "SELEC 1"), pa.ArrowInvalid, "SELEC", SQLSTATE + "42000)")


@can(OLD, "missing_table")
def old_missing_table(subject):
    fails(lambda: execute(subject, "SELECT * FROM reedings"), pa.ArrowInvalid, "readings")


@can(OLD, "updates")
def old_updates(subject):
    fails(lambda: client(subject).execute_update("DELETE FROM readings"), pa.ArrowInvalid, "only reads")
    return "refused"


def packed(message):
    wrapped = any_pb2.Any()
    wrapped.Pack(message)
    return wrapped.SerializeToString()


def descriptor(message):
    return flight.FlightDescriptor.for_command(packed(message))


def statement(text):
    return descriptor(flightsql_pb2.CommandStatementQuery(query=text))


def plain(subject, text, options=None):
    connection = flight.connect(subject.url)
    options = options or flight.FlightCallOptions()
    info = connection.get_flight_info(statement(text), options)
    table = pa.concat_tables(connection.do_get(e.ticket, options).read_all() for e in info.endpoints)
    assert table.schema == info.schema
    return table


@can(PLAIN, "statement")
def plain_statement(subject):
    data.same(plain(subject, data.TEMPERATURES.format(data.CITIES[9])), data.temperatures(), "rows")


@can(PLAIN, "empty")
def plain_empty(subject):
    assert plain(subject, "SELECT * FROM readings WHERE city_id = -1").num_rows == 0


@can(PLAIN, "types")
def plain_types(subject):
    data.check_types(plain(subject, data.TYPES_QUERY))


@can(PLAIN, "wide")
def plain_wide(subject):
    assert list(plain(subject, data.WIDE).to_pylist()[0].values()) == list(range(1_000))


@can(PLAIN, "large")
def plain_large(subject):
    table = plain(subject, data.LARGE)
    table.validate(full=True)
    assert table.column("n").to_pylist() == list(range(1, data.LARGE_ROWS + 1))


def prepare(connection, text):
    request = flightsql_pb2.ActionCreatePreparedStatementRequest(query=text)
    (result,) = connection.do_action(flight.Action("CreatePreparedStatement", packed(request)))
    wrapped, made = any_pb2.Any(), flightsql_pb2.ActionCreatePreparedStatementResult()
    wrapped.ParseFromString(result.body.to_pybytes())
    wrapped.Unpack(made)
    return made


def bound_handle(metadata):
    """The field `prepared_statement_handle` of DoPutPreparedStatementResult, which this protocol file does not know."""
    raw = metadata.to_pybytes()
    assert raw[0] == 0x0A
    at, length, shift = 1, 0, 0
    while True:
        length |= (raw[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not raw[at - 1] & 0x80:
            return raw[at : at + length]


@can(PLAIN, "parameters")
def plain_parameters(subject):
    return plain_bound(subject, [data.CITIES[3]])


@can(PLAIN, "many_parameters")
def plain_many_parameters(subject):
    return plain_bound(subject, data.CITIES + [-1])


def plain_bound(subject, cities):
    connection = flight.connect(subject.url)
    made = prepare(connection, "SELECT count(*) AS n FROM readings WHERE city_id = $1")
    values = pa.record_batch([pa.array(cities, pa.int32())], ["1"])
    command = flightsql_pb2.CommandPreparedStatementQuery(prepared_statement_handle=made.prepared_statement_handle)
    writer, reader = connection.do_put(descriptor(command), values.schema)
    with writer:
        writer.write_batch(values)
        writer.done_writing()
        handle = bound_handle(reader.read())
    # The new handle carries the values; it can be asked from anywhere.
    command = flightsql_pb2.CommandPreparedStatementQuery(prepared_statement_handle=handle)
    other = flight.connect(subject.url)
    info = other.get_flight_info(descriptor(command))
    rows = other.do_get(info.endpoints[0].ticket).read_all()
    expected = [len(data.MODEL.select(keys=[city])) for city in cities]
    assert rows.column("n").to_pylist() == expected, rows


@can(PLAIN, "parameter_schema")
def plain_parameter_schema(subject):
    made = prepare(flight.connect(subject.url), data.OF_CITY)
    schema = pa.ipc.read_schema(pa.py_buffer(made.parameter_schema))
    assert schema.types == [pa.int32(), pa.timestamp("us", tz="UTC")], schema


@can(PLAIN, "execute_schema")
def plain_execute_schema(subject):
    schema = flight.connect(subject.url).get_schema(statement("SELECT city_id FROM readings")).schema
    assert schema.names == ["city_id"]


@can(PLAIN, "partitions")
def plain_partitions(subject):
    several = (data.ENDPOINTS_HEADER.encode(), str(data.ENDPOINTS).encode())
    options = flight.FlightCallOptions(headers=[several])
    info = flight.connect(subject.url).get_flight_info(statement(data.MANY), options)
    tickets = [flight.Ticket.deserialize(e.ticket.serialize()) for e in info.endpoints]
    data.check_parts([flight.connect(subject.url).do_get(ticket).read_all() for ticket in tickets])


@can(PLAIN, "syntax_error")
def plain_syntax_error(subject):
    fails(lambda: plain(subject, "SELEC 1"), pa.ArrowInvalid, "SELEC", SQLSTATE + "42000)")


@can(PLAIN, "missing_table")
def plain_missing_table(subject):
    fails(lambda: plain(subject, "SELECT * FROM reedings"), pa.ArrowInvalid, "readings")


@can(PLAIN, "cancel")
def plain_cancel(subject):
    connection = flight.connect(subject.url)
    info = connection.get_flight_info(statement(data.ENDLESS))
    reader = connection.do_get(info.endpoints[0].ticket)
    reader.read_chunk()
    # CancelFlightInfoRequest: field 1 is the info.
    raw = info.serialize()
    length, size = b"", len(raw)
    while size >= 0x80:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    request = b"\x0a" + length + bytes([size]) + raw
    (result,) = flight.connect(subject.url).do_action(flight.Action("CancelFlightInfo", request))
    # CANCELLED, or CANCELLING while the other connection does not read on.
    assert result.body.to_pybytes() in (b"\x08\x01", b"\x08\x02"), result.body.to_pybytes()

    def rest():
        while True:
            reader.read_chunk()

    fails(rest, flight.FlightCancelledError, SQLSTATE + "57014)")


@can(PLAIN, "timeout")
def plain_timeout(subject):
    options = flight.FlightCallOptions(headers=[(b"x-barograph-timeout", b"100ms")])
    fails(lambda: plain(subject, data.SLOW, options), flight.FlightTimedOutError, "100 ms", SQLSTATE + "HYT00)")


@can(PLAIN, "time_zone")
def plain_time_zone(subject):
    options = flight.FlightCallOptions(headers=[(b"x-barograph-time-zone", b"Asia/Tokyo")])
    assert "Asia/Tokyo" in plain(subject, data.ZONE, options).to_pylist()[0]["zone"]


@can(PLAIN, "transactions")
def plain_transactions(subject):
    action = flight.Action("BeginTransaction", packed(flightsql_pb2.ActionBeginTransactionRequest()))
    fails(lambda: list(flight.connect(subject.url).do_action(action)), NotImplementedError, SQLSTATE + "0A000)")
    return "refused"


@can(PLAIN, "substrait")
def plain_substrait(subject):
    plan = descriptor(flightsql_pb2.CommandStatementSubstraitPlan())
    fails(lambda: flight.connect(subject.url).get_flight_info(plan), NotImplementedError, "Substrait")
    return "refused"
