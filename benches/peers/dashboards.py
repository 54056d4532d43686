"""Do dashboards, asked in SQL by many, hurt ingestion, one another, or the server's memory?"""

import concurrent.futures
import multiprocessing
import random
import threading
import time

import adbc_driver_flightsql.dbapi as flight_sql
import pyarrow as pa
import pyarrow.flight as flight

from dataset import HOUR
from engines import text as instant_text
from measure import head, median, note, percentile, row, spread
from running import KEPT, MIB
from server import Server, put

CLIENTS = 32
PROCESSES = 4
SECONDS = 60.0
# Rows a second that arrive meanwhile: a batch a second, each a minute of all cities.
ROWS = 15_000
# A page shows its panels anew after this many seconds.
REFRESH = 1.0
MEMORY_BOUND = 256 * MIB


def panels(keys, end, chance):
    """The statements behind one page, each under the name of its panel."""
    at = lambda micros: f"timestamp '{instant_text(micros)}+00'"
    since = lambda hours: f"reading_at >= {at(end - hours * HOUR)}"
    one, fifty = chance.choice(keys), ", ".join(map(str, chance.sample(keys, 50)))
    return {
        "now": f"select * from latest('readings') where city_id = {one}",
        "a day of a city": f"select date_bin(interval '10 minutes', reading_at) as at, avg(temperature) as mean, "
        f"min(temperature) as low, max(temperature) as high from readings where city_id = {one} and {since(24)} "
        "group by 1 order by 1",
        "hours of fifty cities": f"select city_id, date_bin(interval '1 hour', reading_at) as at, avg(temperature) as mean "
        f"from readings where city_id in ({fifty}) and {since(6)} group by 1, 2 order by 1, 2",
        "the warmest": "select c.name, r.temperature from latest('readings') r join cities c on c.city_id = r.city_id "
        "order by r.temperature desc limit 10",
        "readings of an hour": f"select count(*) as n from readings where {since(1)}",
        "hourly means of all": f"select date_bin(interval '1 hour', reading_at) as at, avg(temperature) as mean "
        f"from readings where {since(3)} group by 1 order by 1",
    }


def look(url, keys, end, number, until):
    """One client: pages, panel after panel, until the time is up. Gives (panel, seconds) and errors."""
    chance, seconds, errors = random.Random(number), [], []
    with flight_sql.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        time.sleep(chance.random() * REFRESH)
        while time.time() < until:
            for panel, text in panels(keys, end, chance).items():
                start = time.perf_counter()
                try:
                    cursor.execute(text)
                    rows = cursor.fetch_arrow_table()
                    if rows.num_rows == 0:
                        errors.append(f"{panel}: no rows")
                except (flight_sql.Error, pa.ArrowException) as error:
                    errors.append(f"{panel}: {error}")
                seconds.append((panel, time.perf_counter() - start))
            time.sleep(REFRESH)
    return seconds, errors


def looked(arguments):
    """A share of the clients, in a process of its own."""
    url, keys, end, numbers, until = arguments
    with concurrent.futures.ThreadPoolExecutor(len(numbers)) as pool:
        return list(pool.map(lambda number: look(url, keys, end, number, until), numbers))


class Writer(threading.Thread):
    """Sends a batch a second and notes how long each acknowledgement took."""

    def __init__(self, server, batches, until):
        super().__init__(daemon=True)
        self.client, self.batches, self.until = server.connect(), batches, until
        self.seconds, self.trouble = [], []

    def run(self):
        due = time.perf_counter()
        try:
            for batch in self.batches:
                if time.time() >= self.until:
                    return
                start = time.perf_counter()
                put(self.client, [batch])
                self.seconds.append(time.perf_counter() - start)
                due += 1.0
                time.sleep(max(0.0, due - time.perf_counter()))
        except (flight.FlightError, SystemExit) as error:
            self.trouble.append(error)


def dashboards(dataset):
    """32 clients look at pages of six panels in SQL for a minute, while 15,000 rows a second arrive."""
    data = dataset.copy(dataset.work / "dashboards")
    batches = dataset.later(2)
    settings = {**KEPT, "sql__memory_bytes_max": f"{MEMORY_BOUND // MIB}MiB"}
    with Server(data, **settings) as server:
        put(server.connect(), batches[:60])
        url, until = server.url.replace("grpc", "grpc+tcp"), time.time() + SECONDS
        end = dataset.end + HOUR
        writer = Writer(server, batches[60:], until)
        shares = [list(range(first, CLIENTS, PROCESSES)) for first in range(PROCESSES)]
        samples = []
        with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
            asked = pool.map_async(looked, [(url, dataset.keys, end, share, until) for share in shares])
            writer.start()
            while not asked.ready():
                time.sleep(1)
                samples.append(server.status()["VmRSS"])
            clients = [client for share in asked.get() for client in share]
        writer.join()
        with flight_sql.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute("select max(memory_bytes_peak) from system.queries")
            (most,) = cursor.fetchone()
    errors = [error for _, errors in clients for error in errors] + writer.trouble
    acks = writer.seconds
    head()
    row(
        f"acknowledgement p99, {CLIENTS} clients with dashboards in SQL beside",
        f"{percentile(acks, 0.99) * 1e3:.3g} ms, p50 {median(acks) * 1e3:.3g} ms, {len(acks)} batches",
        "–",
        [],
        "≤ 50 ms",
        percentile(acks, 0.99) <= 0.05,
    )
    row("errors", f"{len(errors)}", "–", [], "none", not errors)
    figure = f"{spread(samples, MIB)} MiB resident, a query at most {most / MIB:.0f} MiB"
    row("memory", figure, "–", [], f"queries ≤ {MEMORY_BOUND // MIB} MiB", most <= MEMORY_BOUND)
    for error in errors[:5]:
        note(f"{error}")
    every = {}
    for seconds, _ in clients:
        for panel, value in seconds:
            every.setdefault(panel, []).append(value)
    for panel, seconds in every.items():
        note(f"{panel}: {len(seconds):,} answers, p50 {median(seconds) * 1e3:.3g} ms, p99 {percentile(seconds, 0.99) * 1e3:.3g} ms")
