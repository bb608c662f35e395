"""`python -m tests.servers`: downloads the database programs that the tests fetch for themselves, unless they are here.

Only so that no test spends its own time on it; what cannot be had is told, and again by the tests that are skipped.
"""

from __future__ import annotations

from broadcaster.demo.mysql_installs import TITLES, MysqlNotFound, installation
from tests.servers.kafka_jars import VERSION, KafkaNotFound, kafka_jars

for flavor, title in TITLES.items():
    try:
        found = installation(flavor)
    except MysqlNotFound as error:
        print(error)
    else:
        print(f"{title} {found.version}: {found.server}")

try:
    print(f"Apache Kafka {VERSION}: {kafka_jars().folder}")
except KafkaNotFound as error:
    print(f"Apache Kafka: {error}")
