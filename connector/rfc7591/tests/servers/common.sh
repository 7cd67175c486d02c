# shellcheck shell=bash
# What the scripts that start servers share. Each is called `NAME.sh FOLDER PUBLIC_PORT [MORE]`: it installs its server
# once into $DCR_CACHE, starts one with nothing in it on a free port of 127.0.0.1, and ends when that is ready. The server
# believes that the world reaches it at http://127.0.0.1:PUBLIC_PORT, as one does behind an ingress; whoever starts it
# puts something there. In the folder are then
#   pid           the process to end
#   server.json   how it is reached and what can be expected of it, for the suite in ../real: `told` below
#   idp.yaml      the section `idp` of the connector's configuration, without its store
#   clients       a command that prints the ids of the clients that live there, one a line
#   log           what it printed
# and whatever else the server keeps. The folder holds secrets.

. "$(dirname "${BASH_SOURCE[0]}")/../../../../.ci/tools.sh"
. "$(dirname "${BASH_SOURCE[0]}")/../../../../.ci/servers.sh"

# Debian packages that bring a command which is missing.
need_from_debian() {
    local tool=$1
    shift
    command -v "$tool" >/dev/null && return
    say "installing $*"
    (
        exec 8>"$DCR_CACHE/apt.lock"
        flock 8
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@"
    ) >&2
}

# Has a function build into a draft folder that gets its name last: an interrupted run leaves nothing that looks
# complete, and of two runs one waits. Prints where it is.
install_once() {
    local name=$1 build=$2 draft
    if [ ! -d "$DCR_CACHE/$name" ]; then
        mkdir -p "$DCR_CACHE"
        (
            exec 8>"$DCR_CACHE/$name.lock"
            flock 8
            [ ! -d "$DCR_CACHE/$name" ] || exit 0
            say "installing $name"
            draft=$(mktemp -d "$DCR_CACHE/$name-draft.XXXXXX")
            "$build" "$draft" >&2
            mv -T "$draft" "$DCR_CACHE/$name"
        ) || return
    fi
    printf '%s\n' "$DCR_CACHE/$name"
}

# Writes the command that lists the server's clients; the script is read from standard input.
lister() {
    { printf '#!/usr/bin/env bash\nset -euo pipefail\ncd %q\n' "$1" && cat; } >"$1/clients"
    chmod u+x "$1/clients"
}

# Writes server.json from standard input, the last of all: public and origin (where the world and where the suite's proxy
# reach it), registration_path, token_path, credentials (files with secrets of the connector's own), updates and rotates
# (whether an update that keeps the secret, and a rotation, are to be had there), needs_scope (whether no token is given without one), at_once (how many calls it bears), warnings (codes that `check --probe` has
# reason to warn with).
told() {
    cat >"$1/server.draft"
    mv "$1/server.draft" "$1/server.json"
}
