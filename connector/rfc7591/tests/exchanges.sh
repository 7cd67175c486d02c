#!/usr/bin/env bash
# What the connector and the scripted servers said to each other in the last `cargo test -p dcr-connector-rfc7591`, held
# against descriptions of RFC 7591, RFC 7592 and of Curity that somebody else wrote: so that not both sides are wrong in the
# same way.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
. .ci/tools.sh

recordings=${CARGO_TARGET_DIR:-target}/tmp/rfc7591-exchanges

need_checker
failed=0
for name in rfc7591 curity; do
    [ -s "$recordings/$name.jsonl" ] || { echo "nothing is recorded: run cargo test -p dcr-connector-rfc7591" >&2; exit 1; }
    # Its warnings are about members that no description can name: the servers' own.
    said=$(check_exchanges "$name" connector/rfc7591/tests/accepted-scripted.txt "$recordings/$name.jsonl" 2>&1) ||
        { failed=1 && grep violation <<<"$said"; }
    tail -n 1 <<<"$said"
done
exit "$failed"
