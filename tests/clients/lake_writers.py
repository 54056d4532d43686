"""What other programs put beside the tables of a lake:

    python lake_writers.py beside DATA/lake          a table of another program, and folders that are none
"""

import os
import pathlib
import sys

import deltalake
import pyarrow as pa


def beside(lake):
    """A table of another program, a log that is none, a folder and a file."""
    lake = pathlib.Path(lake)
    deltalake.write_deltalake(str(lake / "strange table"), pa.table({"x": [1, 2, 3]}))
    (lake / "broken" / "_delta_log").mkdir(parents=True)
    (lake / "broken" / "_delta_log" / "00000000000000000000.json").write_text("no commit\n")
    (lake / "notes").mkdir()
    (lake / "notes" / "readme.txt").write_text("not a table")
    (lake / "readme.txt").write_text("not a table")


def main(arguments):
    match arguments:
        case ["beside", path]:
            beside(path)
            return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of the libraries that still run would now and then abort the process while it ends.
    os._exit(status or 0)
