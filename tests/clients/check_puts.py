"""Is what a client puts acknowledged as documented, visible at once, and nothing else let in?"""

import json
import time

import pyarrow as pa
import pyarrow.flight as flight

from checks import Checks, equal, fails, same_rows
from readings import DAY, MINUTE, SCHEMA, TIME, WHOLE_SCHEMA, Model, as_table, cities, day, values
from session import Session, instant

CHECKS = Checks()
CITIES = cities()[:100]


@CHECKS.check
def acknowledgements_name_level_position_and_counts(session: Session):
    """one acknowledgement a batch: level as asked, positions that grow, rows counted, visible at once"""
    model, first = Model(), 0
    for number, durability in enumerate([None, "disk", "memory"]):
        start = day(0) + number * 10 * MINUTE
        batches = [model.make(CITIES, [start + minute * MINUTE]) for minute in range(4)]
        acks = session.put(batches, durability)
        for ack in acks:
            equal(set(ack), {"position", "durability", "accepted", "rejected"}, "fields")
            assert isinstance(ack["position"], str), ack
            equal(ack["durability"], durability or "disk", "level")
            equal((ack["accepted"], ack["rejected"]), (len(CITIES), 0), "counts")
            assert int(ack["position"]) > first, f"position {ack['position']} after {first}"
            first = int(ack["position"])
        seen = session.range(CITIES, day(0), day(1))
        same_rows(seen.drop_columns(["ingested_at"]), model.table(), f"after {durability}")
    equal(seen.schema, WHOLE_SCHEMA, "schema of the answer")
    assert seen["ingested_at"].null_count == 0


@CHECKS.check
def a_put_is_visible_when_its_acknowledgement_arrives(session: Session):
    """batch after batch on one stream: each is seen as soon as its own acknowledgement is read"""
    start = day(1)
    descriptor = flight.FlightDescriptor.for_path("readings")
    writer, reader = session.client.do_put(descriptor, SCHEMA)
    with writer:
        for minute in range(20):
            at = start + minute * MINUTE
            batch = as_table([(CITIES[0], at, *values(CITIES[0], at))]).to_batches()[0]
            writer.write_batch(batch)
            equal(json.loads(reader.read().to_pybytes())["accepted"], 1, "accepted")
            seen = session.range([CITIES[0]], start, at + 1)
            equal(seen.num_rows, minute + 1, f"rows after minute {minute}")
        writer.done_writing()


@CHECKS.check
def columns_are_matched_by_name_and_missing_values_are_null(session: Session):
    """columns in another order, of wider types, and only some of them"""
    at = day(2)
    sent = pa.table(
        {
            "temperature": pa.array([21.5, None], pa.float64()),
            "reading_at": pa.array([at, at + MINUTE], pa.timestamp("us", tz="UTC")),
            "city_id": pa.array([CITIES[0]] * 2, pa.int64()),
        }
    )
    equal(session.put(sent)[0]["accepted"], 2, "accepted")
    seen = session.range([CITIES[0]], at, at + 2 * MINUTE).drop_columns(["ingested_at"])
    nothing = (None,) * 5
    expected = [(CITIES[0], at, 21.5, *nothing), (CITIES[0], at + MINUTE, None, *nothing)]
    same_rows(seen, as_table(expected), "rows")


@CHECKS.check
def instants_are_never_rounded(session: Session):
    """readings 1 µs apart, at both sides of the hour"""
    hour = day(3) + DAY // 2
    model = Model()
    session.put(model.make([CITIES[1]], [hour - 1, hour, hour + 1]))
    same_rows(session.range([CITIES[1]], hour - 1, hour + 2).drop_columns(["ingested_at"]), model.table(), "all")
    seen = session.range([CITIES[1]], hour, hour + 1)
    equal(seen["reading_at"].cast(pa.int64()).to_pylist(), [hour], "from inclusive, to exclusive")


@CHECKS.check
def a_row_put_again_is_replaced(session: Session):
    """later rows win over earlier ones of the same city and instant, in one batch, across batches, after a landing"""
    model, start = Model(), day(4)
    instants = [start + minute * MINUTE for minute in range(30)]
    keys = CITIES[:5]
    session.put(model.make(keys, instants))
    twice = [model.make(keys, instants[:10], generation) for generation in (1, 2)]
    session.put(pa.concat_tables(twice))
    same_rows(session.range(keys, start, day(5)).drop_columns(["ingested_at"]), model.table(), "in the tail")
    session.flush()
    session.put(model.make(keys, instants[5:15], 3))
    same_rows(session.range(keys, start, day(5)).drop_columns(["ingested_at"]), model.table(), "tail over lake")
    session.flush()
    same_rows(session.range(keys, start, day(5)).drop_columns(["ingested_at"]), model.table(), "merged in the lake")


