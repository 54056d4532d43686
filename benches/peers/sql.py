"""How fast is SQL over Flight, beside the best engine on the same Parquet files?"""

import dataclasses
import datetime
import math
import typing

import adbc_driver_flightsql.dbapi as flight_sql
import polars
import pyarrow as pa
import pyarrow.compute as pc

import engines
from dataset import HOUR, MINUTE
from measure import by_turns, head, median, percentile, row, spread, timed
from server import RustClient, Server

ROUNDS = 7
ROLLING_ROUNDS = 3
METRICS = ["temperature", "humidity", "pressure", "wind_speed", "precipitation"]

BIN = {
    "barograph": lambda minutes: f"date_bin(interval '{minutes} minutes', reading_at)",
    "datafusion": lambda minutes: f"date_bin(interval '{minutes} minutes', reading_at)",
    "duckdb": lambda minutes: f"time_bucket(interval '{minutes} minutes', reading_at)",
    "chdb": lambda minutes: f"toStartOfInterval(reading_at, interval {minutes} minute)",
}
LAST = {
    "barograph": lambda column: f"last_value({column} order by reading_at)",
    "datafusion": lambda column: f"last_value({column} order by reading_at)",
    # The last row counts even if it has no value.
    "duckdb": lambda column: f"arg_max_null({column}, reading_at)",
    "chdb": lambda column: f"argMax(tuple({column}), reading_at).1",
}


@dataclasses.dataclass
class Query:
    """A question in SQL, whose parts that differ between dialects are functions, and in polars."""

    name: str
    sql: typing.Callable
    frame: typing.Callable
    # Another form of it that only we have.
    ours: str = ""


class Dialect:
    def __init__(self, name, table, instant):
        self.table = table
        self.instant = instant
        self.bin = BIN[name]
        self.last = LAST[name]


def window(minutes, columns):
    """Means, in polars, of windows of some minutes by city."""
    return lambda frame: frame.group_by("city_id", polars.col("reading_at").dt.truncate(f"{minutes}m")).agg(
        polars.col(column).mean().alias(f"{column}_mean") for column in columns
    )


def questions(dataset):
    """Ten questions after the Time Series Benchmark Suite (github.com/timescale/tsbs, its devops queries)."""
    one, eight = dataset.keys[4321], sorted(dataset.keys[100::1900][:8])
    stop = dataset.start + 20 * HOUR
    at = polars.col("reading_at")
    last = lambda hours: (stop - hours * HOUR, stop)

    def where(d, hours, more=""):
        first, end = last(hours)
        return f"from {d.table} where reading_at >= {d.instant(first)} and reading_at < {d.instant(end)} {more}"

    def inside(frame, hours):
        first, end = last(hours)
        return frame.filter((at >= engines.utc(first)) & (at < engines.utc(end)))

    def listed(function, columns):
        return ", ".join(f"{function}({column}) as {column}_{function}" for column in columns)

    def maxima(minutes, columns):
        return lambda frame: frame.group_by(at.dt.truncate(f"{minutes}m")).agg(
            polars.col(column).max().alias(f"{column}_max") for column in columns
        )

    def grouped(name, keys, hours, minutes, columns):
        inlist = ", ".join(map(str, keys))
        return Query(
            name,
            lambda d: f"select {d.bin(minutes)} as bin, {listed('max', columns)} "
            + where(d, hours, f"and city_id in ({inlist}) group by 1 order by 1"),
            lambda f: maxima(minutes, columns)(inside(f, hours).filter(polars.col("city_id").is_in(keys))).sort("reading_at"),
        )

    def by_city(name, columns):
        return Query(
            name,
            lambda d: f"select city_id, {d.bin(60)} as bin, {listed('avg', columns)} " + where(d, 12, "group by 1, 2"),
            lambda f: window(60, columns)(inside(f, 12)),
        )

    return [
        grouped("single-groupby-1-1-1", [one], 1, 1, METRICS[:1]),
        grouped("single-groupby-5-8-1", eight, 1, 1, METRICS),
        grouped("max-all-8", eight, 8, 60, METRICS),
        by_city("double-groupby-1", METRICS[:1]),
        by_city("double-groupby-5", METRICS),
        Query(
            "high-temperature-all",
            lambda d: "select city_id, reading_at, temperature " + where(d, 12, "and temperature > 32"),
            lambda f: inside(f, 12).filter(polars.col("temperature") > 32).select("city_id", "reading_at", "temperature"),
        ),
        Query(
            "lastpoint",
            lambda d: f"select city_id, {d.last('temperature')} as temperature from {d.table} group by city_id",
            lambda f: f.group_by("city_id").agg(polars.col("temperature").sort_by("reading_at").last()),
            "select city_id, temperature from latest('readings')",
        ),
        Query(
            "groupby-orderby-limit",
            lambda d: f"select {d.bin(1)} as bin, max(temperature) as temperature from {d.table} "
            f"where reading_at < {d.instant(stop)} group by 1 order by 1 desc limit 5",
            lambda f: f.filter(at < engines.utc(stop)).group_by(at.dt.truncate("1m")).agg(polars.col("temperature").max())
            .sort("reading_at", descending=True).head(5),
        ),
        Query(
            "one city's day",
            lambda d: "select * " + where(d, 20, f"and city_id = {one} order by reading_at"),
            lambda f: inside(f, 20).filter(polars.col("city_id") == one).sort("reading_at"),
        ),
        Query(
            "threshold over all",
            lambda d: f"select count(*) as n from {d.table} where temperature > 25 and humidity > 60",
            lambda f: f.filter((polars.col("temperature") > 25) & (polars.col("humidity") > 60)).select(polars.len()),
        ),
    ]


