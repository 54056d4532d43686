"""How long does a point query take, beside the best engine on the same Parquet files?"""

import engines
from dataset import HOUR
from measure import by_turns, head, median, note, percentile, row, spread, timed
from server import Server, get

ROUNDS = 11
OURS, PEERS = 60, 8


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


def medians(times):
    return [median(seconds) for seconds in times]


def report(what, times, peers, share):
    """A row against the fastest of some peers; the others as notes."""
    best = min(peers, key=lambda name: median(medians(times[name])))
    ours, theirs = medians(times["barograph"]), medians(times[best])
    ratios = [mine / other for mine, other in zip(ours, theirs)]
    everything = [second for part in times["barograph"] for second in part]
    figure = f"{spread(ours, 1e-3)} ms, p99 {percentile(everything, 0.99) * 1e3:.3g} ms, {len(everything)} queries"
    row(what, figure, f"{best}: {spread(theirs, 1e-3)} ms", ratios, f"≤ {share:.3g}", median(ratios) <= share)
    for name in times:
        if name not in ("barograph", best):
            note(f"{name}: {spread(medians(times[name]), 1e-3)} ms")


def latest(dataset):
    """Latest of one key: p50 over Flight beside the best Parquet engine."""
    with Server(dataset.serve) as server:
        client = server.connect()
        ours = lambda key: get(client, {"v": 1, "table": "readings", "latest": {"keys": [key]}})
        chosen = contenders(engines.parquet_peers(dataset), "latest", ours, dataset.keys[::997])
        times = by_turns(ROUNDS, {"barograph": (ours, OURS), **chosen}, dataset.keys)
        head()
        report("latest of one key over Flight, p50 in ms", times, list(chosen), 1 / 15)


def day(dataset):
    """24 hours of one key: p50 over Flight beside the best Parquet engine and beside duckdb's own table."""
    database = dataset.work / "native.duckdb"
    with Server(dataset.serve) as server:
        client = server.connect()
        bounds = {"from": engines.utc(dataset.start).isoformat(), "to": engines.utc(dataset.stop).isoformat()}

        def ours(key):
            return get(client, {"v": 1, "table": "readings", "range": {"keys": [key], **bounds}})

        if not 1_300 <= ours(dataset.keys[0]).num_rows <= 24 * 60:
            note(f"a key has {ours(dataset.keys[0]).num_rows} rows in {(dataset.stop - dataset.start) // HOUR} hours")
        parquet = contenders(engines.parquet_peers(dataset), "day", ours, dataset.keys[::997])
        native = engines.duckdb_native(dataset.files, dataset.start, dataset.stop, database)
        native = contenders([native], "day", ours, dataset.keys[::997])
        times = by_turns(ROUNDS, {"barograph": (ours, OURS), **parquet, **native}, dataset.keys)
        without = lambda names: {name: part for name, part in times.items() if name not in names}
        head()
        report("24 h of one key, warm, over Flight, p50 in ms", without(native), list(parquet), 1 / 8)
        report("24 h of one key beside duckdb's own table", without(parquet), list(native), 1.0)
