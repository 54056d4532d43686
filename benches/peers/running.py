"""How soon does a killed server answer again, and how much memory does a serving one take?"""

import random
import statistics
import threading
import time

import pyarrow as pa
import pyarrow.flight as flight

from dataset import HOUR, MINUTE
from engines import utc
from measure import head, median, note, row, spread, timed
from server import Server, get, put

# Nothing lands by itself, and rows may lie in the future of the machine's clock.
KEPT = {"engine__lateness": "1000h", "engine__future_max": "1000h"}
RESTARTS = 11
SERVING = 60.0
MIB = 1 << 20


def restart(dataset):
    """kill -9 with an hour in the tail; from the start of the process to the first correct answer."""
    data = dataset.copy(dataset.work / "restart")
    batches = dataset.later(1)
    rows = sum(batch.num_rows for batch in batches)
    server = Server(data, **KEPT)
    put(server.connect(), batches)
    client = server.connect()
    expected, whole = first_answers(client, dataset), get(client, whole_hour(dataset))
    server.kill()
    seconds = []
    for _ in range(RESTARTS):
        server = Server(data, **KEPT)
        client = server.connect()
        got = first_answers(client, dataset)
        seconds.append(time.perf_counter() - server.started)
        if not all(mine.equals(other) for mine, other in zip(got, expected)):
            raise SystemExit(f"wrong answer after a restart:\n{got}\n{expected}")
        if not get(client, whole_hour(dataset)).equals(whole):
            raise SystemExit("the hour is not whole after a restart")
        server.kill()
    head()
    what = f"restart after kill -9 with {rows:,} rows in the tail and 24 h in the lake, s to the first correct answer"
    row(what, spread(seconds), "–", [], "≤ 1 s", max(seconds) <= 1)


def first_answers(client, dataset):
    """The newest reading of one key and its last hour, which is in the tail."""
    key = dataset.keys[len(dataset.keys) // 2]
    latest = get(client, {"v": 1, "table": "readings", "latest": {"keys": [key]}})
    bounds = {"from": utc(dataset.end).isoformat(), "to": utc(dataset.end + HOUR).isoformat()}
    return [latest, get(client, {"v": 1, "table": "readings", "range": {"keys": [key], **bounds}})]


def whole_hour(dataset):
    """How many readings every key has in the hour, and their sum."""
    bounds = {"from": utc(dataset.end).isoformat(), "to": utc(dataset.end + HOUR).isoformat()}
    return {"v": 1, "table": "readings", "range": bounds, "every": "1h", "aggregates": {"temperature": ["count", "sum"]}}


def memory(dataset):
    """Resident memory with 24 h in the lake and 2 h in the tail, while mixed queries run and minutes arrive."""
    data = dataset.copy(dataset.work / "memory")
    batches = dataset.later(2)
    with Server(data, **KEPT) as server:
        idle = server.status()["VmRSS"]
        put(server.connect(), batches)
        filled = server.status()["VmRSS"]
        load = Load(server, dataset)
        samples = load.run(SERVING)
        peak = server.status()["VmHWM"]
    head()
    figure = f"{spread(samples, MIB)} MiB"
    row("resident memory: 24 h lake, 2 h tail, serving", figure, "–", [], "≤ 300 MB", max(samples) <= 300e6)
    rows = sum(batch.num_rows for batch in batches)
    note(f"{rows:,} rows in the tail")
    note(f"after start {idle / MIB:.0f} MiB, filled {filled / MIB:.0f} MiB, peak {peak / MIB:.0f} MiB")
    for what, seconds in sorted(load.seconds.items()):
        if seconds:
            p50, p99 = median(seconds), statistics.quantiles(seconds, n=100)[-1] if len(seconds) > 1 else seconds[0]
            note(f"{what}: {len(seconds):,} answers, p50 {p50 * 1e3:.3g} ms, p99 {p99 * 1e3:.3g} ms")


class Load:
    """Four clients that ask as a weather page does, with now and then a large question."""

    SHARES = {
        "latest": 60,
        "day": 25,
        "at": 10,
        "all keys, newest": 2,
        "300,000 rows": 2,
        "hourly means of a day, all keys": 1,
    }

    def __init__(self, server, dataset):
        self.server = server
        self.dataset = dataset
        self.seconds = {what: [] for what in self.SHARES}
        self.stop = threading.Event()
        self.trouble = []

    def run(self, seconds):
        """Resident bytes, second by second."""
        threads = [threading.Thread(target=self.ask, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        samples, until = [], time.perf_counter() + seconds
        while time.perf_counter() < until and not self.trouble:
            time.sleep(1)
            samples.append(self.server.status()["VmRSS"])
        self.stop.set()
        for thread in threads:
            thread.join()
        if self.trouble:
            raise SystemExit(f"an error while serving: {self.trouble[0]}")
        return samples

    def ask(self, number):
        chance = random.Random(number)
        try:
            with self.server.connect() as client:
                while not self.stop.is_set():
                    (what,) = chance.choices(list(self.SHARES), list(self.SHARES.values()))
                    seconds, rows = timed(get, client, self.ticket(what, chance))
                    assert rows.num_rows > 0, what
                    self.seconds[what].append(seconds)
        except (flight.FlightError, pa.ArrowException, OSError, AssertionError) as error:
            self.trouble.append(error)

    def ticket(self, what, chance):
        key, end = chance.choice(self.dataset.keys), self.dataset.end + 2 * HOUR
        at = lambda micros: utc(micros).isoformat()
        bounds = lambda start, stop: {"from": at(start), "to": at(stop)}
        read = {
            "latest": lambda: {"latest": {"keys": [key]}},
            "at": lambda: {"at": {"keys": [key], "time": at(chance.randrange(self.dataset.start + HOUR, end))}},
            "day": lambda: {"range": {"keys": [key], **bounds(end - 24 * HOUR, end)}},
            "all keys, newest": lambda: {"latest": {}},
            "hourly means of a day, all keys": lambda: {
                "range": bounds(end - 24 * HOUR, end), "every": "1h", "aggregates": {"temperature": ["mean"]},
            },
            "300,000 rows": lambda: {"range": bounds(end - 80 * MINUTE, end - 60 * MINUTE)},
        }[what]()
        return {"v": 1, "table": "readings", **read}
