#!/bin/sh
# Writes docker/.env, which compose.yaml takes its secrets from, with fresh ones. An existing file is kept: the
# databases remember the passwords that they were made with.
set -eu
umask 077
cd "$(dirname "$0")"
if [ -e .env ]; then
    echo "docker/.env is there already; it is kept"
    exit
fi
echo "COMPOSE_PROJECT_NAME=livetail" >.env.new
for name in JWT_SECRET LIVETAIL_PASSWORD POSTGRES_PASSWORD MONGO_ROOT_PASSWORD MYSQL_ROOT_PASSWORD GRAFANA_PASSWORD; do
    echo "$name=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')"
done >>.env.new
mv .env.new .env
echo "wrote docker/.env"
