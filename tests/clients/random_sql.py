"""What can be said of the columns of a query? Random expressions, written for our SQL and for DuckDB's from one tree.

    Tree("date_bin(INTERVAL '{0}', {1})", parts, duckdb="time_bucket(INTERVAL '{0}', {1}, TIMESTAMP '1970-01-01')")

Numbers are computed as doubles, so that both round alike; what may be rounded differently is marked inexact. Times are
those of UTC: DuckDB's have no zone, ours have.
"""

from dataclasses import dataclass

import random_data as data
import readings
from session import instant

OURS, DUCKDB = "ours", "DuckDB"
WHOLE, NUMBER, TEXT, TIME, FLAG = "whole", "number", "text", "time", "flag"
# A time in a zone of its own, whose hours and days are not those of UTC: it is compared and given, not computed with.
LOCAL_TIME = "local time"
COMPARISONS = ["=", "<>", "<", "<=", ">", ">="]
ZONES = ["Europe/Berlin", "Asia/Kolkata", "America/New_York", "Asia/Tokyo"]
UNITS = ["minute", "hour", "day", "week", "month"]
SPANS = ["7 minutes", "10 minutes", "1 hour", "90 minutes", "1 day"]
LOCAL = "timezone('{1}', timezone('UTC', {0}))"


@dataclass(frozen=True)
class Tree:
    """A piece of SQL, whose parts stand at {0}, {1} …"""

    ours: str
    parts: tuple = ()
    duckdb: str = None

    def text(self, dialect):
        form = self.duckdb if dialect == DUCKDB and self.duckdb is not None else self.ours
        return form.format(*(part.text(dialect) if isinstance(part, Tree) else part for part in self.parts))


@dataclass(frozen=True)
class Column:
    """A column that can be named, and whether both sides have it to the last bit."""

    tree: Tree
    kind: str
    exact: bool = True


def joined(trees, between=", "):
    """Several trees, one after another."""
    return Tree(between.join(f"{{{i}}}" for i in range(len(trees))), tuple(trees))


