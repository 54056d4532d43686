"""Does SQL give right answers? Random queries, compared with those of DuckDB over the same rows. Run against a server with
an empty data folder that lands nothing by itself (`--set engine.lateness=4000d --set engine.late_merge_every=4000d`):

    python sql_random.py grpc://127.0.0.1:8815 [--queries N] [--seed S] [--only NUMBER]

The same seed gives the same queries. A query that fails prints its seed and number, and its text for both.
"""

import argparse
import math
import random
import sys
import time

import adbc_driver_flightsql.dbapi as dbapi
import duckdb
import pyarrow as pa

import random_data as data
from random_queries import Queries
from random_sql import DUCKDB, OURS
from random_subqueries import Subqueries
from session import Session

QUERIES = 200
SEED = 1
# One query of so many has queries in it that refer to the row outside.
CORRELATED = 6
# How far apart two numbers may lie that were added up in another order.
RELATIVE, ABSOLUTE = 1e-6, 1e-7
# Two columns that differ by a cast alone have one name for the planner, which says what to do.
REFUSED, MEND = "refused", "do not count in the name of a column"
# What DuckDB says of a few queries that it should answer.
DEFECT = "BindBuiltinScalarFunction"


def rows(table):
    """The rows of an answer as comparable tuples: times in µs since 1970, numbers as they are."""
    return list(zip(*(values(column) for column in table.columns))) if table.num_columns else []


def values(column):
    kind = column.type
    if pa.types.is_timestamp(kind):
        return column.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.int64()).to_pylist()
    if pa.types.is_date(kind):
        return column.cast(pa.timestamp("us")).cast(pa.int64()).to_pylist()
    if pa.types.is_decimal(kind):
        return [None if value is None else int(value) if value == int(value) else float(value) for value in column.to_pylist()]
    return column.to_pylist()


def place(row):
    """Where a row stands among the others."""
    return [(value is not None, isinstance(value, str), "" if value is None else value) for value in row]


def alike(ours, theirs):
    """Whether two rows are the same, as far as numbers can be."""
    return all(a == b or close(a, b) for a, b in zip(ours, theirs))


def close(a, b):
    if not isinstance(a, (int, float)) or not isinstance(b, (int, float)) or isinstance(a, bool) != isinstance(b, bool):
        return False
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return math.isclose(a, b, rel_tol=RELATIVE, abs_tol=ABSOLUTE)


def difference(ours, theirs, ordered):
    """What is wrong with our rows; None if nothing is."""
    if len(ours) != len(theirs):
        return f"{len(ours)} rows, DuckDB has {len(theirs)}"
    if not ordered:
        ours, theirs = sorted(ours, key=place), sorted(theirs, key=place)
    apart = [(a, b) for a, b in zip(ours, theirs) if not alike(a, b)]
    if apart and not ordered:
        # Rows that differ in the last bits may be sorted otherwise.
        left = [b for _, b in apart]
        apart = [(a, left[0]) for a, _ in apart if not taken(a, left)]
    if apart:
        return f"{len(apart)} rows differ, the first is {apart[0][0]}, DuckDB has {apart[0][1]}"
    return None


def taken(row, left):
    for i, other in enumerate(left):
        if alike(row, other):
            del left[i]
            return True
    return False


class Subject:
    """The server and DuckDB over the same rows."""

    def __init__(self, url):
        self.theirs, count = data.fill(url)
        self.cursor = dbapi.connect(url, autocommit=True).cursor()
        data.stands(self.ours, count)

    def ours(self, text):
        self.cursor.execute(text)
        return self.cursor.fetch_arrow_table()

    def check(self, query):
        """What is wrong with the answer to a query; None if nothing is, REFUSED if one side cannot say."""
        try:
            theirs = rows(self.theirs.sql(query.tree.text(DUCKDB)).to_arrow_table())
        except duckdb.Error as error:
            return REFUSED if DEFECT in str(error) else f"DuckDB: {error}"
        try:
            ours = rows(self.ours(query.tree.text(OURS)))
        except Exception as error:
            return REFUSED if MEND in str(error) else f"{type(error).__name__}: {error}"
        return difference(ours, theirs, query.ordered)


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--queries", type=int, default=QUERIES)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--only", type=int)
    chosen = parser.parse_args(arguments)
    subject, failed, refused, begun = Subject(chosen.url), 0, 0, time.monotonic()
    numbers = range(chosen.queries) if chosen.only is None else [chosen.only]
    for number in numbers:
        kind = Subqueries if number % CORRELATED == CORRELATED - 1 else Queries
        query = kind(random.Random(f"{chosen.seed}/{number}"), data.CITIES).query()
        wrong = subject.check(query)
        if wrong == REFUSED:
            refused += 1
        elif wrong or chosen.only is not None:
            failed += bool(wrong)
            print(f"--seed {chosen.seed} --only {number}: {wrong or 'right'}")
            print(f"  ours:   {query.tree.text(OURS)}\n  DuckDB: {query.tree.text(DUCKDB)}", flush=True)
    took = time.monotonic() - begun
    print(f"{len(numbers)} queries of seed {chosen.seed} in {took:.1f} s: {failed} wrong, {refused} refused")
    assert refused <= max(3, len(numbers) / 50), "too many queries are refused"
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
