"""Sizes that other writers make of the same rows: python layout_peers.py FILE…"""
import os, sys, tempfile
import duckdb, polars, pyarrow.parquet as parquet
for name in sys.argv[1:]:
    rows = parquet.read_table(name)
    out = os.path.join(tempfile.mkdtemp(), "rows.parquet")
    size = lambda: os.path.getsize(out) / rows.num_rows
    print(f"{name}: {os.path.getsize(name) / rows.num_rows:.3f} bytes/row")
    results = {}
    for level in (None, 3):
        parquet.write_table(rows, out, compression="zstd", compression_level=level)
        results[f"pyarrow, zstd {level or 'default'}"] = size()
    frame = polars.from_arrow(rows)
    frame.write_parquet(out, compression="zstd")
    results["polars, zstd"] = size()
    for options in ("", ", row_group_size 1000000"):
        duckdb.sql(f"copy (from rows) to '{out}' (format parquet, compression zstd{options})")
        results[f"duckdb, zstd{options}"] = size()
    for peer, figure in results.items():
        print(f"  {peer}: {figure:.3f}")
    print(f"  smallest: {min(results.values()):.3f}, times 1.1: {1.1 * min(results.values()):.3f}")
