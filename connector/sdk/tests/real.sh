#!/usr/bin/env bash
# The store's suite on a real PostgreSQL, which it kills.
set -euo pipefail
cd "$(dirname "$0")/../../.."
cargo test --quiet -p dcr-connector --features store --test store -- \
    --postgres "$PWD/connector/rfc7591/tests/servers/postgresql.sh"
