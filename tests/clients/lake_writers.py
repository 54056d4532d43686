"""What other programs do to a table of the lake and beside it, one thing a line of the input, which is a JSON array:

    ["delete|append|update|compact|zorder|vacuum", "DATA/lake/TABLE"]
    ["widen|partition|constrain|create|unreadable|vector", "DATA/lake/TABLE"]
    ["beside", "DATA/lake"]         a table of another program, and folders that are none
    ["rows", "DATA/lake/TABLE"]     gives key, time, text of all rows

A line of the output tells that it is done, `{"done": what it gives}`, or `{"failed": why}`.
"""

import datetime
import json
import os
import pathlib
import struct
import sys
import traceback

import deltalake
import pyarrow as pa

START = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)
TIME = pa.timestamp("us", tz="UTC")


def rows(minutes, key, text, **more):
    """Rows of one key as another program would make them: columns in its own order."""
    times = [START + datetime.timedelta(minutes=minute) for minute in minutes]
    count = len(times)
    columns = {
        "text": pa.array([f"{text}-{minute}" for minute in minutes]),
        "at": pa.array(times, TIME),
        "key": pa.array([key] * count, pa.int32()),
        "ingested_at": pa.array([START] * count, TIME),
    }
    table = pa.table(columns | {name: pa.array([value] * count) for name, value in more.items()})
    required = {"key", "at", "ingested_at"}
    fields = [field.with_nullable(field.name not in required) for field in table.schema]
    return table.cast(pa.schema(fields))


def append(path):
    """New rows of two hours, one of which the table has, in no order; and one in the place of a row that it has."""
    deltalake.write_deltalake(path, rows([500, 499, 501, 10, 130], 3, "appended"), mode="append", schema_mode="merge")


def beside(lake):
    """A table of another program, a log that is none, a folder and a file."""
    lake = pathlib.Path(lake)
    deltalake.write_deltalake(str(lake / "strange table"), pa.table({"x": [1, 2, 3]}))
    (lake / "broken" / "_delta_log").mkdir(parents=True)
    (lake / "broken" / "_delta_log" / "00000000000000000000.json").write_text("no commit\n")
    (lake / "notes").mkdir()
    (lake / "notes" / "readme.txt").write_text("not a table")
    (lake / "readme.txt").write_text("not a table")


def partition(path):
    """The same rows, partitioned by a column."""
    table = deltalake.DeltaTable(path).to_pyarrow_table()
    deltalake.write_deltalake(path, table, mode="overwrite", schema_mode="overwrite", partition_by=["key"])


def commit(path, actions):
    """A commit of a program that deltalake is not."""
    version = deltalake.DeltaTable(path).version() + 1
    info = {"commitInfo": {"timestamp": 0, "operation": "WRITE", "engineInfo": "another"}}
    lines = [json.dumps(action) + "\n" for action in [info, *actions]]
    (pathlib.Path(path) / f"_delta_log/{version:020}.json").write_text("".join(lines))


def protocol(features):
    return {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features}}


def create(path):
    """The table anew, without what its maker said of it."""
    deltalake.DeltaTable.create(path, deltalake.DeltaTable(path).schema(), mode="overwrite")


def vector(path):
    """Deletes the first two rows of the first hour by a deletion vector: a Roaring bitmap in Z85."""
    (file,) = (name for name in deltalake.DeltaTable(path).file_uris() if "hour/2024-01-01T00/" in name)
    name, size = file[file.index("hour/") :], os.path.getsize(file.removeprefix("file://"))
    bitmap = struct.pack("<6I2HI2H", 1681511377, 1, 0, 0, 12346, 1, 0, 1, 16, 0, 1)
    digits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
    words = struct.unpack(f">{len(bitmap) // 4}I", bitmap)
    text = "".join(digits[word // 85**place % 85] for word in words for place in (4, 3, 2, 1, 0))
    deleted = {"storageType": "i", "pathOrInlineDv": text, "sizeInBytes": len(bitmap), "cardinality": 2}
    entry = {"path": name, "partitionValues": {}, "size": size, "modificationTime": 0, "dataChange": True}
    remove = {"path": name, "deletionTimestamp": 0, "dataChange": True}
    commit(path, [protocol(["deletionVectors"]), {"remove": remove}, {"add": entry | {"deletionVector": deleted}}])


def show(path):
    table = deltalake.DeltaTable(path).to_pyarrow_table().sort_by([("key", "ascending"), ("at", "ascending")])
    times = table["at"].cast(pa.int64()).to_pylist()
    return list(zip(table["key"].to_pylist(), times, table["text"].to_pylist()))


DONE = {
    "append": append,
    "delete": lambda path: deltalake.DeltaTable(path).delete("key = 2 OR key = 5 AND text = '5-100'"),
    "update": lambda path: deltalake.DeltaTable(path).update(predicate="key = 4", updates={"text": "'updated'"}),
    "compact": lambda path: deltalake.DeltaTable(path).optimize.compact(),
    "zorder": lambda path: deltalake.DeltaTable(path).optimize.z_order(["text"]),
    "vacuum": lambda path: deltalake.DeltaTable(path).vacuum(
        retention_hours=0, enforce_retention_duration=False, dry_run=False
    ),
    "widen": lambda path: deltalake.write_deltalake(
        path, rows([700], 3, "wider", humidity=1.5), mode="append", schema_mode="merge"
    ),
    "partition": partition,
    "constrain": lambda path: deltalake.DeltaTable(path).alter.add_constraint({"small": "key < 1000"}),
    "create": create,
    "unreadable": lambda path: commit(path, [protocol(["quantum"])]),
    "vector": vector,
    "beside": beside,
    "rows": show,
}


def answer(line):
    """What comes of a line of the input."""
    try:
        what, path = json.loads(line)
        found = DONE[what](path)
        return {"done": found if what == "rows" else None}
    except Exception:
        return {"failed": traceback.format_exc()}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(line)), flush=True)
    # Threads of the libraries that still run would now and then abort the process while it ends.
    os._exit(0)
