#!/usr/bin/env bash
# The connector, the gateway and a real Ory Hydra. Fails when anything fails or is missing; nothing is skipped.
# Hydra is built once into $DCR_CACHE; each run has one of its own with nothing in it, on free ports.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

. .ci/tools.sh
here=connector/hydra
# Where the API document and the checker of recordings are.
specs=${DCR_SPECS:-../shared/specs}
target=${CARGO_TARGET_DIR:-target}

say() { printf '== %s\n' "$*" >&2; }

umask 077
mkdir -p "$DCR_CACHE"
work=$(mktemp -d)
hydra=
finish() {
    local status=$?
    [ "$status" = 0 ] || tail -n 20 "$work/hydra.log" 2>/dev/null || true
    if [ -n "$hydra" ]; then
        kill "$hydra" 2>/dev/null || true
        wait "$hydra" 2>/dev/null || true
    fi
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT
trap 'exit 1' INT TERM

for tool in python3 curl cargo; do
    command -v "$tool" >/dev/null || { say "$tool is missing"; exit 1; }
done
[ -x "$specs/check-exchanges" ] || { say "the checker of recordings is missing: set DCR_SPECS"; exit 1; }
dist=$(bash "$here/tests/install.sh")

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
public=$(free_port) admin=$(free_port)
cat >"$work/hydra.yml" <<YAML
dsn: memory
log: {level: warn, format: json}
serve:
  public: {host: 127.0.0.1, port: $public}
  admin: {host: 127.0.0.1, port: $admin}
urls:
  self: {issuer: "http://127.0.0.1:$public/"}
  consent: http://127.0.0.1:1/consent
  login: http://127.0.0.1:1/login
secrets: {system: ["$(python3 -c 'import secrets; print(secrets.token_urlsafe(24))')"]}
YAML
say "starting Hydra at http://127.0.0.1:$admin"
SQA_OPT_OUT=true "$dist/hydra" serve all --dev --sqa-opt-out -c "$work/hydra.yml" >"$work/hydra.log" 2>&1 &
hydra=$!

say "building"
cargo build --quiet -p dcr-gateway -p dcr-connector-hydra
cargo build --quiet -p dcr-tests --bin konnect-sim
cargo build --quiet -p dcr-connector-hydra --example hydra-real

for url in "http://127.0.0.1:$admin/health/ready" "http://127.0.0.1:$public/health/ready"; do
    for _ in $(seq 300); do
        curl -sf -o /dev/null "$url" && break
        kill -0 "$hydra" 2>/dev/null || break
        sleep 0.1
    done
    curl -sf -o /dev/null "$url" || { say "Hydra did not start"; exit 1; }
done

failed=0
"$target/debug/examples/hydra-real" \
    --admin-url "http://127.0.0.1:$admin" --public-url "http://127.0.0.1:$public" --recording "$work/recording.jsonl" \
    --gateway "$target/debug/dcr-gateway" --connector "$target/debug/dcr-connector-hydra" \
    --konnect-sim "$target/debug/konnect-sim" || failed=1

say "checking the recording against Hydra's API document"
check_exchanges "$specs" --spec "$specs/hydra.json" --strict-members \
    --ignore "$here/tests/accepted.txt" "$work/recording.jsonl" || failed=1
exit "$failed"
