"""Clients of PostgreSQL against a server that asks who calls: psycopg 3 and 2, asyncpg, pg8000, SQLAlchemy, pandas, and psql where
the machine has it. Also attempts to get past access.

    python postgres_clients.py PORT HTTP-URL ADMIN READER

The role `reader` reads the column `temperature` of Paris in `readings`, and the names of `cities`.
"""

import asyncio
import datetime
import decimal
import json
import shutil
import subprocess
import sys
import threading
import urllib.request

import asyncpg
import pandas
import pg8000.dbapi
import psycopg
import psycopg2
import sqlalchemy

from checks import Checks, equal, fails

CHECKS = Checks()
PARIS, TOKYO = 2988507, 1850147
# The columns of `readings` that the restricted role is shown.
GIVEN = ["city_id", "reading_at", "temperature", "ingested_at"]
AT = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
SLOW = "SELECT count(*) FROM generate_series(1, 100000) AS a(x), generate_series(1, 100000) AS b(y) WHERE x * y = 7"
MANY = "SELECT n FROM generate_series(1, 200000) AS t(n)"


class Subject:
    def __init__(self, port, url, admin, reader):
        self.port, self.url, self.admin, self.reader = int(port), url, admin, reader
        rows = [
            {"city_id": city, "reading_at": "2026-01-01T00:00:00Z", "temperature": 20.5, "humidity": 33.0}
            for city in (PARIS, TOKYO)
        ]
        headers = {"authorization": f"Bearer {admin}", "content-type": "application/json"}
        body = json.dumps(rows).encode()
        request = urllib.request.Request(f"{url}/api/v1/tables/readings", body, headers)
        with urllib.request.urlopen(request) as answer:
            equal(json.load(answer)["accepted"], 2)

    def words(self, name="operator", **more):
        secret = self.admin if name == "operator" else self.reader
        return {"host": "127.0.0.1", "port": self.port, "user": name, "password": secret, **more}

    def connect(self, name="operator", **more):
        return psycopg.connect(**self.words(name, dbname="barograph", **more))


@CHECKS.check
def types(subject):
    """values of each type come back as they are, in text and in binary"""
    text = (
        "SELECT true, 1::smallint, 2::int, 3::bigint, 0.5::real, 0.1::double, 'a', 12.50::decimal(9, 2), "
        "DATE '2026-01-01', TIMESTAMP '2026-01-01 00:00:00.5', INTERVAL '1 day', [1, 2, NULL], NULL, reading_at "
        f"FROM readings WHERE city_id = {PARIS}"
    )
    expected = (
        True, 1, 2, 3, 0.5, 0.1, "a", decimal.Decimal("12.50"), datetime.date(2026, 1, 1),
        datetime.datetime(2026, 1, 1, 0, 0, 0, 500_000), datetime.timedelta(days=1), [1, 2, None], None, AT,
    )
    with subject.connect() as connection:
        for binary in (False, True):
            row = connection.cursor(binary=binary).execute(text).fetchone()
            equal(row, expected, f"binary {binary}")


@CHECKS.check
def parameters(subject):
    """parameters have the types that follow from their places, or that the client says"""
    with subject.connect() as connection:
        text = "SELECT city_id FROM readings WHERE temperature > %s AND reading_at = %s AND city_id = ANY(%s)"
        try:
            rows = connection.execute(text, [20, AT, [PARIS, 7]]).fetchall()
        except psycopg.Error as error:
            raise AssertionError(str(error)) from error
        equal(rows, [(PARIS,)])
        row = connection.execute(
            "SELECT %s::int + 1, %s::text, %b::float8, %b::timestamptz, %s::numeric", [1, "a'b", 0.5, AT, decimal.Decimal("1.5")]
        ).fetchone()
        equal(row[:4], (2, "a'b", 0.5, AT))
        fails(lambda: connection.execute("SELECT 1 WHERE 1 = %s", ["x"]), psycopg.Error)


@CHECKS.check
def transactions(subject):
    """a failed transaction refuses statements until it is rolled back"""
    with subject.connect() as connection:
        connection.execute("SELECT 1")
        equal(connection.info.transaction_status, psycopg.pq.TransactionStatus.INTRANS)
        fails(lambda: connection.execute("SELECT nothing"), psycopg.errors.UndefinedColumn)
        fails(lambda: connection.execute("SELECT 1"), psycopg.errors.InFailedSqlTransaction)
        connection.rollback()
        with connection.transaction(), connection.transaction():
            equal(connection.execute("SELECT 1").fetchone(), (1,))
        for text in ("DELETE FROM readings", "CREATE TABLE a (b int)", "INSERT INTO readings VALUES (1)"):
            fails(lambda: connection.execute(text), psycopg.errors.ReadOnlySqlTransaction)
            connection.rollback()
        fails(lambda: connection.execute("SELECT * FROM reedings"), psycopg.errors.UndefinedTable, "readings")
        connection.rollback()
        fails(lambda: connection.execute("SELEC 1"), psycopg.errors.SyntaxError)
        connection.rollback()
        fails(lambda: connection.execute("BEGIN ISOLATION LEVEL SERIALIZABLE"), psycopg.errors.FeatureNotSupported)


