"""What does a person at a terminal see of a server: `barograph top`, and the plots of `range` and `sql`?

    python watching.py target/release/barograph 127.0.0.1:8815 [part of a check's name]

The server has the built-in tables, which are empty.
"""

import os
import re
import subprocess
import sys

import pyarrow as pa

import readings
from checks import Checks, equal
from session import Session
from terminal import CONTROL_C, Terminal

CHECKS = Checks()
PARIS, TOKYO = 2988507, 1850147
START = readings.day(0)
COUNT = 48
HOUR = 3_600_000_000
BRAILLE = re.compile("[\u2801-\u28ff]")


class Subject:
    def __init__(self, binary, address):
        self.binary, self.endpoint = binary, f"http://{address}"
        self.environment = {"TERM": "xterm", "PATH": os.environ["PATH"]}
        rows = {
            "city_id": pa.array([city for city in (PARIS, TOKYO) for _ in range(COUNT)], pa.int32()),
            "reading_at": pa.array([START + hour * HOUR for hour in range(COUNT)] * 2, pa.timestamp("us", "UTC")),
            "temperature": pa.array([float(hour % 24) for hour in range(COUNT)] * 2, pa.float32()),
        }
        with Session(f"grpc://{address}") as session:
            session.put(pa.RecordBatch.from_pydict(rows))

    def arguments(self, *words):
        return [self.binary, *words, "--endpoint", self.endpoint]

    def run(self, *words):
        return subprocess.run(self.arguments(*words), env=self.environment, capture_output=True, text=True)

    def printed(self, *words):
        done = self.run(*words)
        equal((done.returncode, done.stderr), (0, ""))
        assert "\x1b" not in done.stdout, done.stdout
        return done.stdout


@CHECKS.check
def one_screen_is_printed_for_pipes(subject):
    for words in (("top", "--once", "--every", "1ms"), ("top", "--every", "1ms")):
        text = subject.printed(*words)
        assert text.startswith("barograph "), text
        for word in ("writes ", "acks disk ", "query sql ", "log ", "tail ", "landing ", "dead letters ", "memory "):
            assert f"\n{word}" in text, (word, text)
        assert re.search(r"\nreadings +[0-9.,]+ +[0-9,]+ +[0-9.]+ k?B +[0-9,]+ ", text), text
        assert re.search(r"\ncompact ", text), text
        assert "cannot be shown" not in text, text


@CHECKS.check
def a_server_is_watched_until_q(subject):
    with Terminal(subject.arguments("top", "--every", "200ms"), subject.environment, columns=100, lines=30) as terminal:
        terminal.until("by rows/s")
        terminal.reads_keys()
        terminal.keys("s")
        terminal.until("by table")
        terminal.keys("s")
        terminal.until("by tail")
        terminal.keys("q")
        equal(terminal.ended(), 0)
        assert terminal.raw.count(b"\x1b[?1049h") == terminal.raw.count(b"\x1b[?1049l") == 1
        assert b"\x1b[?25h" in terminal.raw


@CHECKS.check
def a_server_is_watched_until_a_signal(subject):
    with Terminal(subject.arguments("top"), subject.environment) as terminal:
        terminal.until("by rows/s")
        terminal.reads_keys()
        terminal.keys(CONTROL_C)
        equal(terminal.ended(), 0)
        assert b"\x1b[?1049l" in terminal.raw


@CHECKS.check
def a_server_that_is_not_there_is_told(subject):
    done = subprocess.run(
        [subject.binary, "top", "--once", "--endpoint", "http://127.0.0.1:1"], env=subject.environment, capture_output=True, text=True
    )
    equal(done.returncode, 1)
    assert "no server answers" in done.stderr, done.stderr


RANGE = ("--from", "2000-01-01", "--to", "2100-01-01", "--columns", "temperature", "--plot")


@CHECKS.check
def a_range_is_plotted(subject):
    text = subject.printed("range", "Paris", "Tokyo", *RANGE)
    equal(text.count("temperature (°C)"), 2)
    for name in ("Paris, FR", "Tokyo, JP"):
        assert f"{name}: min 0, max 23, last 23" in text, text
    assert BRAILLE.search(text) and "┤" in text and "┬" in text, text
    assert max(len(line) for line in text.splitlines()) <= 80, text
    windows = subject.printed("range", "Paris", *RANGE, "--every", "6h", "--agg", "mean,max")
    assert "temperature_mean" in windows and "temperature_max" in windows, windows


@CHECKS.check
def an_answer_in_sql_is_plotted(subject):
    text = subject.printed("sql", "--plot", "SELECT reading_at, 2 * temperature AS twice FROM readings WHERE city_id = 2988507")
    assert "twice" in text and "min 0, max 46, last 46" in text and BRAILLE.search(text), text


@CHECKS.check
def places_have_colours_in_a_terminal(subject):
    words = subject.arguments("range", "Paris", "Tokyo", *RANGE)
    with Terminal(words, subject.environment, columns=120) as terminal:
        equal(terminal.ended(), 0)
        equal(terminal.shown.count("temperature (°C)"), 1)
        assert b"\x1b[36mTokyo, JP" in terminal.raw and b"\x1b[33mParis, FR" in terminal.raw, terminal.raw
        widest = max(len(line) for line in terminal.shown.splitlines())
        assert 100 < widest <= 120, widest


@CHECKS.check
def what_cannot_be_plotted_is_told(subject):
    equal(subject.run("range", "Berlin", *RANGE).stdout, "no plot: the answer has no numbers\n")
    done = subject.run("sql", "--plot", "SELECT 1")
    equal(done.returncode, 2)
    assert "no plot: the answer has no column of times" in done.stderr, done.stderr
    equal(subject.run("range", "Paris", *RANGE, "--format", "csv").returncode, 2)


if __name__ == "__main__":
    sys.exit(CHECKS.run(Subject(*sys.argv[1:3]), *sys.argv[3:]))
