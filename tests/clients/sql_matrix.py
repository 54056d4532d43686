"""Which driver can do what? A table of features and drivers whose cells are what the checks found, kept in the
document that says so."""

import sys
import time
import traceback

FEATURES = {
    "statement": "Statement: rows of tail and lake together",
    "empty": "Empty result with its columns",
    "types": "Every type that SQL produces",
    "wide": "Wide result: 1,000 columns",
    "large": "Large result: 200,000 rows in many messages",
    "prepared": "Prepared statement without parameters",
    "parameters": "Bound parameters, one row",
    "many_parameters": "Bound parameters, many rows: one execution each",
    "parameter_types": "Parameters of every type",
    "parameter_schema": "Types of the parameters",
    "execute_schema": "Columns without execution",
    "partitions": "Partitions, fetched by other connections",
    "objects": "Catalogs, schemas, tables, columns",
    "table_schema": "Columns of a table",
    "table_types": "Types of tables",
    "primary_keys": "Primary keys",
    "foreign_keys": "Foreign keys: none, with the right columns",
    "info": "Server information (SqlInfo)",
    "xdbc": "Type information for ODBC and JDBC (XDBC)",
    "ingest": "Bulk ingest: append",
    "ingest_refused": "Bulk ingest: create and replace are refused",
    "syntax_error": "Syntax error: kind, SQLSTATE 42000",
    "missing_table": "Missing table: the nearest name",
    "cancel": "Cancellation",
    "timeout": "Timeout of a statement",
    "time_zone": "Time zone of a session",
    "session": "Session options: set, get",
    "current": "Current catalog and schema",
    "transactions": "Transactions are refused",
    "updates": "Statements that write are refused",
    "substrait": "Substrait plans are refused",
}
RUST = "arrow-flight (Rust)"
DRIVERS = ["ADBC", "ADBC DB-API", "pandas", "polars", "flightsql-dbapi", "pyarrow.flight", "flight-sql-client (Node)", RUST]
NONE = "–"

HEAD = """\
# Flight SQL conformance

<!-- Written by the tests if BAROGRAPH_WRITE_DOCS=1 is set; otherwise they compare it. -->

Every cell is the result of a check over a real socket. The checks of the Python and Node drivers are in `tests/clients/sql_*.py`, run
by `cargo test --test scenarios flight_sql`; those of the Rust client are in `flight/src/server/tests/sql`.

- **yes**: it works, and the answer was compared with the expected one.
- **refused**: the server refuses it with the right code, and says what to do instead.
- **half**: the server does its part, but the driver hides the server's message or does not notice the end.
- **–**: the driver has no call for it.

Drivers: {versions}.

"""


class Matrix:
    """Checks by feature and driver."""

    def __init__(self):
        self._checks = {}

    def can(self, driver, feature):
        """Registers a check; what it returns is its cell, `yes` if it returns nothing."""
        assert driver in DRIVERS and feature in FEATURES, (driver, feature)

        def register(function):
            assert (feature, driver) not in self._checks, (feature, driver)
            self._checks[feature, driver] = function
            return function

        return register

    def run(self, subject, only=None):
        """Cells by feature and driver, and how many checks failed."""
        cells, failed = {}, 0
        for (feature, driver), check in self._checks.items():
            if only and only not in f"{feature} {driver}":
                continue
            start = time.monotonic()
            try:
                cells[feature, driver] = check(subject) or "yes"
            except Exception as error:
                failed += 1
                cells[feature, driver] = f"fails: {type(error).__name__}"
                traceback.print_exc(file=sys.stdout)
            took = time.monotonic() - start
            print(f"{took:6.2f} s  {driver}: {feature}: {cells[feature, driver]}", flush=True)
        return cells, failed


def render(cells, versions):
    """The document. Cells of drivers that were not run are those of `cells`, too."""
    lines = ["| | " + " | ".join(DRIVERS) + " |", "|---|" + "---|" * len(DRIVERS)]
    for feature, title in FEATURES.items():
        row = [cells.get((feature, driver), NONE) for driver in DRIVERS]
        lines.append(f"| {title} | " + " | ".join(row) + " |")
    return HEAD.format(versions=versions) + "\n".join(lines) + "\n"


def column(document, driver):
    """The cells of one driver in a document."""
    titles = {title: feature for feature, title in FEATURES.items()}
    cells, names = {}, None
    for line in document.splitlines():
        if not line.startswith("|"):
            continue
        title, *row = [cell.strip() for cell in line.strip("|").split("|")]
        if names is None:
            names = row
        elif title in titles and driver in names:
            cells[titles[title], driver] = row[names.index(driver)]
    return cells
