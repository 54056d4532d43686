"""What can the ADBC driver do, called as its own interface has it? Go core, C interface."""

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import adbc_driver_flightsql
import adbc_driver_manager
import pyarrow as pa

import sql_data as data
from sql_matrix import Matrix

MATRIX = Matrix()
DRIVER = "ADBC"


def can(feature):
    return MATRIX.can(DRIVER, feature)


class Connected:
    """A connection of its own."""

    def __init__(self, url, database=None, **options):
        self.database = adbc_driver_flightsql.connect(url, db_kwargs=database or {})
        self.connection = adbc_driver_manager.AdbcConnection(self.database, **options)

    def __enter__(self):
        return self.connection

    def __exit__(self, *_):
        self.connection.close()
        self.database.close()


def imported(handle):
    return pa.RecordBatchReader._import_from_c(handle.address)


def query(connection, text, bound=None, prepare=False):
    """The answer to a statement as a table, with a batch of bound values."""
    with opened(connection, text) as statement:
        if bound is not None or prepare:
            statement.prepare()
        if bound is not None:
            statement.bind(bound)
        handle, _ = statement.execute_query()
        return imported(handle).read_all()


def opened(connection, text=None):
    statement = adbc_driver_manager.AdbcStatement(connection)
    if text is not None:
        statement.set_sql_query(text)
    return contextlib.closing(statement)


def raises(call, kind, status, *words):
    try:
        answer = call()
    except kind as error:
        assert error.status_code == status, f"{error.status_code!r} is not {status!r}: {error}"
        for word in words:
            assert word in str(error), f"{word!r} is not in {error}"
        return error
    raise AssertionError(f"no error, but {answer!r}")


STATUS = adbc_driver_manager.AdbcStatusCode


@can("statement")
def statement(subject):
    with Connected(subject.url) as connection:
        table = query(connection, data.TEMPERATURES.format(data.CITIES[9]))
        data.same(table, data.temperatures(), "temperatures")


@can("empty")
def empty(subject):
    with Connected(subject.url) as connection:
        table = query(connection, "SELECT * FROM readings WHERE city_id = -1")
        assert (table.num_rows, table.num_columns) == (0, 9), table.schema


@can("types")
def types(subject):
    with Connected(subject.url) as connection:
        data.check_types(query(connection, data.TYPES_QUERY))


@can("wide")
def wide(subject):
    with Connected(subject.url) as connection:
        table = query(connection, data.WIDE)
        assert list(table.to_pylist()[0].values()) == list(range(1_000))


@can("large")
def large(subject):
    with Connected(subject.url) as connection:
        table = query(connection, data.LARGE)
        assert table.column("n").to_pylist() == list(range(1, data.LARGE_ROWS + 1))
        assert table.column("t")[-1].as_py() == f"row {data.LARGE_ROWS}"


@can("prepared")
def prepared(subject):
    with Connected(subject.url) as connection:
        assert query(connection, "SELECT 7 AS n", prepare=True).to_pylist() == [{"n": 7}]


@can("parameters")
def parameters(subject):
    with Connected(subject.url) as connection:
        bound = pa.record_batch([[data.CITIES[3]], [data.instant(data.START)]], ["1", "2"])
        expected = [{"n": len(data.MODEL.select(keys=[data.CITIES[3]], start=data.START))}]
        assert query(connection, data.OF_CITY, bound).to_pylist() == expected


@can("many_parameters")
def many_parameters(subject):
    with Connected(subject.url) as connection:
        wanted = data.CITIES[:5] + [-1] + data.CITIES[:5]
        bound = pa.record_batch([pa.array(wanted, pa.int32())], ["1"])
        text = "SELECT $1 AS city, count(*) AS n FROM readings WHERE city_id = $1 AND reading_at < $2"
        end = pa.array([data.instant(data.START)] * len(wanted))
        table = query(connection, text, pa.record_batch([bound.column(0), end], ["1", "2"]))
        assert table.to_pylist() == [{"city": city, "n": 0} for city in wanted]


@can("parameter_types")
def parameter_types(subject):
    with Connected(subject.url) as connection:
        for value, kind in data.PARAMETERS:
            bound = pa.record_batch([pa.array([value], kind)], ["1"])
            table = query(connection, "SELECT $1 AS v", bound)
            assert table.schema.field("v").type.equals(kind), f"{value!r}: {table.schema}"
            assert table.to_pylist() == [{"v": value}], f"{value!r}: {table.to_pylist()}"
        for items, kind in data.LISTS:
            bound = pa.record_batch([pa.array([items], pa.list_(kind))], ["1"])
            for text in ("SELECT unnest(?) AS v", "SELECT v FROM unnest(?) AS t(v)"):
                table = query(connection, text, bound)
                assert table.schema.field("v").type.equals(kind), f"{text}: {table.schema}"
                assert table.column("v").to_pylist() == items, f"{text}: {table.to_pylist()}"
        for last in (3, 0):
            bound = pa.record_batch([pa.array([last], pa.int64())], ["1"])
            table = query(connection, "SELECT value FROM generate_series(1, ?)", bound)
            assert table.column("value").to_pylist() == list(range(1, last + 1)), table.to_pylist()


