"""Other engines read a table of the lake: deltalake, polars, duckdb.

    BAROGRAPH_OUTSIDE=/tmp/outside cargo test --release -p barograph-lake a_table_for_other_engines
    pip install deltalake pyarrow polars duckdb
    python lake/tests/outside.py /tmp/outside
"""

import sys
from datetime import datetime, timedelta, timezone

import duckdb
import polars
import pyarrow
import pyarrow.compute as pc
from deltalake import DeltaTable

MIDNIGHT = datetime(2026, 11, 22, tzinfo=timezone.utc)


def expected():
    """Six hours of three rows were landed, the first hour expired."""
    rows = []
    for hour in range(1, 6):
        start = MIDNIGHT + timedelta(hours=hour)
        rows += [
            (-3, start + timedelta(microseconds=1), -40.1),
            (1, start + timedelta(microseconds=123_456), None),
            (1, start + timedelta(microseconds=3_599_999_999), hour / 3),
        ]
    return sorted(rows, key=lambda row: (row[1], row[0]))


def same(name, table):
    columns = [table["city_id"], table["reading_at"], pc.round(table["temperature"].cast("float64"), 5)]
    got = sorted(zip(*(column.to_pylist() for column in columns)), key=lambda row: (row[1], row[0]))
    want = [(key, time, value if value is None else round(value, 5)) for key, time, value in expected()]
    assert got == want, f"{name}: {got}\nexpected {want}"
    print(f"{name}: {len(got)} rows as expected")


def main(folder):
    path = f"{folder}/readings"
    table = DeltaTable(path)
    assert table.version() == 7, table.version()
    types = [(field.name, field.type.type) for field in table.schema().fields]
    assert types == [
        ("city_id", "integer"),
        ("reading_at", "timestamp"),
        ("temperature", "float"),
        ("wind_direction", "short"),
        ("ingested_at", "timestamp"),
    ], types
    same("deltalake", table.to_pyarrow_table())
    same("deltalake, a filter on time", table.to_pyarrow_table(
        filters=[("reading_at", ">=", MIDNIGHT + timedelta(hours=1))]))
    for instant in [timedelta(hours=2, microseconds=123_456), timedelta(hours=4, microseconds=-1)]:
        # Each of the two lies on the edge of a file's statistics.
        found = table.to_pyarrow_table(filters=[("reading_at", "=", MIDNIGHT + instant)])
        assert found.num_rows == 1, (instant, found)
    stats = pyarrow.table(table.get_add_actions(flatten=True))
    assert pc.sum(stats["num_records"]).as_py() == 15, stats
    assert pc.min(stats["min.city_id"]).as_py() == -3
    history = [commit["operation"] for commit in table.history()]
    assert history == ["EXPIRE"] + ["LAND"] * 6 + ["CREATE TABLE"], history
    before = DeltaTable(path, version=6).to_pyarrow_table()
    assert before.num_rows == 18, before.num_rows

    same("polars", polars.scan_delta(path).collect().to_arrow())
    files = table.file_uris()
    same("duckdb, file list", duckdb.sql(f"SELECT * FROM read_parquet({files!r})").to_arrow_table())
    grown(f"{folder}/grown")


def grown(path):
    """A table whose first two hours have no humidity, no note, and narrower numbers."""
    table = DeltaTable(path)
    names = ["city_id", "reading_at", "humidity", "temperature", "wind_direction", "note", "ingested_at"]
    assert [field.name for field in table.schema().fields] == names, table.schema()
    types = ["integer", "timestamp", "float", "double", "integer", "string", "timestamp"]
    assert [field.type.type for field in table.schema().fields] == types, table.schema()
    old = [(key, MIDNIGHT + timedelta(hours=hour), None, value, None, None)
           for hour in range(2) for key, value in [(1, 1.5), (2, None)]]
    new = [(1, MIDNIGHT + timedelta(hours=2), 70.5, None, 70_000, None), (2, MIDNIGHT + timedelta(hours=2), None, -2.1, None, "fog")]

    def check(name, read, want):
        rows = sorted((tuple(row[column] for column in names[:-1]) for row in read.to_pylist()), key=lambda row: (row[1], row[0]))
        assert rows == want, f"{name}: {rows}\nexpected {want}"
        print(f"{name}: {len(rows)} rows as expected")

    rows = old + new
    check("deltalake, added columns", table.to_pyarrow_table(), rows)
    check("deltalake, filter", table.to_pyarrow_table(filters=[("humidity", ">", 1.0)]), new[:1])
    data = table.to_pyarrow_dataset()
    for condition, want in [
        ("true", rows),
        ("humidity IS NULL", old + new[1:]),
        ("humidity > 1", new[:1]),
        ("note IS NULL", old + new[:1]),
        ("note = 'fog'", new[1:]),
        ("temperature IS NOT NULL", old[0::2] + new[1:]),
        ("temperature = 1.5", old[0::2]),
        ("temperature < -2", new[1:]),
        ("wind_direction > 50000", new[:1]),
    ]:
        check(f"duckdb, {condition}", duckdb.sql(f"SELECT * FROM data WHERE {condition}").to_arrow_table(), want)
    column = polars.col
    for condition, want in [
        (polars.lit(True), rows),
        (column("humidity").is_null(), old + new[1:]),
        (column("humidity") > 1, new[:1]),
        (column("note").is_null(), old + new[:1]),
        (column("note") == "fog", new[1:]),
        (column("temperature").is_not_null(), old[0::2] + new[1:]),
        (column("temperature") == 1.5, old[0::2]),
        (column("temperature") < -2, new[1:]),
        (column("wind_direction") > 50_000, new[:1]),
    ]:
        check(f"polars, {condition}", polars.scan_delta(path).filter(condition).collect().to_arrow(), want)
    before = DeltaTable(path, version=2)
    assert [field.name for field in before.schema().fields] == ["city_id", "reading_at", "temperature", "wind_direction", "ingested_at"]
    assert polars.scan_delta(path, version=2).collect().width == 5


if __name__ == "__main__":
    main(sys.argv[1])
