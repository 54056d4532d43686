"""Does every form of ticket give exactly the rows that a model of the table has, wherever they lie?"""

import math

import pyarrow as pa

from checks import Checks, equal, same_rows
from readings import DAY, HOUR, MINUTE, SCHEMA, TIME, WHOLE_SCHEMA, Model, cities, day
from session import Session, instant, range_ticket

CHECKS = Checks()
CITIES = sorted(cities()[100:140])
START = day(10)
_model = Model()


def where_rows_lie(session: Session):
    """The same questions are asked of rows in the tail, in the lake, and of both with tail rows over lake rows."""
    instants = [START + minute * MINUTE for minute in range(180)]
    session.put(_model.make(CITIES, instants))
    yield "tail"
    session.flush()
    yield "lake"
    # One instant replaced in every hour, an hour that is new, and a city that falls silent before it.
    session.put(_model.make(CITIES[::2], instants[30::60], generation=1))
    session.put(_model.make(CITIES[1:], [START + 180 * MINUTE, START + 200 * MINUTE]))
    yield "lake and tail"
    session.flush()
    yield "merged"


@CHECKS.check
def all_forms_of_tickets(session: Session):
    """latest, at and range, with columns, filters, windows and limits: tail, lake, both, and merged"""
    for place in where_rows_lie(session):
        for ask in (points, ranges, projections, filters, windows, limits):
            ask(session, place)


def values(table):
    return table.drop_columns(["ingested_at"])


def points(session, place):
    asked = [CITIES[7], CITIES[0], CITIES[39]]
    same_rows(values(session.latest(asked)), _model.newest(asked), f"{place}: latest")
    same_rows(values(session.latest([CITIES[3]])), _model.newest([CITIES[3]]), f"{place}: latest of one")
    everyone = session.latest(CITIES)
    same_rows(values(everyone), _model.newest(CITIES), f"{place}: latest of many")
    equal(everyone.schema, WHOLE_SCHEMA, "schema of a point read")
    for at in (START - 1, START, START + 61 * MINUTE - 1, START + 61 * MINUTE, START + 190 * MINUTE, START + DAY):
        same_rows(values(session.at(asked, at)), _model.newest(asked, until=at), f"{place}: at {instant(at)}")
    equal(session.latest([]).num_rows, 0, f"{place}: latest of no city")
    silent = cities()[14_999]
    equal(session.latest([silent]).num_rows, 0, f"{place}: latest of a city without readings")
    same_rows(values(session.latest([silent, CITIES[0]])), _model.newest([CITIES[0]]), f"{place}: one is silent")


def ranges(session, place):
    spans = [
        (START, START + 240 * MINUTE),
        (START + 59 * MINUTE, START + 61 * MINUTE),
        (START + 60 * MINUTE, START + 60 * MINUTE + 1),
        (START - DAY, START + 1),
        (START + 170 * MINUTE, START + DAY),
        (START + 12 * HOUR, START + 13 * HOUR),
    ]
    for start, stop in spans:
        for keys in ([CITIES[5]], CITIES[10:13], CITIES):
            expected = _model.table(keys=keys, start=start, stop=stop)
            seen = session.range(keys, start, stop)
            same_rows(values(seen), expected, f"{place}: {len(keys)} cities, {instant(start)} to {instant(stop)}")
    all_cities = session.range(None, START, START + DAY)
    same_rows(values(all_cities), _model.table(), f"{place}: keys absent means all")
    shuffled = session.range(CITIES[::-1] + CITIES[:3], START, START + DAY)
    same_rows(shuffled, all_cities, f"{place}: keys in any order, repeated")
    mine = session.range(CITIES)
    same_rows(mine, all_cities, f"{place}: from and to absent")


def projections(session, place):
    ticket = range_ticket(CITIES[:2], START, START + DAY, columns=["pressure", "temperature"])
    names = ["city_id", "reading_at", "pressure", "temperature"]
    same_rows(session.get(ticket), _model.table(keys=CITIES[:2]).select(names), f"{place}: columns as asked")
    seen = session.latest([CITIES[0]], columns=["wind_direction"])
    same_rows(seen, _model.newest([CITIES[0]]).select(names[:2] + ["wind_direction"]), f"{place}: of latest")
    seen = session.range(CITIES[:2], START, START + HOUR, columns=[])
    expected = _model.table(keys=CITIES[:2], start=START, stop=START + HOUR).select(names[:2])
    same_rows(seen, expected, f"{place}: no value columns")


def filters(session, place):
    def both(row):
        return row["temperature"] is not None and row["temperature"] > 30 and row["humidity"] is not None

    def either(row):
        wind, rain = row["wind_direction"], row["precipitation"]
        return (wind is not None and 90 <= wind <= 180) or (rain is not None and rain < 0.5)

    def unknown_is_not_true(row):
        return row["temperature"] is not None and not row["temperature"] > 0

    cases = [
        ("temperature > 30 and humidity is not null", both),
        ("wind_direction between 90 and 180 or precipitation < 0.5", either),
        ("not (temperature > 0)", unknown_is_not_true),
        ("wind_speed is null", lambda row: row["wind_speed"] is None),
        (f"city_id in ({CITIES[0]}, {CITIES[1]})", lambda row: row["city_id"] in CITIES[:2]),
        ("temperature > 1000", lambda row: False),
    ]
    for text, where in cases:
        expected = _model.table(where=where)
        seen = values(session.range(CITIES, START, START + DAY, filter=text))
        same_rows(seen, expected, f"{place}: filter {text}")
        seen = session.range(CITIES, START, START + DAY, filter=text, columns=["pressure"])
        names = ["city_id", "reading_at", "pressure"]
        same_rows(seen, expected.select(names), f"{place}: filter {text} on a column not asked for")


