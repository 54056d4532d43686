"""Which rows should a table have? A model of `readings`: a dictionary from (city, instant) to values, in which the
row that was put last wins."""

import csv
import pathlib
import struct

import pyarrow as pa

MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
TIME = pa.timestamp("us", tz="UTC")
VALUES = {
    "temperature": pa.float32(),
    "humidity": pa.float32(),
    "pressure": pa.float32(),
    "wind_speed": pa.float32(),
    "wind_direction": pa.int16(),
    "precipitation": pa.float32(),
}
SCHEMA = pa.schema(
    [pa.field("city_id", pa.int32(), nullable=False), pa.field("reading_at", TIME, nullable=False)]
    + [pa.field(name, kind) for name, kind in VALUES.items()]
)
WHOLE_SCHEMA = SCHEMA.append(pa.field("ingested_at", TIME, nullable=False))
# (smallest value, steps of 0.1) of each column: inside the plausible range of the built-in table.
_RANGES = [(-40.0, 900), (0.0, 1000), (850.0, 2000), (0.0, 400), (0, 360), (0.0, 100)]
_EPOCH_2025_03_01 = 1_740_787_200_000_000


def cities():
    """Ids of all built-in cities, in the order of the file."""
    path = pathlib.Path(__file__).resolve().parents[2] / "cli" / "data" / "cities.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return [int(row["city_id"]) for row in csv.DictReader(file)]


def day(number):
    """First instant (µs) of a day that one check has for itself."""
    return _EPOCH_2025_03_01 + number * DAY


def single(value):
    """The number that a float32 column holds for `value`."""
    return None if value is None else struct.unpack("f", struct.pack("f", value))[0]


def values(city, instant, generation=0):
    """The values of a reading: told by its key, its instant and how often it was replaced."""
    seed = (city * 2_654_435_761 + instant // 1_000 * 40_503 + generation * 97_003) & 0xFFFF_FFFF
    row = []
    for column, (low, steps) in enumerate(_RANGES):
        seed = (seed * 1_664_525 + 1_013_904_223) & 0xFFFF_FFFF
        step = (seed >> 8) % steps
        if (seed >> 4) % 19 == 0:
            row.append(None)
        elif isinstance(low, int):
            row.append(low + step)
        else:
            row.append(single(round(low + step / 10, 1)))
    return tuple(row)


def as_table(rows):
    """An Arrow table of (city, instant, values…) tuples in their order."""
    columns = list(zip(*rows)) or [()] * len(SCHEMA)
    return pa.table([pa.array(c, type=f.type) for c, f in zip(columns, SCHEMA)], schema=SCHEMA)


class Model:
    """What was put so far."""

    def __init__(self):
        self.rows = {}

    def make(self, keys, instants, generation=0):
        """Remembers readings of all keys at all instants and gives them as a table to put, by instant."""
        made = [(key, at, *values(key, at, generation)) for at in instants for key in keys]
        for row in made:
            self.rows[row[:2]] = row
        return as_table(made)

    def select(self, keys=None, start=None, stop=None, where=None):
        """Rows as tuples, ordered by (key, time). `where` sees a dictionary by column."""
        wanted = None if keys is None else set(keys)
        found = [
            row
            for (key, at), row in self.rows.items()
            if (wanted is None or key in wanted)
            and (start is None or at >= start)
            and (stop is None or at < stop)
            and (where is None or where(dict(zip(SCHEMA.names, row))))
        ]
        return sorted(found, key=lambda row: row[:2])

    def table(self, **selection):
        """`select` as a table."""
        return as_table(self.select(**selection))

    def newest(self, keys, until=None):
        """The newest reading of each key at or before `until`, as a table."""
        newest = {}
        for row in self.select(keys=keys):
            if until is None or row[1] <= until:
                newest[row[0]] = row
        return as_table(sorted(newest.values(), key=lambda row: row[0]))

    def windows(self, every, column, **selection):
        """Values that are not null by (key, start of window)."""
        place = SCHEMA.names.index(column)
        found = {}
        for row in self.select(**selection):
            group = found.setdefault((row[0], row[1] // every * every), [])
            if row[place] is not None:
                group.append(row[place])
        return found
