#!/bin/sh
# Patroni runs this once, when it has made the cluster; $1 leads to its database.
exec psql "$1" --set=ON_ERROR_STOP=1 --set=password="${POSTGRES_PASSWORD:?is empty}" <<'SQL'
CREATE ROLE devicesvc LOGIN PASSWORD :'password';
CREATE DATABASE devicesvc OWNER devicesvc TEMPLATE template0 ENCODING 'UTF8';
SQL
