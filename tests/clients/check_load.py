"""Do 64 readers at once get right answers while rows are written and landed?"""

import random
import threading

import pyarrow as pa

from checks import Checks, equal, same_rows
from readings import DAY, MINUTE, as_table, cities, day, values
from session import Session

CHECKS = Checks()
CITIES = sorted(cities()[800:864])
START = day(40)
READERS = 64
# What each reader is answered at least, and how often the writer lands meanwhile.
ANSWERS = 12
LANDINGS = 2
# Minutes from landing to landing.
LANDED = 8


class Writer(threading.Thread):
    """Puts minute after minute of all cities, flushes now and then, and puts some minutes again."""

    def __init__(self, session):
        super().__init__()
        self.session = session
        self.sent = 0
        self.acknowledged = 0
        self.flushes = 0
        self.stop = threading.Event()
        self.trouble = []

    def run(self):
        try:
            with self.session.another() as connection:
                while not self.stop.is_set():
                    self.put(connection)
        except Exception as error:
            self.trouble.append(error)
            self.stop.set()

    def put(self, connection):
        minute = self.sent
        # The row of a minute ago is sent once more: it may never be seen twice.
        minutes = [minute - 1, minute] if minute % 3 == 0 and minute else [minute]
        instants = [START + at * MINUTE for at in minutes]
        rows = as_table([(city, at, *values(city, at)) for at in instants for city in CITIES])
        self.sent = minute + 1
        (ack,) = connection.put(rows, "disk" if minute % 2 else "memory")
        equal((ack["accepted"], ack["rejected"]), (rows.num_rows, 0), "acknowledged rows")
        self.acknowledged = minute + 1
        if minute % LANDED == LANDED - 1:
            connection.flush()
            self.flushes += 1


class Reader(threading.Thread):
    """Asks in turn for the newest reading, a past one, and a range of its own city, and checks each answer."""

    def __init__(self, session, number, writer):
        super().__init__()
        self.session = session
        self.city = CITIES[number % len(CITIES)]
        self.writer = writer
        self.random = random.Random(number)
        self.answers = 0
        self.trouble = []

    def run(self):
        try:
            with self.session.another() as connection:
                while not self.has_asked_enough() and not self.writer.stop.is_set():
                    for ask in (self.latest, self.at, self.range):
                        ask(connection)
                        self.answers += 1
        except Exception as error:
            self.trouble.append(error)

    def has_asked_enough(self):
        return self.answers >= ANSWERS and self.writer.flushes >= LANDINGS

    def latest(self, connection):
        before = self.writer.acknowledged
        rows = connection.latest([self.city])
        after = self.writer.sent
        equal(rows.num_rows, 1, "newest readings of one city")
        minute = self.minutes(rows)[0]
        assert before - 1 <= minute < after, f"newest is minute {minute}, {before} acknowledged before, {after} sent"
        self.check(rows, [minute])

    def at(self, connection):
        minute = self.random.randrange(self.writer.acknowledged)
        rows = connection.at([self.city], START + minute * MINUTE + 59_999_999)
        self.check(rows, [minute])

    def range(self, connection):
        before = self.writer.acknowledged
        first = self.random.randrange(before)
        rows = connection.range([self.city], START + first * MINUTE, START + 4_000 * DAY)
        after = self.writer.sent
        count = rows.num_rows
        assert before <= first + count <= after, f"minutes {first} and {count} more, {before} acknowledged, {after} sent"
        self.check(rows, range(first, first + count))

    def minutes(self, rows):
        return [(at - START) // MINUTE for at in rows["reading_at"].cast(pa.int64()).to_pylist()]

    def check(self, rows, minutes):
        instants = [START + minute * MINUTE for minute in minutes]
        expected = as_table([(self.city, at, *values(self.city, at)) for at in instants])
        same_rows(rows.drop_columns(["ingested_at"]), expected, f"city {self.city}")


@CHECKS.check
def readers_beside_a_writer(session: Session):
    """64 connections read while one writes and lands: every answer right, no errors, acknowledged rows visible"""
    writer = Writer(session)
    with session.another() as connection:
        for _ in range(LANDED - 1):
            writer.put(connection)
    readers = [Reader(session, number, writer) for number in range(READERS)]
    for thread in [writer, *readers]:
        thread.start()
    for reader in readers:
        reader.join()
    writer.stop.set()
    writer.join()
    trouble = [error for thread in [writer, *readers] for error in thread.trouble]
    equal(trouble, [], "errors")
    idle = [reader.city for reader in readers if reader.answers < ANSWERS]
    equal(idle, [], "readers without their answers")
    answers = sum(reader.answers for reader in readers)
    print(
        f"       {answers:,} answers checked by {READERS} readers beside {writer.acknowledged:,} batches "
        f"and {writer.flushes} landings"
    )
    rows = session.range(CITIES, START, START + 4_000 * DAY)
    expected = [(c, START + m * MINUTE) for c in CITIES for m in range(writer.acknowledged)]
    seen = list(zip(rows["city_id"].to_pylist(), rows["reading_at"].cast(pa.int64()).to_pylist()))
    assert seen == expected, f"{len(seen)} rows at the end, expected {len(expected)}, each once, in order"
