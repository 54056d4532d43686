"""Does a server with TLS answer pyarrow and HTTPS, and refuse those who do not trust it or do not encrypt?

    python tls.py 127.0.0.1:8815 ca.pem
"""

import ssl
import sys
import urllib.request

import pyarrow as pa
import pyarrow.flight as flight

from checks import Checks, equal

CHECKS = Checks()
TICKET = flight.Ticket(b'{"v":1,"table":"readings","latest":{"keys":[2988507]}}')


class Subject:
    def __init__(self, address, ca):
        self.address, self.ca = address, ca
        with open(ca, "rb") as file:
            self.roots = file.read()

    def client(self):
        return flight.connect(f"grpc+tls://{self.address}", tls_root_certs=self.roots)


@CHECKS.check
def pyarrow_puts_and_reads(subject):
    """over grpc+tls, with the authority as tls_root_certs"""
    batch = pa.record_batch({
        "city_id": pa.array([2988507], pa.int32()),
        "reading_at": pa.array([1_767_225_600_000_000], pa.timestamp("us", "UTC")),
        "temperature": pa.array([20.5], pa.float32()),
    })
    with subject.client() as client:
        writer, reader = client.do_put(flight.FlightDescriptor.for_path("readings"), batch.schema)
        with writer:
            writer.write_batch(batch)
            reader.read()
        answer = client.do_get(TICKET).read_all()
    equal(answer.column("temperature").to_pylist(), [20.5], "temperature")


@CHECKS.check
def who_does_not_trust_the_authority_gets_no_connection(subject):
    """the system's authorities did not sign the certificate"""
    try:
        with flight.connect(f"grpc+tls://{subject.address}") as client:
            client.do_get(TICKET).read_all()
    except flight.FlightUnavailableError:
        return
    raise AssertionError("it was trusted")


@CHECKS.check
def a_plain_client_is_told_why(subject):
    """grpc:// on a port with TLS is refused with what to do"""
    try:
        with flight.connect(f"grpc://{subject.address}") as client:
            client.do_get(TICKET).read_all()
    except Exception as error:
        assert "this port speaks TLS" in str(error), error
        return
    raise AssertionError("it was answered")


@CHECKS.check
def metrics_are_scraped_by_https(subject):
    """with the authority, and by HTTP/1.1"""
    context = ssl.create_default_context(cafile=subject.ca)
    with urllib.request.urlopen(f"https://{subject.address}/metrics", context=context) as reply:
        text = reply.read().decode()
    assert "\nbarograph_put_rows_total{table=\"readings\"} 1\n" in text, text[:2000]


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(CHECKS.run(Subject(*sys.argv[1:])))
