"""Answers in the shape of Open-Meteo, read by hand and by an unmodified client library."""

import datetime

from openmeteo.clients.forecast import ForecastClient
from openmeteo.clients.historical import HistoricalClient

from checks import Checks, equal

OPEN_METEO = Checks()
PARIS = {"latitude": 48.86, "longitude": 2.34}
FORECAST = "/v1/forecast"


def local(seconds, offset, form="%Y-%m-%dT%H:%M"):
    return datetime.datetime.fromtimestamp(seconds + offset, datetime.timezone.utc).strftime(form)


def place(times, time):
    """Where a time stands near the end: an hour or a day may have begun since the readings were put."""
    assert time in times[-2:], (time, times[-2:])
    return times.index(time)


@OPEN_METEO.check
def the_newest_reading_is_current(subject):
    variables = "temperature_2m,relative_humidity_2m,wind_speed_10m"
    answer = subject.get(FORECAST, current=variables, timezone="auto", **PARIS).json()
    equal((answer["timezone"], round(answer["latitude"], 1)), ("Europe/Paris", 48.9))
    offset = answer["utc_offset_seconds"]
    assert offset in (3600, 7200) and answer["timezone_abbreviation"] in ("CET", "CEST")
    current = answer["current"]
    equal((current["time"], current["interval"]), (local(subject.now, offset), 60))
    equal(current["wind_speed_10m"], 36.0)
    equal(current["relative_humidity_2m"], 50)
    equal(answer["current_units"]["wind_speed_10m"], "km/h")


@OPEN_METEO.check
def hours_are_local_and_end_now(subject):
    answer = subject.get(
        FORECAST, hourly="temperature_2m,precipitation", past_days=1, forecast_days=3, **PARIS
    ).json()
    hourly = answer["hourly"]
    day = subject.now - subject.now % 86400
    assert hourly["time"][0] in (local(day - 86400, 0), local(day, 0)), hourly["time"][0]
    last = place(hourly["time"], local(subject.now - subject.now % 3600, 0))
    equal(len(hourly["time"]), len(hourly["precipitation"]))
    # Amounts are those of the hour before: sixty minutes of 0.25 mm.
    equal(hourly["precipitation"][last], 15.0)
    minute = subject.now % 3600 // 60
    equal(hourly["temperature_2m"][last], minute % 40 - 10 + 0.5)
    equal(answer["hourly_units"], {"time": "iso8601", "temperature_2m": "°C", "precipitation": "mm"})
    few = subject.get(FORECAST, hourly="temperature_2m", past_hours=2, **PARIS).json()["hourly"]
    equal(len(few["time"]), 3)
    assert few["time"][0] in hourly["time"][-3:-1], (few["time"], hourly["time"][-3:])


@OPEN_METEO.check
def days_are_local_days(subject):
    answer = subject.get(
        FORECAST,
        daily="temperature_2m_max,temperature_2m_min,precipitation_sum,relative_humidity_2m_mean",
        past_days=2,
        timezone="Asia/Kolkata",
        id=2988507,
    ).json()
    daily = answer["daily"]
    equal((answer["utc_offset_seconds"], len(daily["time"])), (19800, 3))
    last = place(daily["time"], local(subject.now, 19800, "%Y-%m-%d"))
    equal(daily["relative_humidity_2m_mean"][last], 50)
    begun = (subject.now + 19800) % 86400 // 60 + 1
    equal(daily["precipitation_sum"][last], begun / 4)
    assert daily["temperature_2m_max"][last] <= 29.5


@OPEN_METEO.check
def units_and_unix_times_are_as_asked_for(subject):
    answer = subject.get(
        FORECAST,
        current="temperature_2m,wind_speed_10m,precipitation",
        hourly="wind_speed_10m",
        temperature_unit="fahrenheit",
        wind_speed_unit="kn",
        precipitation_unit="inch",
        timeformat="unixtime",
        name="Tokyo",
        timezone="Asia/Tokyo",
    ).json()
    equal(answer["current"]["time"], subject.now)
    equal(answer["current"]["temperature_2m"], 14.9)
    equal(answer["current"]["precipitation"], 0.01)
    equal(answer["current_units"]["temperature_2m"], "°F")
    equal(answer["hourly_units"]["wind_speed_10m"], "kn")
    last = place(answer["hourly"]["time"], subject.now - subject.now % 3600)
    equal(answer["hourly"]["wind_speed_10m"][last], 19.4)


