"""What does compaction bring to a year of 1,500 cities, 788 million readings, and what does it cost?

    python year.py [--work FOLDER] [--hours 8760] [--cities 1500] read|compaction|size|beside|inside|opening|all

    WORK/year-hours     as the demo left it, a file an hour
    WORK/year-compacted    the same after the job `compact`
    WORK/day            a day of as many cities, as the demo left it
"""

import argparse
import datetime
import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import tempfile
import threading
import time

import deltalake
import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.flight as flight
import pyarrow.parquet as pq

import measure
from server import RustClient, Server, command, get, put

ROUNDS = 15
# Row groups of a month whose rows are written by other writers: about four million rows.
SAMPLED_GROUPS = 4
BESIDE_ROUNDS, BESIDE_SECONDS = 7, 25
# By itself the job keeps one processor busy, so that a server has the others.
THREADS = os.cpu_count()


class Year:
    def __init__(self, work, hours, cities):
        self.work, self.hours_count, self.cities = pathlib.Path(work), hours, cities
        self.hours, self.compacted = self.work / "year-hours", self.work / "year-compacted"

    def make(self):
        self.demo(self.hours, self.hours_count)
        return self

    def demo(self, data, hours):
        if not (data / "finished").exists():
            asked = ("--cities", self.cities, "--hours", hours)
            quiet = {**os.environ, "BAROGRAPH_SCHEDULER__ENABLED": "false", "BAROGRAPH_FLIGHT__LISTEN": "127.0.0.1:0"}
            subprocess.run(command("demo", "--once", "--data", data, *asked), check=True, env=quiet)
            (data / "finished").touch()
        return data

    def files(self, data):
        """Active files of the readings, with their rows."""
        table = deltalake.DeltaTable(str(data / "lake" / "readings"))
        return pa.table(table.get_add_actions(flatten=True))

    def copy(self, name):
        target = self.work / name
        shutil.rmtree(target, ignore_errors=True)
        subprocess.run(["cp", "-al", str(self.hours), str(target)], check=True)
        # What is written to in its place is a file of its own.
        shutil.rmtree(target / "log", ignore_errors=True)
        shutil.copytree(self.hours / "log", target / "log")
        return target


