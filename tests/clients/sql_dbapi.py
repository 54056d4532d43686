"""What can programs do that use ADBC as Python programs do: by its DB-API, from pandas, from polars?"""

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import adbc_driver_flightsql.dbapi as dbapi
import pandas
import polars
import pyarrow as pa

import sql_data as data
from sql_matrix import Matrix

MATRIX = Matrix()


def can(feature, driver="ADBC DB-API"):
    return MATRIX.can(driver, feature)


def connect(subject, **database):
    return dbapi.connect(subject.url, db_kwargs=database, autocommit=True)


def fails(call, kind, *words):
    try:
        answer = call()
    except kind as error:
        for word in words:
            assert word in str(error), f"{word!r} is not in {error}"
        return error
    raise AssertionError(f"no error, but {answer!r}")


def table(subject, text, parameters=None, **database):
    with connect(subject, **database) as connection, connection.cursor() as cursor:
        cursor.execute(text, parameters)
        return cursor.fetch_arrow_table()


@can("statement")
def statement(subject):
    data.same(table(subject, data.TEMPERATURES.format(data.CITIES[9])), data.temperatures(), "rows")
    with connect(subject) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1 AS a, 'x' AS b UNION ALL SELECT 2, 'y' ORDER BY 1")
        assert [column[0] for column in cursor.description] == ["a", "b"]
        assert cursor.fetchone() == (1, "x") and cursor.fetchall() == [(2, "y")]


@can("empty")
def empty(subject):
    with connect(subject) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT * FROM readings WHERE city_id = -1")
        assert cursor.fetchall() == [] and len(cursor.description) == 9


@can("types")
def types(subject):
    data.check_types(table(subject, data.TYPES_QUERY))


@can("wide")
def wide(subject):
    with connect(subject) as connection, connection.cursor() as cursor:
        cursor.execute(data.WIDE)
        assert cursor.fetchall() == [tuple(range(1_000))]


@can("large")
def large(subject):
    with connect(subject) as connection, connection.cursor() as cursor:
        cursor.execute(data.LARGE)
        rows = sum(batch.num_rows for batch in cursor.fetch_record_batch())
        assert rows == data.LARGE_ROWS


@can("prepared")
def prepared(subject):
    with connect(subject) as connection, connection.cursor() as cursor:
        assert cursor.adbc_prepare("SELECT 7 AS n") is None
        cursor.execute("SELECT 7 AS n")
        assert cursor.fetchall() == [(7,)]


@can("parameters")
def parameters(subject):
    rows = table(subject, data.OF_CITY, (data.CITIES[3], data.instant(data.START)))
    assert rows.to_pylist() == [{"n": len(data.MODEL.select(keys=[data.CITIES[3]], start=data.START))}]


@can("many_parameters")
def many_parameters(subject):
    wanted = data.CITIES[:5] + [-1] + data.CITIES[:5]
    bound = pa.record_batch([pa.array(wanted, pa.int32())], ["1"])
    rows = table(subject, "SELECT $1 AS city, count(*) > 0 AS any FROM readings WHERE city_id = $1", bound)
    assert rows.to_pylist() == [{"city": city, "any": city != -1} for city in wanted]


@can("parameter_types")
def parameter_types(subject):
    for value, kind in data.PARAMETERS:
        rows = table(subject, "SELECT ? AS v", (value,))
        assert rows.to_pylist() == [{"v": value}], f"{value!r}: {rows.to_pylist()}"
        assert rows.schema.field("v").type.equals(kind), f"{value!r}: {rows.schema}"


@can("parameter_schema")
def parameter_schema(subject):
    with connect(subject) as connection, connection.cursor() as cursor:
        schema = cursor.adbc_prepare(data.OF_CITY)
        assert schema.types == [pa.int32(), pa.timestamp("us", tz="UTC")], schema


@can("execute_schema")
def execute_schema(subject):
    with connect(subject) as connection, connection.cursor() as cursor:
        schema = cursor.adbc_execute_schema("SELECT city_id, max(reading_at) AS last FROM readings GROUP BY 1")
        assert schema.types == [pa.int32(), pa.timestamp("us", tz="UTC")], schema


