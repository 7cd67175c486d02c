# shellcheck shell=bash
# What the scripts share that start servers for a suite. Sourced after tools.sh, under `set -e`.

umask 077

say() { printf '== %s\n' "$*" >&2; }

need() {
    local tool
    for tool; do command -v "$tool" >/dev/null || { say "$tool is missing"; return 1; }; done
}

# Below the range that outgoing connections take theirs from: it may be a while until the port is listened on.
free_port() {
    python3 -c '
import random, socket
while True:
    port = random.randrange(16000, 32000)
    with socket.socket() as s:
        if s.connect_ex(("127.0.0.1", port)):
            print(port)
            break'
}

password() { python3 -c 'import secrets; print(secrets.token_urlsafe(24), end="")'; }

# Makes the folder $work, in which each server has a folder with its `pid`, its `log` and perhaps `data`, a link to what it
# keeps elsewhere. At the script's end all of that ends.
work_folder() {
    work=$(mktemp -d)
    trap finish EXIT
    trap 'exit 1' INT TERM
}

finish() {
    local status=$? file
    [ "$status" = 0 ] || tail -n 20 "$work"/*/log >&2 2>/dev/null || true
    for file in "$work"/*/pid; do
        [ ! -e "$file" ] || kill "$(cat "$file")" 2>/dev/null || true
    done
    # Their last words go to their logs.
    for file in "$work"/*/pid; do
        [ ! -e "$file" ] || timeout 20 tail --pid="$(cat "$file")" -f /dev/null || true
    done
    for file in "$work"/*/data; do
        [ ! -L "$file" ] || rm -rf "$(readlink "$file")"
    done
    rm -rf "$work"
    exit "$status"
}

# Waits until a page of a server is there, for as long as its process lives, half a minute at most if not told otherwise:
# await FOLDER URL [SECONDS]
await() {
    local folder=$1 url=$2 seconds=${3:-30} process
    process=$(cat "$folder/pid")
    for _ in $(seq $((seconds * 10))); do
        curl -sf -o /dev/null --max-time 5 "$url" && return
        kill -0 "$process" 2>/dev/null || break
        sleep 0.1
    done
    say "no answer from $url"
    tail -n 20 "$folder/log" >&2
    return 1
}
