#!/usr/bin/env bash
# The connector and the gateway before real servers of five manners, side by side. Fails when anything fails or is missing;
# nothing is skipped. Servers are installed once into $DCR_CACHE; each run has servers of its own with nothing in them.
#
#   real.sh [--servers "NAME..."] [OPTION OF THE SUITE]... [PART OF A SCENARIO'S NAME]...
#
# `--kills N` kills more under load than a quick run does, `--seed N` repeats what is drawn for it.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

here=connector/rfc7591
. $here/tests/servers/common.sh
target=${CARGO_TARGET_DIR:-target}

# name: the script that starts it, and what that takes beside a folder and a port.
declare -A servers=(
    [rotating]="oidc-provider rotating"
    [fixed]="oidc-provider fixed"
    [glewlwyd]="glewlwyd"
    [hydra]="hydra"
    [keycloak]="keycloak"
)
chosen=(rotating fixed glewlwyd hydra keycloak)
if [ "${1:-}" = --servers ]; then
    read -ra chosen <<<"$2"
    shift 2
fi
# Replicas share a database before the server that gives replicas the most to quarrel about.
replicated=rotating

work_folder
need python3 curl cargo flock
need_checker
mkdir -p "$DCR_CACHE"

say "starting ${chosen[*]} and PostgreSQL"
declare -A starting=()
start() {
    local name=$1 script=$2
    shift 2
    mkdir "$work/$name"
    bash "$here/tests/servers/$script.sh" "$work/$name" "$@" >"$work/$name.start" 2>&1 &
    starting[$name]=$!
}
declare -A ports=()
for name in "${chosen[@]}"; do
    read -ra words <<<"${servers[$name]}"
    ports[$name]=$(free_port)
    start "$name" "${words[0]}" "${ports[$name]}" "${words[@]:1}"
done
start postgresql postgresql

say "building"
cargo build --quiet -p dcr-gateway -p dcr-connector-rfc7591 -p dcr-conformance
cargo build --quiet -p dcr-tests --bin konnect-sim
cargo build --quiet -p dcr-connector-rfc7591 --example rfc7591-real

for name in "${!starting[@]}"; do
    wait "${starting[$name]}" || { say "$name did not start"; cat "$work/$name.start"; exit 1; }
done

# The RFCs fix no paths, so the document of what goes by has paths of its own.
as_in_the_document() {
    python3 - "$1/server.json" "$2" <<'PYTHON'
import json, sys
told = json.load(open(sys.argv[1]))
for line in open(sys.argv[2]):
    exchange = json.loads(line)
    path = exchange["url"].removeprefix(told["origin"])
    for role, ours in ("registration_path", "/register"), ("token_path", "/token"):
        if path.startswith(told[role]):
            exchange["url"] = told["origin"] + ours + path.removeprefix(told[role])
    # Discovery is another document's.
    if "/.well-known/" not in path:
        print(json.dumps(exchange))
PYTHON
}

suite() {
    local name=$1 folder=$work/$1 failed=0
    local -a more=()
    shift
    [ "$name" != "$replicated" ] || more=(--postgresql "$work/postgresql")
    "$target/debug/examples/rfc7591-real" --server "$folder" "${more[@]}" --recording "$folder/recording.jsonl" \
        --gateway "$target/debug/dcr-gateway" --connector "$target/debug/dcr-connector-rfc7591" \
        --konnect-sim "$target/debug/konnect-sim" --conformance "$target/debug/dcr-conformance" "$@" || failed=1
    as_in_the_document "$folder" "$folder/recording.jsonl" >"$folder/checked.jsonl"
    check_exchanges rfc7591 "$here/tests/accepted-$name.txt" "$folder/checked.jsonl" || failed=1
    return $failed
}

say "running the suites"
declare -A running=()
for name in "${chosen[@]}"; do
    suite "$name" "$@" >"$work/$name.suite" 2>&1 &
    running[$name]=$!
done
failed=0
for name in "${chosen[@]}"; do
    if wait "${running[$name]}"; then
        say "$name: passed"
    else
        say "$name: FAILED"
        failed=1
    fi
    cat "$work/$name.suite"
done
exit $failed
