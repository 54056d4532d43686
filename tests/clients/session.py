"""How does a client speak to the server? The calls that the checks share, over pyarrow.flight."""

import datetime
import json

import pyarrow as pa
import pyarrow.flight as flight

DURABILITY = b"x-barograph-durability"


def instant(micros):
    """RFC 3339 text of µs since 1970."""
    at = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=micros)
    return at.isoformat() + "Z"


class Session:
    """One connection to the server at `url` (`grpc://HOST:PORT`)."""

    def __init__(self, url):
        self.url = url
        self.client = flight.connect(url)

    def another(self):
        """A connection of its own to the same server."""
        return Session(self.url)

    def close(self):
        self.client.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def get(self, ticket):
        """DoGet of a ticket given as dictionary, text or bytes."""
        return self.client.do_get(flight.Ticket(encode(ticket))).read_all()

    def latest(self, keys, **more):
        return self.get({"v": 1, "table": "readings", "latest": {"keys": keys}, **more})

    def at(self, keys, micros, **more):
        return self.get({"v": 1, "table": "readings", "at": {"keys": keys, "time": instant(micros)}, **more})

    def range(self, keys=None, start=None, stop=None, table="readings", **more):
        return self.get(range_ticket(keys, start, stop, table, **more))

    def put(self, batches, durability=None, path=("readings",)):
        """DoPut of one or more tables or batches of one schema, each acknowledged; gives the acknowledgements."""
        batches = [batch for part in as_list(batches) for batch in as_batches(part)]
        headers = [] if durability is None else [(DURABILITY, durability.encode())]
        descriptor = flight.FlightDescriptor.for_path(*path)
        options = flight.FlightCallOptions(headers=headers)
        writer, reader = self.client.do_put(descriptor, batches[0].schema, options)
        with writer:
            for batch in batches:
                writer.write_batch(batch)
            writer.done_writing()
            acks = [json.loads(reader.read().to_pybytes()) for _ in batches]
            assert reader.read() is None, "more acknowledgements than batches"
        return acks

    def info(self, ticket_or_path):
        """GetFlightInfo of a command (dictionary) or a path (tuple)."""
        return self.client.get_flight_info(descriptor(ticket_or_path))

    def action(self, name, body=b""):
        """DoAction: the bodies of its results."""
        results = self.client.do_action(flight.Action(name, encode(body)))
        return [result.body.to_pybytes() for result in results]

    def flush(self):
        """Lands everything and gives the report."""
        (report,) = self.action("flush")
        return json.loads(report)


def descriptor(ticket_or_path):
    if isinstance(ticket_or_path, tuple):
        return flight.FlightDescriptor.for_path(*ticket_or_path)
    return flight.FlightDescriptor.for_command(encode(ticket_or_path))


def range_ticket(keys=None, start=None, stop=None, table="readings", **more):
    within = {}
    if keys is not None:
        within["keys"] = keys
    if start is not None:
        within["from"] = instant(start)
    if stop is not None:
        within["to"] = instant(stop)
    return {"v": 1, "table": table, "range": within, **more}


def encode(ticket):
    if isinstance(ticket, dict):
        ticket = json.dumps(ticket)
    return ticket.encode() if isinstance(ticket, str) else ticket


def as_list(batches):
    return list(batches) if isinstance(batches, (list, tuple)) else [batches]


def as_batches(part):
    if isinstance(part, pa.RecordBatch):
        return [part]
    return part.combine_chunks().to_batches()
