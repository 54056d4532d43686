"""Are many point queries answered over one exchange, each by its own id?"""

import json
import threading

import pyarrow as pa
import pyarrow.flight as flight

from checks import Checks, equal, fails, same_rows
from readings import DAY, MINUTE, SCHEMA, Model, as_table, cities, day
from session import Session, descriptor, instant

CHECKS = Checks()
CITIES = sorted(cities()[600:700])
START = day(30)
_model = Model()


def exchange(session, opening, requests):
    """Sends all requests from a thread of its own while the answers are read; gives (metadata, rows) of each."""
    writer, reader = session.client.do_exchange(opening)
    answers, trouble = [], []

    def send():
        try:
            for request in requests:
                writer.write_metadata(json.dumps(request).encode())
            writer.done_writing()
        except Exception as error:
            trouble.append(error)

    sender = threading.Thread(target=send)
    sender.start()
    with writer:
        try:
            for _ in requests:
                chunk = reader.read_chunk()
                metadata = chunk.app_metadata
                answers.append((json.loads(metadata.to_pybytes()) if metadata else None, pa.table(chunk.data)))
        except Exception:
            reader.cancel()
            raise
        finally:
            sender.join()
        try:
            extra = reader.read_chunk()
        except StopIteration:
            extra = None
        assert extra is None, f"more answers than requests: {extra}"
    equal(trouble, [], "errors of the sender")
    return answers


def prepare(session):
    if not _model.rows:
        session.put(_model.make(CITIES, [START + minute * MINUTE for minute in range(90)]))
        session.flush()
        session.put(_model.make(CITIES[::2], [START + minute * MINUTE for minute in range(85, 100)], 1))


@CHECKS.check
def pipelined_questions_are_answered_in_order(session: Session):
    """2,000 questions under way at once: latest and at, one city each, ids given back, every row right"""
    prepare(session)
    requests, expected = [], []
    for number in range(2_000):
        city = CITIES[number * 7 % len(CITIES)]
        if number % 5 == 0:
            at = START + (number % 120) * MINUTE + 1
            requests.append({"id": number, "at": {"keys": [city], "time": instant(at)}})
            expected.append((city, at))
        else:
            requests.append({"id": number, "latest": {"keys": [city]}})
            expected.append((city, None))
    known = {}
    answers = exchange(session, descriptor(("readings",)), requests)
    for number, ((metadata, rows), asked) in enumerate(zip(answers, expected)):
        equal(metadata, {"id": number}, "metadata")
        if asked not in known:
            known[asked] = _model.newest([asked[0]], until=asked[1])
        same_rows(rows.drop_columns(["ingested_at"]), known[asked], f"question {number}")


@CHECKS.check
def an_exchange_opens_with_a_ticket(session: Session):
    """the command of the descriptor fixes table and columns; short questions need only keys"""
    prepare(session)
    opening = {"v": 1, "table": "readings", "latest": {}, "columns": ["humidity", "temperature"]}
    requests = [{"id": "first", "keys": [CITIES[0]]}, {"id": "several", "keys": CITIES[1:4]}, {"keys": [CITIES[5]]}]
    names = ["city_id", "reading_at", "humidity", "temperature"]
    answers = exchange(session, descriptor(opening), requests)
    for (metadata, rows), request in zip(answers, requests):
        if "id" in request:
            equal(metadata, {"id": request["id"]}, "metadata")
        same_rows(rows, _model.newest(request["keys"]).select(names), f"{request}")


@CHECKS.check
def a_city_without_readings_has_an_empty_answer(session: Session):
    """no row, not an error"""
    prepare(session)
    silent = cities()[14_998]
    before = {"keys": [CITIES[0]], "time": instant(START - DAY)}
    requests = [{"id": 1, "latest": {"keys": [silent]}}, {"id": 2, "at": before}]
    for (metadata, rows), request in zip(exchange(session, descriptor(("readings",)), requests), requests):
        equal(metadata, {"id": request["id"]}, "metadata")
        equal(rows.num_rows, 0, "rows")
        equal(rows.column_names[:2], SCHEMA.names[:2], "columns")


@CHECKS.check
def a_wrong_question_costs_the_others_nothing(session: Session):
    """errors come back with their id and code, in order, and the stream goes on"""
    prepare(session)
    good = {"id": 0, "latest": {"keys": [CITIES[0]]}}
    wrong = [
        ({"id": 1, "latest": {"kees": [1]}}, "kees"),
        ({"id": 2, "latest": {"keys": [1]}, "table": "dead_letters"}, "dead_letters"),
        ({"id": 3, "at": {"keys": [1]}}, "time"),
        ({"id": 4, "range": {}}, "range"),
        ({"id": 5, "latest": {"keys": [1 << 40]}}, str(1 << 40)),
        ({"id": 6, "columns": ["temprature"]}, "temprature"),
    ]
    requests = [good] + [request for request, _ in wrong] + [good]
    answers = exchange(session, descriptor(("readings",)), requests)
    for metadata, rows in (answers[0], answers[-1]):
        equal(metadata, {"id": 0}, "metadata of a good question")
        same_rows(rows.drop_columns(["ingested_at"]), _model.newest([CITIES[0]]), "good question")
    for (request, fragment), (metadata, rows) in zip(wrong, answers[1:-1]):
        equal(metadata["id"], request["id"], "id")
        equal(metadata["code"], "INVALID_ARGUMENT", f"code of {request}")
        assert fragment in metadata["error"], metadata
        equal(rows.num_rows, 0, "rows of a refused question")


@CHECKS.check
def an_exchange_of_an_unknown_table_is_refused(session: Session):
    """the opening names a table that is not there"""
    # Nothing is sent: gRPC's C++ client aborts the process if a stream ends while another thread writes to it.
    writer, reader = session.client.do_exchange(descriptor(("reedings",)))
    fails(reader.read_chunk, KeyError, "reedings")
    fails(writer.close, KeyError, "reedings")


@CHECKS.check
def a_question_sees_what_was_acknowledged_before(session: Session):
    """put, acknowledgement, question, 50 times over one exchange"""
    start, city = day(31), cities()[705]
    writer, reader = session.client.do_exchange(descriptor(("readings",)))
    with writer:
        for second in range(50):
            at = start + second * 1_000_000
            rows = as_table([(city, at, float(second), None, None, None, None, None)])
            session.put(rows, "memory")
            writer.write_metadata(json.dumps({"id": second, "latest": {"keys": [city]}}).encode())
            seen = pa.table(reader.read_chunk().data).drop_columns(["ingested_at"])
            same_rows(seen, rows, f"question {second}")
        writer.done_writing()