class Expressions:
    """Random expressions over columns."""

    def __init__(self, random, columns):
        self.random, self.columns = random, columns

    def one(self, list):
        return self.random.choice(list)

    def maybe(self, share=0.5):
        return self.random.random() < share

    def column(self, *kinds):
        """A column of one of the kinds, or None."""
        found = [column.tree for column in self.columns if column.kind in kinds and column.exact]
        return self.one(found) if found else None

    def of(self, kind, depth):
        """An expression of a kind."""
        return getattr(self, kind)(depth)

    def any(self, depth):
        """An expression of any kind, with its kind."""
        kind = self.one([WHOLE, NUMBER, NUMBER, TEXT, TIME, FLAG])
        return self.of(kind, depth), kind

    def _choose(self, leaves, branches, depth):
        return self.one(leaves if depth <= 0 or self.maybe(0.3) else branches)(depth - 1)

    def _either(self, kind):
        """What exists for every kind: CASE, coalesce, nullif."""

        def case(depth):
            # Numbers of two types have one in common.
            other = WHOLE if kind == NUMBER and self.maybe(0.3) else kind
            parts = (self.flag(depth), self.of(kind, depth), self.of(other, depth))
            return Tree(self.one(["CASE WHEN {0} THEN {1} ELSE {2} END", "CASE WHEN {0} THEN {1} END"]), parts)

        def pair(depth):
            form = self.one(["coalesce({0}, {1})", "nullif({0}, {1})"])
            return Tree(form, (self.of(kind, depth), self.of(kind, depth)))

        return [case, pair]

    def number(self, depth):
        def literal(_):
            return Tree(self.one(["0e0", "1e0", "-2.5e0", "12.3e0", "1e3", "0.1e0", "57.25e0"]))

        def named(_):
            column = self.column(NUMBER, WHOLE)
            return Tree("CAST({0} AS DOUBLE)", (column,)) if column else literal(_)

        def pair(depth):
            # What comes to minus zero is made zero, which DuckDB takes for the same.
            form = self.one(["({0} + {1})", "({0} - {1})", "({0} * {1} + 0e0)", "({0} / nullif({1}, 0e0) + 0e0)"])
            return Tree(form, (self.number(depth), self.number(depth)))

        def single(depth):
            form = self.one(["(- {0})", "abs({0})", "floor({0})", "ceil({0})", "round({0})", "sqrt(abs({0}))"])
            return Tree(form, (self.number(depth),))

        def extreme(depth):
            return Tree(self.one(["greatest({0}, {1})", "least({0}, {1})"]), (self.number(depth), self.number(depth)))

        return self._choose([named, named, literal], [pair, pair, single, extreme, *self._either(NUMBER)], depth)

    def whole(self, depth):
        def literal(_):
            return Tree(f"CAST({self.random.randint(-20, 400)} AS BIGINT)")

        def named(_):
            column = self.column(WHOLE)
            return Tree("CAST({0} AS BIGINT)", (column,)) if column else literal(_)

        def pair(depth):
            return Tree(self.one(["({0} + {1})", "({0} - {1})"]), (self.whole(depth), self.whole(depth)))

        def scaled(depth):
            return Tree(self.one(["({0} * 3)", "({0} % 7)", "({0} % 90)", "abs({0})"]), (self.whole(depth),))

        def length(depth):
            return Tree("CAST(length({0}) AS BIGINT)", (self.text(depth),))

        def part(depth):
            unit = self.one(["minute", "hour", "day", "dow", "doy", "month", "week", "year"])
            return Tree(f"CAST(date_part('{unit}', {{0}}) AS BIGINT)", (self.time(depth),))

        def local(depth):
            form = f"CAST(date_part('{self.one(['hour', 'minute', 'dow', 'doy'])}', %s) AS BIGINT)"
            parts = (self.time(depth), self.one(ZONES))
            return Tree(form % "{0} AT TIME ZONE '{1}'", parts, duckdb=form % LOCAL)

        return self._choose([named, named, literal], [pair, scaled, length, part, local, *self._either(WHOLE)], depth)

    def text(self, depth):
        def literal(_):
            return Tree(self.one(["''", "'a'", "'Europe'", "'DE'", "'zz'", "'O''Brien'"]))

        def named(_):
            return self.column(TEXT) or literal(_)

        def single(depth):
            forms = ["lower({0})", "upper({0})", "trim({0})", "reverse({0})", "left({0}, 3)", "right({0}, 2)"]
            forms += ["substr({0}, 2, 3)", "replace({0}, 'a', 'oo')", "lpad({0}, 6, '.')", "split_part({0}, '/', 1)"]
            return Tree(self.one(forms), (self.text(depth),))

        def pair(depth):
            # DuckDB's concat, like ours, takes null for nothing; the operator does not.
            return Tree(self.one(["({0} || {1})", "concat({0}, {1})"]), (self.text(depth), self.text(depth)))

        def written(depth):
            return Tree("CAST({0} AS VARCHAR)", (self.whole(depth),))

        return self._choose([named, named, literal], [single, single, pair, written, *self._either(TEXT)], depth)

    def moment(self, forms=("TIMESTAMP '{0}'",)):
        """A constant time, mostly of the rows, at or beside an instant that has rows. Beside a column of UTC a time
        without a zone is one of UTC."""
        steps = (data.HOURS * readings.HOUR) // data.STEP
        at = data.START + self.random.randint(-6, steps + 6) * data.STEP + self.one([0, 0, 0, 1, -1])
        text = instant(at)
        form = self.one(["CAST('{0}' AS TIMESTAMP WITH TIME ZONE)", "to_timestamp('{0}')", *forms])
        return Tree(form, (text,), duckdb=f"TIMESTAMP '{text.rstrip('Z')}'")

    def time(self, depth):
        def named(_):
            return self.column(TIME) or self.moment(forms=())

        def moved(depth):
            return Tree(self.one(["({0} + INTERVAL '{1}')", "({0} - INTERVAL '{1}')"]), (self.time(depth), self.one(SPANS)))

        def bin(depth):
            return self.bin(self.time(depth))[0]

        return self._choose([named, named, lambda _: self.moment(forms=())], [moved, bin, *self._either(TIME)], depth)

    def bin(self, time, zones=False):
        """The window in which a time lies, perhaps of another zone, and its kind."""
        duckdb = "time_bucket(INTERVAL '{1}', {0}, TIMESTAMP '1970-01-01')"
        windows = Tree("date_bin(INTERVAL '{1}', {0})", (time, self.one(SPANS)), duckdb=duckdb)
        trunc = f"date_trunc('{self.one(UNITS)}', %s)"
        cut = Tree(trunc % "{0}", (time,), duckdb=f"CAST({trunc % '{0}'} AS TIMESTAMP)")
        local = f"CAST(timezone('UTC', timezone('{{1}}', CAST({trunc % LOCAL} AS TIMESTAMP))) AS TIMESTAMP)"
        there = Tree(trunc % "{0} AT TIME ZONE '{1}'", (time, self.one(ZONES)), duckdb=local)
        origin = "2025-01-01T00:03:00"
        shifted = f"time_bucket(INTERVAL '{{1}}', {{0}}, TIMESTAMP '{origin}')"
        moved = Tree(f"date_bin(INTERVAL '{{1}}', {{0}}, TIMESTAMP '{origin}Z')", windows.parts, duckdb=shifted)
        if zones and self.maybe(0.3):
            return there, LOCAL_TIME
        return self.one([windows, windows, cut, cut, moved]), TIME

    def flag(self, depth):
        leaves = [self._compared, self._compared, self._within, self._null, self._timed, self._timed, self._like]

        def both(depth):
            form = self.one(["({0} AND {1})", "({0} OR {1})", "({0} AND {1})"])
            return Tree(form, (self.flag(depth), self.flag(depth)))

        def turned(depth):
            forms = ["(NOT {0})", "({0} IS TRUE)", "({0} IS NOT TRUE)", "({0} IS FALSE)"]
            return Tree(self.one(forms), (self.flag(depth),))

        def expressions(depth):
            kind = self.one([WHOLE, NUMBER, TEXT, TIME])
            form = self.one([f"({{0}} {op} {{1}})" for op in COMPARISONS + ["IS DISTINCT FROM", "IS NOT DISTINCT FROM"]])
            return Tree(form, (self.of(kind, depth), self.of(kind, depth)))

        constant = lambda _: Tree(self.one(["TRUE", "FALSE", "CAST(NULL AS BOOLEAN)"]))
        return self._choose(leaves, [both, both, both, turned, expressions, self.one([both, constant])], depth)

    def _numbers(self, column):
        """Constants of the size of a column's values."""
        if column.text(OURS).endswith("city_id"):
            return [str(self.one(data.CITIES) + self.one([0, 0, 0, 1])) for _ in range(3)]
        return self.random.sample(["0", "-12.5", "12.3", "33", "40.2", "57.25", "90", "180", "950", "1000000000"], 3)

    def _compared(self, _):
        column = self.column(NUMBER, WHOLE)
        if column is None:
            return self._timed(_)
        return Tree(f"({{0}} {self.one(COMPARISONS)} {{1}})", (column, self._numbers(column)[0]))

    def _within(self, _):
        column = self.column(NUMBER, WHOLE)
        if column is None:
            return self._like(_)
        forms = ["BETWEEN {1} AND {2}", "NOT BETWEEN {1} AND {2}", "IN ({1}, {2}, {3})", "NOT IN ({1}, {2})"]
        return Tree("({0} " + self.one(forms + ["IN ({1}, NULL, {3})", "NOT IN ({1}, NULL)"]) + ")", (column, *self._numbers(column)))

    def _null(self, depth):
        column = self.column(NUMBER, WHOLE, TEXT, TIME) or self.number(depth)
        return Tree(self.one(["({0} IS NULL)", "({0} IS NOT NULL)"]), (column,))

    def _timed(self, depth):
        column = self.column(TIME)
        if column is None:
            return self._like(depth)
        side, kind = self.bin(column, zones=True) if self.maybe(0.3) else (column, TIME)
        # Beside a column in another zone, a time without one would be read in that.
        plain = column.ours.endswith("reading_at") and kind == TIME
        first, last = (self.moment() if plain else self.moment(forms=()) for _ in range(2))
        forms = [f"({{0}} {op} {{1}})" for op in COMPARISONS] + ["({0} BETWEEN {1} AND {2})", "({0} IN ({1}, {2}))"]
        forms += ["({0} >= {1} AND {0} < {2})", "({0} >= {1} AND {0} < {2})"]
        return Tree(self.one(forms), (side, first, last))

    def _like(self, depth):
        column = self.column(TEXT)
        if column is None:
            return self._null(depth)
        patterns = ["'%a%'", "'A%'", "'%n'", "'_a%'", "'%/%'", "'Europe/%'", "'%''%'", "''", "'%'", "'DE'"]
        forms = ["LIKE {1}", "NOT LIKE {1}", "ILIKE {1}", "= {1}", "< {1}", ">= {1}", "IN ({1}, 'DE', 'FR')"]
        return Tree("({0} " + self.one(forms) + ")", (column, self.one(patterns)))
