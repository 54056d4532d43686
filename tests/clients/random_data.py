"""Which rows do random queries meet? In the server they lie in the lake, in the tail, and in both with the later one
counting; DuckDB is given what a dictionary holds after the same puts.

    hour  0    1    2    3    4    5
    lake  ████ ████ ████ ████
    tail       ░░   ░░        ████ ████     ░ late rows: some new, most in place of a lake row
                              ░░   ░░       ░ put again: in place of a tail row
"""

import csv
import pathlib
import random

import duckdb

import readings
from session import Session

# The day on which clocks change in Europe, an hour after its midnight.
START = readings.day(29)
STEP = 5 * readings.MINUTE
LANDED, HOURS = 4, 6
# Ids of cities; some of them have no reading.
CITIES = sorted(readings.cities()[::1100])
SILENT = CITIES[2::5]
KEYS = [city for city in CITIES if city not in SILENT]


class Rows:
    """Puts rows into the server and remembers which of them count."""

    def __init__(self, session):
        self.session = session
        self.random = random.Random(20250330)
        self.model = readings.Model()

    def hour(self, number, share, generation=0, shift=0):
        """Puts a share of the rows of an hour, in any order."""
        first = START + number * readings.HOUR
        places = [(key, at + shift) for at in range(first, first + readings.HOUR, STEP) for key in KEYS]
        chosen = [place for place in places if self.random.random() < share]
        self.random.shuffle(chosen)
        rows = [(key, at, *readings.values(key, at, generation)) for key, at in chosen]
        self.model.rows.update({row[:2]: row for row in rows})
        (ack,) = self.session.put(readings.as_table(rows))
        assert (ack["accepted"], ack["rejected"]) == (len(rows), 0), ack


def fill(url):
    """Fills the server and gives DuckDB's connection to the same rows."""
    with Session(url) as session:
        rows = Rows(session)
        for hour in range(LANDED):
            rows.hour(hour, 0.9)
        session.flush()
        for hour in (1, 2):
            rows.hour(hour, 0.3, generation=1)
            rows.hour(hour, 0.1, generation=2, shift=readings.MINUTE + 1)
        for hour in range(LANDED, HOURS):
            rows.hour(hour, 0.9)
            rows.hour(hour, 0.3, generation=3)
    table = rows.model.table()
    at = table.schema.get_field_index("reading_at")
    # DuckDB's times have no zone here: they are those of UTC.
    plain = table.set_column(at, "reading_at", table.column(at).cast("timestamp[us]"))
    connection = duckdb.connect()
    for setting in ["default_null_order = 'nulls_last_on_asc_first_on_desc'", "threads = 1", "TimeZone = 'UTC'", "order_by_non_integer_literal = true"]:
        connection.execute(f"SET {setting}")
    connection.register("plain", plain)
    connection.execute("CREATE TABLE readings AS SELECT * FROM plain")
    connection.execute(
        "CREATE TABLE cities (city_id INTEGER, name VARCHAR, country VARCHAR, admin1 VARCHAR, latitude DOUBLE, "
        "longitude DOUBLE, population BIGINT, timezone VARCHAR)"
    )
    connection.executemany("INSERT INTO cities VALUES (?, ?, ?, ?, ?, ?, ?, ?)", dimension())
    return connection, table.num_rows


def dimension():
    """The rows of the table `cities` that queries ask for: those of CITIES, without their heights."""
    path = pathlib.Path(__file__).resolve().parents[2] / "cli" / "data" / "cities.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return [tuple(row.values())[:8] for row in csv.DictReader(file) if int(row["city_id"]) in CITIES]


def stands(session, rows):
    """Fails unless rows lie in the lake, in the tail and in both, as the picture above has it."""
    found = session("SELECT lake_rows > 0 AS lake, tail_rows > 0 AS tail FROM system.hours WHERE table_name = 'readings' ORDER BY hour")
    expected = [(hour < LANDED, hour in (1, 2) or hour >= LANDED) for hour in range(HOURS)]
    assert [tuple(row.values()) for row in found.to_pylist()] == expected, found
    assert session("SELECT count(*) AS n FROM readings").to_pylist() == [{"n": rows}]
