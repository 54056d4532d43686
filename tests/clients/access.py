"""Third-party clients of a server that asks who calls: by header, by name and password, and by the handshake of Flight."""

import sys

import adbc_driver_flightsql.dbapi as flight_sql
import pyarrow.flight as flight
from adbc_driver_flightsql import DatabaseOptions

address, admin, reader = sys.argv[1:]
url = f"grpc://{address}"


def refused(work, kind):
    try:
        work()
    except kind as error:
        return str(error)
    raise AssertionError(f"not refused: {work}")


def tables(client, options=None):
    return sorted(info.descriptor.path[0].decode() for info in client.list_flights(options=options))


client = flight.connect(url)
refused(lambda: tables(client), flight.FlightUnauthenticatedError)
refused(lambda: client.authenticate_basic_token("dashboard", "wrong"), flight.FlightUnauthenticatedError)
refused(lambda: client.authenticate_basic_token("operator", reader), flight.FlightUnauthenticatedError)
bearer = client.authenticate_basic_token("dashboard", reader)
assert bearer == (b"authorization", b"Bearer " + reader.encode()), bearer[0]
options = flight.FlightCallOptions(headers=[bearer])
assert tables(client, options) == ["readings"]
flush = lambda: list(client.do_action(flight.Action("flush", b""), options))
refused(flush, flight.FlightUnauthorizedError)
ticket = flight.Ticket(b'{"v":1,"table":"dead_letters","range":{}}')
refused(lambda: client.do_get(ticket, options).read_all(), flight.FlightUnauthorizedError)

password = {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {admin}"}
for given in (
    password,
    {"username": "operator", "password": admin},
):
    with flight_sql.connect(url, db_kwargs=given) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM system.audit")
        assert cursor.fetchone()[0] > 0
with flight_sql.connect(url, db_kwargs={"username": "dashboard", "password": reader}) as connection:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM cities")
        assert cursor.fetchall() == [("Paris",)]
        refused(lambda: cursor.execute("SELECT * FROM system.audit"), Exception)
    names = connection.adbc_get_objects(depth="tables").read_all().to_pylist()
    public = [
        table["table_name"]
        for catalog in names
        for schema in catalog["catalog_db_schemas"]
        if schema["db_schema_name"] == "public"
        for table in schema["db_schema_tables"]
    ]
    assert sorted(public) == ["cities", "readings"], public
print("clients of a server that asks who calls: ok")