@CHECKS.check
def a_batch_that_is_sent_again_under_its_id_counts_once(session: Session):
    """the id in the metadata of a batch: sent again after its row was overwritten, the later row stays"""
    at = day(7)

    def put(temperature, batch_id):
        batch = as_table([(CITIES[0], at, temperature, *(None,) * 5)]).to_batches()[0]
        writer, reader = session.client.do_put(flight.FlightDescriptor.for_path("readings"), SCHEMA)
        with writer:
            writer.write_with_metadata(batch, json.dumps({"batch_id": batch_id}).encode())
            writer.done_writing()
            return json.loads(reader.read().to_pybytes())

    first = put(1.0, f"{1:032x}")
    later = put(2.0, f"{2:032x}")
    equal(put(1.0, f"{1:032x}"), first, "acknowledgement of the first, again")
    seen = session.range([CITIES[0]], at, at + 1, after=later["position"])
    equal(seen["temperature"].to_pylist(), [2.0], "the row")
    fails(lambda: put(1.0, "seven"), pa.ArrowInvalid, "batch_id", "seven", "32 digits")


@CHECKS.check
def bad_rows_are_counted_and_kept_as_dead_letters(session: Session):
    """null key, unknown city, null time, future time, implausible value: the others go in"""
    at = day(5)
    future = (int(time.time()) + 24 * 3600) * 1_000_000
    good = (CITIES[0], at, *values(CITIES[0], at))
    rest = (None,) * 5
    bad = {
        "city_id is null": (None, at, 1.0, *rest),
        "city_id = 999999999 is not known": (999_999_999, at, 2.0, *rest),
        "reading_at is null": (CITIES[1], None, 3.0, *rest),
        "is too far in the future": (CITIES[1], future, 4.0, *rest),
        "temperature = 60.5": (CITIES[1], at, 60.5, *rest),
        "temperature = NaN": (CITIES[1], at, float("nan"), *rest),
    }
    nullable = pa.schema([field.with_nullable(True) for field in SCHEMA])
    columns = zip(*[good, *bad.values()])
    sent = pa.table([pa.array(c, type=f.type) for c, f in zip(columns, nullable)], schema=nullable)
    (ack,) = session.put(sent)
    equal((ack["accepted"], ack["rejected"]), (1, len(bad)), "counts")
    seen = session.range(CITIES[:2], at, at + DAY).drop_columns(["ingested_at"])
    same_rows(seen, as_table([good]), "the good row")

    letters = session.range(table="dead_letters", start=day(0)).to_pylist()
    reasons = [letter["reason"] for letter in letters]
    for reason, row in bad.items():
        mine = [letter for letter in letters if reason in letter["reason"]]
        equal(len(mine), 1, f"dead letters with {reason!r} among {reasons}")
        equal(mine[0]["table_name"], "readings", "table of the dead letter")
        assert mine[0]["source"], mine[0]
        assert abs(mine[0]["rejected_at"].timestamp() - time.time()) < 600, mine[0]
        kept = json.loads(mine[0]["row"])
        equal(kept["city_id"], row[0], f"city of the row kept for {reason!r}")
        if row[2] == row[2]:
            equal(kept["temperature"], row[2], f"temperature of the row kept for {reason!r}")


@CHECKS.check
def a_batch_that_cannot_be_read_is_refused_whole(session: Session):
    """unknown column, missing key, wrong type, a column twice, unknown table or level: an error that names it"""
    at = day(6)
    key = pa.array([CITIES[0]], pa.int32())
    times = pa.array([at], TIME)
    one = pa.array([1.0], pa.float32())
    refused = [
        ({"city_id": key, "reading_at": times, "temprature": one}, ["temprature", "temperature"]),
        ({"reading_at": times, "temperature": one}, ["city_id"]),
        ({"city_id": key, "temperature": one}, ["reading_at"]),
        ({"city_id": key, "reading_at": pa.array(["now"]), "temperature": one}, ["reading_at"]),
        ({"city_id": key, "reading_at": times, "temperature": pa.array(["warm"])}, ["temperature"]),
    ]
    for columns, fragments in refused:
        fails(lambda columns=columns: session.put(pa.table(columns)), pa.ArrowInvalid, *fragments)
    twice = pa.Table.from_arrays([key, times, one, one], names=["city_id", "reading_at", "humidity", "humidity"])
    fails(lambda: session.put(twice), pa.ArrowInvalid, "humidity")
    good = as_table([(CITIES[0], at, *values(CITIES[0], at))])
    fails(lambda: session.put(good, path=("reedings",)), KeyError, "reedings", "readings")
    fails(lambda: session.put(good, path=("a", "b")), pa.ArrowInvalid, "path")
    fails(lambda: session.put(good, "granite"), pa.ArrowInvalid, "x-barograph-durability", "granite", "disk", "memory")
    equal(session.range([CITIES[0]], at, at + DAY).num_rows, 0, "rows of refused batches")
    (ack,) = session.put(good)
    equal(ack["accepted"], 1, f"a good batch after the bad ones ({instant(at)})")


@CHECKS.check
def an_empty_put_is_harmless(session: Session):
    """a batch without rows is acknowledged, and so is a stream without batches"""
    (ack,) = session.put(SCHEMA.empty_table().to_batches() or [pa.RecordBatch.from_pylist([], schema=SCHEMA)])
    equal((ack["accepted"], ack["rejected"]), (0, 0), "counts")
    writer, reader = session.client.do_put(flight.FlightDescriptor.for_path("readings"), SCHEMA)
    with writer:
        writer.done_writing()
        equal(reader.read(), None, "acknowledgement of nothing")