@can("partitions")
def partitions(subject):
    header = {f"adbc.flight.sql.rpc.call_header.{data.ENDPOINTS_HEADER}": str(data.ENDPOINTS)}
    with connect(subject, **header) as connection, connection.cursor() as cursor:
        parts, schema = cursor.adbc_execute_partitions(data.MANY)
        assert schema.names == ["city_id", "reading_at", "temperature"]

    def read(part):
        with connect(subject) as other, other.cursor() as cursor:
            cursor.adbc_read_partition(part)
            return cursor.fetch_arrow_table()

    with ThreadPoolExecutor() as pool:
        data.check_parts(list(pool.map(read, parts)))


@can("objects")
def objects(subject):
    with connect(subject) as connection:
        reader = connection.adbc_get_objects(depth="tables", db_schema_filter="public")
        (catalog,) = reader.read_all().to_pylist()
        (schema,) = catalog["catalog_db_schemas"]
        assert "readings" in [t["table_name"] for t in schema["db_schema_tables"]]


@can("table_schema")
def table_schema(subject):
    with connect(subject) as connection:
        schema = connection.adbc_get_table_schema("readings", db_schema_filter="public")
        assert schema.field("temperature").type == pa.float32()


@can("table_types")
def table_types(subject):
    with connect(subject) as connection:
        assert connection.adbc_get_table_types() == ["SYSTEM TABLE", "TABLE"]


@can("info")
def info(subject):
    with connect(subject) as connection:
        told = connection.adbc_get_info()
        assert told["vendor_name"] == "barograph" and told["vendor_version"], told


@can("ingest")
def ingest(subject):
    rows = data.fresh(data.SPARE[3:6])
    with connect(subject) as connection, connection.cursor() as cursor:
        assert cursor.adbc_ingest("readings", rows, mode="append") == rows.num_rows
        cursor.execute("SELECT count(*) FROM readings WHERE city_id = ?", (data.SPARE[3],))
        assert cursor.fetchall() == [(1,)]


@can("ingest_refused")
def ingest_refused(subject):
    rows = data.fresh(data.SPARE[:1])
    with connect(subject) as connection, connection.cursor() as cursor:
        call = lambda: cursor.adbc_ingest("readings", rows, mode="create")
        fails(call, dbapi.Error, "append to it")
        call = lambda: cursor.adbc_ingest("other", rows, mode="create_append")
        fails(call, dbapi.NotSupportedError, "[tables.other]")
        call = lambda: cursor.adbc_ingest("readings", rows, mode="replace")
        fails(call, dbapi.NotSupportedError, "does not replace")
    return "refused"


@can("syntax_error")
def syntax_error(subject):
    fails(lambda: table(subject, "SELEC 1"), dbapi.ProgrammingError, "SELEC", "42000")


@can("missing_table")
def missing_table(subject):
    fails(lambda: table(subject, "SELECT * FROM reedings"), dbapi.ProgrammingError, "readings")


@can("cancel")
def cancel(subject):
    with connect(subject) as connection, connection.cursor() as cursor:
        cursor.execute(data.ENDLESS)
        cursor.fetchone()
        timer = threading.Timer(0.2, cursor.adbc_cancel)
        timer.start()
        try:
            fails(lambda: sum(1 for _ in cursor.fetch_record_batch()), Exception, "ancel")
        finally:
            timer.join()


@can("timeout")
def timeout(subject):
    header = {"adbc.flight.sql.rpc.call_header.x-barograph-timeout": "100ms"}
    fails(lambda: table(subject, data.SLOW, **header), dbapi.OperationalError, "100 ms", "HYT00")


@can("time_zone")
def time_zone(subject):
    header = {"adbc.flight.sql.rpc.call_header.x-barograph-time-zone": "Asia/Tokyo"}
    assert "Asia/Tokyo" in table(subject, data.ZONE, **header).to_pylist()[0]["zone"]


