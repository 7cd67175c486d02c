#!/usr/bin/env bash
# PostgreSQL, for a store that several replicas share. `postgresql.sh FOLDER` makes a database in the folder and starts the
# server; called again, after the server was killed, it starts it once more, at the same port. Then are in the folder
#   pid   the server, which leads a process group of its own
#   url   the secret file that the connector's `postgres_url_file` names
#   log   what it printed
# The server's data are elsewhere, since the server refuses to run as root and cannot look into a folder of root's; whoever
# stops it removes what `data` leads to.
set -euo pipefail
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
. "$here/common.sh"
folder=$(realpath "$1")
mkdir -p "$DCR_CACHE"
need python3
# Debian keeps the server's programs off the path.
programs() { printf '%s\n' /usr/lib/postgresql/*/bin/postgres | sort -V | tail -n 1 | xargs dirname; }
[ -x "$(programs)/postgres" ] || need_from_debian postgres postgresql
bin=$(programs)

unprivileged=()
[ "$(id -u)" != 0 ] || unprivileged=(setpriv --reuid=postgres --regid=postgres --clear-groups --)
if [ ! -e "$folder/data" ]; then
    data=$(mktemp -d)
    free_port >"$folder/port"
    password >"$data/password"
    printf 'postgres://dcr:%s@127.0.0.1:%s/postgres' "$(cat "$data/password")" "$(cat "$folder/port")" >"$folder/url"
    [ "$(id -u)" != 0 ] || chown -R postgres:postgres "$data"
    cd "$data"
    "${unprivileged[@]}" "$bin/initdb" --pgdata="$data/cluster" --username=dcr --encoding=UTF8 --locale=C \
        --auth=scram-sha-256 --pwfile="$data/password" >"$folder/log" 2>&1 || { cat "$folder/log" >&2; exit 1; }
    rm "$data/password"
    ln -s "$data" "$folder/data"
fi
data=$(readlink "$folder/data")
cd "$data"
port=$(cat "$folder/port")
answers() {
    "$bin/pg_isready" --quiet --host=127.0.0.1 --port="$port" --timeout=2
}
# What a killed server leaves keeps the next one out until the last of its processes has noticed.
for _ in $(seq 20); do
    setsid "${unprivileged[@]}" "$bin/postgres" -D "$data/cluster" -p "$port" -c listen_addresses=127.0.0.1 \
        -c unix_socket_directories= -c max_connections=200 -c recovery_init_sync_method=syncfs >>"$folder/log" 2>&1 &
    echo $! >"$folder/pid"
    while kill -0 "$(cat "$folder/pid")" 2>/dev/null; do
        answers && exit 0
        sleep 0.1
    done
    sleep 0.2
done
say "PostgreSQL did not start"
tail -n 20 "$folder/log" >&2
exit 1
