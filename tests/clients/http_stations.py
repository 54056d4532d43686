"""Forms of weather stations, as their hardware sends them: those of Weather Underground and of Ecowitt's gateways."""

import json
import time

from checks import Checks, equal
from http_influx import letters, newest

STATIONS = Checks()
WUNDERGROUND = "/weatherstation/updateweatherstation.php"
ECOWITT = "/data/report/"
# By the settings KVIENNA1 is Vienna, and this one Oslo.
PASSKEY = "606F1C2D3E4A5B6C7D8E9F00112233B8"
VIENNA, OSLO, WARSAW = 2761369, 3143244, 756135
# What a gateway sends, but for its time and key.
GATEWAY = {
    "stationtype": "GW1100B_V2.3.2",
    "runtime": "100570",
    "heap": "23984",
    "tempinf": "78.08",
    "humidityin": "59",
    "baromrelin": "29.958",
    "baromabsin": "29.816",
    "tempf": "64.40",
    "humidity": "87",
    "winddir": "234",
    "windspeedmph": "4.47",
    "windgustmph": "6.93",
    "maxdailygust": "14.99",
    "solarradiation": "71.52",
    "uv": "0",
    "rainratein": "0.000",
    "hourlyrainin": "0.020",
    "dailyrainin": "0.118",
    "wh65batt": "0",
    "freq": "868M",
    "model": "GW1100B",
    "interval": "60",
}


def at(second):
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(second))


@STATIONS.check
def a_form_of_weather_underground_is_a_reading(subject):
    second = subject.now + 7
    reply = subject.get(
        WUNDERGROUND,
        ID="KVIENNA1",
        PASSWORD="secret",
        dateutc=at(second),
        action="updateraw",
        tempf="68.9",
        humidity="45",
        baromin="29.92",
        windspeedmph="10.0",
        windgustmph="14.1",
        winddir="225",
        rainin="0.10",
        dailyrainin="0.30",
        indoortempf="-9999",
        softwaretype="vws versionxx",
        realtime="1",
        rtfreq="5",
    )
    equal((reply.status_code, reply.text), (200, "success\n"))
    assert reply.headers["content-type"].startswith("text/plain"), reply.headers
    assert "x-barograph-rejected" not in reply.headers
    row = newest(subject, VIENNA)
    equal(row["reading_at"], at(second).replace(" ", "T") + "Z")
    equal((row["temperature"], row["humidity"], row["wind_direction"]), (20.5, 45.0, 225))
    equal((round(row["pressure"], 2), round(row["wind_speed"], 3)), (1013.21, 4.470))
    equal(round(row["precipitation"], 3), 2.54)


@STATIONS.check
def a_form_of_ecowitt_is_a_reading(subject):
    second = subject.now + 8
    form = {"PASSKEY": PASSKEY, "dateutc": at(second), **GATEWAY}
    reply = subject.post(ECOWITT, data=form)
    equal((reply.status_code, reply.text), (200, "success\n"))
    row = newest(subject, OSLO)
    equal(row["reading_at"], at(second).replace(" ", "T") + "Z")
    equal((row["temperature"], row["humidity"], row["wind_direction"]), (18.0, 87.0, 234))
    # The pressure at the station, not that at sea level.
    equal((round(row["pressure"], 2), round(row["wind_speed"], 3)), (1009.69, 1.998))
    equal(round(row["precipitation"], 3), 0.508)


@STATIONS.check
def a_station_is_known_by_its_key_or_the_name_of_its_place(subject):
    for name in (str(WARSAW), "Warsaw"):
        reply = subject.get(WUNDERGROUND, ID=name, dateutc="now", tempf="50")
        equal((reply.text, newest(subject, WARSAW)["temperature"]), ("success\n", 10.0))


@STATIONS.check
def bad_values_are_dead_letters_without_secrets(subject):
    form = {"ID": "KVIENNA1", "PASSWORD": "hidden", "dateutc": "now"}
    for more, word in (
        ({"tempf": "warm"}, "tempf: \"warm\""),
        ({"tempf": "200"}, "outside"),
        ({"dateutc": "noon"}, "dateutc is \"noon\""),
        ({"ID": "KNOWHERE"}, "http.stations.keys"),
        ({"winddir": "12.5"}, "winddir"),
    ):
        reply = subject.get(WUNDERGROUND, **(form | more))
        # Sending it again would change nothing.
        equal((more, reply.status_code, reply.text), (more, 200, "success\n"))
        assert word in reply.headers["x-barograph-rejected"], reply.headers
        found = [letter for letter in letters(subject) if word in letter["reason"]]
        assert found, word
        assert all("hidden" not in letter["row"] + letter["reason"] for letter in found), found
    # A name that is too long for a header is told all the same.
    reply = subject.post(ECOWITT, data={"PASSKEY": "K" * 60_000, "dateutc": "now"})
    equal((reply.status_code, len(reply.headers["x-barograph-rejected"])), (200, 2_048))
    kept = [json.loads(letter["row"]) for letter in letters(subject) if "noon" in letter["reason"]]
    equal(kept[0]["form"]["dateutc"], "noon")


@STATIONS.check
def what_is_no_form_is_refused(subject):
    reply = subject.http.head(subject.url + WUNDERGROUND, params={"ID": "KVIENNA1", "dateutc": "now"})
    equal(reply.status_code, 405)
    reply = subject.post(ECOWITT, data=b"a=" + b"b" * 100_000)
    equal(reply.status_code, 413)
    equal(subject.get(ECOWITT).status_code, 405)
    # A page must not let the browsers of its visitors send readings.
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://elsewhere.example"}):
        reply = subject.get(WUNDERGROUND, headers=headers, ID="KVIENNA1", dateutc="now", tempf="1")
        equal((headers, reply.status_code), (headers, 403))
        form = {"PASSKEY": PASSKEY, "dateutc": "now", "tempf": "1"}
        reply = subject.post(ECOWITT, headers=headers, data=form)
        equal((headers, reply.status_code), (headers, 403))
        for place in (VIENNA, OSLO):
            assert round(newest(subject, place)["temperature"] or 0, 2) != -17.22
