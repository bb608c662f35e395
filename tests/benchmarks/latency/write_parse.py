"""python write_parse.py PORT RATE SECONDS LISTS: saves objects through Parse Server's REST API, eight at a time,
and prints how many."""

from __future__ import annotations

import http.client
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.latency.pace import due

HEADERS = {"X-Parse-Application-Id": "bench", "Content-Type": "application/json"}
WRITERS = 8


def save(port: int, rate: float, seconds: float, lists: int, first: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    number = first
    for rows in due(rate, seconds):
        for _ in range(rows):
            row = {"list": number % lists, "sent": str(time.monotonic_ns())}
            connection.request("POST", "/parse/classes/todos", json.dumps(row), HEADERS)
            answer = connection.getresponse()
            answer.read()
            number += WRITERS
            if answer.status != 201:
                raise SystemExit(f"Parse Server answers {answer.status}")
    return (number - first) // WRITERS


def main(port: int, rate: int, seconds: float, lists: int) -> None:
    each = rate / WRITERS
    with ThreadPoolExecutor(WRITERS) as threads:
        saved = [threads.submit(save, port, each, seconds, lists, at) for at in range(WRITERS)]
    print(sum(future.result() for future in saved))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
