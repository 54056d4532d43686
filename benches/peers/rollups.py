"""How long does it take to make the hours of a day of readings, with every aggregate, and keep them?"""

import datetime
import json
import shutil
import subprocess

import adbc_driver_flightsql.dbapi as flight_sql
import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq

from dataset import HOUR, MINUTE
from measure import head, median, note, row, spread, timed
from server import Server, command, flush, put
from sql import METRICS, sums

ROUNDS = 5
HOURS, DAYS = (f'readings_{every} = {{ of = "readings", every = "{every}" }}' for every in ("1h", "1d"))


def rollup(dataset):
    """All hours of all readings with seven aggregates of five columns and the mean direction, kept durably, beside duckdb and
    polars doing the same on the same Parquet files; then one late reading."""
    work = dataset.work / "rollup"
    work.mkdir(exist_ok=True)
    data, kept = work / "data", work / "kept.parquet"
    ways = {"duckdb": by_duckdb(dataset, kept), "polars": by_polars(dataset, kept)}
    seconds = {name: [] for name in ("barograph", *ways)}
    for turn in range(ROUNDS):
        dataset.copy(data)
        for table in ("lake/readings_1h", "lake/readings_1d", "jobs"):
            shutil.rmtree(data / table, ignore_errors=True)
        if turn == 0:
            ours = answer(data)
            compare(ways, kept, ours)
        # A process each time: starting, reading, computing, putting and syncing.
        seconds["barograph"].append(timed(run, data)[0])
        for name, way in ways.items():
            seconds[name].append(timed(way)[0])
    best = min(ways, key=lambda name: median(seconds[name]))
    ratios = [mine / other for mine, other in zip(seconds["barograph"], seconds[best])]
    head()
    what = f"hours of {dataset.rows:,} readings, durable, whole process, s"
    row(what, spread(seconds["barograph"]), f"{best}: {spread(seconds[best])}", ratios, "≤ 0.8", median(ratios) <= 0.8)
    for name in ways:
        note(f"{name}: {spread(seconds[name])} s")
    repaired(dataset, data, "readings_1h", HOURS)
    repaired(dataset, data, "readings_1h and readings_1d", HOURS, DAYS)


def run(data, *rollups):
    """Runs the job for these rollups, by default the hours alone; gives its record."""
    settings = ("--set", f"rollups={{ {', '.join(rollups or [HOURS])} }}", "--set", "scheduler.enabled=false")
    done = subprocess.run(
        command("jobs", "run", "rollup", "--format", "json", "--data", data, *settings),
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout)


def columns():
    """The columns that are compared, in our names."""
    listed = ["rows"]
    for column in METRICS:
        listed += [f"{column}_{of}" for of in ("count", "mean", "min", "max", "first", "last", "sum")]
    return listed + ["wind_direction_count", "wind_direction_mean", "wind_direction_first", "wind_direction_last"]


def answer(data):
    """Our rows, from a copy that the job has run on."""
    copy = data.parent / "answer"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(data, copy)
    run(copy)
    with Server(copy) as server, flight_sql.connect(server.url.replace("grpc", "grpc+tcp"), autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute(f"select {', '.join(columns())} from readings_1h")
        return cursor.fetch_arrow_table()


def compare(ways, kept, ours):
    for name, way in ways.items():
        way()
        theirs = pq.read_table(kept).select(columns())
        mine, other = sums(ours), sums(theirs)
        near = all(abs(a - b) <= 1e-4 * abs(a) + 1 for a, b in zip(mine[1], other[1]))
        if mine[0] != other[0] or not near:
            raise SystemExit(f"{name} gives {other}, barograph {mine}")


def by_duckdb(dataset, kept):
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'; set parquet_metadata_cache = true")
    listed = ", ".join(f"'{file}'" for file in dataset.files)
    first = lambda column: f"arg_min({column}, reading_at)"
    last = lambda column: f"arg_max({column}, reading_at)"
    wanted = ["count(*) as rows"]
    for column in METRICS:
        of = {
            "count": f"count({column})", "mean": f"avg({column})", "min": f"min({column})", "max": f"max({column})",
            "first": first(column), "last": last(column), "sum": f"sum({column}::double)",
        }
        wanted += [f"{text} as {column}_{name}" for name, text in of.items()]
    vector = lambda of: f"sum(wind_speed::double * {of}(radians(wind_direction)))"
    mean = f"(degrees(atan2({vector('sin')}, {vector('cos')})) + 360) % 360"
    wanted += ["count(wind_direction) as wind_direction_count", f"{mean} as wind_direction_mean"]
    wanted += [f"{first('wind_direction')} as wind_direction_first", f"{last('wind_direction')} as wind_direction_last"]
    text = (
        f"copy (select city_id, time_bucket(interval '1 hour', reading_at) as window_start, {', '.join(wanted)} "
        f"from read_parquet([{listed}]) group by 1, 2) to '{kept}' (format parquet)"
    )
    return lambda: connection.execute(text)


def by_polars(dataset, kept):
    scan = polars.scan_parquet([str(file) for file in dataset.files])
    wanted = [polars.len().alias("rows")]
    for name in METRICS:
        column = polars.col(name)
        known = column.drop_nulls()
        of = {
            "count": column.count(), "mean": column.cast(polars.Float64).mean(), "min": column.min(), "max": column.max(),
            "first": known.first(), "last": known.last(), "sum": column.cast(polars.Float64).sum(),
        }
        wanted += [expression.alias(f"{name}_{which}") for which, expression in of.items()]
    direction, speed = polars.col("wind_direction"), polars.col("wind_speed").cast(polars.Float64)
    angle = direction.cast(polars.Float64).radians()
    mean = polars.arctan2((speed * angle.sin()).sum(), (speed * angle.cos()).sum()).degrees()
    wanted += [direction.count().alias("wind_direction_count"), ((mean + 360) % 360).alias("wind_direction_mean")]
    wanted += [direction.drop_nulls().first().alias("wind_direction_first")]
    wanted += [direction.drop_nulls().last().alias("wind_direction_last")]
    hours = scan.group_by("city_id", polars.col("reading_at").dt.truncate("1h").alias("window_start")).agg(wanted)
    return lambda: hours.collect(engine="streaming").write_parquet(kept)


def repaired(dataset, data, what, *rollups):
    """How long a run takes after one late reading was merged."""
    run(data, *rollups)
    late = dataset.later(1)[0].slice(0, 1)
    at = late.schema.get_field_index("reading_at")
    seconds = []
    for turn in range(ROUNDS):
        moved = late.set_column(at, "reading_at", shifted(late.column(at), dataset.start + 3 * HOUR + turn * MINUTE + 7))
        with Server(data, engine__late_merge_every="1000h") as server:
            put(server.connect(), [moved])
            flush(server.connect())
        record = run(data, *rollups)
        seconds.append(took(record))
        note(f"one late reading: {record['files']} files looked at, of {record['rows']:,} rows, {seconds[-1]:.3f} s")
    row(f"repair of {what} after one late reading, s", spread(seconds), "–", [], "≤ 1 s", max(seconds) <= 1)


def shifted(column, to):
    return pa.array([to], pa.int64()).cast(column.type)


def took(record):
    first, last = (datetime.datetime.fromisoformat(record[name]) for name in ("started_at", "finished_at"))
    return (last - first).total_seconds()
