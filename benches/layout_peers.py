"""How large do other writers make the same rows?

    python layout_peers.py FILE…        files that `layout --keep` left; needs pyarrow, polars, duckdb

Prints bytes a row of each file and of its rows written with zstd by each library: its defaults, and what
makes its files smaller at little cost.
"""

import os
import sys
import tempfile

import duckdb
import polars
import pyarrow.parquet as parquet


def peers(rows, out):
    """Name and size of each writing of `rows`."""
    for level in (None, 3):
        parquet.write_table(rows, out, compression="zstd", compression_level=level)
        yield f"pyarrow, zstd {level or 'default'}", os.path.getsize(out)
    polars.from_arrow(rows).write_parquet(out, compression="zstd")
    yield "polars, zstd", os.path.getsize(out)
    for options in ("", ", row_group_size 1000000"):
        duckdb.sql(f"copy (from rows) to '{out}' (format parquet, compression zstd{options})")
        yield f"duckdb, zstd{options}", os.path.getsize(out)


def main():
    for name in sys.argv[1:]:
        rows = parquet.read_table(name)
        print(f"{name}: {os.path.getsize(name) / rows.num_rows:.3f} bytes/row")
        with tempfile.TemporaryDirectory() as folder:
            sizes = dict(peers(rows, os.path.join(folder, "rows.parquet")))
        for peer, size in sizes.items():
            print(f"  {peer}: {size / rows.num_rows:.3f}")
        print(f"  ratio to the smallest: {os.path.getsize(name) / min(sizes.values()):.3f}")


if __name__ == "__main__":
    main()
