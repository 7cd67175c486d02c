#!/usr/bin/env bash
# The connector, the gateway and a real Ory Hydra. Fails when anything fails or is missing; nothing is skipped.
# Hydra is built once into $DCR_CACHE; each run has one of its own with nothing in it, on free ports.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

. .ci/tools.sh
. .ci/servers.sh
here=connector/hydra
target=${CARGO_TARGET_DIR:-target}

work_folder
need python3 curl cargo
need_checker
mkdir -p "$DCR_CACHE" "$work/hydra"
dist=$(bash "$here/tests/install.sh")

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
secrets: {system: ["$(password)"]}
YAML
say "starting Hydra at http://127.0.0.1:$admin"
SQA_OPT_OUT=true "$dist/hydra" serve all --dev --sqa-opt-out -c "$work/hydra.yml" >"$work/hydra/log" 2>&1 &
echo $! >"$work/hydra/pid"

say "building"
cargo build --quiet -p dcr-gateway -p dcr-connector-hydra
cargo build --quiet -p dcr-tests --bin konnect-sim
cargo build --quiet -p dcr-connector-hydra --example hydra-real

await "$work/hydra" "http://127.0.0.1:$admin/health/ready"
await "$work/hydra" "http://127.0.0.1:$public/health/ready"

failed=0
"$target/debug/examples/hydra-real" \
    --admin-url "http://127.0.0.1:$admin" --public-url "http://127.0.0.1:$public" --recording "$work/recording.jsonl" \
    --gateway "$target/debug/dcr-gateway" --connector "$target/debug/dcr-connector-hydra" \
    --konnect-sim "$target/debug/konnect-sim" || failed=1

say "checking the recording against Hydra's API document"
check_exchanges hydra "$here/tests/accepted.txt" "$work/recording.jsonl" || failed=1
exit "$failed"
