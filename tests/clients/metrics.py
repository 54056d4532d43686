"""Do the parsers of Prometheus read what the server reports, and is it what the server did?

    python metrics.py grpc://127.0.0.1:8815 tests/data/metrics.tsv

The file has a line for each family: name, type, unit, labels and help. The server has a fresh table `readings`.
"""

import sys
import urllib.error
import urllib.request

import pyarrow as pa
import pyarrow.flight as flight
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as prometheus_text

from checks import Checks, equal
from session import Session

CHECKS = Checks()
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
# What Prometheus itself sends.
ACCEPT = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
ROWS = 1000
MICROS = 1_000_000


class Subject:
    def __init__(self, url, golden):
        self.session = Session(url)
        self.http = url.replace("grpc://", "http://")
        with open(golden, encoding="utf-8") as lines:
            self.golden = [line.rstrip("\n").split("\t") for line in lines]

    def scrape(self, accept=ACCEPT):
        request = urllib.request.Request(self.http + "/metrics", headers={"Accept": accept})
        with urllib.request.urlopen(request) as reply:
            return reply.headers["content-type"], reply.read().decode()

    def value(self, name, **labels):
        """The value of one sample."""
        families = open_metrics(self.scrape()[1])
        found = [s.value for f in families for s in f.samples if s.name == name and s.labels == labels]
        equal(len(found), 1, f"samples of {name} with {labels}")
        return found[0]


@CHECKS.check
def the_whole_answer_is_open_metrics(subject):
    """the strict parser reads all of it, and finds the families of the golden file with their labels"""
    kind, text = subject.scrape()
    equal(kind, OPEN_METRICS, "content type")
    families = {family.name: family for family in open_metrics(text)}
    equal(list(families), [golden[0] for golden in subject.golden], "families")
    for name, kind, unit, labels, help_text in subject.golden:
        family = families[name]
        equal((family.type, family.unit, family.documentation), (kind, unit, help_text), name)
        for sample in family.samples:
            own = set(sample.labels) - ({"le"} if kind == "histogram" else set())
            equal(own, set(labels.split(",")) - {""}, f"labels of {sample.name}")


@CHECKS.check
def plain_text_is_given_to_whoever_prefers_it(subject):
    """the text format of Prometheus has the same samples, with the names that queries use"""
    kind, text = subject.scrape("text/plain")
    equal(kind, PROMETHEUS, "content type")
    plain = {s.name for family in prometheus_text(text) for s in family.samples}
    named = {s.name for family in open_metrics(subject.scrape()[1]) for s in family.samples}
    equal(plain, named, "names")


@CHECKS.check
def puts_and_queries_are_counted(subject):
    """each put, rejected row and query is in its counter and histogram once"""
    table = {"table": "readings"}
    names = ("barograph_put_batches_total", "barograph_put_rows_total")
    before = [subject.value(name, **table) for name in names]
    disk = subject.value("barograph_acknowledgement_seconds_count", level="disk")
    implausible = {**table, "kind": "implausible"}
    rejected = subject.value("barograph_dead_letters_total", **implausible)
    batch = pa.record_batch({
        "city_id": pa.array([2988507] * ROWS, pa.int32()),
        "reading_at": pa.array([1_767_225_600 * MICROS + i * MICROS for i in range(ROWS)], pa.timestamp("us", "UTC")),
        "temperature": pa.array([999.0 if i == 0 else 20.0 for i in range(ROWS)], pa.float32()),
    })
    subject.session.put([batch], durability="disk")
    after = [subject.value(name, **table) for name in names]
    equal([a - b for a, b in zip(after, before)], [1, ROWS - 1], "batches and rows")
    equal(subject.value("barograph_acknowledgement_seconds_count", level="disk") - disk, 1, "acknowledgements")
    equal(subject.value("barograph_dead_letters_total", **implausible) - rejected, 1, "rejected rows")
    equal(subject.value("barograph_tail_rows", **table), ROWS - 1, "rows of the tail")

    count = "barograph_query_seconds_count"
    kinds = ("latest", "at", "range", "sql")
    before = {kind: subject.value(count, kind=kind) for kind in kinds}
    subject.session.latest([2988507])
    subject.session.at([2988507], 1_767_225_700 * MICROS)
    equal(subject.session.range([2988507]).num_rows, ROWS - 1, "rows of the range")
    info = subject.session.client.get_flight_info(
        flight.FlightDescriptor.for_command(b'{"v":1,"table":"readings","range":{}}'))
    assert info.endpoints
    equal({kind: subject.value(count, kind=kind) - before[kind] for kind in kinds},
          {"latest": 1, "at": 1, "range": 1, "sql": 0}, "queries")
    assert subject.value("barograph_query_rows_total", kind="range") >= ROWS - 1


@CHECKS.check
def what_lands_is_counted(subject):
    """rows go from the tail to the lake, file by file"""
    subject.session.flush()
    equal(subject.value("barograph_tail_rows", table="readings"), 0, "rows of the tail")
    equal(subject.value("barograph_lake_rows", table="readings"), ROWS - 1, "rows of the lake")
    assert subject.value("barograph_landing_files_total") >= 1
    assert subject.value("barograph_table_reading_age_seconds", table="readings") > 0


@CHECKS.check
def a_refusal_is_counted_by_its_bound(subject):
    """a batch that is larger than the tail finds no room"""
    rows = 200_000
    batch = pa.record_batch({
        "city_id": pa.array([2988507] * rows, pa.int32()),
        "reading_at": pa.array([1_767_312_000 * MICROS + i for i in range(rows)], pa.timestamp("us", "UTC")),
        "temperature": pa.array([1.0] * rows, pa.float32()),
    })
    try:
        subject.session.put([batch])
    except Exception as error:
        assert "tail_bytes_max" in str(error), error
    else:
        raise AssertionError("it was put")
    equal(subject.value("barograph_refusals_total", bound="tail_bytes_max"), 1, "refusals")


@CHECKS.check
def the_process_is_there(subject):
    """its figures are those of a process that runs"""
    assert subject.value("process_resident_memory_bytes") > 1e7
    assert subject.value("process_start_time_seconds") > 1.6e9
    assert subject.value("process_open_fds") > 3
    assert subject.value("process_cpu_seconds_total") > 0


@CHECKS.check
def ready_and_version_answer(subject):
    """probes and version are JSON"""
    import json
    with urllib.request.urlopen(subject.http + "/ready") as reply:
        answer = json.load(reply)
    equal(answer, {"ready": True, "probes": {"server": "ok", "log": "ok", "store": "ok"}}, "/ready")
    with urllib.request.urlopen(subject.http + "/version") as reply:
        equal(json.load(reply)["name"], "barograph", "/version")
    try:
        urllib.request.urlopen(subject.http + "/metric")
        raise AssertionError("/metric was found")
    except urllib.error.HTTPError as error:
        equal(error.code, 404, "an unknown path")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(CHECKS.run(Subject(*sys.argv[1:])))
