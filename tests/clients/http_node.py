"""What do programs in JavaScript get that know InfluxDB or Open-Meteo, by the clients that npm has?"""

import json
import pathlib

import node
from checks import Checks, equal
from http_influx import newest

NODE = Checks()
SCRIPT = pathlib.Path(__file__).with_suffix(".cjs")
HELSINKI = 658225
PACKAGES = ("@influxdata/influxdb-client@1.35.0", "openmeteo@1.2.3")


def called(subject, call, **more):
    asked = json.dumps({"call": call, "url": subject.url, **more})
    process = node.started(SCRIPT, asked, *PACKAGES)
    answer, error = process.communicate()
    assert process.returncode == 0, error.decode()
    return json.loads(answer)


@NODE.check
def the_client_of_influxdb_2_for_node_writes(subject):
    point = {"token": "t", "key": "Helsinki", "second": subject.now + 1}
    equal(called(subject, "write", temperature=8.25, field="temperature", **point), {"written": True})
    equal(newest(subject, HELSINKI)["temperature"], 8.25)
    refused = called(subject, "write", temperature=8.5, field="colour", **point)
    equal(refused["status"], 400)
    assert "colour" in refused["message"], refused


@NODE.check
def the_client_of_open_meteo_for_node_is_told_why_it_cannot_read(subject):
    refused = called(subject, "forecast")
    assert "flatbuffers" in refused["message"], refused
