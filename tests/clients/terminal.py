"""How does a person at a terminal speak to a program? Keys go in, what the screen shows comes out, over a pseudo-terminal."""

import fcntl
import os
import pty
import re
import select
import struct
import termios
import time

UP, DOWN, TAB, ENTER, CONTROL_C = "\x1b[A", "\x1b[B", "\t", "\r", "\x03"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
TIMEOUT = 600.0
POLL = 0.01


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, arguments, environment, columns=160, lines=50):
        self.raw, self.shown, self.seen = b"", "", 0
        self.process, self.screen = pty.fork()
        if self.process == 0:
            os.execve(arguments[0], arguments, environment)
        fcntl.ioctl(self.screen, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.screen)

    def keys(self, text):
        """Presses keys."""
        os.write(self.screen, text.encode())

    def line(self, text):
        """Writes a line."""
        self.keys(text + ENTER)

    def until(self, pattern):
        """What is shown, after what was seen before, up to a pattern and with it."""
        found = self._wait(lambda: re.compile(pattern, re.DOTALL).search(self.shown, self.seen), f"{pattern!r} is not shown")
        begun, self.seen = self.seen, found.end()
        return self.shown[begun : self.seen]

    def reads_keys(self):
        """Waits until the program takes key by key, and not line by line as a terminal does by itself."""
        canonical = lambda: termios.tcgetattr(self.screen)[3] & termios.ICANON
        self._wait(lambda: not canonical(), "keys are not read one by one")

    def ended(self):
        """Waits until the program ended, and gives its exit code."""
        while self._read():
            pass
        _, status = os.waitpid(self.process, 0)
        return os.waitstatus_to_exitcode(status)

    def _wait(self, holds, complaint):
        until = time.monotonic() + TIMEOUT
        while not (found := holds()):
            if time.monotonic() > until or not self._read():
                raise AssertionError(f"{complaint}; after what was seen there is:\n{self.shown[self.seen :]}")
        return found

    def _read(self):
        """Takes in what is shown; False once the program has ended."""
        if not select.select([self.screen], [], [], POLL)[0]:
            return True
        try:
            more = os.read(self.screen, 65536)
        except OSError:
            return False
        self.raw += more
        self.shown = ESCAPES.sub("", self.raw.decode(errors="replace")).replace("\r", "")
        return bool(more)
