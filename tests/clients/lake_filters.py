"""Do engines that are not ours find by a filter what is in the lake? Readers leave out files by the statistics of their
entries, so every filter is compared with the same filter over all rows in memory. In two steps, as the second must work
without the server:

    python lake_filters.py fill grpc://127.0.0.1:8815        puts rows of the table `samples` and lands them
    python lake_filters.py compare DATA/lake                 server stopped: filters by every kind of value
"""

import math
import os
import pathlib
import sys

import deltalake
import duckdb
import polars
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as parquet

from checks import Checks, equal
from readings import HOUR, TIME, day
from session import Session

CHECKS = Checks()
START = day(70)
NAN, INF = math.nan, math.inf
LONG, LONGER, LAST = "é" * 200 + "1", "é" * 200 + "2", "\U0010ffff" * 40
# Text, float32, float64, int16 and instant of the rows of one hour, which come into one file.
FILES = [
    [("rain", 1.0, 1.0, 1, 0), ("snow", 2.0, 2.0, 2, 1)],
    [("rain", NAN, 1.0, 3, 2), ("fog", 1.0, NAN, 4, None)],
    [(None, None, None, None, None), (None, None, None, None, None)],
    [("a" * 100, INF, -INF, 5, 4), ("b" * 100, -INF, INF, None, 5)],
    [(LONG, -0.0, 0.0, 6, 6), (LONGER, -1.0, -0.0, 7, 7)],
    [("Ünï", 0.0, -0.0, 0, 8), (None, None, None, None, None)],
    [(LAST, NAN, NAN, -1, 9), (LAST + "x", NAN, NAN, -2, 10)],
    [("", None, 5.5, 8, 11), ("z", 5.5, None, 9, 12)],
    [("~", 1e30, -1e300, 32_767, 13), ("é", -1e30, 1e300, -32_768, 14)],
    [("mid", INF, 3.0, 10, 15), (None, 3.0, INF, 11, 16)],
]
VALUES = {
    "text": ["rain", "fog", "mid", "", "a" * 100, "b" * 100, LONG, LONGER, "Ünï", "é", "z", "zz", "~", LAST, LAST + "x"],
    "single": [1.0, 2.0, NAN, INF, -INF, 0.0, -0.0, -1.0, 5.5, 3.0, 7.0],
    "double": [1.0, 2.0, NAN, INF, -INF, 0.0, -0.0, 5.5, 1e300, -1e300, 3.0, 7.0],
    "short": [1, 0, 5, -2, 32_767, -32_768, 12],
}
OPERATORS = {
    "=": lambda column, value: column == value,
    "!=": lambda column, value: column != value,
    "<": lambda column, value: column < value,
    "<=": lambda column, value: column <= value,
    ">": lambda column, value: column > value,
    ">=": lambda column, value: column >= value,
}
SQL_TYPES = {"text": "VARCHAR", "single": "FLOAT", "double": "DOUBLE", "short": "SMALLINT"}


def fill(url):
    """The rows of each hour, each of a key of its own, landed."""
    with Session(url) as session:
        for hour, rows in enumerate(FILES):
            text, single, double, short, seen = zip(*rows)
            keys = range(hour * 100, hour * 100 + len(rows))
            batch = {
                "key": pa.array(keys, pa.int32()),
                "at": pa.array([START + hour * HOUR + row for row in range(len(rows))], TIME),
                "text": pa.array(text, pa.string()),
                "single": pa.array(single, pa.float32()),
                "double": pa.array(double, pa.float64()),
                "short": pa.array(short, pa.int16()),
                "seen": pa.array([at and START + at for at in seen], TIME),
            }
            (ack,) = session.put(pa.table(batch), path=("samples",))
            equal(ack["rejected"], 0, f"rejected rows of hour {hour}: {ack}")
        session.flush()
    return 0


