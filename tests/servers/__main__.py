"""`python -m tests.servers`: downloads the programs that the tests fetch for themselves, unless they are here.

Only so that no test spends its own time on it; what cannot be had is told, and again by the tests that are skipped.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from broadcaster.demo.debian import NotFromDebian
from broadcaster.demo.mysql_installs import TITLES, MysqlNotFound, installation

sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest has it

from servers.debezium_jars import VERSION as DEBEZIUM
from servers.debezium_jars import debezium_jars
from servers.kafka_cluster import prepare
from servers.kafka_jars import VERSION, KafkaNotFound
from servers.promtool import promtool
from servers.proxies import caddy, nginx

for flavor, title in TITLES.items():
    try:
        found = installation(flavor)
    except MysqlNotFound as error:
        print(error)
    else:
        print(f"{title} {found.version}: {found.server}")

with tempfile.TemporaryDirectory(prefix="livetail-kafka-format-") as folder:
    try:
        print(f"Apache Kafka {VERSION}: {prepare(Path(folder)).folder}")
    except KafkaNotFound as error:
        print(f"Apache Kafka: {error}")

try:
    print(f"Debezium's transformations {DEBEZIUM}: {debezium_jars()}")
except KafkaNotFound as error:
    print(f"Debezium's transformations: {error}")

for program in (promtool, nginx, caddy):
    try:
        print(f"{program.__name__}: {program()}")
    except NotFromDebian as error:
        print(f"{program.__name__}: {error}")
