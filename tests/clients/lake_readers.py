"""Do engines that are not ours read the same rows from the lake as our server gives? In two steps, because the
second must work without the server:

    python lake_readers.py fill grpc://127.0.0.1:8815 EXPECTED.arrow     puts rows, lands them, keeps the server's answer
    python lake_readers.py compare DATA/lake EXPECTED.arrow              server stopped: reads the lake and compares
"""

import os
import pathlib
import sys

import deltalake
import duckdb
import polars
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as parquet

from checks import Checks, equal, same_rows
from readings import HOUR, MINUTE, WHOLE_SCHEMA, Model, cities, day
from session import Session

CHECKS = Checks()
CITIES = sorted(cities()[900:1_000])
START = day(50)


def fill(url, expected):
    """Rows of four hours; then late ones, duplicates and replacements for hours that have landed."""
    model = Model()
    minutes = [START + minute * MINUTE for minute in range(240)]
    with Session(url) as session:
        for hour in range(4):
            session.put(model.make(CITIES, minutes[hour * 60 : hour * 60 + 60 : 2]))
        session.flush()
        late = [minute + 17 for minute in minutes[1::6]]
        session.put(model.make(CITIES[::3], late))
        session.put(model.make(CITIES[::2], minutes[10:200:8], generation=1))
        session.put(model.make(CITIES[:10], minutes[10:200:8], generation=1))
        session.put(model.make(CITIES[:1], [START - 5 * HOUR, START + 9 * HOUR]))
        session.flush()
        session.put(model.make(CITIES[:5], minutes[20:40], generation=2))
        nowhere = [pa.array([-1], pa.int32()), pa.array([START], WHOLE_SCHEMA.types[1])]
        session.put(pa.Table.from_arrays(nowhere, names=WHOLE_SCHEMA.names[:2]))
        session.flush()
        answer = session.range()
        letters = session.range(table="dead_letters")
    same_rows(answer.drop_columns(["ingested_at"]), model.table(), "the server's own answer")
    equal(letters.num_rows, 1, "dead letters")
    with pa.ipc.new_file(expected, answer.schema) as file:
        file.write_table(answer)
    parquet.write_table(letters, pathlib.Path(expected).with_suffix(".letters"))
    print(f"{answer.num_rows:,} rows put, landed and kept as the server's answer")
    return 0


class Lake:
    """The lake of a stopped server beside what the server last answered."""

    def __init__(self, folder, expected):
        self.table = pathlib.Path(folder) / "readings"
        self.letters_table = pathlib.Path(folder) / "dead_letters"
        with pa.ipc.open_file(expected) as file:
            self.expected = file.read_all()
        self.letters = parquet.read_table(pathlib.Path(expected).with_suffix(".letters"))
        self.files = sorted(deltalake.DeltaTable(self.table).file_uris())

    def same(self, rows, what):
        """Compares all columns. Readers differ in what they say of nullability, which is not a value."""
        same_rows(pa.table(rows).select(WHOLE_SCHEMA.names).cast(WHOLE_SCHEMA), self.expected, what)


@CHECKS.check
def deltalake_reads_the_table(lake: Lake):
    """deltalake (delta-rs): rows, and that no city and instant is there twice"""
    table = deltalake.DeltaTable(lake.table)
    rows = pa.table(table.to_pyarrow_table()).sort_by([("city_id", "ascending"), ("reading_at", "ascending")])
    lake.same(rows, "deltalake")


@CHECKS.check
def deltalake_finds_the_statistics_exact(lake: Lake):
    """row counts, smallest and largest values and nulls of every file as its rows have them"""
    actions = pa.table(deltalake.DeltaTable(lake.table).get_add_actions(flatten=True)).to_pylist()
    equal(sum(action["num_records"] for action in actions), lake.expected.num_rows, "rows of all files")
    for action in actions:
        rows = parquet.read_table(lake.table / action["path"])
        equal(action["num_records"], rows.num_rows, f"rows of {action['path']}")
        for name in rows.column_names:
            # Of columns that may be null readers are told nothing: see docs/adr/0018-other-engines.md.
            if f"null_count.{name}" not in action:
                assert WHOLE_SCHEMA.field(name).nullable, f"no statistics of {name}"
                continue
            equal(action[f"null_count.{name}"], rows[name].null_count, f"nulls of {name} in {action['path']}")
            smallest, largest = pa.compute.min_max(rows[name]).as_py().values()
            if smallest is not None and action.get(f"min.{name}") is not None:
                # Timestamps may be told to the millisecond only; they must still enclose the rows.
                assert action[f"min.{name}"] <= smallest, f"min of {name} in {action['path']}"
                if name != "ingested_at" and name != "reading_at":
                    equal(action[f"min.{name}"], smallest, f"min of {name} in {action['path']}")
                    equal(action[f"max.{name}"], largest, f"max of {name} in {action['path']}")


