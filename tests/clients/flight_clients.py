"""Does pyarrow.flight, a client that is not ours, get what the server promises? Run against a server with an empty
data folder, started with BAROGRAPH_FLIGHT__ENDPOINT_ROWS=5000, so that small tables have several endpoints, and
BAROGRAPH_FLIGHT__VIEWS_MAX=1000, as each moment that endpoints show is held for minutes:

    python flight_clients.py grpc://127.0.0.1:8815 [part of a check's name]
"""

import sys

import check_endpoints
import check_errors
import check_exchange
import check_load
import check_puts
import check_reads
from checks import Checks
from session import Session


def main(arguments):
    if not 1 <= len(arguments) <= 2:
        print(__doc__, file=sys.stderr)
        return 2
    checks = Checks()
    for part in (check_puts, check_reads, check_endpoints, check_exchange, check_errors, check_load):
        checks.include(part.CHECKS)
    with Session(arguments[0]) as session:
        return checks.run(session, *arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
