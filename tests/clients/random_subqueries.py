"""What may a query in another say of the row outside? Random values, conditions and LATERAL over small tables with nulls,
written once for our SQL and for DuckDB's.

    SELECT k, x, (SELECT count(u.b) FROM … u WHERE u.a <= t.x) AS r FROM … t
"""

from random_queries import Query
from random_sql import Tree

OPERATORS = ["=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"]
OUTER = ["t.k", "t.x"]


class Subqueries:
    """Random queries with queries in them. `random` decides everything."""

    def __init__(self, random, *_):
        self.random = random

    def one(self, list):
        return self.random.choice(list)

    def query(self):
        """A query as it is sent."""
        kinds = [self.valued] * 4 + [self.compared] * 2 + [self.existing] * 2 + [self.among, self.lateral, self.counted]
        return Query(Tree(self.one(kinds)(self.table("t", ["k", "x"], 6))), ())

    # Each of these is a query over the rows `t`.

    def valued(self, rows):
        return f"SELECT k, x, {self.value()} AS r FROM {rows}"

    def compared(self, rows):
        return f"SELECT k, x FROM {rows} WHERE {self.value()} {self.one(['=', '<>', '>', '<='])} {self.one([*OUTER, '1'])}"

    def existing(self, rows):
        source, columns = self.source()
        asked = f"EXISTS (SELECT 1 FROM {source}{self.where(columns)}{self.one(['', '', ' LIMIT 1', ' OFFSET 1'])})"
        if self.one([True, False]):
            return f"SELECT k, x, {asked} AS e FROM {rows}"
        return f"SELECT k, x FROM {rows} WHERE {self.one(['', 'NOT '])}{asked}"

    def among(self, rows):
        source, columns = self.source()
        asked = f"{self.one(['IN', 'NOT IN'])} (SELECT {columns[0]} FROM {source}{self.where(columns)})"
        if self.one([True, False]):
            return f"SELECT k, x, k {asked} AS i FROM {rows}"
        return f"SELECT k, x FROM {rows} WHERE x {asked}"

    def lateral(self, rows):
        source, columns = self.source()
        asked = f"SELECT {columns[0]} AS p, {self.one(OUTER)} + 1 AS q FROM {source}{self.where(columns)}"
        return f"SELECT k, x, p, q FROM {rows} " + self.one([f"CROSS JOIN LATERAL ({asked}) l", f"LEFT JOIN LATERAL ({asked}) l ON true"])

    def counted(self, rows):
        source, columns = self.source()
        return f"SELECT k, x, n FROM {rows}, LATERAL (SELECT count(*) AS n FROM {source}{self.where(columns)}) l"

    # What they are made of.

    def table(self, name, columns, most):
        """Up to `most` rows of small numbers and nulls."""
        number = lambda: self.one(["NULL", "0", "1", "2", "3", "-1"])
        rows = ", ".join(f"({number()}, {number()})" for _ in range(self.random.randint(1, most)))
        named = ", ".join(f"CAST(c{i} AS BIGINT) AS {column}" for i, column in enumerate(columns))
        return f"(SELECT {named} FROM (VALUES {rows}) v(c0, c1)) {name}"

    def source(self):
        """What a query inside reads, and its columns."""
        rows, columns = self.table("u", ["a", "b"], 5), ["u.a", "u.b"]
        if self.random.random() < 0.6:
            return rows, columns
        on = self.condition(["u.a", "w.c"], ["w.d", "u.b", OUTER[0]])
        other = self.table("w", ["c", "d"], 4)
        return f"{rows} {self.one(['JOIN', 'LEFT JOIN'])} {other} ON {on}", columns + ["w.c", "w.d"]

    def condition(self, columns, others):
        column, other = self.one(columns), self.one(others)
        forms = [f"{column} {self.one(OPERATORS)} {other}"] * 3
        forms += [f"({column} < {other} OR {column} IS NULL)", f"{column} BETWEEN {other} AND {other} + 1", f"{other} > 0", f"{column} > 0"]
        return self.one(forms)

    def where(self, columns):
        conditions = [self.condition(columns, OUTER) for _ in range(self.one([0, 1, 1, 2, 2, 3]))]
        return " WHERE " + " AND ".join(conditions) if conditions else ""

    def value(self):
        """A query that gives one row at most."""
        source, columns = self.source()
        where, column = self.where(columns), columns[0]
        of = self.one([*columns, f"{self.one(columns)} + {self.one(OUTER)}"])
        forms = ["count(*)", f"count({of})", f"sum({of})", f"max({of})", f"count(DISTINCT {of})", f"coalesce(min({of}), 7)"]
        forms += [f"count(*) FILTER (WHERE {column} > 0)"]
        whole = f"(SELECT {self.one(forms)} FROM {source}{where})"
        groups = f"SELECT {column} AS g, count(*) AS n FROM {source}{where} GROUP BY 1"
        different = f"SELECT DISTINCT {column} AS g FROM {source}{where}"
        first = f"(SELECT {column} FROM {source}{where} ORDER BY {', '.join(columns)} LIMIT 1{self.one(['', ' OFFSET 1'])})"
        alone = f"(SELECT {self.one(OUTER)} + {self.one(OUTER)}{self.one(['', ' WHERE t.k > 0'])})"
        others = [f"(SELECT max(n) FROM ({groups}) q)", f"(SELECT count(*) FROM ({different}) q)", first, first, alone]
        return self.one([whole] * 6 + others)
