#!/usr/bin/env bash
# PostgreSQL, for a store that several replicas share: `postgresql.sh FOLDER` makes a database and starts its server. In the
# folder are then
#   pid     the server, which leads a process group of its own
#   start   a command that starts it once more, at the same port, after it was killed
#   url     the secret file that the connector's `postgres_url_file` names
#   data    where its data are: elsewhere, since the server refuses to run as root and cannot look into a folder of root's;
#           whoever ends the server removes what this leads to
#   log     what it printed
set -euo pipefail
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
. "$here/common.sh"
folder=$(realpath "$1")
mkdir -p "$DCR_CACHE"
need python3
# Debian keeps the server's programs off the path.
programs() { find /usr/lib/postgresql -path '*/bin/initdb' -printf '%h\n' 2>/dev/null | sort -V | tail -n 1; }
[ -n "$(programs)" ] || need_from_debian initdb postgresql
bin=$(programs)

unprivileged=
[ "$(id -u)" != 0 ] || unprivileged="setpriv --reuid=postgres --regid=postgres --clear-groups --"
data=$(mktemp -d)
ln -s "$data" "$folder/data"
port=$(free_port)
password >"$data/password"
printf 'postgres://dcr:%s@127.0.0.1:%s/postgres' "$(cat "$data/password")" "$port" >"$folder/url"
[ "$(id -u)" != 0 ] || chown -R postgres:postgres "$data"
cd "$data"
$unprivileged "$bin/initdb" --pgdata="$data/cluster" --username=dcr --encoding=UTF8 --locale=C --auth=scram-sha-256 \
    --pwfile="$data/password" >"$folder/log" 2>&1 || { cat "$folder/log" >&2; exit 1; }
rm "$data/password"

cat >"$folder/start" <<BASH
#!/usr/bin/env bash
set -euo pipefail
cd $data
# What a killed server leaves keeps the next one out until the last of its processes has noticed.
for _ in \$(seq 50); do
    setsid $unprivileged $bin/postgres -D $data/cluster -p $port -c listen_addresses=127.0.0.1 \\
        -c unix_socket_directories= -c recovery_init_sync_method=syncfs >>"$folder/log" 2>&1 </dev/null &
    echo \$! >"$folder/pid"
    while kill -0 \$! 2>/dev/null; do
        $bin/pg_isready --quiet --host=127.0.0.1 --port=$port --timeout=2 && exit 0
        sleep 0.1
    done
    sleep 0.2
done
echo "PostgreSQL did not start" >&2
tail -n 20 "$folder/log" >&2
exit 1
BASH
chmod u+x "$folder/start"
"$folder/start"
