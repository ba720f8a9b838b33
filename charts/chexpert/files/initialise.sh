#!/bin/sh
# Before each start of the bundled PostgreSQL: makes the cluster of databases if the volume is empty, then the two
# databases and the role's password, as the Secret has it now. Done twice, it changes nothing.
set -eu

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    rm -rf "$PGDATA.new" # of an attempt that was killed
    # Collation C: the order of an index does not change with the image's C library.
    initdb --pgdata="$PGDATA.new" --username=chexpert --pwfile="$PASSWORD_FILE" --auth-local=peer \
        --auth-host=scram-sha-256 --encoding=UTF8 --locale=C --data-checksums
    mv "$PGDATA.new" "$PGDATA"
fi
chmod 0700 "$PGDATA" # a volume's fsGroup may have opened it to the group, with which postgres does not start

postgres -D "$PGDATA" -c listen_addresses= -c unix_socket_directories="$SOCKETS" -c hba_file="$HBA_FILE" &
server=$!
trap 'kill -INT "$server" 2>/dev/null || true' EXIT
until pg_isready --quiet --host="$SOCKETS" --dbname=postgres; do
    kill -0 "$server" || exit 1
    sleep 0.2
done
psql --quiet --no-psqlrc --host="$SOCKETS" --username=chexpert --dbname=postgres --set=ON_ERROR_STOP=1 <<'SQL'
\set password `cat "$PASSWORD_FILE"`
SET password_encryption = 'scram-sha-256';
ALTER ROLE chexpert PASSWORD :'password';
SELECT format('CREATE DATABASE %I', name) FROM unnest(ARRAY['chexpert', 'mlflow']) AS name
    WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = name)
\gexec
SQL
trap - EXIT
kill -INT "$server"
wait "$server"
