"""Do the weather functions agree with the published formulas, written apart (`weather.py`)? Run against any server:

    python sql_weather.py grpc://127.0.0.1:8815 [--show]

`--show` prints the figures that `tests/sql/weather.slt` has, as its queries give them.
"""

import math
import random
import sys

import adbc_driver_flightsql.dbapi as dbapi

import weather

ROWS = 2_000
COLUMNS = ["t", "rh", "v", "p", "h"]
FUNCTIONS = {
    "heat_index": (weather.heat_index, ["t", "rh"]),
    "heat_index_rothfusz": (weather.rothfusz, ["t", "rh"]),
    "dew_point": (weather.dew_point, ["t", "rh"]),
    "wind_chill": (weather.wind_chill, ["t", "v"]),
    "apparent_temperature": (weather.apparent_temperature, ["t", "rh", "v"]),
    "sea_level_pressure": (weather.sea_level_pressure, ["p", "h", "t"]),
}
# Places at both sides of every border of a formula, as `weather.slt` asks for them.
SHOWN = {
    "heat_index": [(20, 40), (26, 60), (27, 50), (30, 70), (35, 40), (35, 8), (28, 95), (40, 20), (45, 10), (-5, 80)],
    "heat_index_rothfusz": [(80, 40), (95, 55), (104, 20), (110, 30)],
    "dew_point": [(25, 60), (0, 90), (-20, 50), (35, 15), (30, 80)],
    "wind_chill": [(10, 2), (0, 5), (-10, 10), (-25, 3), (-40, 15), (5, 1.5)],
    "apparent_temperature": [(30, 60, 2), (15, 40, 8), (0, 80, 12), (38, 15, 3), (-10, 70, 5), (25, 100, 0)],
    "sea_level_pressure": [(1000, 100, 15), (950, 540, 5), (850, 1500, 20), (1013, -12, 30), (620, 4000, -10)],
}


def inputs():
    """Random readings in whole tenths, so that text says them exactly."""
    chosen = random.Random(1994)
    ranges = [(-600, 550), (1, 1000), (0, 400), (6000, 10500), (-400, 45000)]
    return [tuple(chosen.randint(low, high) / 10 for low, high in ranges) for _ in range(ROWS)]


def expected(name, row):
    formula, names = FUNCTIONS[name]
    values = dict(zip(COLUMNS, row))
    if name == "wind_chill" and (values["t"] > 10 or values["v"] * 3.6 <= 4.8):
        return None
    return formula(*(values[column] for column in names))


def main(arguments):
    if arguments[1:] == ["--show"]:
        for name, points in SHOWN.items():
            print(name, [(*point, round(FUNCTIONS[name][0](*point), 3)) for point in points])
        return 0
    rows = inputs()
    values = ", ".join(f"({number}, {', '.join(map(repr, row))})" for number, row in enumerate(rows))
    calls = ", ".join(f"{name}({', '.join(names)})" for name, (_, names) in FUNCTIONS.items())
    text = f"SELECT {calls} FROM (VALUES {values}) AS r(i, {', '.join(COLUMNS)}) ORDER BY i"
    with dbapi.connect(arguments[0], autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(text)
        answer = cursor.fetch_arrow_table()
    failed = 0
    for name, column in zip(FUNCTIONS, answer.columns):
        for row, got in zip(rows, column.to_pylist()):
            right = expected(name, row)
            if (got is None) != (right is None) or (got is not None and not math.isclose(got, right, rel_tol=1e-9, abs_tol=1e-9)):
                failed += 1
                print(f"{name} of {dict(zip(COLUMNS, row))}: got {got}, the formula gives {right}")
    print(f"{len(FUNCTIONS)} functions, {len(rows)} rows: {failed} wrong")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
