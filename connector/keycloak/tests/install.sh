#!/usr/bin/env bash
# Installs Keycloak into $DCR_CACHE unless it is there, and prints where it is. Nothing may be started in that folder: a
# start writes into it. For every suite that needs a Keycloak.
set -euo pipefail

cache=${DCR_CACHE:-$HOME/.cache/dcr-bridge}
version=26.7.3
dist=$cache/keycloak-$version
umask 077
mkdir -p "$cache"
# Of two suites that start side by side one waits.
exec 8>"$cache/keycloak.lock"
flock 8

# Built in a draft that gets its name last: an interrupted run leaves nothing that looks complete.
if [ ! -d "$dist" ]; then
    for tool in mvn java unzip; do
        command -v "$tool" >/dev/null || { echo "$tool is missing" >&2; exit 1; }
    done
    echo "== installing Keycloak $version" >&2
    draft=$(mktemp -d "$cache/keycloak-draft.XXXXXX")
    for goal in get "copy -DoutputDirectory=$draft"; do
        # shellcheck disable=SC2086 # a goal and its option
        mvn --quiet --batch-mode dependency:$goal -Dtransitive=false \
            -Dartifact="org.keycloak:keycloak-quarkus-dist:$version:zip" >&2
    done
    unzip -q "$draft/keycloak-quarkus-dist-$version.zip" -d "$draft"
    "$draft/keycloak-$version/bin/kc.sh" build --db=dev-mem >"$draft/log" 2>&1 || { cat "$draft/log" >&2; exit 1; }
    mv "$draft/keycloak-$version" "$dist"
    rm -r "$draft"
fi
printf '%s\n' "$dist"