@can("parameter_schema")
def parameter_schema(subject):
    with Connected(subject.url) as connection:
        with opened(connection, data.OF_CITY) as statement:
            statement.prepare()
            handle = statement.get_parameter_schema()
            schema = pa.Schema._import_from_c(handle.address)
        assert schema.types == [pa.int32(), pa.timestamp("us", tz="UTC")], schema


@can("execute_schema")
def execute_schema(subject):
    with Connected(subject.url) as connection:
        text = "SELECT city_id, avg(temperature) AS mean FROM readings GROUP BY 1"
        with opened(connection, text) as statement:
            handle = statement.execute_schema()
            schema = pa.Schema._import_from_c(handle.address)
        assert schema.names == ["city_id", "mean"] and schema.types == [pa.int32(), pa.float64()], schema


@can("partitions")
def partitions(subject):
    header = f"adbc.flight.sql.rpc.call_header.{data.ENDPOINTS_HEADER}"
    with Connected(subject.url, {header: str(data.ENDPOINTS)}) as connection:
        with opened(connection, data.MANY) as statement:
            parts, _, _ = statement.execute_partitions()

    def read(part):
        with Connected(subject.url) as other:
            return imported(other.read_partition(part)).read_all()

    with ThreadPoolExecutor() as pool:
        data.check_parts(list(pool.map(read, parts)))


@can("objects")
def objects(subject):
    with Connected(subject.url) as connection:
        depth = adbc_driver_manager.GetObjectsDepth.ALL
        rows = imported(connection.get_objects(depth, table_name="reading_")).read_all()
        rows = imported(connection.get_objects(depth)).read_all().to_pylist()
        assert [row["catalog_name"] for row in rows] == ["barograph"], rows
        schemas = {s["db_schema_name"]: s for s in rows[0]["catalog_db_schemas"]}
        assert {"public", "system"} <= set(schemas), schemas.keys()
        tables = {t["table_name"]: t for t in schemas["public"]["db_schema_tables"]}
        assert {"readings", "cities", "dead_letters"} <= set(tables), tables.keys()
        columns = [c["column_name"] for c in tables["readings"]["table_columns"]]
        assert columns[:3] == ["city_id", "reading_at", "temperature"], columns
        only = imported(connection.get_objects(depth, table_name="%dings", table_types=["TABLE"]))
        found = only.read_all().to_pylist()[0]["catalog_db_schemas"]
        names = [t["table_name"] for s in found for t in s["db_schema_tables"] or []]
        assert names == ["readings"], names


@can("table_schema")
def table_schema(subject):
    with Connected(subject.url) as connection:
        handle = connection.get_table_schema("barograph", "public", "readings")
        schema = pa.Schema._import_from_c(handle.address)
        assert schema.names[:2] == ["city_id", "reading_at"] and len(schema) == 9, schema
        missing = lambda: connection.get_table_schema(None, None, "reedings")
        raises(missing, adbc_driver_manager.Error, STATUS.NOT_FOUND)


@can("table_types")
def table_types(subject):
    with Connected(subject.url) as connection:
        rows = imported(connection.get_table_types()).read_all()
        assert rows.column(0).to_pylist() == ["SYSTEM TABLE", "TABLE"], rows


@can("info")
def info(subject):
    with Connected(subject.url) as connection:
        rows = imported(connection.get_info()).read_all().to_pylist()
        told = {row["info_name"]: row["info_value"] for row in rows}
        assert told[0] == "barograph", told


@can("ingest")
def ingest(subject):
    cities = data.SPARE[:3]
    table = data.fresh(cities)
    with Connected(subject.url) as connection:
        assert append(connection, table, "append") == table.num_rows
        keys = ", ".join(map(str, cities))
        text = f"SELECT city_id, reading_at, temperature FROM readings WHERE city_id IN ({keys}) ORDER BY 1"
        expected = table.select(["city_id", "reading_at", "temperature"]).sort_by("city_id")
        data.same(query(connection, text), expected, "appended rows")


def append(connection, table, mode, name="readings"):
    with opened(connection) as statement:
        target = {"adbc.ingest.target_table": name, "adbc.ingest.mode": f"adbc.ingest.mode.{mode}"}
        statement.set_options(**target)
        statement.bind_stream(table.to_reader())
        return statement.execute_update()


