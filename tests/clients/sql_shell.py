"""Does the conversation of `barograph sql` go as its help says? Run with the binary and a server with an empty data folder:

    python sql_shell.py target/release/barograph 127.0.0.1:8815 [part of a check's name]
"""

import os
import re
import sys
import tempfile
import time

import adbc_driver_flightsql.dbapi as dbapi

import readings
from checks import Checks
from session import Session
from terminal import CONTROL_C, DOWN, ENTER, TAB, UP, Terminal

CHECKS = Checks()
PROMPT = "barograph: "
MORE = "…: "
CITIES = sorted(readings.cities()[:3])
INSTANTS = range(readings.day(0), readings.day(0) + readings.HOUR, 10 * readings.MINUTE)
ROWS = len(CITIES) * len(INSTANTS)
SLOW = "SELECT count(*) AS slow FROM generate_series(1, 1000000) a CROSS JOIN generate_series(1, 1000000) b"


class Subject:
    """The binary, the server, and a folder for what the conversation remembers."""

    def __init__(self, binary, address, state):
        self.binary, self.url = binary, f"grpc://{address}"
        self.environment = {"TERM": "xterm", "PATH": os.environ["PATH"], "XDG_STATE_HOME": state}
        self.endpoint = f"http://{address}"

    def talk(self):
        """A conversation that shows its first prompt."""
        arguments = [self.binary, "sql", "--set", f"endpoint={self.endpoint}"]
        terminal = Terminal(arguments, self.environment)
        terminal.until(PROMPT)
        return terminal

    def running(self, word):
        """Waits until a statement with a word in it runs."""
        text = f"SELECT count(*) FROM system.queries WHERE state = 'running' AND text LIKE '%{word}%' AND text NOT LIKE '%system%'"
        with dbapi.connect(self.url, autocommit=True) as connection, connection.cursor() as cursor:
            until = time.monotonic() + 600
            while time.monotonic() < until:
                cursor.execute(text)
                if cursor.fetchone() == (1,):
                    return
        raise AssertionError(f"no statement with {word!r} runs")


def leave(terminal):
    terminal.line("\\q")
    code = terminal.ended()
    assert code == 0, f"the conversation ended with {code}"


@CHECKS.check
def an_answer_is_shown_with_its_time(subject):
    with subject.talk() as terminal:
        terminal.line("select 40 + 2 as answer;")
        shown = terminal.until(r"1 rows in [0-9.]+ ms.*" + PROMPT)
        assert "answer" in shown and "42" in shown, shown
        leave(terminal)


@CHECKS.check
def a_statement_takes_several_lines(subject):
    with subject.talk() as terminal:
        terminal.line("select city_id,")
        terminal.until(MORE)
        terminal.line("  count(*) as n -- a comment; with a semicolon")
        terminal.until(MORE)
        terminal.line("from readings group by 1 order by 1; select ';' as mark;")
        shown = terminal.until(r"rows in .*rows in .*" + PROMPT)
        for city in CITIES:
            assert str(city) in shown, shown
        assert str(len(INSTANTS)) in shown and "mark" in shown, shown
        leave(terminal)


@CHECKS.check
def statements_end_where_the_server_sees_their_end(subject):
    with subject.talk() as terminal:
        for text, shown in (
            ("select 40 + 2 as answer; -- done; or not", "42"),
            ("select 40 + 3 as answer; /* a; b */", "43"),
            ("select $$4;4$$ as answer;", "4;4"),
            (r"select E'4\';5' as answer;", "4';5"),
            ("-- only a comment", ""),
            ("/* one\r two */ select 46 as answer;", "46"),
        ):
            terminal.line(text)
            rows = "1 rows in .*" if shown else ""
            terminal.until(re.escape(shown) + r".*" + rows + PROMPT)
        leave(terminal)


@CHECKS.check
def earlier_statements_come_back_as_they_were(subject):
    with subject.talk() as terminal:
        terminal.line("select 'a  b' as spaces, -- a comment; of its own")
        terminal.until(MORE)
        terminal.line("  6 * 7 as answer;")
        terminal.until(r"a  b +42.*1 rows in .*" + PROMPT)
        terminal.line("select length('x")
        terminal.until(MORE)
        terminal.line("y') as letters;")
        terminal.until(r"\n +3\n.*1 rows in .*" + PROMPT)
        terminal.keys(UP + UP + ENTER)
        terminal.until(r"a  b +42.*1 rows in .*" + PROMPT)
        terminal.keys(UP + UP + ENTER)
        terminal.until(r"\n +3\n.*1 rows in .*" + PROMPT)
        leave(terminal)


@CHECKS.check
def a_table_shows_what_is_there(subject):
    with subject.talk() as terminal:
        terminal.line("select TIMESTAMP '2026-11-22 21:00:00' AT TIME ZONE 'Asia/Tokyo' as at, 0.0004 as small;")
        terminal.until(r"2026-11-22 21:00:00\+09:00 +0\.0004\b.*1 rows in .*" + PROMPT)
        terminal.line("select chr(27) || '[31mred' as text, '東京' as city, 1 as one;")
        shown = terminal.until(r"1 rows in .*" + PROMPT)
        assert r"\u{1b}[31mred  東京" in shown, shown
        leave(terminal)


