"""What is asked? Random queries over readings, their newest rows and cities, for both dialects at once.

A query that says LIMIT is ordered by columns that tell every row from every other, or by all its columns; the order of
its answer is then compared, too.
"""

from dataclasses import dataclass

from random_sql import NUMBER, OURS, TEXT, TIME, WHOLE, Column, Expressions, Tree, joined

READINGS = {
    "city_id": WHOLE,
    "reading_at": TIME,
    "temperature": NUMBER,
    "humidity": NUMBER,
    "pressure": NUMBER,
    "wind_speed": NUMBER,
    "wind_direction": WHOLE,
    "precipitation": NUMBER,
}
CITIES = {
    "city_id": WHOLE,
    "name": TEXT,
    "country": TEXT,
    "admin1": TEXT,
    "latitude": NUMBER,
    "longitude": NUMBER,
    "population": WHOLE,
    "timezone": TEXT,
}
# Cities that DuckDB does not have are left out of every query.
KNOWN = "(SELECT * FROM cities WHERE city_id IN ({0}))"
# Numbers that are unlike others; equal ones, and none.
EDGES = {"k": WHOLE, "x": NUMBER, "y": NUMBER, "note": TEXT}
EDGE_ROWS = [
    "(0, CAST('NaN' AS DOUBLE), 1e0, 'a')",
    "(1, 0e0, 1e0, 'A')",
    "(2, 0e0 * -1e0, 1e0, '')",
    "(3, 1e0, NULL, NULL)",
    "(4, CAST('inf' AS DOUBLE), 2e0, 'b')",
    "(5, -CAST('inf' AS DOUBLE), 2e0, 'b')",
    "(6, CAST('NaN' AS DOUBLE) * -1e0, NULL, 'a')",
    "(7, NULL, 0e0, NULL)",
    "(8, 1e9, 1e0, 'O''Brien')",
    "(9, 1e0, 0e0 * -1e0, 'a')",
    "(NULL, NULL, NULL, NULL)",
]
NEWEST = "(SELECT * FROM readings QUALIFY row_number() OVER (PARTITION BY city_id ORDER BY reading_at DESC) = 1)"
FRAMES = [
    "ROWS BETWEEN 3 PRECEDING AND CURRENT ROW",
    "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
    "ROWS BETWEEN 2 PRECEDING AND 2 FOLLOWING",
    "ROWS BETWEEN 1 FOLLOWING AND 4 FOLLOWING",
    "ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
    "RANGE BETWEEN INTERVAL '20 minutes' PRECEDING AND CURRENT ROW",
    "RANGE BETWEEN INTERVAL '1 hour' PRECEDING AND INTERVAL '10 minutes' FOLLOWING",
    "RANGE BETWEEN UNBOUNDED PRECEDING AND INTERVAL '5 minutes' FOLLOWING",
]


FRAMED = ["sum", "avg", "min", "max", "count", "first_value", "last_value"] * 2 + ["stddev", "stddev_pop", "var_samp", "var_pop"]


@dataclass(frozen=True)
class Query:
    """A query, its columns c0, c1 …, and which of them tell every row from every other (None: not known)."""

    tree: Tree
    columns: tuple
    identity: tuple = None
    ordered: bool = False

    def named(self, alias):
        """The columns as another query sees them."""
        return [Column(Tree(f"{alias}.c{i}"), column.kind, column.exact) for i, column in enumerate(self.columns)]


@dataclass(frozen=True)
class Source:
    """What stands in FROM; `identity` tells its rows apart (None: not known)."""

    tree: Tree
    columns: list
    identity: tuple = None


