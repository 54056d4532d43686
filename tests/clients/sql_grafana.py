"""Does Grafana's InfluxDB source in SQL mode get what it reads? It is a Flight SQL client in Go: it takes the one endpoint of an
answer, and the number of every time for nanoseconds. Here the same library asks as it does, in the driver of ADBC:

    python sql_grafana.py grpc://127.0.0.1:8815

The server has the table `roof`, with the key `station`, the time `time` and the columns `temperature` and `note`.
"""

import contextlib
import sys

import adbc_driver_flightsql
import adbc_driver_manager
import pyarrow as pa

import readings
from checks import Checks, equal
from session import Session

CHECKS = Checks()
HEADER = "adbc.flight.sql.rpc.call_header.x-barograph-timestamps"
CITY = readings.cities()[0]
START = readings.day(0)
COUNT = 24
HOUR = 3_600_000_000


class Subject:
    def __init__(self, url):
        self.url = url
        times = [START + hour * HOUR for hour in range(COUNT)]
        utc = pa.timestamp("us", "UTC")
        rows = {
            "city_id": pa.array([CITY] * COUNT, pa.int32()),
            "reading_at": pa.array(times, utc),
            "temperature": pa.array([float(hour) for hour in range(COUNT)], pa.float32()),
        }
        roof = {
            "station": pa.array([7] * COUNT, pa.int64()),
            "time": pa.array(times, utc),
            "temperature": pa.array([float(hour) for hour in range(COUNT)], pa.float32()),
        }
        with Session(url) as session:
            session.put(pa.RecordBatch.from_pydict(rows))
            session.put(pa.RecordBatch.from_pydict(roof), path=("roof",))

    def ask(self, text, unit="ns"):
        """The endpoints of an answer, and the rows of the first."""
        options = {HEADER: unit} if unit else {}
        with contextlib.ExitStack() as stack:
            database = stack.enter_context(adbc_driver_flightsql.connect(self.url, db_kwargs=options))
            connection = stack.enter_context(adbc_driver_manager.AdbcConnection(database))
            statement = stack.enter_context(contextlib.closing(adbc_driver_manager.AdbcStatement(connection)))
            statement.set_sql_query(text)
            parts, promised, _ = statement.execute_partitions()
            promised = pa.Schema._import_from_c(promised.address)
            part = connection.read_partition(parts[0])
            rows = pa.RecordBatchReader._import_from_c(part.address).read_all()
            equal(promised.types, rows.schema.types)
            return parts, rows


def numbers(column):
    """The numbers of a column of times, as a client reads them that does not ask for their unit."""
    return column.combine_chunks().view(pa.int64()).to_pylist()


@CHECKS.check
def times_are_nanoseconds_at_one_endpoint(subject):
    text = f"SELECT reading_at AS time, temperature FROM readings WHERE city_id = {CITY} ORDER BY time"
    parts, rows = subject.ask(text)
    equal((len(parts), rows.num_rows), (1, COUNT))
    equal(rows.schema.field("time").type, pa.timestamp("ns", "UTC"))
    equal(numbers(rows["time"]), [(START + hour * HOUR) * 1_000 for hour in range(COUNT)])
    _, as_they_are = subject.ask(text, unit=None)
    equal(numbers(as_they_are["time"]), [START + hour * HOUR for hour in range(COUNT)])


@CHECKS.check
def what_its_macros_write_is_answered(subject):
    first, last = "2000-01-01T00:00:00Z", "2100-01-01T00:00:00Z"
    _, rows = subject.ask(
        "SELECT date_bin(interval '7200 second', reading_at, timestamp '1970-01-01T00:00:00Z') AS time, avg(temperature) AS mean "
        f"FROM readings WHERE city_id = {CITY} AND reading_at >= cast('{first}' as timestamp) "
        f"AND reading_at <= cast('{last}' as timestamp) GROUP BY 1 ORDER BY 1"
    )
    equal(rows["mean"].to_pylist(), [2 * hour + 0.5 for hour in range(COUNT // 2)])
    equal(numbers(rows["time"])[:2], [START * 1_000, (START + 2 * HOUR) * 1_000])


@CHECKS.check
def what_its_builder_writes_is_answered_by_a_table_with_a_column_time(subject):
    _, rows = subject.ask(
        "SELECT \"temperature\", \"time\" FROM \"roof\" WHERE \"time\" >= cast('2000-01-01T00:00:00Z' as timestamp) "
        "AND \"time\" <= cast('2100-01-01T00:00:00Z' as timestamp) AND \"station\" = 7 ORDER BY \"time\" ASC LIMIT 50"
    )
    equal(rows["temperature"].to_pylist(), [float(hour) for hour in range(COUNT)])


@CHECKS.check
def its_lists_of_tables_and_columns_are_answered(subject):
    _, rows = subject.ask(
        "SELECT DISTINCT TABLE_SCHEMA from information_schema.TABLES where TABLE_TYPE != 'SYSTEM VIEW' ORDER BY TABLE_SCHEMA"
    )
    assert "public" in rows["table_schema"].to_pylist(), rows
    _, rows = subject.ask(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY table_name"
    )
    assert {"readings", "roof"} <= set(rows["table_name"].to_pylist()), rows
    _, rows = subject.ask(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'public' "
        "AND table_name = 'roof' ORDER BY column_name"
    )
    equal(rows["column_name"].to_pylist(), ["ingested_at", "note", "station", "temperature", "time"])


@CHECKS.check
def a_time_that_nanoseconds_cannot_hold_is_an_error(subject):
    text = "SELECT max(reading_at) + interval '300 years' AS time FROM readings"
    equal(subject.ask(text, unit="us")[1].num_rows, 1)
    try:
        subject.ask(text)
        raise AssertionError("a time beyond was answered")
    except OSError as error:
        assert "2262-04-11" in str(error) and '"time"' in str(error), error
    try:
        subject.ask("SELECT 1", unit="ms")
        raise AssertionError("an unknown unit was taken")
    except adbc_driver_manager.Error as error:
        assert "x-barograph-timestamps" in str(error) and "ns or us" in str(error), error


if __name__ == "__main__":
    sys.exit(CHECKS.run(Subject(*sys.argv[1:2]), *sys.argv[2:]))
