"""How fast does a large range reach pyarrow, beside a server that sends the same table from memory?"""

import os
import pathlib
import tempfile

from dataset import MINUTE
from engines import parquet_peers, utc
from flight_peer import Peer
from measure import by_turns, head, median, note, row, spread
from server import Server, get, put

ROUNDS = 15
# 15,000 keys report every minute.
MINUTES = 67


def million(dataset):
    """About 1,000,000 rows with all columns, from the warm lake and from the tail."""
    head()
    with tempfile.TemporaryDirectory(dir=dataset.work) as folder:
        with Server(dataset.serve) as server:
            ticket = range_of(dataset.start, MINUTES)
            bounds = (dataset.start, dataset.start + MINUTES * MINUTE)
            inside = {f"{peer.name}, same files, in the client's process": peer for peer in parquet_peers(dataset)}
            inside = {name: (lambda _, peer=peer: peer.range(*bounds), 3) for name, peer in inside.items()}
            table = compare("warm lake", server, ticket, folder, inside)
        # The same rows, kept in the tail of a server that lands nothing.
        data = pathlib.Path(folder) / "tail"
        with Server(data, engine__lateness="1000h") as server:
            put(server.connect(), table.drop_columns(["ingested_at"]).combine_chunks().to_batches(15_000), "memory")
            compare("tail", server, ticket, folder, {})


def range_of(start, minutes):
    bounds = {"from": utc(start).isoformat(), "to": utc(start + minutes * MINUTE).isoformat()}
    return {"v": 1, "table": "readings", "range": bounds}


def compare(place, server, ticket, folder, inside):
    client = server.connect()
    table = get(client, ticket)
    batch_rows = max(len(chunk) for chunk in table.column(0).chunks)
    with Peer(table.combine_chunks(), folder) as peer:
        if not peer.read(0).equals(table):
            raise SystemExit("the peer does not send the same table")
        sizes = {"one batch, as the table is in memory": 0, "batches of 65,536": 65_536, "batches of 16,384": 16_384}
        sizes[f"our batches of {batch_rows:,}"] = batch_rows
        contenders = {"barograph": (lambda _: get(client, ticket), 3)}
        contenders |= {name: (lambda _, rows=rows: peer.read(rows), 3) for name, rows in sizes.items()}
        times = by_turns(ROUNDS, contenders, [None])
        work = {
            "barograph": processor_time(server.pid, lambda: get(client, ticket)),
            "pyarrow.flight": processor_time(peer.process.pid, lambda: peer.read(16_384)),
        }
    # Afterwards: what these engines leave behind in this process would slow down all that it receives.
    for name, (read, _) in inside.items():
        if read(None).num_rows != table.num_rows:
            raise SystemExit(f"{name}: not the same rows")
    times |= by_turns(ROUNDS, inside, [None]) if inside else {}
    speed = {name: [table.nbytes / median(part) for part in parts] for name, parts in times.items()}
    best = max(sizes, key=lambda name: median(speed[name]))
    ratios = [mine / other for mine, other in zip(speed["barograph"], speed[best])]
    row(
        f"{table.num_rows:,} rows of all columns to pyarrow, {place}, GB/s",
        spread(speed["barograph"], 1e9),
        f"pyarrow.flight from memory, {best}: {spread(speed[best], 1e9)}",
        ratios,
        "≥ 0.9",
        median(ratios) >= 0.9,
    )
    seconds = [table.nbytes / value for value in speed["barograph"]]
    note(f"{table.nbytes:,} bytes in {spread(seconds, 1e-3)} ms")
    for name in sizes:
        if name != best:
            note(f"pyarrow.flight from memory, {name}: {spread(speed[name], 1e9)} GB/s")
    for name in inside:
        note(f"{name}: {spread(speed[name], 1e9)} GB/s")
    for name, (serving, asking) in work.items():
        note(f"processor time of one answer from {name}: server {serving * 1e3:.0f} ms, client {asking * 1e3:.0f} ms")
    return table


def processor_time(pid, read, times=20):
    """Mean processor time, in seconds, that a server and this process spend on one answer."""
    spent = lambda: [sum(os.times()[:2]), sum(process_times(pid))]
    before = spent()
    for _ in range(times):
        read()
    asking, serving = ((after - start) / times for after, start in zip(spent(), before))
    return serving, asking


def process_times(pid):
    """User and system time of a process in seconds."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(ticks) / os.sysconf("SC_CLK_TCK") for ticks in fields[11:13])