def windows(session, place):
    functions = ["count", "sum", "mean", "min", "max", "first", "last"]
    for every, micros in (("1h", HOUR), ("7m", 7 * MINUTE), ("1d", DAY)):
        start, stop = START + 10 * MINUTE, START + 185 * MINUTE
        asked = {"temperature": functions, "wind_direction": functions}
        seen = session.range(CITIES, start, stop, every=every, aggregates=asked)
        check_windows(seen, micros, asked, dict(keys=CITIES, start=start, stop=stop), f"{place}: every {every}")
    warm = session.range(
        CITIES, START, START + DAY, every="1h", aggregates={"humidity": ["count"]}, filter="temperature > 20"
    )
    where = {"where": lambda row: row["temperature"] is not None and row["temperature"] > 20}
    check_windows(warm, HOUR, {"humidity": ["count"]}, where, f"{place}: windows of filtered rows")


def check_windows(seen, every, asked, selection, what):
    names = [f"{column}_{function}" for column, functions in asked.items() for function in functions]
    equal(seen.column_names, ["city_id", "window_start", *names], f"{what}: columns")
    equal(seen.schema.field("window_start").type, TIME, f"{what}: type of window_start")
    keys = list(zip(seen["city_id"].to_pylist(), seen["window_start"].cast(pa.int64()).to_pylist()))
    for column, functions in asked.items():
        expected = _model.windows(every, column, **selection)
        equal(keys, sorted(expected), f"{what}: windows")
        for function in functions:
            got = seen[f"{column}_{function}"].to_pylist()
            for key, value in zip(keys, got):
                wanted = reduce(function, expected[key])
                exact = function not in ("sum", "mean")
                same = value == wanted
                if not (same or exact or None in (value, wanted)):
                    same = math.isclose(value, wanted, rel_tol=1e-9, abs_tol=1e-9)
                assert same, f"{what}: {function} of {column} at {key}: got {value}, expected {wanted}"


def reduce(function, group):
    if function == "count":
        return len(group)
    if not group:
        return None
    return {
        "sum": math.fsum,
        "mean": lambda group: math.fsum(group) / len(group),
        "min": min,
        "max": max,
        "first": lambda group: group[0],
        "last": lambda group: group[-1],
    }[function](group)


def limits(session, place):
    whole = session.range(CITIES, START, START + DAY)
    for limit in (1, 7, 1_000, whole.num_rows, whole.num_rows + 1):
        seen = session.range(CITIES, START, START + DAY, limit=limit)
        same_rows(seen, whole.slice(0, limit), f"{place}: limit {limit}")
    warm = session.range(CITIES, START, START + DAY, filter="temperature > 30", limit=5)
    every_warm = session.range(CITIES, START, START + DAY, filter="temperature > 30")
    same_rows(warm, every_warm.slice(0, 5), f"{place}: limit after filter")
    few = session.range(CITIES, START, START + DAY, every="1h", aggregates={"humidity": ["max"]}, limit=3)
    every_window = session.range(CITIES, START, START + DAY, every="1h", aggregates={"humidity": ["max"]})
    same_rows(few, every_window.slice(0, 3), f"{place}: limit of windows")


@CHECKS.check
def a_replaced_row_is_filtered_by_its_new_values(session: Session):
    """a lake row that matched and was replaced by one that does not is gone, and the other way round"""
    start = day(12)
    city = cities()[145]

    def put(warm):
        rows = [(city, start + m * MINUTE, 35.0 if (m % 2 == 0) == warm else -5.0) + (None,) * 5 for m in range(60)]
        table = pa.table([pa.array(c, type=f.type) for c, f in zip(zip(*rows), SCHEMA)], schema=SCHEMA)
        session.put(table)

    def warm_minutes():
        seen = session.range([city], start, start + HOUR, filter="temperature > 30")
        return [(at - start) // MINUTE for at in seen["reading_at"].cast(pa.int64()).to_pylist()]

    put(warm=True)
    equal(warm_minutes(), list(range(0, 60, 2)), "in the tail")
    session.flush()
    equal(warm_minutes(), list(range(0, 60, 2)), "in the lake")
    put(warm=False)
    equal(warm_minutes(), list(range(1, 60, 2)), "replaced in the tail")
    mean = session.range([city], start, start + HOUR, every="1h", aggregates={"temperature": ["sum", "count"]})
    equal(mean.to_pylist()[0]["temperature_count"], 60, "rows in the window")
    equal(mean.to_pylist()[0]["temperature_sum"], 30 * 35.0 - 30 * 5.0, "sum in the window")
    session.flush()
    equal(warm_minutes(), list(range(1, 60, 2)), "merged in the lake")