@can("ingest_refused")
def ingest_refused(subject):
    table = data.fresh(data.SPARE[:1])
    with Connected(subject.url) as connection:
        kind = adbc_driver_manager.Error
        create = lambda: append(connection, table, "create")
        raises(create, kind, STATUS.ALREADY_EXISTS, "append to it", "42P07")
        unknown = lambda: append(connection, table, "create", "other")
        raises(unknown, kind, STATUS.NOT_IMPLEMENTED, "[tables.other]", "0A000")
        replace = lambda: append(connection, table, "replace")
        raises(replace, kind, STATUS.NOT_IMPLEMENTED, "does not replace")
    return "refused"


@can("syntax_error")
def syntax_error(subject):
    with Connected(subject.url) as connection:
        call = lambda: query(connection, "SELEC 1")
        error = raises(call, adbc_driver_manager.Error, STATUS.INVALID_ARGUMENT, "SELEC", "42000")
        assert (b"sqlstate", b"42000") in [tuple(map(encoded, detail)) for detail in error.details], error.details


def encoded(text):
    return text.encode() if isinstance(text, str) else text


@can("missing_table")
def missing_table(subject):
    with Connected(subject.url) as connection:
        call = lambda: query(connection, "SELECT * FROM reedings")
        raises(call, adbc_driver_manager.Error, STATUS.INVALID_ARGUMENT, "reedings", "readings")


@can("cancel")
def cancel(subject):
    with Connected(subject.url) as connection, opened(connection, data.ENDLESS) as statement:
        handle, _ = statement.execute_query()
        reader = imported(handle)
        reader.read_next_batch()
        timer = threading.Timer(0.2, statement.cancel)
        timer.start()
        start = time.monotonic()
        try:
            for _ in reader:
                assert time.monotonic() - start < 600, "the answer goes on after it was cancelled"
            raise AssertionError("the answer ended as if it were whole")
        except (adbc_driver_manager.Error, pa.ArrowException, OSError) as error:
            assert "ancel" in str(error), error
        finally:
            timer.join()
            reader.close()


@can("timeout")
def timeout(subject):
    with Connected(subject.url, {"adbc.flight.sql.rpc.call_header.x-barograph-timeout": "100ms"}) as connection:
        try:
            raise AssertionError(f"no error, but {query(connection, data.SLOW)}")
        except (adbc_driver_manager.Error, OSError) as error:
            assert "100 ms" in str(error) and "HYT00" in str(error), error


@can("time_zone")
def time_zone(subject):
    header = {"adbc.flight.sql.rpc.call_header.x-barograph-time-zone": "Asia/Tokyo"}
    with Connected(subject.url, header) as connection:
        assert "Asia/Tokyo" in query(connection, data.ZONE).to_pylist()[0]["zone"]


@can("session")
def session(subject):
    cookies = {"adbc.flight.sql.rpc.with_cookie_middleware": "true"}
    with Connected(subject.url, cookies) as connection:
        option = "adbc.flight.sql.session.option."
        connection.set_options(**{option + "time_zone": "Europe/Berlin"})
        connection.set_options(**{option + "timeout": "30s"})
        assert connection.get_option(option + "time_zone") == "Europe/Berlin"
        assert connection.get_option(option + "timeout") == "30s"
        assert "Europe/Berlin" in query(connection, data.ZONE).to_pylist()[0]["zone"]
        wrong = lambda: connection.set_options(**{option + "time_zone": "Mars/Olympus"})
        raises(wrong, adbc_driver_manager.Error, STATUS.INVALID_ARGUMENT)


@can("current")
def current(subject):
    cookies = {"adbc.flight.sql.rpc.with_cookie_middleware": "true"}
    with Connected(subject.url, cookies) as connection:
        assert connection.get_option("adbc.connection.catalog") == "barograph"
        assert connection.get_option("adbc.connection.db_schema") == "public"


@can("transactions")
def transactions(subject):
    with Connected(subject.url) as connection:
        off = lambda: connection.set_autocommit(False)
        raises(off, adbc_driver_manager.Error, STATUS.NOT_IMPLEMENTED)
    return "refused"


@can("updates")
def updates(subject):
    with Connected(subject.url) as connection:
        call = lambda: query(connection, "DELETE FROM readings")
        raises(call, adbc_driver_manager.Error, STATUS.INVALID_ARGUMENT, "only reads")
    return "refused"


@can("substrait")
def substrait(subject):
    with Connected(subject.url) as connection:
        with opened(connection) as statement:
            statement.set_substrait_plan(b"plan")
            raises(statement.execute_query, adbc_driver_manager.Error, STATUS.NOT_IMPLEMENTED, "Substrait")
    return "refused"
