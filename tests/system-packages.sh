#!/bin/sh
# What the tests use beyond PyPI, from Debian's packages: Postgres 15, Chromium, curl, Java and Maven (for Kafka). Without them
# the tests that need them are skipped, and say so at the end. MySQL and MariaDB come from Debian, too, but are not
# installed: see servers/__main__.py.
missing=
[ -x /usr/lib/postgresql/15/bin/postgres ] || missing="$missing postgresql-15"
command -v chromium >/dev/null || missing="$missing chromium"
command -v curl >/dev/null || missing="$missing curl"
command -v java >/dev/null || missing="$missing default-jre-headless"
command -v mvn >/dev/null || missing="$missing maven"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "not installed, what needs them is skipped:$missing"
    exit 0
fi
# Debian would make and start a cluster of its own.
mkdir -p /etc/postgresql-common
[ -e /etc/postgresql-common/createcluster.conf ] ||
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
echo "installing$missing"
apt-get update -qq
for package in $missing; do
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null ||
        echo "could not be installed, what needs it is skipped: $package"
done