@CHECKS.check
def deltalake_prunes_by_them(lake: Lake):
    """a filter on key and time gives the rows that are there, pruned by statistics or not"""
    city, start, stop = CITIES[2], START + HOUR, START + 2 * HOUR
    at = pa.compute.cast(pa.array([start, stop]), WHOLE_SCHEMA.types[1]).to_pylist()
    filters = [("city_id", "=", city), ("reading_at", ">=", at[0]), ("reading_at", "<", at[1])]
    rows = pa.table(deltalake.DeltaTable(lake.table).to_pyarrow_table(filters=filters))
    time = pa.compute.cast(lake.expected["reading_at"], pa.int64())
    inside = pa.compute.and_(pa.compute.greater_equal(time, start), pa.compute.less(time, stop))
    mine = pa.compute.and_(inside, pa.compute.equal(lake.expected["city_id"], city))
    expected = lake.expected.filter(mine)
    assert expected.num_rows > 0
    same_rows(rows.sort_by("reading_at").select(WHOLE_SCHEMA.names).cast(WHOLE_SCHEMA), expected, "filtered")


@CHECKS.check
def deltalake_reads_earlier_versions(lake: Lake):
    """every version of the table opens, and rows only ever get more"""
    newest = deltalake.DeltaTable(lake.table).version()
    assert newest >= 3, f"version {newest}"
    counts = []
    for version in range(newest + 1):
        actions = deltalake.DeltaTable(lake.table, version=version).get_add_actions(flatten=True)
        counts.append(sum(pa.table(actions)["num_records"].to_pylist()))
    equal(counts, sorted(counts), "rows by version")
    equal(counts[-1], lake.expected.num_rows, "rows of the newest version")


@CHECKS.check
def polars_scans_the_delta_table(lake: Lake):
    """polars.scan_delta: all rows, and one city's hour with its filter pushed down"""
    scan = polars.scan_delta(str(lake.table))
    lake.same(scan.sort("city_id", "reading_at").collect().to_arrow(), "polars.scan_delta")
    mine = scan.filter(polars.col("city_id") == CITIES[3]).select(polars.len()).collect().item()
    equal(mine, lake.expected["city_id"].to_pylist().count(CITIES[3]), "rows of one city")


@CHECKS.check
def polars_reads_the_file_list(lake: Lake):
    """polars.read_parquet over the active files"""
    rows = polars.read_parquet(lake.files).sort("city_id", "reading_at")
    lake.same(rows.to_arrow(), "polars.read_parquet")


@CHECKS.check
def duckdb_reads_the_file_list(lake: Lake):
    """duckdb over the active files: rows in key and time order, and an aggregate of its own"""
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        files = connection.read_parquet(lake.files)
        rows = connection.sql("select * from files order by city_id, reading_at").to_arrow_table()
        lake.same(rows, "duckdb")
        (counts,) = connection.sql("select count(*), count(distinct city_id) from files").fetchall()
    equal(counts, (lake.expected.num_rows, len(CITIES)), "rows and cities")


@CHECKS.check
def files_are_sorted_hours(lake: Lake):
    """each file by itself: sorted by key and time, each once, one hour, as its folder says"""
    for uri in lake.files:
        rows = parquet.read_table(uri)
        keys = list(zip(rows["city_id"].to_pylist(), rows["reading_at"].cast(pa.int64()).to_pylist()))
        equal(keys, sorted(set(keys)), f"order of {uri}")
        hours = {at // HOUR for _, at in keys}
        equal(len(hours), 1, f"hours of {uri}")
        hour = rows["reading_at"][0].as_py().strftime("%Y-%m-%dT%H")
        assert f"/hour/{hour}/" in uri, f"{uri} holds {hour}"


@CHECKS.check
def dead_letters_are_a_table_like_any_other(lake: Lake):
    """deltalake reads them with the server's values"""
    rows = pa.table(deltalake.DeltaTable(lake.letters_table).to_pyarrow_table())
    rows = rows.select(lake.letters.column_names).cast(lake.letters.schema)
    same_rows(rows, lake.letters, "dead letters")


def main(arguments):
    match arguments:
        case ["fill", url, expected]:
            return fill(url, expected)
        case ["compare", folder, expected, *only]:
            return CHECKS.run(Lake(folder, expected), *only)
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of the libraries that still run would now and then abort the process while it ends.
    os._exit(status or 0)