def text(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def compact(data):
    """Runs the job; seconds, rows, and the most memory it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    begun = time.perf_counter()
    done = subprocess.run(
        command("jobs", "run", "compact", "--data", data, "--format", "json", "--set", f"jobs.compact.threads={THREADS}"),
        check=True,
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return seconds, json.loads(done.stdout)["rows"], peak if peak > before else 0


def compaction(year):
    """Compaction of everything, days and then months, on all processors: rows read and written a second, and memory."""
    year.copy("year-compacted")
    seconds, rows, peak = compact(year.compacted)
    print(f"{rows:,} rows compacted in {seconds:.0f} s: {rows / seconds / 1e6:.2f} M rows/s, at most {peak / 1024:.0f} MiB")
    measure.row("compaction, hours to days to months", f"{rows / seconds / 1e6:.2f} M rows/s", "–", None, "≥ 3 M rows/s", rows / seconds >= 3e6)
    measure.row("memory of compaction", f"{peak / 1024:.0f} MiB", "–", None, "≤ 512 MiB", 0 < peak <= 512 * 1024)


def read(year):
    """One city, one year, one column, warm, over Flight: compacted, not compacted, and by others on the compacted files."""
    tables = year.files(year.compacted)
    paths = [str(year.compacted / "lake" / "readings" / path) for path in tables["path"].to_pylist()]
    whole = pq.read_table(paths[-1], columns=["city_id"])["city_id"].unique().to_pylist()
    keys = whole[:: max(1, len(whole) // 40)]
    ticket = lambda key: {"v": 1, "table": "readings", "range": {"keys": [key], "from": "2000-01-01", "to": "2100-01-01"}, "columns": ["temperature"]}
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'; set parquet_metadata_cache = true")
    listed = ", ".join(f"'{path}'" for path in paths)
    connection.execute(f"create view readings as select * from read_parquet([{listed}])")
    sql = "select city_id, reading_at, temperature from readings where city_id = {} order by reading_at"
    lazy = pl.scan_parquet(paths)

    def polars(key):
        chosen = lazy.filter(pl.col("city_id") == key).select("city_id", "reading_at", "temperature")
        return chosen.sort("reading_at").collect().to_arrow()

    with Server(year.compacted) as compacted, Server(year.hours) as hours, RustClient(compacted, ticket) as rust:
        clients = {"compacted": compacted.connect(), "hours": hours.connect()}
        ask = {name: lambda key, client=client: get(client, ticket(key)) for name, client in clients.items()}
        others = {"duckdb": lambda key: connection.sql(sql.format(key)).to_arrow_table(), "polars": polars}
        for key in keys[:2]:
            counts = {name: call(key).num_rows for name, call in {**ask, **others}.items()}
            if len(set(counts.values())) > 1:
                raise SystemExit(f"key {key}: answers of different length: {counts}")
        print(f"{counts['compacted']:,} rows of a city, {len(paths)} files")
        contenders = {"compacted": (ask["compacted"], 5), "rust": (rust, 5), "hours": (ask["hours"], 1)}
        contenders |= {name: (call, 1) for name, call in others.items()}
        # Warm for all: everyone has answered twice for every key before.
        for call, _ in 2 * list(contenders.values()):
            for key in keys:
                call(key)
        # Whoever has rested while others answered must get its memory from the system again: about three answers long.
        times = measure.by_turns(ROUNDS, contenders, keys, warm=3)
    medians = {name: [measure.median(seconds) for seconds in rounds] for name, rounds in times.items()}
    for client, to in (("rust", "to the Rust client"), ("compacted", "to pyarrow")):
        ours = medians[client]
        shown = measure.spread(ours, 1e-3) + " ms"
        what = f"one city, one year, one column, {to}"
        measure.row(what, shown, "–", None, "≤ 40 ms", measure.median(ours) <= 0.040)
        for name, bar in (("hours", 1 / 20), ("duckdb", 1 / 4), ("polars", 1 / 4)):
            ratios = [a / b for a, b in zip(ours, medians[name])]
            theirs = measure.spread(medians[name], 1e-3) + f" ms: {name}"
            measure.row(what, shown, theirs, ratios, f"≤ 1/{round(1 / bar)}", measure.median(ratios) <= bar)


def size(year):
    """Bytes a row of months, beside hours, and beside what other writers make of the same rows."""

    def bytes_a_row(data, tier):
        files = year.files(data)
        chosen = [i for i, path in enumerate(files["path"].to_pylist()) if path.startswith(tier)]
        rows = sum(files["num_records"][i].as_py() for i in chosen)
        return sum(files["size_bytes"][i].as_py() for i in chosen) / rows

    hours, months = bytes_a_row(year.hours, "hour"), bytes_a_row(year.compacted, "month")
    measure.row("bytes a row, months", f"{months:.3f}", f"{hours:.3f}: hours", [months / hours], "≤ 0.88", months <= 0.88 * hours)
    path = next(p for p in year.files(year.compacted)["path"].to_pylist() if p.startswith("month"))
    file = pq.ParquetFile(year.compacted / "lake" / "readings" / path)
    groups = range(min(SAMPLED_GROUPS, file.num_row_groups))
    rows = file.read_row_groups(list(groups))
    stored = sum(
        file.metadata.row_group(group).column(column).total_compressed_size
        for group in groups
        for column in range(file.metadata.num_columns)
    )
    ours = stored / rows.num_rows
    made = {}
    frame = pl.from_arrow(rows)
    connection = duckdb.connect()
    connection.register("rows_of_months", rows)
    with tempfile.TemporaryDirectory() as folder:
        target = str(pathlib.Path(folder) / "rows.parquet")

        def written(name, write):
            write()
            made[name] = os.path.getsize(target) / rows.num_rows
            print(f"  {name}: {made[name]:.3f}", flush=True)

        for level in (3, 9, 19):
            written(f"pyarrow, zstd {level}", lambda: pq.write_table(rows, target, compression="zstd", compression_level=level))
            written(f"polars, zstd {level}", lambda: frame.write_parquet(target, compression="zstd", compression_level=level))
            copy = "copy rows_of_months to '{}' (format parquet, parquet_version {}, compression zstd, compression_level {})"
            for version in ("v1", "v2"):
                written(f"duckdb {version}, zstd {level}", lambda: connection.sql(copy.format(target, version, level)))
        whole = {"compression": "zstd", "compression_level": 19, "row_group_size": rows.num_rows}
        written("polars, zstd 19, one row group", lambda: frame.write_parquet(target, **whole))
    best = min(made, key=made.get)
    ratio = ours / made[best]
    measure.row("bytes a row, months, the same rows", f"{ours:.3f}", f"{made[best]:.3f}: {best}", [ratio], "≤ 0.95", ratio <= 0.95)


def beside(year):
    """Waiting for answers and acknowledgements while compaction runs in a process of its own, and while it does not."""
    data, keys = uncompacted(year)
    with Server(data) as server:

        def without():
            return load(server, keys, BESIDE_SECONDS)

        def during():
            job = subprocess.Popen(command("jobs", "run", "compact", "--data", data), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(1)
            times = without()
            if job.poll() is not None:
                raise SystemExit(f"compaction ended with {job.poll()} before the measurement")
            job.terminate()
            job.wait()
            return times

        without()
        with_and_without("while compaction runs beside the server", without, during)


def inside(year):
    """The same while the server's own scheduler runs compaction."""
    data, keys = uncompacted(year)
    others = {f"jobs__{job}__enabled": "false" for job in ("expire", "quality", "rollup", "sweep", "verify")}
    due = {"scheduler__enabled": "true", "jobs__compact__cron": "* * * * *", "jobs__compact__jitter": "1s", **others}

    def is_compacting(server):
        threads = pathlib.Path(f"/proc/{server.pid}/task").glob("*/comm")
        return any(thread.read_text().startswith("barograph-compa") for thread in threads)

    def turn(settings):
        with Server(data, **settings) as server:
            due_by = time.monotonic() + 90
            while settings and not is_compacting(server):
                if time.monotonic() > due_by:
                    raise SystemExit("compaction did not begin:\n" + "".join(server.printed))
                time.sleep(0.1)
            load(server, keys, 5)
            times = load(server, keys, BESIDE_SECONDS)
            if settings and not is_compacting(server):
                raise SystemExit("compaction ended before the measurement")
            return times

    with_and_without("while compaction runs in the server", lambda: turn({}), lambda: turn(due))


def uncompacted(year):
    """A year in hours that may be compacted, and 250 of its keys."""
    data = year.copy("year-beside")
    tables = year.files(data)
    last = str(data / "lake" / "readings" / sorted(tables["path"].to_pylist())[-1])
    return data, pq.read_table(last, columns=["city_id"])["city_id"].unique().to_pylist()[:250]


def load(server, keys, seconds):
    """How long each answer and each acknowledgement took while one client asked and one put."""
    until = threading.Event()
    threading.Timer(seconds, until.set).start()
    asked, acknowledged = [], []

    def ask():
        client, number = server.connect(), 0
        while not until.is_set():
            asked_for = {"keys": [keys[number % len(keys)]], "from": text(time.time() - 86_400)}
            ticket = {"v": 1, "table": "readings", "range": asked_for, "columns": ["temperature"]}
            begun = time.perf_counter()
            get(client, ticket)
            asked.append(time.perf_counter() - begun)
            number += 1
            time.sleep(0.002)

    def send():
        client = server.connect()
        while not until.is_set():
            now = int(time.time() * 1e6)
            columns = {"city_id": pa.array(keys, pa.int32()), "reading_at": pa.array([now] * len(keys), pa.timestamp("us", "UTC"))}
            columns["temperature"] = pa.array([10.0] * len(keys), pa.float32())
            begun = time.perf_counter()
            put(client, [pa.RecordBatch.from_pydict(columns)])
            acknowledged.append(time.perf_counter() - begun)
            time.sleep(0.03)

    threads = [threading.Thread(target=work, daemon=True) for work in (ask, send)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    return asked, acknowledged


def with_and_without(when, without, during):
    """Rounds of `load` without and with something, and the ratios of their p99."""
    rounds = []
    for number in range(BESIDE_ROUNDS):
        # The tail grows: who is second asks for more.
        turns = {"without": without, "during": during}
        names = list(turns) if number % 2 else list(turns)[::-1]
        rounds.append({name: turns[name]() for name in names})
    for what, place in (("24 h of a city, p99", 0), ("acknowledgement of 250 rows, p99", 1)):
        times = {name: [measure.percentile(turn[name][place], 0.99) for turn in rounds] for name in rounds[0]}
        ratios = [a / b for a, b in zip(times["during"], times["without"])]
        shown = {name: measure.spread(seconds, 1e-3) + " ms" for name, seconds in times.items()}
        met = measure.median(ratios) <= 2
        measure.row(f"{what}, {when}", shown["during"], f"{shown['without']} without", ratios, "≤ 2", met)


def opening(year):
    """What a server reads to open its tables and plan a day of a city: a year old, compacted, and a day old, each with an empty log."""
    day = year.demo(year.work / "day", 24)
    tables = year.files(day)
    last = str(day / "lake" / "readings" / sorted(tables["path"].to_pylist())[-1])
    key = pq.read_table(last, columns=["city_id"])["city_id"][0].as_py()

    def read(data):
        newest = max(str(at) for at in year.files(data)["max.reading_at"].to_pylist())
        asked_for = {"keys": [key], "from": str(datetime.datetime.fromisoformat(newest) - datetime.timedelta(days=1))[:19]}
        ticket = {"v": 1, "table": "readings", "range": asked_for, "columns": ["temperature"]}
        with tempfile.TemporaryDirectory(dir=year.work) as folder:
            subprocess.run(["cp", "-al", str(data / "lake"), folder], check=True)
            with Server(folder) as server:
                plan = flight.Action("plan", json.dumps(ticket).encode())
                text = next(iter(server.connect().do_action(plan))).body.to_pybytes().decode()
                counted = pathlib.Path(f"/proc/{server.pid}/io").read_text()
        measure.note(next(line for line in text.splitlines() if "files" in line).strip())
        return int(re.search(r"rchar: (\d+)", counted)[1])

    a, b = read(year.compacted), read(day)
    measure.row("bytes read to open and plan", f"{a:,}: a year old", f"{b:,}: a day old", [a / b], "≤ 2", a <= 2 * b)


MEASUREMENTS = {"compaction": compaction, "read": read, "size": size, "beside": beside, "inside": inside, "opening": opening}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = pathlib.Path(tempfile.gettempdir()) / "barograph-bench"
    parser.add_argument("--work", type=pathlib.Path, default=default, help=f"folder for data (default {default})")
    parser.add_argument("--hours", type=int, default=8760)
    parser.add_argument("--cities", type=int, default=1500)
    parser.add_argument("what", choices=[*MEASUREMENTS, "all"])
    arguments = parser.parse_args()
    year = Year(arguments.work, arguments.hours, arguments.cities).make()
    for name in MEASUREMENTS if arguments.what == "all" else [arguments.what]:
        print(f"\n{name}: {MEASUREMENTS[name].__doc__.strip()}\n")
        MEASUREMENTS[name](year)


if __name__ == "__main__":
    main()
