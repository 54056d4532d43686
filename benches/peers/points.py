"""How long does a point query take, beside the best engine on the same Parquet files?

Answers reach two clients: the Rust one, as an API back end would use it, and pyarrow, as a notebook does. What pyarrow
takes for one such answer that its own server holds in memory is measured beside, as the least that it can take.
"""

import tempfile

import engines
from dataset import HOUR
from flight_peer import Peer
from measure import by_turns, head, median, note, percentile, row, spread, timed
from server import RustClient, Server, get

ROUNDS = 11
OURS, PEERS = 60, 8
RUST, PYARROW, LEAST = "to the Rust client", "to pyarrow", "pyarrow, one such answer from its own server"


def best_form(forms, questions):
    """The fastest of an engine's forms on a few questions after warming up."""
    def seconds(form):
        form(questions[0])
        return median([timed(form, question)[0] for question in questions[:5]])

    return min(forms.items(), key=lambda item: seconds(item[1])) if len(forms) > 1 else next(iter(forms.items()))


def contenders(peers, question, ours, keys):
    """Every peer in its best form, after its answer was checked against ours."""
    chosen = {}
    for peer in peers:
        name, form = best_form(getattr(peer, question), keys)
        for key in keys[:3]:
            engines.same_answer(ours(key), form(key), peer.name)
        chosen[f"{peer.name} ({name})" if len(getattr(peer, question)) > 1 else peer.name] = (form, PEERS)
    return chosen


def measure(dataset, ticket, peers):
    """Times of both our clients, of the least that pyarrow takes, and of some peers, which `peers` gives once it has our
    answer to a key."""
    with Server(dataset.serve) as server, RustClient(server, ticket) as rust, tempfile.TemporaryDirectory() as folder:
        client = server.connect()
        ours = lambda key: get(client, ticket(key))
        for key in dataset.keys[::997]:
            if rust(key) != ours(key).num_rows:
                raise SystemExit(f"key {key}: the Rust client and pyarrow get answers of different length")
        with Peer(ours(dataset.keys[0]), folder) as peer:
            asked = {RUST: (rust, OURS), PYARROW: (ours, OURS), LEAST: (lambda _: peer.read(0), OURS)}
            return by_turns(ROUNDS, asked | peers(ours), dataset.keys)


def medians(times):
    return [median(seconds) for seconds in times]


def report(what, times, client, peers, share):
    """A row of one of our clients against the fastest of some peers."""
    best = min(peers, key=lambda name: median(medians(times[name])))
    ours, theirs = medians(times[client]), medians(times[best])
    ratios = [mine / other for mine, other in zip(ours, theirs)]
    everything = [second for part in times[client] for second in part]
    figure = f"{spread(ours, 1e-3)} ms, p99 {percentile(everything, 0.99) * 1e3:.3g} ms, {len(everything)} queries"
    row(f"{what} {client}", figure, f"{best}: {spread(theirs, 1e-3)} ms", ratios, f"≤ {share:.3g}", median(ratios) <= share)


def others(times):
    for name in times:
        note(f"{name}: {spread(medians(times[name]), 1e-3)} ms")


def latest(dataset):
    """Latest of one key: p50 over Flight beside the best Parquet engine."""
    engine = []

    def peers(ours):
        engine.append(contenders(engines.parquet_peers(dataset), "latest", ours, dataset.keys[::997]))
        return engine[0]

    ticket = lambda key: {"v": 1, "table": "readings", "latest": {"keys": [key]}}
    times = measure(dataset, ticket, peers)
    head()
    for client in (RUST, PYARROW):
        report("latest of one key over Flight, p50 in ms,", times, client, list(engine[0]), 1 / 15)
    others(times)


def day(dataset):
    """24 hours of one key: p50 over Flight beside the best Parquet engine and beside duckdb's own table."""
    database = dataset.work / "native.duckdb"
    bounds = {"from": engines.utc(dataset.start).isoformat(), "to": engines.utc(dataset.stop).isoformat()}
    ticket = lambda key: {"v": 1, "table": "readings", "range": {"keys": [key], **bounds}}
    parquet, native = {}, {}

    def peers(ours):
        rows = ours(dataset.keys[0]).num_rows
        if not 1_300 <= rows <= 24 * 60:
            note(f"a key has {rows} rows in {(dataset.stop - dataset.start) // HOUR} hours")
        parquet.update(contenders(engines.parquet_peers(dataset), "day", ours, dataset.keys[::997]))
        table = engines.duckdb_native(dataset.files, dataset.start, dataset.stop, database)
        native.update(contenders([table], "day", ours, dataset.keys[::997]))
        return parquet | native

    times = measure(dataset, ticket, peers)
    head()
    for client in (RUST, PYARROW):
        report("24 h of one key, warm, over Flight, p50 in ms,", times, client, list(parquet), 1 / 8)
        report("24 h of one key beside duckdb's own table,", times, client, list(native), 1.0)
    others(times)
