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


if __name__ == "__main__":
    main(sys.argv[1])
