"""Which measurement? Each prints our figure beside its peer's, measured by turns in one session, as a row of
docs/benchmarks.md.

    python bench.py [--work FOLDER] data|latest|day|million|load|size|restart|memory|sql|wide|dashboards|rollup|all
"""

import argparse
import pathlib
import tempfile

import dashboards
import loading
import points
import ranges
import rollups
import running
import sql
import sql_servers
from dataset import Dataset

MEASUREMENTS = {
    "latest": points.latest,
    "day": points.day,
    "million": ranges.million,
    "load": loading.load,
    "size": loading.size,
    "restart": running.restart,
    "memory": running.memory,
    "sql": sql.sql,
    "wide": sql_servers.wide,
    "dashboards": dashboards.dashboards,
    "rollup": rollups.rollup,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = pathlib.Path(tempfile.gettempdir()) / "barograph-bench"
    parser.add_argument("--work", type=pathlib.Path, default=default, help=f"folder for data (default {default})")
    parser.add_argument("what", choices=["data", *MEASUREMENTS, "all"])
    arguments = parser.parse_args()
    dataset = Dataset(arguments.work).make()
    if arguments.what == "data":
        print(f"{dataset.rows:,} rows in {len(dataset.files)} files in {dataset.parquet}")
        return
    for name in MEASUREMENTS if arguments.what == "all" else [arguments.what]:
        print(f"\n{name}: {MEASUREMENTS[name].__doc__.strip()}\n")
        MEASUREMENTS[name](dataset)


if __name__ == "__main__":
    main()
