"""Does the cookbook tell the truth? Runs every block of it against a server that has the demo's readings:

    python cookbook.py grpc://127.0.0.1:8815 docs/cookbook.md [part of a block]

A block of SQL gives rows and not only nulls, a block of Python ends without an error.
"""

import contextlib
import io
import pathlib
import re
import sys
import traceback
import warnings

import adbc_driver_flightsql.dbapi as dbapi

WRITTEN = "grpc://127.0.0.1:8815"
# The cities that blocks ask for, and others: one sensor in a hundred is silent for an hour, but not those of all pairs.
CITIES = (("1850147", "2643743"), ("2988507", "3117735"), ("1816670", "524901"))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def sql(url, text):
    with dbapi.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        for one, other in CITIES:
            cursor.execute(text.replace(CITIES[0][0], one).replace(CITIES[0][1], other))
            table = cursor.fetch_arrow_table()
            assert table.num_rows > 0, "no rows"
            if table.columns[-1].null_count < table.num_rows:
                return
    raise AssertionError(f"nothing but nulls: {table}")


def python(url, text):
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(text.replace(WRITTEN, url), "cookbook", "exec"), {"__name__": "cookbook"})


KINDS = {"sql": sql, "python": python}


def main(arguments):
    if not 2 <= len(arguments) <= 3:
        print(__doc__, file=sys.stderr)
        return 2
    url, page = arguments[0], pathlib.Path(arguments[1]).read_text(encoding="utf-8")
    blocks = [block for block in BLOCK.findall(page) if len(arguments) == 2 or arguments[2] in block[1]]
    failed = 0
    for kind, text in blocks:
        try:
            KINDS[kind](url, text)
        except (Exception, SystemExit):
            failed += 1
            print(f"FAILED, {kind}:\n{text}")
            traceback.print_exc(file=sys.stdout)
    kinds = sorted({kind for kind, _ in blocks})
    print(f"{len(blocks)} blocks of {', '.join(kinds)}: {failed} failed")
    return 1 if failed or not blocks else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