@OPEN_METEO.check
def several_places_are_a_list(subject):
    answers = subject.get(
        FORECAST, latitude="48.86,35.7,-33.9", longitude="2.34,139.7,151.2", current="temperature_2m"
    ).json()
    equal([answer.get("location_id") for answer in answers], [None, 1, 2])
    equal(answers[2]["current"]["temperature_2m"], None)
    assert answers[0]["current"]["temperature_2m"] is not None


@OPEN_METEO.check
def csv_has_a_part_for_each_section(subject):
    text = subject.get(FORECAST, current="temperature_2m", daily="temperature_2m_max", format="csv", **PARIS).text
    parts = [part.splitlines() for part in text.split("\n\n")]
    equal(parts[0][0], "latitude,longitude,elevation,utc_offset_seconds,timezone,timezone_abbreviation")
    equal(parts[1][0], "time,temperature_2m (°C)")
    equal((parts[2][0], len(parts[2])), ("time,temperature_2m_max (°C)", 2))


@OPEN_METEO.check
def errors_have_the_shape_of_open_meteo(subject):
    for path, query, word in (
        (FORECAST, {}, "latitude"),
        (FORECAST, {"latitude": 1}, "longitude"),
        (FORECAST, PARIS | {"hourly": "cape"}, "cape"),
        (FORECAST, PARIS | {"daily": "temperature_2m"}, "_max"),
        (FORECAST, PARIS | {"timezone": "Mars"}, "Mars"),
        (FORECAST, PARIS | {"format": "flatbuffers"}, "flatbuffers"),
        (FORECAST, PARIS | {"colour": "red"}, "colour"),
        (FORECAST, {"latitude": 91, "longitude": 0}, "91"),
        ("/v1/archive", PARIS, "start_date"),
        ("/v1/archive", PARIS | {"start_date": "0001-01-01", "end_date": "9999-12-31", "minutely_15": "temperature_2m"}, "values"),
    ):
        reply = subject.get(path, **query)
        equal((query, reply.status_code, reply.json()["error"]), (query, 400, True))
        assert word in reply.json()["reason"], (word, reply.text)


@OPEN_METEO.check
def an_answer_in_that_shape_has_a_tag(subject):
    query = PARIS | {"hourly": "temperature_2m"}
    # Another hour may begin between the two, but not twice.
    tags = (subject.get(FORECAST, **query).headers["etag"] for _ in range(2))
    assert any(subject.get(FORECAST, {"if-none-match": tag}, **query).status_code == 304 for tag in tags)


@OPEN_METEO.check
def openmeteo_python_reads_forecast_and_archive(subject):
    class Forecast(ForecastClient):
        BASE_URL = subject.url + FORECAST

    class Archive(HistoricalClient):
        BASE_URL = subject.url + "/v1/archive"

    answer = Forecast().get(
        **PARIS,
        current=["temperature_2m"],
        hourly=["temperature_2m", "wind_speed_10m"],
        daily=["temperature_2m_max"],
        timezone="Europe/Paris",
        past_days=1,
    )
    equal(answer.location.timezone, "Europe/Paris")
    frame = answer.to_dataframe()
    assert len(frame) > 24 and frame["wind_speed_10m"].dropna().iloc[-1] == 36.0, frame
    day = local(subject.now, 0, "%Y-%m-%d")
    answer = Archive().get(**PARIS, start_date=day, end_date=day, hourly=["relative_humidity_2m"])
    frame = answer.to_dataframe()
    equal(frame["relative_humidity_2m"].dropna().iloc[-1], 50)
