"""How fast are rows loaded from Parquet, and how small do they lie in the lake, beside other engines?"""

import itertools
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import deltalake
import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq

from dataset import active
from measure import head, median, note, row, spread
from server import command

ROUNDS = 5
DUCKDB = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1])
connection.execute("create table readings as select * from read_parquet(?)", [sys.argv[2:]])
connection.execute("checkpoint")
"""


def whole_process(arguments):
    """Seconds from the start of a process to its end."""
    start = time.perf_counter()
    done = subprocess.run(arguments, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{arguments[:4]} failed:\n{done.stdout}{done.stderr}")
    return seconds


def load(dataset):
    """Import of 24 hour files into a new lake, beside duckdb's load of them into a new database, by turns."""
    files = [str(file) for file in dataset.hours]
    rows = sum(pq.read_metadata(file).num_rows for file in files)
    ours, theirs = [], []
    for number in range(ROUNDS):
        with tempfile.TemporaryDirectory(dir=dataset.work) as folder:
            data, database = pathlib.Path(folder) / "lake", pathlib.Path(folder) / "readings.duckdb"
            runs = [
                lambda: ours.append(whole_process(command("import", "--data", data, *files))),
                lambda: theirs.append(whole_process([sys.executable, "-c", DUCKDB, str(database), *files])),
            ]
            for run in runs if number % 2 else reversed(runs):
                subprocess.run(["sync"], check=True)
                run()
            check_rows(data, database, rows)
            sizes = (sum(file.stat().st_size for file in active(data)), database.stat().st_size)
    ratios = [mine / other for mine, other in zip(ours, theirs)]
    head()
    what = f"import of {rows:,} rows from 24 Parquet files, whole process, s"
    row(what, spread(ours), f"duckdb, native table: {spread(theirs)}", ratios, "≤ 1.5", median(ratios) <= 1.5)
    note(f"{rows / median(ours):,.0f} rows/s; lake {sizes[0]:,} bytes, duckdb {sizes[1]:,} bytes")


def check_rows(data, database, rows):
    actions = pa.table(deltalake.DeltaTable(pathlib.Path(data) / "lake" / "readings").get_add_actions(flatten=True))
    landed = sum(actions["num_records"].to_pylist())
    with duckdb.connect(str(database), read_only=True) as connection:
        ((loaded,),) = connection.sql("select count(*) from readings").fetchall()
    if not landed == loaded == rows:
        raise SystemExit(f"{rows} rows: {landed} in our lake, {loaded} in duckdb")


def size(dataset):
    """Bytes a row of our hour files beside the smallest that polars, duckdb and pyarrow make of the same rows."""
    hours = [dataset.hours[number] for number in (0, 7, 15, 22)]
    rows = ours = 0
    theirs = {}
    with tempfile.TemporaryDirectory(dir=dataset.work) as folder:
        file = pathlib.Path(folder) / "peer.parquet"
        for hour in hours:
            table = pq.read_table(hour)
            rows += table.num_rows
            ours += hour.stat().st_size
            for name, write in writers(table, file):
                write()
                theirs[name] = theirs.get(name, 0) + file.stat().st_size
                file.unlink()
    best = min(theirs, key=theirs.get)
    ratio = ours / theirs[best]
    head()
    what = f"bytes a row in the lake, hour files ({len(hours)} hours)"
    row(what, f"{ours / rows:.3f}", f"{best}: {theirs[best] / rows:.3f}", [ratio], "≤ 1.1", ratio <= 1.1)
    for name, total in sorted(theirs.items(), key=lambda item: item[1]):
        note(f"{name}: {total / rows:.3f}")


def writers(table, file):
    """Every peer with several settings, all with zstd."""
    levels = (1, 3, 9, 19)
    split = [name for name, kind in zip(table.column_names, table.schema.types) if pa.types.is_floating(kind)]
    plain = {name: "BYTE_STREAM_SPLIT" for name in split} | {
        name: "DELTA_BINARY_PACKED" for name in table.column_names if name not in split
    }
    shared = {"where": str(file), "compression": "zstd", "row_group_size": table.num_rows}
    forms = {
        "dictionary": {"use_dictionary": True, "data_page_version": "2.0"},
        "dictionary, delta for integers": {
            "use_dictionary": split,
            "column_encoding": {name: "DELTA_BINARY_PACKED" for name in table.column_names if name not in split},
        },
        "byte stream split, delta for integers": {"use_dictionary": False, "column_encoding": plain},
    }
    for (form, options), level in itertools.product(forms.items(), levels):
        name = f"pyarrow, zstd {level}, {form}"
        yield name, lambda o=options, n=level: pq.write_table(table, compression_level=n, **shared, **o)
    frame = polars.from_arrow(table)
    for level, group in itertools.product(levels, (None, table.num_rows)):
        name = f"polars, zstd {level}" + (", one row group" if group else "")
        yield name, lambda n=level, g=group: frame.write_parquet(
            file, compression="zstd", compression_level=n, row_group_size=g
        )
    for level, version in itertools.product(levels, ("v1", "v2")):
        yield f"duckdb, zstd {level}, {version}", lambda n=level, v=version: duckdb_write(table, file, n, v)


def duckdb_write(table, file, level, version):
    with duckdb.connect() as connection:
        connection.register("rows_of_hour", table)
        connection.execute(
            f"copy rows_of_hour to '{file}' (format parquet, compression zstd, compression_level {level}, "
            f"parquet_version {version}, row_group_size {table.num_rows})"
        )