@CHECKS.check
def tab_completes_tables_and_columns(subject):
    with subject.talk() as terminal:
        terminal.keys(f"select count(*) as n, min(temper{TAB}) is not null as known from readin{TAB}s;{ENTER}")
        terminal.until(rf"\b{ROWS} +true.*rows in .*" + PROMPT)
        terminal.keys(f"sel{TAB} count(*) > 14000 as many from citie{TAB};{ENTER}")
        assert "true" in terminal.until(r"rows in .*" + PROMPT)
        terminal.keys(f"select count(*) as n from system.hou{TAB};{ENTER}")
        terminal.until(r"n\b.*1 rows in .*" + PROMPT)
        leave(terminal)


@CHECKS.check
def arrow_keys_bring_back_statements_also_of_earlier_conversations(subject):
    with subject.talk() as terminal:
        for number in (111, 222):
            terminal.line(f"select {number} * 1000 as product;")
            terminal.until(f"{number}000.*rows in .*" + PROMPT)
        terminal.keys(UP + UP + ENTER)
        terminal.until("111000.*rows in .*" + PROMPT)
        terminal.keys(UP + UP + DOWN + ENTER)
        terminal.until("111000.*rows in .*" + PROMPT)
        leave(terminal)
    with subject.talk() as terminal:
        terminal.keys(UP + UP + UP + ENTER)
        terminal.until("111000.*rows in .*" + PROMPT)
        leave(terminal)


@CHECKS.check
def tables_and_their_columns_are_described(subject):
    with subject.talk() as terminal:
        terminal.line("\\d")
        shown = terminal.until(r"rows in .*" + PROMPT)
        for name in ("readings", "cities", "dead_letters", "queries", "completeness"):
            assert name in shown, f"{name}: {shown}"
        terminal.line("\\d readings")
        shown = terminal.until(r"9 rows in .*" + PROMPT)
        assert "temperature" in shown and "Float32" in shown, shown
        terminal.line("\\d system.hours")
        assert "tail_rows" in terminal.until(r"rows in .*" + PROMPT)
        terminal.line("\\?")
        assert "Ctrl-C" in terminal.until(r"Arrow keys.*" + PROMPT)
        terminal.line("\\dance")
        terminal.until(r"\\dance: \\\? lists the commands.*" + PROMPT)
        leave(terminal)


@CHECKS.check
def times_and_form_can_be_chosen(subject):
    with subject.talk() as terminal:
        terminal.line("\\timing")
        terminal.until("times are not shown.*" + PROMPT)
        terminal.line("\\format csv")
        terminal.until(PROMPT)
        terminal.line("select 1 as a, 'x' as b;")
        shown = terminal.until(r"a,b\n1,x\n.*" + PROMPT)
        assert " rows in " not in shown, shown
        terminal.line("\\timing")
        terminal.until("times are shown.*" + PROMPT)
        terminal.line("\\format letter")
        terminal.until("choose from table, csv, json.*" + PROMPT)
        leave(terminal)


@CHECKS.check
def a_fault_is_pointed_at(subject):
    with subject.talk() as terminal:
        terminal.line("select temprature from readings;")
        shown = terminal.until(r"\^.*" + PROMPT)
        assert 'there is no column "temprature": did you mean "temperature"?' in shown, shown
        lines = shown.splitlines()
        (mark,) = [at for at, line in enumerate(lines) if line.strip() == "^"]
        assert lines[mark].index("^") == lines[mark - 1].index("temprature"), shown
        terminal.line("select 1 +;")
        terminal.until(PROMPT)
        # The conversation goes on.
        terminal.line("select 6 * 7 as answer;")
        terminal.until(r"42.*rows in .*" + PROMPT)
        leave(terminal)


@CHECKS.check
def control_c_drops_what_is_written(subject):
    with subject.talk() as terminal:
        terminal.line("select this is")
        terminal.until(MORE)
        terminal.reads_keys()
        terminal.keys(CONTROL_C)
        terminal.until(PROMPT)
        terminal.line("select 6 * 7 as answer;")
        terminal.until(r"42.*rows in .*" + PROMPT)
        leave(terminal)


@CHECKS.check
def control_c_stops_what_runs(subject):
    with subject.talk() as terminal:
        terminal.line(SLOW + ";")
        subject.running("slow")
        terminal.keys(CONTROL_C)
        terminal.until("stopped.*" + PROMPT)
        terminal.line("select 6 * 7 as answer;")
        terminal.until(r"42.*rows in .*" + PROMPT)
        leave(terminal)


@CHECKS.check
def a_statement_is_watched_until_control_c(subject):
    with subject.talk() as terminal:
        terminal.line("\\watch")
        terminal.until("run a statement first.*" + PROMPT)
        terminal.line("select 6 * 7 as answer;")
        terminal.until(r"42.*rows in .*" + PROMPT)
        terminal.line("\\watch 0.1")
        for _ in range(3):
            terminal.until(r"answer.*42.*rows in ")
        terminal.keys(CONTROL_C)
        terminal.until(PROMPT)
        terminal.line("\\watch never")
        terminal.until("seconds from 0.1 to 86400.*" + PROMPT)
        leave(terminal)


@CHECKS.check
def a_conversation_ends_by_a_word_too(subject):
    with subject.talk() as terminal:
        terminal.line("exit")
        assert terminal.ended() == 0


def main(arguments):
    if not 2 <= len(arguments) <= 3:
        print(__doc__, file=sys.stderr)
        return 2
    binary, address, *only = arguments
    with tempfile.TemporaryDirectory() as state:
        subject = Subject(binary, address, state)
        with Session(subject.url) as session:
            session.put(readings.Model().make(CITIES, INSTANTS))
        return CHECKS.run(subject, *only)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
