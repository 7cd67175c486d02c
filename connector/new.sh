#!/usr/bin/env bash
# Begins a connector: connector/NAME, a copy of the memory connector under that name. Touches nothing else; the next
# cargo command adds the crate to Cargo.lock.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

name=${1:-}
if ! [[ $name =~ ^[a-z][a-z0-9]*(-[a-z0-9]+)*$ && ${#name} -le 40 ]]; then
    echo "usage: connector/new.sh NAME, the kind of identity provider: lower-case letters, digits and hyphens" >&2
    exit 2
fi
if [ -e "$name" ]; then
    echo "connector/$name exists already" >&2
    exit 1
fi

IFS=- read -ra words <<<"$name"
type=$(printf '%s' "${words[@]^}")
find memory -type f | while read -r file; do
    copy=$name/${file#memory/}
    mkdir -p "$(dirname "$copy")"
    sed -e "s/dcr-connector-memory/dcr-connector-$name/g" \
        -e "s/dcr_connector_memory/dcr_connector_${name//-/_}/g" \
        -e "s/\"memory\"/\"$name\"/g" \
        -e "s/Memory/$type/g" \
        -e "s/The memory connector/The connector for $type/" \
        -e "s/The reference connector: the one to copy/The connector for $type/" \
        -e '/^## What it is for/,$d' \
        "$file" >"$copy"
done
echo "connector/$name is made: try it with \`cargo test -p dcr-connector-$name\`, then follow connector/sdk/README.md. Its README.md is still about the small IdP: rewrite it."
