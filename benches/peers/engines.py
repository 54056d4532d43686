"""How do other engines answer the questions of a weather page, each in its best form?

Every engine gives one or more forms of `latest(key)` and `day(key)`: an Arrow table with all columns, in order of
time. The forms of one engine are tried on the same questions, and its fastest counts. `range(from, to)` gives all keys,
in any order.
"""

import datetime

import chdb.session
import datafusion
import duckdb
import polars
import pyarrow as pa

DAY = "select * from {table} where city_id = {key} and reading_at >= {start} and reading_at < {stop} order by reading_at"
RANGE = "select * from {table} where reading_at >= {start} and reading_at < {stop}"
LATEST = "select * from {table} where city_id = {key} order by reading_at desc limit 1"


def utc(micros):
    return datetime.datetime.fromtimestamp(micros / 1e6, datetime.timezone.utc)


def text(micros):
    return utc(micros).strftime("%Y-%m-%d %H:%M:%S")


class Sql:
    """An engine that takes SQL. `ask(sql)` gives an Arrow table; `instant` writes a timestamp."""

    def __init__(self, name, ask, table, instant, start, stop, settings=""):
        self.name, self.ask, self.table, self.instant = name, ask, table, instant

        def form(query):
            bounds = {"table": table, "start": instant(start), "stop": instant(stop)}
            return lambda key: ask(query.format(key=key, **bounds) + settings)

        def range_of(first, end):
            return ask(RANGE.format(table=table, start=instant(first), stop=instant(end)) + settings)

        self.latest = {"order by limit 1": form(LATEST)}
        self.day = {"sql": form(DAY)}
        self.range = range_of


def duckdb_parquet(files, start, stop):
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'; set parquet_metadata_cache = true")
    listed = ", ".join(f"'{file}'" for file in files)
    connection.execute(f"create view readings as select * from read_parquet([{listed}])")
    return Sql("duckdb", arrow_of(connection), "readings", timestamptz, start, stop)


def duckdb_native(files, start, stop, database):
    connection = duckdb.connect(str(database))
    connection.execute("set timezone = 'UTC'")
    listed = ", ".join(f"'{file}'" for file in files)
    connection.execute(
        f"create table if not exists readings as select * from read_parquet([{listed}]) order by city_id, reading_at"
    )
    connection.execute("checkpoint")
    return Sql("duckdb native table", arrow_of(connection), "readings", timestamptz, start, stop)


def arrow_of(connection):
    return lambda sql: connection.sql(sql).to_arrow_table()


def timestamptz(micros):
    return f"timestamptz '{text(micros)}+00'"


def datafusion_parquet(folder, start, stop, pushdown):
    config = datafusion.SessionConfig().set("datafusion.execution.parquet.pushdown_filters", str(pushdown).lower())
    context = datafusion.SessionContext(config.set("datafusion.execution.parquet.reorder_filters", "true"))
    context.register_listing_table("readings", str(folder))
    name = "datafusion" + (", filters pushed down" if pushdown else "")
    ask = lambda sql: context.sql(sql).to_arrow_table()
    return Sql(name, ask, "readings", lambda at: f"timestamp '{text(at)}+00'", start, stop)


def chdb_parquet(folder, start, stop):
    session = chdb.session.Session()
    table = f"file('{folder}/*.parquet', Parquet)"
    ask = lambda sql: session.query(sql, "ArrowTable")
    engine = Sql("chdb", ask, table, lambda at: f"toDateTime64('{text(at)}', 6, 'UTC')", start, stop)
    engine.session = session
    return engine


class Polars:
    """Lazy scans over the file list, in memory and streaming."""

    name = "polars"

    def __init__(self, files, start, stop):
        scan = polars.scan_parquet(files)
        at = polars.col("reading_at")

        def mine(key):
            return scan.filter(polars.col("city_id") == polars.lit(key, polars.Int32))

        def day(engine):
            inside = (at >= utc(start)) & (at < utc(stop))
            return lambda key: mine(key).filter(inside).sort("reading_at").collect(engine=engine).to_arrow()

        def latest(engine):
            return lambda key: mine(key).top_k(1, by="reading_at").collect(engine=engine).to_arrow()

        def range_of(first, end):
            return scan.filter((at >= utc(first)) & (at < utc(end))).collect().to_arrow()

        self.range = range_of
        engines = ("in-memory", "streaming")
        self.latest = {engine: latest(engine) for engine in engines}
        self.day = {engine: day(engine) for engine in engines}


def parquet_peers(dataset):
    """All engines on the Parquet files."""
    folder, files = dataset.parquet, [str(file) for file in dataset.files]
    bounds = (dataset.start, dataset.stop)
    return [
        duckdb_parquet(files, *bounds),
        Polars(files, *bounds),
        datafusion_parquet(folder, *bounds, pushdown=False),
        datafusion_parquet(folder, *bounds, pushdown=True),
        chdb_parquet(folder, *bounds),
    ]


def same_answer(ours, theirs, who):
    """Fails unless an engine gave the rows that we gave."""
    theirs = pa.table(theirs).select(ours.column_names)
    theirs = theirs.cast(pa.schema([field.with_nullable(True) for field in ours.schema]))
    ours = ours.cast(theirs.schema)
    if not ours.equals(theirs):
        raise SystemExit(f"{who} gives {theirs.num_rows} rows that differ from our {ours.num_rows}:\n{theirs}\n{ours}")