def hourly(_):
    """The hourly mean of every city over everything."""
    return Query(
        "hourly mean per city",
        lambda d: f"select city_id, {d.bin(60)} as bin, avg(temperature) as mean from {d.table} group by 1, 2",
        window(60, METRICS[:1]),
    )


def heat_index(t, rh, when, root):
    """The heat index of the US National Weather Service in °F of °F and %: numbers, or expressions of an engine."""
    simple = (t + (t - 68) * 1.2 + 61 + rh * 0.094) * 0.5
    rothfusz = (
        t * 2.04901523 - 42.379 + rh * 10.14333127 - t * rh * 0.22475541 - t * t * 0.00683783 - rh * rh * 0.05481717
        + t * t * rh * 0.00122874 + t * rh * rh * 0.00085282 - t * t * rh * rh * 0.00000199
    )
    dry = (rh * -1 + 13) / 4 * root(t)
    damp = (rh - 85) / 10 * ((t * -1 + 87) / 5)
    return when(t, rh, simple, rothfusz, dry, damp)


class Text:
    """An expression of SQL."""

    def __init__(self, text):
        self.text = text

    def __add__(self, other):
        return Text(f"({self.text} + {getattr(other, 'text', other)})")

    def __sub__(self, other):
        return Text(f"({self.text} - {getattr(other, 'text', other)})")

    def __mul__(self, other):
        return Text(f"({self.text} * {getattr(other, 'text', other)})")

    def __truediv__(self, other):
        return Text(f"({self.text} / {getattr(other, 'text', other)})")


def heat_index_sql(t, rh):
    """The same in °C, as SQL."""
    fahrenheit = heat_index(
        Text(t),
        Text(rh),
        lambda t, rh, simple, rothfusz, dry, damp: Text(
            f"case when {simple.text} < 80 then {simple.text} "
            f"when {rh.text} < 13 and {t.text} >= 80 and {t.text} <= 112 then {(rothfusz - dry).text} "
            f"when {rh.text} > 85 and {t.text} >= 80 and {t.text} <= 87 then {(rothfusz + damp).text} "
            f"else {rothfusz.text} end"
        ),
        lambda t: Text(f"sqrt((17 - abs({t.text} - 95)) / 17)"),
    )
    return f"(({fahrenheit.text}) - 32) / 1.8"


def heat_index_polars(t, rh):
    """The same in °C, in polars."""
    when = lambda t, rh, simple, rothfusz, dry, damp: (
        polars.when(simple < 80).then(simple)
        .when((rh < 13) & (t >= 80) & (t <= 112)).then(rothfusz - dry)
        .when((rh > 85) & (t >= 80) & (t <= 87)).then(rothfusz + damp)
        .otherwise(rothfusz)
    )
    return (heat_index(t, rh, when, lambda t: (((t - 95).abs() * -1 + 17) / 17).sqrt()) - 32) / 1.8


def rolling(dataset, ask, whole):
    """How the rolling heat index of one day is asked for: its greatest mean of each city, or all rows."""
    mean = (
        "avg({value}) over (partition by city_id order by reading_at "
        "range between interval '1 day' preceding and current row) as mean"
    )
    outer = (lambda inner: inner) if whole else (lambda inner: f"select city_id, max(mean) as mean from ({inner}) group by city_id")
    columns = "city_id, reading_at" if whole else "city_id"
    ours = outer(f"select {columns}, {mean.format(value='heat_index(temperature, humidity)')} from readings")
    duckdb = next(peer for peer in engines.parquet_peers(dataset) if peer.name == "duckdb")
    inner = f"select city_id, reading_at, temperature::double * 1.8 + 32 as t, humidity::double as rh from {duckdb.table}"
    inner = f"select city_id, reading_at, {heat_index_sql('t', 'rh')} as value from ({inner})"
    theirs = outer(f"select {columns}, {mean.format(value='value')} from ({inner})")
    scan = polars.scan_parquet([str(file) for file in dataset.files])
    number = lambda name: polars.col(name).cast(polars.Float64)
    values = scan.select(
        "city_id", "reading_at", heat_index_polars(number("temperature") * 1.8 + 32, number("humidity")).alias("value")
    )
    within = lambda mean: mean if whole else mean.group_by("city_id").agg(polars.col("mean").max())
    # `rolling` with `group_by` after a sort took three times as long.
    over = polars.col("value").rolling_mean_by("reading_at", "1d", closed="both").over("city_id").alias("mean")
    means = within(values.with_columns(over).select("city_id", "reading_at", "mean"))
    return {
        "barograph": lambda _: ask(ours),
        "duckdb": lambda _: duckdb.ask(theirs),
        "polars": lambda _: means.collect().to_arrow(),
    }