class Queries:
    """Random queries. `random` decides everything."""

    def __init__(self, random, cities):
        self.random, self.cities = random, ", ".join(map(str, cities))
        self.aliases = 0

    def one(self, list):
        return self.random.choice(list)

    def maybe(self, share=0.5):
        return self.random.random() < share

    def alias(self):
        self.aliases += 1
        return f"t{self.aliases}"

    def query(self):
        """A query as it is sent."""
        kinds = [self.plain] * 4 + [self.grouped] * 5 + [self.windows] * 3 + [self.sets] * 2 + [self.common] * 2
        return self.ended(self.one(kinds)(2))

    def ended(self, query):
        """Perhaps in order, and perhaps only some rows of it."""
        if self.maybe(0.3):
            return query
        exact = [i for i, column in enumerate(query.columns) if column.exact]
        self.random.shuffle(exact)
        whole = len(exact) == len(query.columns)
        if not whole and query.identity is not None and set(query.identity) <= set(exact):
            exact = [i for i in exact if i not in query.identity] + list(query.identity)
            whole = True
        elif not whole:
            exact = exact[: self.random.randint(1, 3)]
        if not exact:
            return query
        keys = [f"c{i} {self.one(['', 'ASC', 'DESC'])} {self.one(['', '', 'NULLS FIRST', 'NULLS LAST'])}".strip() for i in exact]
        form = "{0} ORDER BY " + ", ".join(keys)
        if whole and self.maybe(0.6):
            form += f" LIMIT {self.one([0, 1, 3, 10, 50])}"
            if self.maybe(0.3):
                form += f" OFFSET {self.one([0, 1, 7, 40])}"
        return Query(Tree(form, (query.tree,)), query.columns, query.identity, ordered=whole)

    # What stands in FROM.

    def table(self, names, name, tree=None):
        alias = self.alias()
        columns = [Column(Tree(f"{alias}.{column}"), kind) for column, kind in names.items()]
        return Source(Tree(f"{{0}} {alias}", (tree or Tree(name),)), columns)

    def readings(self):
        source = self.table(READINGS, "readings")
        return Source(source.tree, source.columns, identity=(0, 1))

    def newest(self):
        source = self.table(READINGS, "latest", Tree("latest('readings')", duckdb=NEWEST))
        return Source(source.tree, source.columns, identity=(0,))

    def known_cities(self):
        source = self.table(CITIES, "cities", Tree(KNOWN, (self.cities,)))
        return Source(source.tree, source.columns, identity=(0,))

    def edges(self):
        rows = ", ".join(self.random.sample(EDGE_ROWS, self.random.randint(3, len(EDGE_ROWS))))
        return self.table(EDGES, "edges", Tree(f"(SELECT * FROM (VALUES {rows}) v(k, x, y, note))"))

    def using(self):
        """Two tables joined by the columns that USING names, which are one column each."""
        left, right = self.readings(), self.one([self.readings, self.newest])()
        shared = self.one([["city_id"], ["city_id", "reading_at"]])
        kind = self.one(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
        names, alias = [side.tree.text(OURS).split()[-1] for side in (left, right)], self.alias()
        inner = [*shared, *(f"{name}.{column} AS {column}_{i}" for i, name in enumerate(names) for column in list(READINGS)[2:5])]
        tree = Tree(f"(SELECT {', '.join(inner)} FROM {{0}} {kind} {{1}} USING ({', '.join(shared)})) {alias}", (left.tree, right.tree))
        columns = [Column(Tree(f"{alias}.{column}"), READINGS[column]) for column in shared]
        columns += [Column(Tree(f"{alias}.{column}_{i}"), NUMBER) for i in range(2) for column in list(READINGS)[2:5]]
        return Source(tree, columns)

    def derived(self, depth):
        """A query in brackets."""
        query = self.one([self.plain, self.grouped, self.windows])(depth - 1)
        query = self.ended(query)
        alias = self.alias()
        return Source(Tree(f"({{0}}) {alias}", (query.tree,)), query.named(alias))

    def source(self, depth):
        """One table, or several joined."""
        if depth > 0 and self.maybe(0.15):
            return self.derived(depth)
        if depth > 0 and self.maybe(0.1):
            return self.using()
        if depth > 0 and self.maybe(0.35):
            return self.join()
        if self.maybe(0.1):
            return self.edges()
        return self.one([self.readings, self.readings, self.readings, self.readings, self.newest, self.known_cities])()

    def join(self):
        """Two tables by their city, or by city and time."""
        left = self.one([self.readings, self.readings, self.newest])()
        right = self.one([self.readings, self.newest, self.known_cities, self.known_cities])()
        (key, at), columns = [c.tree for c in left.columns[:2]], left.columns + right.columns
        other = right.columns[0].tree
        timed = right.columns[1].kind == TIME
        kind = self.one(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
        if timed and left.identity == right.identity == (0, 1) and self.maybe(0.4):
            return self.before(left, right, columns)
        condition = Tree("{0} = {1}", (key, other))
        if timed:
            shift = self.one(["0 minutes", "5 minutes", "1 hour"])
            condition = Tree("{0} AND {1} = {2} + INTERVAL '{3}'", (condition, at, right.columns[1].tree, shift))
        if self.maybe(0.3):
            condition = Tree("{0} AND {1}", (condition, Expressions(self.random, columns).flag(1)))
        return Source(Tree(f"{{0}} {kind} {{1}} ON {{2}}", (left.tree, right.tree, condition)), columns)

    def before(self, left, right, columns):
        """Each row with the newest row before it on the other side."""
        alias = self.alias()
        where = Expressions(self.random, right.columns).flag(1)
        chosen = Tree("(SELECT {1}.* FROM {0} WHERE {2}) " + alias, (right.tree, right.tree.ours.split()[-1], where))
        renamed = [Column(Tree(f"{alias}.{name}"), kind) for name, kind in READINGS.items()]
        (key, at), (other, then) = ([c.tree for c in side[:2]] for side in (left.columns, renamed))
        kind = self.one(["", "LEFT "])
        tree = Tree(
            f"{{0}} {kind}JOIN {{1}} ON {{2}} = {{3}} AND asof({{4}}, {{5}})",
            (left.tree, chosen, key, other, at, then),
            duckdb=f"{{0}} ASOF {kind}JOIN {{1}} ON {{2}} = {{3}} AND {{4}} >= {{5}}",
        )
        return Source(tree, left.columns + renamed, identity=left.identity)

    # Conditions with queries inside.

    def where(self, source, depth):
        """Nothing, or a condition on the rows of a source."""
        if self.maybe(0.2):
            return Tree("")
        flag = Expressions(self.random, source.columns).flag(2)
        if depth > 0 and self.maybe(0.25):
            flag = Tree(self.one(["{0} AND {1}", "{0} OR {1}"]), (flag, self.inner(source)))
        return Tree(" WHERE {0}", (flag,))

    def inner(self, source):
        """A condition that asks another query."""
        inside = self.one([self.readings, self.newest, self.known_cities])()
        condition = Expressions(self.random, inside.columns).flag(1)
        named = [column for column in source.columns if column.exact and column.kind in (WHOLE, NUMBER)]
        if not named:
            return Expressions(self.random, source.columns).flag(1)
        outer = self.one(named).tree
        keys = [c.tree for c in named if c.tree.text(OURS).endswith("city_id")] or [outer]
        key, parts = self.one(keys), (inside.tree, condition)
        numbers = [column.tree for column in inside.columns if column.kind == NUMBER]
        value = self.one(numbers)
        forms = [
            ("{2} {3} (SELECT {4} FROM {0} WHERE {1})", (key, self.one(["IN", "NOT IN"]), inside.columns[0].tree)),
            (
                "{2} {3} (SELECT {4} FROM {0} WHERE {5} > {6} AND {1})",
                (key, self.one(["IN", "NOT IN"]), inside.columns[0].tree, value, outer),
            ),
            ("{3} (SELECT 1 FROM {0} WHERE {4} = {2} AND {1})", (key, self.one(["EXISTS", "NOT EXISTS"]), inside.columns[0].tree)),
            ("CAST({2} AS DOUBLE) {3} (SELECT {4}(CAST({5} AS DOUBLE)) FROM {0} WHERE {1})", self._scalar(outer, value)),
            (
                "CAST({2} AS DOUBLE) {3} (SELECT {4}(CAST({5} AS DOUBLE)) FROM {0} WHERE {6} = {7} AND {1})",
                (*self._scalar(outer, value), inside.columns[0].tree, key),
            ),
        ]
        form, more = self.one(forms)
        return Tree(f"({form})", parts + more)

    def asked(self, source):
        """A value that another query gives for each row, with its kind, and whether it is exact."""
        keys = [column.tree for column in source.columns if column.exact and column.tree.text(OURS).endswith("city_id")]
        if not keys:
            return (*Expressions(self.random, source.columns).any(1), True)
        inside = self.one([self.readings, self.newest, self.known_cities])()
        condition = Expressions(self.random, inside.columns).flag(1)
        value = self.one([column.tree for column in inside.columns if column.kind == NUMBER])
        what, kind = self.one([("count(*)", WHOLE), ("count({4})", WHOLE), ("min(CAST({4} AS DOUBLE))", NUMBER), ("max(CAST({4} AS DOUBLE))", NUMBER)])
        parts = (inside.tree, condition, inside.columns[0].tree, self.one(keys), value)
        return Tree(f"(SELECT {what} FROM {{0}} WHERE {{2}} = {{3}} AND {{1}})", parts), kind, True

    def _scalar(self, outer, value):
        return (outer, self.one(["<", ">", "="]), self.one(["min", "max", "count"]), value)

    # Kinds of queries.

    def select(self, items, source, rest, distinct=False):
        """SELECT of expressions with their kinds as c0, c1 …"""
        named = [Tree(f"{{0}} AS c{i}", (tree,)) for i, (tree, _, _) in enumerate(items)]
        columns = tuple(Column(tree, kind, exact) for tree, kind, exact in items)
        word = "DISTINCT " if distinct else ""
        return Tree(f"SELECT {word}{{0}} FROM {{1}}{{2}}", (joined(named), source.tree, rest)), columns

    def plain(self, depth):
        source = self.source(depth)
        expressions = Expressions(self.random, source.columns)
        items, identity = [], None
        if source.identity is not None and self.maybe(0.6):
            items = [(source.columns[i].tree, source.columns[i].kind, True) for i in source.identity]
            identity = tuple(range(len(items)))
        for _ in range(self.random.randint(1, 4)):
            if self.maybe(0.5):
                column = self.one(source.columns)
                items.append((column.tree, column.kind, column.exact))
            elif depth > 0 and self.maybe(0.15):
                items.append(self.asked(source))
            else:
                items.append((*expressions.any(2), True))
        tree, columns = self.select(items, source, self.where(source, depth), distinct=self.maybe(0.15))
        return Query(tree, columns, identity)

    def keys(self, expressions, source):
        """What rows are grouped by."""
        keys, times = [], [c for c in source.columns if c.kind == TIME and c.exact]
        if self.maybe(0.7):
            keys.append((self.one([c for c in source.columns if c.exact] or source.columns).tree, None))
            if source.columns[0].kind == WHOLE and self.maybe(0.7):
                keys = [(source.columns[0].tree, WHOLE)]
        if times and self.maybe(0.6):
            keys.append(expressions.bin(self.one(times).tree, zones=True))
        if self.maybe(0.2):
            keys.append(expressions.any(1))
        kinds = {column.tree: column.kind for column in source.columns}
        return [(tree, kind or kinds[tree], True) for tree, kind in keys]

    def aggregate(self, expressions, source):
        """An aggregate with its kind, and whether it is exact."""
        def argument():
            column = expressions.column(NUMBER)
            return (Tree("CAST({0} AS DOUBLE)", (column,)), True) if column and self.maybe(0.7) else (expressions.number(1), False)

        value, exact = argument()
        raw = expressions.column(NUMBER, WHOLE, TEXT, TIME)
        kinds = {column.tree: column.kind for column in source.columns}
        choices = [
            (Tree("count(*)"), WHOLE, True),
            (Tree("sum({0})", (value,)), NUMBER, exact),
            (Tree("avg({0})", (value,)), NUMBER, exact),
            (Tree("avg({0})", (value,)), NUMBER, exact),
            (Tree(self.one(["stddev({0})", "stddev_pop({0})", "var_samp({0})"]), (value,)), NUMBER, False),
            (Tree(self.one(["median({0})", "percentile_cont(0.25) WITHIN GROUP (ORDER BY {0})"]), (value,)), NUMBER, False),
            (Tree("sum({0})", (expressions.whole(1),)), WHOLE, True),
            (Tree("bool_and({0})", (expressions.flag(1),)), "flag", True),
            (Tree("count(DISTINCT {0})", (expressions.whole(1),)), WHOLE, True),
        ]
        if raw is not None:
            kind = kinds[raw]
            choices += [(Tree(f"{name}({{0}})", (raw,)), kind, True) for name in ("min", "max")] * 2
            choices += [(Tree("count({0})", (raw,)), WHOLE, True), (Tree("count(DISTINCT {0})", (raw,)), WHOLE, True)]
            if source.identity is not None:
                order = ", ".join(source.columns[i].tree.text(OURS) for i in reversed(source.identity))
                name = self.one(["first_value", "last_value"])
                duckdb = f"{name.removesuffix('_value')}({{0}} ORDER BY {order})"
                choices.append((Tree(f"{name}({{0}} ORDER BY {order})", (raw,), duckdb=duckdb), kind, True))
        tree, kind, exact = self.one(choices)
        if self.maybe(0.15):
            tree = Tree("{0} FILTER (WHERE {1})", (tree, expressions.flag(1)))
        return tree, kind, exact

    def grouped(self, depth):
        source = self.source(depth)
        expressions = Expressions(self.random, source.columns)
        keys = self.keys(expressions, source)
        aggregates = [self.aggregate(expressions, source) for _ in range(self.random.randint(1, 4))]
        rest = self.where(source, depth)
        if keys:
            group = ", ".join(f"{i + 1}" for i in range(len(keys)))
            rest = Tree("{0} GROUP BY " + group, (rest,))
        if self.maybe(0.25):
            tests = ["count(*) > 3", "count(*) % 2 = 0", "min({1}) < 12.345e0", "max({1}) IS NOT NULL", "count(*) NOT IN (3, NULL)"]
            rest = Tree("{0} HAVING " + self.one(tests), (rest, expressions.number(1)))
        tree, columns = self.select(keys + aggregates, source, rest)
        return Query(tree, columns, tuple(range(len(keys))))

    def windows(self, depth):
        source = self.one([self.readings, self.readings, self.newest])()
        expressions = Expressions(self.random, source.columns)
        key, at = source.columns[:2]
        items = [(key.tree, WHOLE, True), (at.tree, TIME, True)]
        items += [self.window(expressions, self.computed(key.tree), at.tree) for _ in range(self.random.randint(1, 3))]
        tree, columns = self.select(items, source, self.where(source, 0))
        return Query(tree, columns, source.identity)

    def computed(self, key):
        """A key, or a number that stands for it."""
        return Tree(self.one(["{0}"] * 5 + ["({0} + 1)", "({0} * 2)", "(-{0})", "abs({0})"]), (key,))

    def window(self, expressions, key, at):
        """A window function with its kind, and whether it is exact."""
        way = self.one(["", " DESC"])
        by_key = Tree("PARTITION BY {0} ORDER BY {1}" + way, (key, at))
        overall = Tree(self.one(["ORDER BY {0}, {1}", "ORDER BY {1} DESC, {0}"]), (key, at))
        over = self.one([by_key, by_key, overall])
        column = expressions.column(NUMBER)
        value, exact = (Tree("CAST({0} AS DOUBLE)", (column,)), True) if self.maybe(0.7) else (expressions.number(1), False)
        framed = self.one(FRAMED)
        kind = WHOLE if framed == "count" else NUMBER
        steady = framed in ("min", "max", "count", "first_value", "last_value")
        frame = Tree("{0} " + self.one(FRAMES), (by_key,))
        place = self.one(["row_number()", "rank()", "dense_rank()", "ntile(4)", "percent_rank()", "cume_dist()"])
        shifted = self.one(["lag({0})", "lead({0})", "lag({0}, 3)", "lead({0}, 2, 0e0)", "nth_value({0}, 2)"])
        tied = Tree("PARTITION BY {0} ORDER BY {1}", (key, self.one([expressions.whole(1), expressions.text(0), value])))
        ranked = self.one(["rank()", "dense_rank()", "percent_rank()", "cume_dist()"])
        choices = [
            (Tree(f"{framed}({{0}}) OVER ({{1}})", (value, frame)), kind, steady),
            (Tree(f"{framed}({{0}}) OVER ({{1}})", (value, frame)), kind, steady),
            (Tree(f"{framed}({{0}}) OVER ({{1}})", (value, over)), kind, steady),
            (Tree(f"{shifted} OVER ({{1}})", (value, over)), NUMBER, True),
            (Tree(f"{place} OVER ({{0}})", (over,)), NUMBER, "n()" not in place),
            (Tree(f"{ranked} OVER ({{0}})", (tied,)), NUMBER, True),
        ]
        if framed not in ("first_value", "last_value"):
            choices.append((Tree(f"{framed}({{0}}) OVER (PARTITION BY {{1}})", (value, key)), kind, steady and exact))
            choices.append((Tree(f"{framed}({{0}}) OVER ()", (value,)), kind, steady and exact))
        return self.one(choices)

    def sets(self, depth):
        """Two queries of the same kinds of columns, put together."""
        kinds = [self.one([WHOLE, NUMBER, TEXT, TIME]) for _ in range(self.random.randint(1, 2))]
        sides = []
        for _ in range(2):
            source = self.source(depth - 1)
            expressions = Expressions(self.random, source.columns)
            items = []
            for kind in kinds:
                column = expressions.column(kind)
                plain = kind in (TEXT, TIME) and column is not None and self.maybe(0.6)
                said = WHOLE if kind == NUMBER and self.maybe(0.2) else kind
                items.append((column if plain else expressions.of(said, 1), kind, True))
            tree, columns = self.select(items, source, self.where(source, depth - 1))
            sides.append(tree)
        word = self.one(["UNION ALL", "UNION", "INTERSECT", "EXCEPT", "INTERSECT ALL", "EXCEPT ALL"])
        alias = self.alias()
        both = Source(Tree(f"({{0}} {word} {{1}}) {alias}", tuple(sides)), [])
        items = [(Tree(f"{alias}.c{i}"), kind, True) for i, kind in enumerate(kinds)]
        tree, columns = self.select(items, both, Tree(""))
        return Query(tree, columns)

    def common(self, depth):
        """A query with a name, used once or twice."""
        name, query = self.alias(), self.one([self.grouped, self.grouped, self.plain])(depth - 1)
        used = self.alias()
        source = Source(Tree(f"{name} {used}"), query.named(used))
        keys = [i for i, column in enumerate(query.columns) if column.exact and column.kind in (WHOLE, TIME, TEXT)]
        if keys and query.identity and self.maybe(0.5):
            again = self.alias()
            equal = [Tree("{0} IS NOT DISTINCT FROM {1}", tuple(Tree(f"{a}.c{i}") for a in (used, again))) for i in query.identity]
            tree = Tree(f"{{0}} JOIN {name} {again} ON {{1}}", (source.tree, joined(equal, " AND ")))
            source = Source(tree, source.columns + query.named(again))
        expressions = Expressions(self.random, source.columns)
        chosen = [self.one(source.columns) for _ in range(self.random.randint(1, 3))]
        items = [(column.tree, column.kind, column.exact) for column in chosen] + [(*expressions.any(1), True)]
        tree, columns = self.select(items, source, self.where(source, 1))
        return Query(Tree(f"WITH {name} AS ({{0}}) {{1}}", (query.tree, tree)), columns)
