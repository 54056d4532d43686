"""How fast do a million rows come over Flight SQL, beside other Flight SQL servers on the same Parquet files?"""

import pathlib
import socket
import subprocess
import sys
import time

import adbc_driver_flightsql.dbapi as flight_sql

from dataset import MINUTE
from engines import text as instant_text
from measure import by_turns, head, median, note, row, spread
from ranges import MINUTES
from server import Server

ROUNDS = 15
START_TIMEOUT = 120.0


class Peer:
    """A Flight SQL server in a process of its own, which reads the lake's Parquet files."""

    def __init__(self, name, program, arguments, table, work):
        self.name, self.table = name, table
        port = free_port()
        self.url = f"grpc+tcp://127.0.0.1:{port}"
        self.log = open(pathlib.Path(work) / f"{program}.log", "w")
        path = pathlib.Path(sys.executable).parent / program
        made = [argument.format(port=port, other=free_port()) for argument in arguments]
        self.process = subprocess.Popen([str(path), *made], stdout=self.log, stderr=subprocess.STDOUT, cwd=work)
        self.cursor = self.connected()

    def connected(self):
        until = time.monotonic() + START_TIMEOUT
        while not self.answers():
            if time.monotonic() > until or self.process.poll() is not None:
                self.process.kill()
                raise SystemExit(f"{self.name} did not start: see {self.log.name}")
            time.sleep(0.2)
        self.connection = flight_sql.connect(self.url, autocommit=True)
        return self.connection.cursor()

    def answers(self):
        try:
            with flight_sql.connect(self.url, autocommit=True) as connection, connection.cursor() as cursor:
                cursor.execute(f"select count(*) from {self.table}")
                return cursor.fetchone() is not None
        except flight_sql.Error:
            return False

    def stop(self):
        self.cursor.close()
        self.connection.close()
        self.process.terminate()
        self.process.wait()
        self.log.close()


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def peers(dataset):
    """Every server that runs here; roapi in both its ways to hold a table."""
    places = {"--addr-http": "{other}", "--addr-postgres": "{other}", "--addr-flight-sql": "{port}"}
    roapi = [*(part for name, port in places.items() for part in (name, f"127.0.0.1:{port}")), "--table"]
    table = f"readings={dataset.parquet},format=parquet,use_memory_table="
    sail = ["flight", "server", "--ip", "127.0.0.1", "--port", "{port}"]
    work = dataset.work
    yield Peer("roapi, from files", "roapi", [*roapi, table + "false"], "readings", work)
    yield Peer("roapi, table in memory", "roapi", [*roapi, table + "true"], "readings", work)
    yield Peer("sail", "sail", sail, f"parquet.`{dataset.parquet}`", work)


def asked(cursor, table, bounds):
    cursor.execute(f"select * from {table} where reading_at >= {bounds[0]} and reading_at < {bounds[1]}")
    return cursor.fetch_arrow_table()


def wide(dataset):
    """About 1,000,000 rows with all columns by ADBC's fetch_arrow_table."""
    bounds = [f"timestamp '{instant_text(at)}+00'" for at in (dataset.start, dataset.start + MINUTES * MINUTE)]
    others = []
    try:
        others.extend(peers(dataset))
        with Server(dataset.serve) as server:
            url = server.url.replace("grpc", "grpc+tcp")
            with flight_sql.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
                calls = {"barograph": lambda _: asked(cursor, "readings", bounds)}
                for peer in others:
                    calls[peer.name] = lambda _, peer=peer: asked(peer.cursor, peer.table, bounds)
                rows = {name: call(None).num_rows for name, call in calls.items()}
                if len(set(rows.values())) != 1:
                    raise SystemExit(f"not the same rows: {rows}")
                count = rows["barograph"]
                times = by_turns(ROUNDS, {name: (call, 3) for name, call in calls.items()}, [None])
    finally:
        for peer in others:
            peer.stop()
    seconds = {name: [median(part) for part in parts] for name, parts in times.items()}
    best = min((peer.name for peer in others), key=lambda name: median(seconds[name]))
    ratios = [other / mine for mine, other in zip(seconds["barograph"], seconds[best])]
    head()
    row(
        f"{count:,} rows of all columns by ADBC, ms",
        spread(seconds["barograph"], 1e-3),
        f"{best}: {spread(seconds[best], 1e-3)} ms",
        ratios,
        "≥ 1.0 × its speed",
        median(ratios) >= 1,
    )
    for name in seconds:
        note(f"{name}: {spread(seconds[name], 1e-3)} ms")
