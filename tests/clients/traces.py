"""Reads the spans that a server has sent, and checks what stands below what: traces.py FOLDER"""

import sys
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

spans = []
for path in sorted(Path(sys.argv[1]).glob("*.otlp")):
    request = ExportTraceServiceRequest.FromString(path.read_bytes())
    for resource in request.resource_spans:
        about = {of.key: of.value.string_value for of in resource.resource.attributes}
        assert about["service.name"] == "barograph", about
        for scope in resource.scope_spans:
            assert scope.scope.name == "barograph", scope.scope
            spans += scope.spans

by_id = {span.span_id: span for span in spans}
assert len(by_id) == len(spans)


def attributes(span):
    values = {of.key: of.value for of in span.attributes}
    return {key: getattr(value, value.WhichOneof("value")) for key, value in values.items()}


def path(span):
    """Names from the span of the call down."""
    above = by_id.get(span.parent_span_id)
    return (path(above) if above else []) + [span.name]


for span in spans:
    assert len(span.trace_id) == 16 and len(span.span_id) == 8, span
    assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano, span
    above = by_id.get(span.parent_span_id)
    if above:
        assert span.trace_id == above.trace_id and span.kind == Span.SPAN_KIND_INTERNAL, span
    else:
        assert span.kind == Span.SPAN_KIND_SERVER, span
        said = attributes(span)
        assert said["barograph.outcome"] == "done" and span.status.code == Status.STATUS_CODE_UNSET, span
        assert said["barograph.identity"] == "local" and "barograph.rows" in said, said


def trace(digit):
    return [span for span in spans if span.trace_id.hex() == digit * 32]


def below(of):
    return {"/".join(path(span)[1:]) for span in of}


caller = bytes.fromhex("00f067aa0ba902b7")
for digit, expected in [
    ("a", {"put", "put/validate", "put/log", "put/tail", "put/ack"}),
    ("b", {"query", "query/plan", "query/slice"}),
]:
    of = trace(digit)
    roots = [span for span in of if span.parent_span_id == caller]
    assert len(roots) == 1 and attributes(roots[0])["barograph.tables"] == "readings", roots
    assert expected <= below(of), (digit, below(of))
assert not trace("c"), "its caller is not traced"
flight = [span for span in spans if span.trace_id.hex() not in ("a" * 32, "b" * 32)]
assert {"point", "plan", "slice", "wire"} <= below(flight), below(flight)
puts = {span.name: attributes(span) for span in trace("a")}
assert puts["validate"]["barograph.rows"] == 1 and puts["log"]["barograph.sync"] is True, puts
print(len(spans), "spans")
