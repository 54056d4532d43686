"""Which checks ran, and what did each say? A list of named checks that runs to its end and tells all failures."""

import sys
import time
import traceback


class Checks:
    """Checks in the order of their registration. Each takes the one argument that `run` is given."""

    def __init__(self):
        self._checks = []

    def check(self, function):
        """Registers `function`; its docstring, or else its name, says what is checked."""
        self._checks.append(function)
        return function

    def include(self, other):
        """Registers all checks of `other`."""
        self._checks.extend(other._checks)

    def run(self, subject, only=None):
        """Runs all checks (or those whose name contains `only`) and gives the exit code."""
        chosen = [c for c in self._checks if not only or only in c.__name__]
        if not chosen:
            print(f"no check has {only!r} in its name", file=sys.stderr)
            return 2
        failed = 0
        for check in chosen:
            start = time.monotonic()
            try:
                check(subject)
                said = "ok    "
            except Exception:
                failed += 1
                said = "FAILED"
                traceback.print_exc(file=sys.stdout)
            what = (check.__doc__ or check.__name__.replace("_", " ")).strip().splitlines()[0]
            print(f"{said} {time.monotonic() - start:6.2f} s  {check.__name__}: {what}", flush=True)
        print(f"{len(chosen) - failed} passed, {failed} failed")
        return 1 if failed else 0


def equal(actual, expected, what="the value"):
    """Fails unless both are equal, and shows both."""
    assert actual == expected, f"{what}: got {actual!r}, expected {expected!r}"


def same_rows(actual, expected, what):
    """Fails unless two Arrow tables have the same columns, types and rows in the same order; shows the first
    row that differs."""
    equal(actual.column_names, expected.column_names, f"{what}: columns")
    equal(actual.schema.types, expected.schema.types, f"{what}: types")
    if actual.num_rows != expected.num_rows:
        extra = _keys(actual) - _keys(expected)
        missing = _keys(expected) - _keys(actual)
        raise AssertionError(
            f"{what}: {actual.num_rows} rows, expected {expected.num_rows}; "
            f"{len(extra)} extra, such as {sorted(extra, key=str)[:2]}; "
            f"{len(missing)} missing, such as {sorted(missing, key=str)[:2]}"
        )
    for name in expected.column_names:
        if actual[name].equals(expected[name]):
            continue
        for row, (got, wanted) in enumerate(zip(actual[name].to_pylist(), expected[name].to_pylist())):
            if got != wanted:
                raise AssertionError(
                    f"{what}: row {row}, column {name}: got {got!r}, expected {wanted!r}; "
                    f"whole row {actual.slice(row, 1).to_pylist()}"
                )
        raise AssertionError(f"{what}: column {name} differs in nulls or in the sign of zero")


def _keys(table):
    return set(zip(*(table.column(i).to_pylist() for i in range(min(2, table.num_columns)))))


def fails(call, kind, *fragments):
    """Fails unless `call()` raises `kind` with every fragment in its message; gives the message."""
    try:
        answer = call()
    except kind as error:
        message = str(error)
        for fragment in fragments:
            assert fragment in message, f"message {message!r} does not name {fragment!r}"
        return message
    except Exception as error:
        raise AssertionError(f"raised {type(error).__name__} ({short(error)}), expected {kind.__name__}") from error
    raise AssertionError(f"no error, but an answer: {short(answer)}")


def short(value):
    """The beginning of what a value prints as, on one line."""
    printed = " ".join(str(value).split())
    return printed if len(printed) <= 300 else printed[:300] + "…"
