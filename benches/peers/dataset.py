"""Which data do all measurements share? What `barograph demo --once` makes: 24 hours of 15,000 cities, landed.

    WORK/demo       as the demo left it; never served from
    WORK/serve      a copy that servers run on, flushed
    WORK/parquet    the active lake files of that copy under plain names (hard links), for the peers
"""

import os
import pathlib
import shutil
import subprocess

import deltalake
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from server import Server, command, flush

HOUR = 3_600_000_000
MINUTE = 60_000_000


class Dataset:
    """The shared data below `work`."""

    def __init__(self, work):
        self.work = pathlib.Path(work)
        self.demo = self.work / "demo"
        self.serve = self.work / "serve"
        self.parquet = self.work / "parquet"

    def make(self):
        """Makes what is not there yet."""
        self.work.mkdir(parents=True, exist_ok=True)
        if not (self.demo / "finished").exists():
            shutil.rmtree(self.demo, ignore_errors=True)
            subprocess.run(command("demo", "--once", "--data", self.demo), check=True)
            (self.demo / "finished").touch()
        if not (self.parquet / "finished").exists():
            for folder in (self.serve, self.parquet):
                shutil.rmtree(folder, ignore_errors=True)
            self.copy(self.serve, self.demo)
            with Server(self.serve) as server:
                flush(server.connect())
            self.parquet.mkdir()
            for file in active(self.serve):
                os.link(file, self.parquet / f"{file.parent.name}.parquet")
            (self.parquet / "finished").touch()
        self.files = sorted(self.parquet.glob("*.parquet"))
        # The demo begins and ends within an hour: whole hours are those that have about as many rows as the fullest.
        sizes = {file: pq.read_metadata(file).num_rows for file in self.files}
        self.hours = [file for file in self.files if sizes[file] > 0.9 * max(sizes.values())]
        self.start = micros(pq.read_table(self.hours[0], columns=["reading_at"])["reading_at"], pc.min) // HOUR * HOUR
        self.stop = self.start + 24 * HOUR
        self.end = (micros(pq.read_table(self.files[-1], columns=["reading_at"])["reading_at"], pc.max) // HOUR + 1) * HOUR
        self.rows = sum(sizes.values())
        self.keys = pc.unique(pq.read_table(self.hours[0], columns=["city_id"])["city_id"]).to_pylist()
        return self

    def copy(self, to, of=None):
        """A data folder of its own with the same lake."""
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(of or self.serve, to, ignore=shutil.ignore_patterns("finished", "lock"))
        return to

    def later(self, hours, of=0):
        """The rows of `hours` hours as a source would send them, one batch a minute, moved to after the end of the
        lake."""
        batches = []
        for number in range(hours):
            rows = pq.read_table(self.hours[of + number]).drop_columns(["ingested_at"])
            shift = self.end + number * HOUR - (self.start + (of + number) * HOUR)
            at = pc.add(pc.cast(rows["reading_at"], pa.int64()), shift)
            rows = rows.set_column(1, "reading_at", pc.cast(at, pa.timestamp("us", tz="UTC")))
            minute = pc.divide(pc.cast(rows["reading_at"], pa.int64()), MINUTE)
            rows = rows.append_column("minute", minute).sort_by("minute")
            rows = rows.drop_columns(["minute"]).combine_chunks()
            batches += rows.to_batches(max_chunksize=15_000)
        return batches


def active(data):
    """Active lake files of `readings` in a data folder, in order of time."""
    table = pathlib.Path(data) / "lake" / "readings"
    files = deltalake.DeltaTable(table).file_uris()
    return sorted((pathlib.Path(uri.removeprefix("file://")) for uri in files), key=lambda file: file.parent.name)


def micros(column, function):
    return pc.cast(function(column), pa.int64()).as_py()
