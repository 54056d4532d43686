"""Do the drivers of others get what Flight SQL promises? Run against a server with an empty data folder; compares what
happened with the document, or writes it where BAROGRAPH_WRITE_DOCS is set:

    python sql_clients.py grpc://127.0.0.1:8815 docs/flight-sql-conformance.md [part of a feature or driver]
"""

import difflib
import importlib.metadata
import os
import pathlib
import sys
import urllib.parse

import sql_adbc
import sql_data
import sql_dbapi
import sql_flight
import sql_node
from session import Session
from sql_matrix import RUST, column, render

PACKAGES = ["adbc-driver-flightsql", "adbc-driver-manager", "pandas", "polars", "flightsql-dbapi", "pyarrow"]


class Subject:
    """The server under test."""

    def __init__(self, url):
        self.url = url
        parts = urllib.parse.urlsplit(url)
        self.host, self.port = parts.hostname, parts.port


def fill(url):
    """Puts the rows that are there before the checks, half of them landed in the lake."""
    rows = sql_data.base()
    with Session(url) as session:
        half = rows.num_rows // 2
        session.put(rows.slice(0, half))
        session.flush()
        session.put(rows.slice(half))
        session.put(sql_data.many())


def main(arguments):
    if not 2 <= len(arguments) <= 3:
        print(__doc__, file=sys.stderr)
        return 2
    subject, path = Subject(arguments[0]), pathlib.Path(arguments[1])
    only = arguments[2] if len(arguments) == 3 else None
    fill(subject.url)
    cells, failed = {}, 0
    for part in (sql_adbc, sql_dbapi, sql_flight, sql_node):
        found, wrong = part.MATRIX.run(subject, only)
        cells.update(found)
        failed += wrong
    print(f"{len(cells) - failed} passed, {failed} failed")
    if failed or only:
        return 1 if failed else 0
    document = path.read_text(encoding="utf-8") if path.exists() else ""
    # The Rust client's cells are those of its own tests.
    cells.update(column(document, RUST))
    versions = [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES]
    versions = ", ".join([*versions, f"{sql_node.PACKAGE} {sql_node.VERSION}"])
    found = render(cells, versions)
    if os.environ.get("BAROGRAPH_WRITE_DOCS"):
        path.write_text(found, encoding="utf-8")
    elif found != document:
        sys.stdout.writelines(difflib.unified_diff(document.splitlines(True), found.splitlines(True), "document", "found"))
        print(f"{path} is stale: run the tests with BAROGRAPH_WRITE_DOCS=1")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
