#!/usr/bin/env bash
# Builds Ory Hydra from the Go module proxy into $DCR_CACHE unless it is there, and prints where it is. For every suite
# that needs a Hydra.
set -euo pipefail

cache=${DCR_CACHE:-$HOME/.cache/dcr-bridge}
version=2.3.0
dist=$cache/hydra-$version
umask 077
mkdir -p "$cache"
# Of two suites that start side by side one waits.
exec 8>"$cache/hydra-$version.lock"
flock 8

# Built in a draft that gets its name last: an interrupted run leaves nothing that looks complete.
if [ ! -d "$dist" ]; then
    for tool in go gcc; do
        command -v "$tool" >/dev/null || { echo "$tool is missing" >&2; exit 1; }
    done
    echo "== building Hydra $version" >&2
    draft=$(mktemp -d "$cache/hydra-draft.XXXXXX")
    module=$(cd "$draft" && go mod download -json "github.com/ory/hydra/v2@v$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
    cp -r "$module" "$draft/src"
    chmod -R u+w "$draft/src"
    (
        cd "$draft/src"
        # The module leaves out internal/httpclient, which is a module of its own; what was published of it takes its place.
        go mod edit -replace=github.com/ory/hydra-client-go/v2=github.com/ory/hydra-client-go/v2@v2.2.1
        CGO_ENABLED=1 go build -buildvcs=false -mod=mod -tags sqlite,json1 -trimpath \
            -ldflags "-s -w -X github.com/ory/hydra/v2/driver/config.Version=v$version" -o "$draft/hydra" .
    ) >&2
    rm -rf "$draft/src"
    mv -T "$draft" "$dist"
fi
printf '%s\n' "$dist"
