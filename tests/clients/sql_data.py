"""What do the checks of SQL ask for, and what is right? Rows that every driver sees, values of every type."""

import datetime
import decimal
import functools

import pyarrow as pa

import readings

UTC = datetime.timezone.utc
START = readings.day(300)
HOURS = 2
CITIES = sorted(readings.cities()[:20])
# Cities that single checks append rows of.
SPARE = sorted(readings.cities()[20:60])
# Enough readings of other cities, before all others, that an answer with them is worth dividing.
MANY_CITIES = sorted(readings.cities()[60:100])
MANY_START = START - 20 * readings.DAY
MANY = f"SELECT city_id, reading_at, temperature FROM readings WHERE city_id IN ({', '.join(map(str, MANY_CITIES))}) ORDER BY city_id, reading_at"
ENDPOINTS = 4
ENDPOINTS_HEADER = "x-barograph-endpoints"
MODEL = readings.Model()
MANY_MODEL = readings.Model()

# Expression, Arrow type, value.
TYPES = [
    ("true", pa.bool_(), True),
    ("arrow_cast(-1, 'Int8')", pa.int8(), -1),
    ("arrow_cast(-1, 'Int16')", pa.int16(), -1),
    ("CAST(-1 AS INTEGER)", pa.int32(), -1),
    ("9007199254740993", pa.int64(), 9007199254740993),
    ("arrow_cast(200, 'UInt8')", pa.uint8(), 200),
    ("arrow_cast(1, 'UInt64')", pa.uint64(), 1),
    ("CAST(1.5 AS REAL)", pa.float32(), 1.5),
    ("CAST(0.1 AS DOUBLE)", pa.float64(), 0.1),
    ("CAST(1.25 AS DECIMAL(10, 2))", pa.decimal128(10, 2), decimal.Decimal("1.25")),
    ("'é''\"'", pa.string(), "é'\""),
    ("arrow_cast('view', 'Utf8View')", pa.string(), "view"),
    ("arrow_cast('word', 'Dictionary(Int32, Utf8)')", pa.string(), "word"),
    ("X'00ff'", pa.binary(), b"\x00\xff"),
    ("DATE '2026-01-02'", pa.date32(), datetime.date(2026, 1, 2)),
    ("TIMESTAMP '2026-01-02 03:04:05'", pa.timestamp("ns"), datetime.datetime(2026, 1, 2, 3, 4, 5)),
    ("make_array(1, NULL, 3)", pa.list_(pa.int64()), [1, None, 3]),
    ("named_struct('a', 1, 'b', 'x')", pa.struct([("a", pa.int64()), ("b", pa.string())]), {"a": 1, "b": "x"}),
]
TYPES_QUERY = "SELECT " + ", ".join(f"{expression} AS c{i}" for i, (expression, _, _) in enumerate(TYPES))

# Values that a driver may bind, with the Arrow type in which they come back.
PARAMETERS = [
    (True, pa.bool_()),
    (-7, pa.int64()),
    (0.1, pa.float64()),
    ("é'", pa.string()),
    (b"\x00\xff", pa.binary()),
    (datetime.date(2026, 1, 2), pa.date32()),
    (datetime.datetime(2026, 1, 2, 3, 4, 5, 6), pa.timestamp("us")),
    (datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), pa.timestamp("us", tz="UTC")),
    (decimal.Decimal("1.25"), pa.decimal128(3, 2)),
    (None, pa.null()),
]

# Lists that a driver may bind, with the type of their items.
LISTS = [
    ([3, None, 1], pa.int64()),
    ([0.1, 2.5], pa.float64()),
    (["é'", "", None], pa.string()),
    ([datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)], pa.timestamp("us", tz="UTC")),
    ([], pa.int64()),
]

TEMPERATURES = "SELECT city_id, reading_at, temperature FROM readings WHERE city_id <= {0} ORDER BY city_id, reading_at"
OF_CITY = "SELECT count(*) AS n FROM readings WHERE city_id = ? AND reading_at >= ?"
WIDE = "SELECT " + ", ".join(f"{i} AS c{i}" for i in range(1_000))
LARGE_ROWS = 200_000
LARGE = f"SELECT value AS n, 'row ' || value AS t FROM generate_series(1, {LARGE_ROWS}) ORDER BY value"
ENDLESS = (
    "SELECT a.value + b.value AS n FROM generate_series(1, 1000000) a CROSS JOIN generate_series(1, 1000000) b"
)
# Takes long before its first row.
SLOW = "SELECT count(*) FROM generate_series(1, 1000000) a CROSS JOIN generate_series(1, 1000000) b"
ZONE = "SELECT arrow_typeof(now()) AS zone"


def base():
    """The rows that are there before the checks, as a table."""
    instants = range(START, START + HOURS * readings.HOUR, 10 * readings.MINUTE)
    return MODEL.make(CITIES, instants)


def many():
    """The rows that MANY finds, as a table to put."""
    return MANY_MODEL.make(MANY_CITIES, range(MANY_START, MANY_START + 1_000 * readings.MINUTE, readings.MINUTE))


def check_parts(parts):
    """Fails unless tables are the parts of the answer to MANY."""
    assert 1 < len(parts) <= ENDPOINTS, [part.num_rows for part in parts]
    same(pa.concat_tables(parts), of_many(), "the parts")


@functools.cache
def of_many():
    """The answer to MANY."""
    return readings.as_table(MANY_MODEL.select()).select(["city_id", "reading_at", "temperature"])


def temperatures():
    """The answer to TEMPERATURES of the tenth city."""
    rows = MODEL.select(keys=[city for city in CITIES if city <= CITIES[9]])
    names = ["city_id", "reading_at", "temperature"]
    return readings.as_table(rows).select(names)


def instant(micros):
    return datetime.datetime.fromtimestamp(micros / 1e6, tz=UTC)


def fresh(cities, generation=1):
    """Rows to append that no other check has."""
    return MODEL.make(cities, [START + 50 * readings.HOUR], generation)


def same(actual, expected, what):
    """Fails unless two Arrow tables have the same names, types and rows."""
    assert actual.schema.names == expected.schema.names, f"{what}: columns {actual.schema.names}"
    assert actual.schema.types == expected.schema.types, f"{what}: types {actual.schema.types}"
    assert actual.equals(expected) or actual.to_pylist() == expected.to_pylist(), f"{what}: rows"


def check_types(table):
    """Fails unless the answer to TYPES_QUERY has the right types and values."""
    for i, (expression, kind, value) in enumerate(TYPES):
        assert table.schema.field(i).type.equals(kind), f"{expression}: {table.schema.field(i).type}"
        assert table.column(i).to_pylist() == [value], f"{expression}: {table.column(i).to_pylist()}"