@CHECKS.check
def cursors(subject):
    """rows of a cursor come in parts"""
    with subject.connect() as connection, connection.cursor("c") as cursor:
        cursor.itersize = 5_000
        cursor.execute(MANY)
        total = sum(row[0] for row in cursor)
        equal(total, 200_000 * 200_001 // 2)
    with subject.connect() as connection:
        equal(sum(row[0] for row in connection.cursor().stream(MANY)), total)


@CHECKS.check
def cancellation(subject):
    """a statement ends when its client asks for it, or its time is over"""
    with subject.connect(autocommit=True) as connection:
        timer = threading.Timer(0.2, connection.cancel_safe)
        timer.start()
        fails(lambda: connection.execute(SLOW), psycopg.errors.QueryCanceled)
        timer.join()
        equal(connection.execute("SELECT 1").fetchone(), (1,))
        connection.execute("SET statement_timeout = '100ms'")
        fails(lambda: connection.execute(SLOW), psycopg.errors.QueryCanceled)
        equal(connection.execute("SHOW statement_timeout").fetchone(), ("100ms",))
        connection.execute("RESET ALL")
    with subject.connect(autocommit=True, options="-c statement_timeout=50") as connection:
        fails(lambda: connection.execute(SLOW), psycopg.errors.QueryCanceled)


@CHECKS.check
def zones(subject):
    """instants are shown in the zone of the session"""
    with subject.connect(autocommit=True) as connection:
        connection.execute("SET TIME ZONE 'Asia/Kolkata'")
        equal(connection.info.parameter_status("TimeZone"), "Asia/Kolkata")
        cursor = connection.execute(f"SELECT reading_at FROM readings WHERE city_id = {PARIS}")
        equal(cursor.pgresult.get_value(0, 0), b"2026-01-01 05:30:00+05:30")
        equal(cursor.fetchone(), (AT,))
        fails(lambda: connection.execute("SET client_encoding = 'LATIN1'"), psycopg.Error, "client_encoding")


@CHECKS.check
def asynchronously(subject):
    """asyncpg prepares, binds in binary, opens cursors and resets connections"""

    async def run():
        connection = await asyncpg.connect(**subject.words(), database="barograph")
        rows = await connection.fetch("SELECT city_id, temperature, reading_at FROM readings WHERE city_id = $1", PARIS)
        equal([tuple(row) for row in rows], [(PARIS, 20.5, AT)])
        async with connection.transaction():
            total = 0
            async for row in connection.cursor(MANY, prefetch=1_000):
                total += row[0]
            equal(total, 200_000 * 200_001 // 2)
        try:
            await connection.fetch(SLOW, timeout=0.2)
            raise AssertionError("not ended")
        except asyncio.TimeoutError:
            pass
        await connection.reset()
        await connection.close()
        async with asyncpg.create_pool(**subject.words(), database="barograph", min_size=1, max_size=3) as pool:
            text = "SELECT count(*) FROM readings WHERE city_id = $1"
            counts = await asyncio.gather(*(pool.fetchval(text, city) for city in (PARIS, TOKYO, 7) * 3))
            equal(counts, [1, 1, 0] * 3)

    asyncio.run(run())


@CHECKS.check
def older_drivers(subject):
    """psycopg2 and pg8000"""
    with psycopg2.connect(**subject.words(), dbname="barograph") as connection:
        with connection.cursor("c") as cursor:
            cursor.execute(MANY)
            equal(cursor.fetchmany(3), [(1,), (2,), (3,)])
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s, temperature FROM readings WHERE city_id = %s", ("a", PARIS))
            equal(cursor.fetchall(), [("a", 20.5)])
    connection.close()
    connection = pg8000.dbapi.connect(**subject.words(), database="barograph")
    cursor = connection.cursor()
    cursor.execute("SELECT temperature FROM readings WHERE city_id = %s", (PARIS,))
    equal([list(row) for row in cursor.fetchall()], [[20.5]])
    connection.close()


@CHECKS.check
def reflection(subject):
    """SQLAlchemy finds tables, and pandas reads them"""
    words = subject.words()
    url = sqlalchemy.URL.create(
        "postgresql+psycopg", words["user"], words["password"], words["host"], words["port"], "barograph"
    )
    engine = sqlalchemy.create_engine(url)
    inspector = sqlalchemy.inspect(engine)
    assert {"readings", "cities"} <= set(inspector.get_table_names()), inspector.get_table_names()
    equal(inspector.get_view_names(), [])
    assert inspector.has_table("readings") and not inspector.has_table("reedings")
    readings = sqlalchemy.table("readings", sqlalchemy.column("city_id"), sqlalchemy.column("temperature"))
    with engine.connect() as connection:
        rows = connection.execute(sqlalchemy.select(readings.c.temperature).where(readings.c.city_id == TOKYO)).all()
        equal(rows, [(20.5,)])
    frame = pandas.read_sql("SELECT city_id, temperature FROM readings ORDER BY city_id", engine)
    equal(frame["city_id"].tolist(), [TOKYO, PARIS])
    engine.dispose()


@CHECKS.check
def refusals(subject):
    """nobody comes in without a token that is known, and restricted callers see what they are given"""
    for name, secret in (("operator", "wrong"), ("operator", subject.reader), ("nobody", subject.admin), ("dashboard", "")):
        words = subject.words(name) | {"password": secret or " "}
        fails(lambda: psycopg.connect(**words, dbname="barograph"), psycopg.OperationalError)
    fails(lambda: subject.connect().execute("SET ROLE operator"), psycopg.Error)
    fails(lambda: psycopg.connect(**subject.words(), dbname="other"), psycopg.OperationalError, "barograph")
    with psycopg.connect(**(subject.words("dashboard") | {"user": "token"}), dbname="barograph") as connection:
        equal(connection.execute("SELECT current_user").fetchone(), ("dashboard",))
    with subject.connect("dashboard", autocommit=True) as connection:
        cursor = connection.execute("SELECT * FROM readings")
        equal([row[:3] for row in cursor.fetchall()], [(PARIS, AT, 20.5)])
        equal([column.name for column in cursor.description], GIVEN)
        equal(connection.execute("SELECT count(*) FROM readings WHERE city_id = 1850147").fetchone(), (0,))
        named = "SELECT relname FROM pg_catalog.pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE nspname = 'public'"
        equal(sorted(connection.execute(named).fetchall()), [("cities",), ("readings",)])
        columns = "SELECT attname FROM pg_attribute WHERE attrelid = 'readings'::regclass ORDER BY attnum"
        equal([row[0] for row in connection.execute(columns)], GIVEN)
        hidden = (
            "SELECT humidity FROM readings",
            "SELECT * FROM dead_letters",
            "SELECT * FROM system.audit",
            "SELECT * FROM latest('dead_letters')",
        )
        for text in hidden:
            fails(lambda: connection.execute(text), psycopg.Error)
        for text in ("tables", "columns"):
            rows = connection.execute(f"SELECT DISTINCT table_name FROM information_schema.{text} WHERE table_schema = 'public'")
            equal(sorted(rows.fetchall()), [("cities",), ("readings",)])
        equal(connection.execute("SELECT 'dead_letters'::regclass").fetchone(), (None,))
        equal(connection.execute("SELECT count(*) FROM pg_tables WHERE tablename = 'dead_letters'").fetchone(), (0,))
        fails(lambda: connection.execute("DELETE FROM readings"), psycopg.errors.ReadOnlySqlTransaction)
    with subject.connect(autocommit=True) as connection:
        door = "SELECT DISTINCT identity FROM system.audit WHERE door = 'postgres' AND action = 'read'"
        assert {("dashboard",), ("operator",)} <= set(connection.execute(door).fetchall())


@CHECKS.check
def shell(subject):
    """psql lists tables, where the machine has it"""
    psql = shutil.which("psql")
    if not psql:
        print("psql is not there")
        return
    where = f"host=127.0.0.1 port={subject.port} user=operator dbname=barograph"

    def said(*commands):
        arguments = [psql, "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", where]
        for command in commands:
            arguments += ["-c", command]
        done = subprocess.run(arguments, env={"PGPASSWORD": subject.admin, "PATH": "/usr/bin:/bin"}, capture_output=True, text=True)
        assert done.returncode == 0, (commands, done.stdout, done.stderr)
        return done.stdout

    assert "public|readings|table|" in said("\\dt"), said("\\dt")
    assert "public|" in said("\\dn") and "barograph|" in said("\\l")
    for command in ("\\d", "\\d+", "\\dt+", "\\df", "\\dx", "\\conninfo"):
        said(command)
    assert "queries" in said("\\dv system.*")
    equal(said("\\set FETCH_COUNT 1000", MANY).count("\n"), 200_000)
    equal(said("select 1; select 2").split(), ["1", "2"])


if __name__ == "__main__":
    sys.exit(CHECKS.run(Subject(*sys.argv[1:5]), *sys.argv[5:]))
