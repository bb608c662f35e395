"""python write_postgres.py URL RATE SECONDS LISTS: inserts rows, each in a transaction of its own, and prints how many.

Pipelined: the next row does not wait for the answer to the one before, so that one connection writes fast enough.
"""

from __future__ import annotations

import sys
import time

import psycopg
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn

from benchmarks.latency.pace import due

INSERT = b"INSERT INTO todos (list, sent) VALUES ($1::int, $2)"


def main(url: str, rate: int, seconds: float, lists: int) -> None:
    number = answered = 0
    with psycopg.connect(url, autocommit=True) as connection:
        server = connection.pgconn
        server.nonblocking = 1
        server.enter_pipeline_mode()
        for rows in due(rate, seconds):
            for _ in range(rows):
                number += 1
                server.send_query_params(INSERT, [b"%d" % (number % lists), b"%d" % time.monotonic_ns()])
                server.pipeline_sync()
            server.flush()
            answered += answers(server, number - answered)
        while answered < number:
            server.flush()
            answered += answers(server, number - answered)
            time.sleep(0.001)  # seconds
        server.exit_pipeline_mode()
    print(number)


def answers(server: PGconn, outstanding: int) -> int:
    """How many of the outstanding transactions have ended since."""
    ended = 0
    server.consume_input()
    while ended < outstanding and not server.is_busy():
        result = server.get_result()
        if result is None:  # the end of one statement's results
            continue
        if result.status == ExecStatus.PIPELINE_SYNC:
            ended += 1
        elif result.status != ExecStatus.COMMAND_OK:
            raise SystemExit(server.get_error_message())
    return ended


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
