"""How does a bench run the real server? On a free port, on a data folder, with settings by environment variable."""

import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time

import pyarrow.flight as flight

ROOT = pathlib.Path(__file__).resolve().parents[2]


def binary(name="barograph", build="cargo build --release"):
    """A release binary that `build` makes."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    path = target / "release" / name
    if not path.exists():
        raise SystemExit(f"{path} is not there: {build}, and set CARGO_TARGET_DIR if it was set then")
    return path


def command(*arguments):
    """A command of the binary as a list."""
    return [str(binary()), *map(str, arguments)]


class Server:
    """`barograph serve`; as a context manager stopped at its end."""

    def __init__(self, data, **settings):
        """`settings` are names such as `engine__lateness`."""
        # Jobs run where a measurement asks for them.
        environment = {**os.environ, "BAROGRAPH_SCHEDULER__ENABLED": "false"}
        environment.update({f"BAROGRAPH_{name.upper()}": str(value) for name, value in settings.items()})
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            command("serve", "--data", data, "--listen", "127.0.0.1:0"),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.printed = []
        self._address = threading.Event()
        self.url = None
        self._reader = threading.Thread(target=self._collect, daemon=True)
        self._reader.start()
        if not self._address.wait(120) or self.url is None:
            self.kill()
            raise SystemExit("server did not start; it printed:\n" + "".join(self.printed))

    def _collect(self):
        for line in self.process.stdout:
            self.printed.append(line)
            found = re.search(r"127\.0\.0\.1:([1-9]\d*)", line)
            if found and not self.url:
                self.url = f"grpc://127.0.0.1:{found[1]}"
                self._address.set()
        self._address.set()

    @property
    def pid(self):
        return self.process.pid

    def connect(self):
        return flight.connect(self.url)

    def status(self):
        """VmRSS, VmHWM and the like in bytes."""
        lines = pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines()
        pairs = (line.split(":", 1) for line in lines)
        return {name: int(value.split()[0]) * 1024 for name, value in pairs if value.endswith("kB")}

    def kill(self):
        """SIGKILL, at once."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """SIGTERM, and until it has ended."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
            raise SystemExit("server did not stop:\n" + "".join(self.printed)) from None
        if code:
            raise SystemExit(f"server ended with {code}:\n" + "".join(self.printed))

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            self.kill()
        else:
            self.stop()


class RustClient:
    """The client of `barograph_flight` in a process of its own, which measures how long it waits; as a function from
    what `ticket` takes to the rows of the answer."""

    def __init__(self, server, ticket):
        path = binary("examples/ask", "cargo build --release --workspace --examples")
        self.process = subprocess.Popen(
            [str(path), server.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.ticket = ticket
        self.seconds = None

    def __call__(self, question):
        self.process.stdin.write(json.dumps(self.ticket(question)) + "\n")
        answer = self.process.stdout.readline().split()
        if not answer:
            raise SystemExit(f"the Rust client ended with {self.process.wait()}")
        self.seconds, rows = float(answer[0]), int(answer[1])
        return rows

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(30)


def get(client, ticket):
    """DoGet of a ticket (a dictionary) as a table."""
    return client.do_get(flight.Ticket(json.dumps(ticket))).read_all()


def put(client, batches, durability="disk"):
    """DoPut of record batches, acknowledgement after acknowledgement."""
    options = flight.FlightCallOptions(headers=[(b"x-barograph-durability", durability.encode())])
    writer, reader = client.do_put(flight.FlightDescriptor.for_path("readings"), batches[0].schema, options)
    with writer:
        for batch in batches:
            writer.write_batch(batch)
            ack = json.loads(reader.read().to_pybytes())
            if ack["rejected"]:
                raise SystemExit(f"rows were rejected: {ack}")
        writer.done_writing()


def flush(client):
    """Lands everything."""
    return [result.body.to_pybytes() for result in client.do_action(flight.Action("flush", b""))]
