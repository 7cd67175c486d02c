#!/usr/bin/env bash
# What the connector and the scripted servers said to each other, held against descriptions of RFC 7591, RFC 7592 and of
# Curity that somebody else wrote: neither side can be wrong in the same way unseen.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

export DCR_CACHE=${DCR_CACHE:-$HOME/.cache/dcr-bridge}
# Where the descriptions and the checker of recordings are.
specs=${DCR_SPECS:-../shared/specs}
venv=$DCR_CACHE/check-exchanges-1
recordings=${CARGO_TARGET_DIR:-target}/tmp/rfc7591-exchanges

say() { printf '== %s\n' "$*" >&2; }

[ -x "$specs/check-exchanges" ] || { say "the checker of recordings is missing: set DCR_SPECS"; exit 1; }
if [ ! -e "$venv/complete" ]; then
    mkdir -p "$DCR_CACHE"
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check \
        openapi-schema-validator==0.9.0 PyYAML==6.0.4
    touch "$venv/complete"
fi

say "recording"
cargo test --quiet -p dcr-connector-rfc7591 --test scripted
failed=0
for name in rfc7591 curity; do
    say "checking the recording against $name.json"
    "$venv/bin/python" "$specs/check-exchanges" --spec "$specs/$name.json" --strict-members \
        --ignore "connector/rfc7591/tests/accepted-scripted.txt" "$recordings/$name.jsonl" || failed=1
done
exit "$failed"