class Samples:
    """The table of a stopped server, and all of its rows in memory."""

    def __init__(self, folder):
        self.path = str(pathlib.Path(folder) / "samples")
        self.delta = deltalake.DeltaTable(self.path)
        files = self.delta.file_uris()
        equal(len(files), len(FILES), "files")
        self.rows = pa.concat_tables(parquet.ParquetFile(file).read() for file in files)
        equal(self.rows.num_rows, sum(map(len, FILES)), "rows")

    def compare(self, found, plain, step=1):
        """Every column by every operator and value, and nulls: `found(column, operator, value)` and `plain(…)` give keys.
        With a `step`, one pair of so many, by turns, so that every operator and every value is among them."""
        wrong = []
        for column, values in VALUES.items():
            pairs = [(at + of, operator, value) for at, operator in enumerate(OPERATORS) for of, value in enumerate(values)]
            filters = [(operator, value) for place, operator, value in pairs if place % step == 0]
            for operator, value in [*filters, ("is null", None), ("is not null", None)]:
                got, wanted = sorted(found(column, operator, value)), sorted(plain(column, operator, value))
                if got != wanted:
                    wrong.append(f"{column} {operator} {str(value)[:20]!r}: got {got}, expected {wanted}")
        assert not wrong, f"{len(wrong)} filters:\n" + "\n".join(wrong)


def keys(table):
    return table["key"].to_pylist()


def expression(column, operator, value):
    """A filter as pyarrow has it."""
    field = pa.dataset.field(column)
    match operator:
        case "is null":
            return field.is_null()
        case "is not null":
            return field.is_valid()
    return OPERATORS[operator](field, pa.scalar(value))


@CHECKS.check
def deltalake_filters(samples: Samples):
    """to_pyarrow_table(filters=…): text, floats with NaN, infinities and zeros, integers, nulls"""
    memory = pa.dataset.dataset(samples.rows)

    def found(column, operator, value):
        if value is None:
            return keys(samples.delta.to_pyarrow_table(filters=expression(column, operator, value)))
        return keys(samples.delta.to_pyarrow_table(filters=[(column, operator, value)]))

    def plain(column, operator, value):
        if value is None:
            return keys(memory.to_table(filter=expression(column, operator, value)))
        return keys(memory.to_table(filter=parquet.filters_to_expression([(column, operator, value)])))

    # Each call lists all files anew. The next check has every pair over the same dataset.
    samples.compare(found, plain, step=3)


@CHECKS.check
def pyarrow_filters_the_dataset(samples: Samples):
    """the same over to_pyarrow_dataset()"""
    memory, dataset = pa.dataset.dataset(samples.rows), samples.delta.to_pyarrow_dataset()
    samples.compare(
        lambda *what: keys(dataset.to_table(filter=expression(*what))),
        lambda *what: keys(memory.to_table(filter=expression(*what))),
    )


@CHECKS.check
def duckdb_filters_the_dataset(samples: Samples):
    """SQL of DuckDB over to_pyarrow_dataset()"""
    with duckdb.connect() as connection:
        connection.register("dataset", samples.delta.to_pyarrow_dataset())
        connection.register("memory", samples.rows)

        def rows(table):
            def answer(column, operator, value):
                compared = f"{operator} $1::{SQL_TYPES[column]}" if value is not None else operator
                values = [] if value is None else [value]
                found = connection.execute(f"select key from {table} where {column} {compared}", values)
                return [key for (key,) in found.fetchall()]

            return answer

        samples.compare(rows("dataset"), rows("memory"))


@CHECKS.check
def polars_filters_the_scan(samples: Samples):
    """polars.scan_delta with a filter"""
    memory = polars.from_arrow(samples.rows).lazy()

    def rows(frame):
        def answer(column, operator, value):
            of = polars.col(column)
            match operator:
                case "is null":
                    chosen = of.is_null()
                case "is not null":
                    chosen = of.is_not_null()
                case _:
                    chosen = OPERATORS[operator](of, value)
            return frame().filter(chosen).collect()["key"].to_list()

        return answer

    samples.compare(rows(lambda: polars.scan_delta(samples.path)), rows(lambda: memory))


@CHECKS.check
def keys_and_times_still_leave_out_files(samples: Samples):
    """one hour is one file of the dataset, told by the statistics of key and time"""
    hour = pa.scalar(START + 3 * HOUR, TIME)
    for chosen, file in [(pa.dataset.field("at") == hour, 3), (pa.dataset.field("key") == 701, 7)]:
        fragments = list(samples.delta.to_pyarrow_dataset().get_fragments(filter=chosen))
        equal(len(fragments), 1, f"files for {chosen}")
        assert keys(fragments[0].to_table()) == [file * 100, file * 100 + 1], fragments


def main(arguments):
    match arguments:
        case ["fill", url]:
            return fill(url)
        case ["compare", folder, *only]:
            return CHECKS.run(Samples(folder), *only)
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of the libraries that still run would now and then abort the process while it ends.
    os._exit(status or 0)