def asked(query, dataset, ask):
    """How each engine is asked a query, by name."""
    timestamp = lambda at: f"timestamp '{engines.text(at)}+00'"
    sql = {peer.name: peer for peer in engines.parquet_peers(dataset) if peer.name != "polars"}
    scan = polars.scan_parquet([str(file) for file in dataset.files])
    calls = {"barograph": lambda _: ask(query.ours or query.sql(Dialect("barograph", "readings", timestamp)))}
    for name, peer in sql.items():
        text = query.sql(Dialect(name.split(",")[0], peer.table, peer.instant))
        calls[name] = lambda _, peer=peer, text=text: peer.ask(text)
    for engine in ("in-memory", "streaming"):
        calls[f"polars ({engine})"] = lambda _, engine=engine: query.frame(scan).collect(engine=engine).to_arrow()
    return calls


def sums(table):
    """Rows, and the sum of every column of numbers: the same in any order of rows and under any name."""
    table = pa.table(table)
    numbers = [column for column in table.columns if pa.types.is_floating(column.type)]
    return table.num_rows, sorted(round(pc.sum(column.cast(pa.float64())).as_py() or 0.0, 0) for column in numbers)


def compare(query, dataset, ask, rounds=ROUNDS):
    """Seconds of everybody asked a query, round by round."""
    return compared(query.name, asked(query, dataset, ask), rounds)


def compared(name, calls, rounds, warm=2):
    """Seconds of everybody, round by round, after their answers were compared."""
    ours, expected = None, None
    for who, call in calls.items():
        answer = sums(call(None))
        expected = expected or answer
        close = lambda a, b: math.isclose(a, b, rel_tol=1e-4, abs_tol=1.0)
        if answer[0] != expected[0] or not all(map(close, answer[1], expected[1])):
            raise SystemExit(f"{name}: {who} gives {answer}, barograph {expected}")
    times = by_turns(rounds, {name: (call, 1) for name, call in calls.items()}, [None], warm=warm)
    return {name: [median(part) for part in parts] for name, parts in times.items()}


def ratios_to_best(seconds):
    best = min((name for name in seconds if name != "barograph"), key=lambda name: median(seconds[name]))
    return best, [mine / other for mine, other in zip(seconds["barograph"], seconds[best])]


def sql(dataset):
    """SQL over Flight beside the best of duckdb, polars, datafusion and chdb on the same Parquet files."""
    with Server(dataset.serve) as server, flight_sql.connect(server.url.replace("grpc", "grpc+tcp"), autocommit=True) as connection:
        cursor = connection.cursor()

        def ask(text):
            cursor.execute(text)
            return cursor.fetch_arrow_table()

        head()
        seconds = compare(hourly(dataset), dataset, ask)
        best, ratios = ratios_to_best(seconds)
        figures = (spread(seconds["barograph"], 1e-3), f"{best}: {spread(seconds[best], 1e-3)} ms")
        row("hourly mean per city over everything, ms", *figures, ratios, "≤ 0.8", median(ratios) <= 0.8)
        for name, whole in (("rolling heat index, greatest of each city", False), ("rolling heat index, all rows", True)):
            seconds = compared(name, rolling(dataset, ask, whole), ROLLING_ROUNDS, warm=0)
            best, ratios = ratios_to_best(seconds)
            figures = (spread(seconds["barograph"], 1e-3), f"{best}: {spread(seconds[best], 1e-3)} ms")
            row(f"{name}, ms", *figures, ratios, "–" if whole else "≤ 0.8", whole or median(ratios) <= 0.8)
        every = []
        for query in questions(dataset):
            seconds = compare(query, dataset, ask)
            best, ratios = ratios_to_best(seconds)
            every.append(ratios)
            figures = (spread(seconds["barograph"], 1e-3), f"{best}: {spread(seconds[best], 1e-3)} ms")
            row(f"{query.name}, ms", *figures, ratios, "–", True)
        means = [math.exp(sum(map(math.log, ratios)) / len(ratios)) for ratios in zip(*every)]
        row("ten questions, geometric mean", "–", "–", means, "≤ 0.5", median(means) <= 0.5)
        with RustClient(server, lambda text: text) as rust:
            for text in ("select count(*) from readings", "select max(reading_at) from readings"):
                for client, call in (("the Rust client", rust), ("ADBC", ask)):
                    seconds = [timed(call, text)[0] for _ in range(200)]
                    figure = f"{median(seconds) * 1e3:.3g}, p99 {percentile(seconds, 0.99) * 1e3:.3g}"
                    row(f"{text} to {client}, p50 in ms", figure, "–", [], "≤ 1 ms", median(seconds) <= 1e-3)