@can("current")
def current(subject):
    cookies = {"adbc.flight.sql.rpc.with_cookie_middleware": "true"}
    with connect(subject, **cookies) as connection:
        found = (connection.adbc_current_catalog, connection.adbc_current_db_schema)
        assert found == ("barograph", "public"), found


@can("transactions")
def transactions(subject):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dbapi.connect(subject.url).close()
    assert any("autocommit" in str(warning.message) for warning in caught), caught
    return "refused"


@can("updates")
def updates(subject):
    fails(lambda: table(subject, "DROP TABLE readings"), dbapi.ProgrammingError, "only reads")
    return "refused"


@can("statement", "pandas")
def pandas_statement(subject):
    with connect(subject) as connection:
        frame = pandas.read_sql(data.TEMPERATURES.format(data.CITIES[9]), connection)
        assert len(frame) == data.temperatures().num_rows and list(frame["city_id"].unique()) == data.CITIES[:10]


@can("empty", "pandas")
def pandas_empty(subject):
    with connect(subject) as connection:
        frame = pandas.read_sql("SELECT * FROM readings WHERE city_id = -1", connection)
        assert frame.shape == (0, 9)


@can("wide", "pandas")
def pandas_wide(subject):
    with connect(subject) as connection:
        assert pandas.read_sql(data.WIDE, connection).iloc[0].tolist() == list(range(1_000))


@can("large", "pandas")
def pandas_large(subject):
    with connect(subject) as connection:
        frame = pandas.read_sql(data.LARGE, connection)
        assert frame["n"].sum() == data.LARGE_ROWS * (data.LARGE_ROWS + 1) // 2


@can("types", "pandas")
def pandas_types(subject):
    with connect(subject) as connection:
        frame = pandas.read_sql(data.TYPES_QUERY, connection, dtype_backend="pyarrow")
        assert frame["c3"].tolist() == [-1] and frame["c10"].tolist() == ["é'\""], frame


@can("table_schema", "pandas")
def pandas_table(subject):
    with connect(subject) as connection:
        assert list(pandas.read_sql_table("cities", connection).columns)[:2] == ["city_id", "name"]


@can("ingest", "pandas")
def pandas_ingest(subject):
    frame = data.fresh(data.SPARE[6:9]).to_pandas()
    with connect(subject) as connection:
        assert frame.to_sql("readings", connection, if_exists="append", index=False) == len(frame)


@can("statement", "polars")
def polars_statement(subject):
    with connect(subject) as connection:
        frame = polars.read_database(data.TEMPERATURES.format(data.CITIES[9]), connection)
        assert frame.equals(polars.from_arrow(data.temperatures())), frame


@can("empty", "polars")
def polars_empty(subject):
    with connect(subject) as connection:
        frame = polars.read_database("SELECT * FROM readings WHERE city_id = -1", connection)
        assert frame.shape == (0, 9)


@can("wide", "polars")
def polars_wide(subject):
    with connect(subject) as connection:
        assert polars.read_database(data.WIDE, connection).row(0) == tuple(range(1_000))


@can("large", "polars")
def polars_large(subject):
    with connect(subject) as connection:
        frame = polars.read_database(data.LARGE, connection)
        assert frame["n"].sum() == data.LARGE_ROWS * (data.LARGE_ROWS + 1) // 2


@can("types", "polars")
def polars_types(subject):
    with connect(subject) as connection:
        frame = polars.read_database(data.TYPES_QUERY, connection)
        assert frame["c16"].to_list() == [[1, None, 3]] and frame["c17"].to_list() == [{"a": 1, "b": "x"}]


@can("parameters", "polars")
def polars_parameters(subject):
    with connect(subject) as connection:
        options = {"parameters": (data.CITIES[3], data.instant(data.START))}
        frame = polars.read_database(data.OF_CITY, connection, execute_options=options)
        assert frame.item() == len(data.MODEL.select(keys=[data.CITIES[3]], start=data.START))


@can("ingest", "polars")
def polars_ingest(subject):
    frame = polars.from_arrow(data.fresh(data.SPARE[9:12]))
    with connect(subject) as connection:
        written = frame.write_database("readings", connection, engine="adbc", if_table_exists="append")
        assert written == frame.height, written
