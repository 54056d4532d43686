"""How are two things compared fairly? By turns, in the same session, as a ratio with its spread."""

import gc
import random
import statistics
import time


def median(values):
    return statistics.median(values)


def percentile(values, share):
    """The value below which `share` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def timed(call, *arguments):
    """Seconds of one call, and what it gave. A call in another process measures itself: its attribute `seconds` counts."""
    start = time.perf_counter()
    answer = call(*arguments)
    elapsed = time.perf_counter() - start
    return getattr(call, "seconds", elapsed), answer


def by_turns(rounds, contenders, questions, seed=7, warm=2):
    """Rounds in which every contender answers: {name: (call, count)} to {name: [[seconds of each call] of each round]}.

    All are asked the same questions of a round; the order of the contenders changes from round to round, and the
    questions to warm up are not counted.
    """
    chance = random.Random(seed)
    times = {name: [] for name in contenders}
    for _ in range(rounds):
        asked = [chance.choice(questions) for _ in range(max(count for _, count in contenders.values()) + warm)]
        names = list(contenders)
        chance.shuffle(names)
        for name in names:
            call, count = contenders[name]
            gc.collect()
            gc.disable()
            seconds = [timed(call, question)[0] for question in asked[: count + warm]]
            gc.enable()
            times[name].append(seconds[warm:])
    return times


def spread(values, unit=1.0, digits=3):
    """`median (min … max)` in a unit."""
    low, middle, high = (f"{value / unit:.{digits}g}" for value in (min(values), median(values), max(values)))
    return f"{middle} ({low} … {high})"


def row(what, ours, peer, ratios, bar, met):
    """Prints one row of the table of docs/benchmarks.md."""
    ratio = spread(ratios) if ratios else "–"
    print(f"| {what} | {ours} | {peer} | {ratio} | {bar} | {'yes' if met else 'no'} |", flush=True)


def head():
    """Prints the head of that table."""
    print("| what | barograph | peer or limit | ratio, median (min … max) | bar | met |")
    print("|---|---|---|---|---|---|", flush=True)


def note(text):
    """Prints what does not belong in the table but explains it."""
    print(f"  {text}", flush=True)
