"""A pyarrow.flight server that sends one table from memory: the limit for large answers. The ticket is the number of
rows of a batch, or 0 for the batches that the table has.

    python flight_peer.py TABLE.arrow       prints its URL, stops when its standard input ends
"""

import pathlib
import subprocess
import sys
import threading

import pyarrow as pa
import pyarrow.flight as flight


class Peer:
    """That server in a process of its own, with a client."""

    def __init__(self, table, folder):
        path = pathlib.Path(folder) / "table.arrow"
        with pa.ipc.new_file(path, table.schema) as file:
            file.write_table(table)
        self.process = subprocess.Popen(
            [sys.executable, __file__, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.client = flight.connect(self.process.stdout.readline().strip())

    def read(self, rows):
        return self.client.do_get(flight.Ticket(str(rows))).read_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()
        self.process.stdin.close()
        self.process.wait(30)


class Memory(flight.FlightServerBase):
    def __init__(self, table):
        super().__init__("grpc://127.0.0.1:0")
        self.table = table
        self.cut = {}

    def do_get(self, context, ticket):
        rows = int(ticket.ticket)
        if rows not in self.cut:
            whole = self.table if rows == 0 else self.table.combine_chunks()
            batches = whole.to_batches(max_chunksize=rows or None)
            self.cut[rows] = pa.Table.from_batches(batches)
        return flight.RecordBatchStream(self.cut[rows])


def main(path):
    # Read, not mapped: every column lies in memory of its own.
    with pa.OSFile(path) as file, pa.ipc.open_file(file) as reader:
        server = Memory(reader.read_all())
    print(f"grpc://127.0.0.1:{server.port}", flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
    server.serve()


if __name__ == "__main__":
    main(sys.argv[1])
