#!/usr/bin/env bash
# Generates, checks and builds the connector, and holds it against the conformance suite. Needs Go, and npm for buf.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
root=$PWD/../../..
. "$root/.ci/tools.sh"

for tool in go npm cargo; do
    command -v "$tool" >/dev/null || { echo "$tool is missing" >&2; exit 1; }
done

buf generate
unformatted=$(gofmt -l .)
[ -z "$unformatted" ] || { echo "not formatted: $unformatted" >&2; exit 1; }
go mod tidy -diff
go vet ./...
go test ./...

work=$(mktemp -d)
connector=
finish() {
    [ -z "$connector" ] || kill -KILL "$connector" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
go build -o "$work/connector" .
mkfifo "$work/addresses"
"$work/connector" -listen 127.0.0.1:0 -token-listen 127.0.0.1:0 >"$work/addresses" 2>"$work/log" &
connector=$!
read -r -t 20 address token_url <"$work/addresses" || { cat "$work/log" >&2; exit 1; }

cargo run --quiet --manifest-path "$root/Cargo.toml" -p dcr-conformance -- \
    --connector "$address" --profile core --token-url "$token_url" \
    --own-client dcr-connector --unmarked-client made-by-hand --settle --terminate "$connector" "$@" ||
    { tail -n 20 "$work/log" >&2; exit 1; }

# It has ended, and well.
wait "$connector"
connector=
