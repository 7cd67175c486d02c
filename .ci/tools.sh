# shellcheck shell=bash
# Tools that a fresh machine lacks, each brought by an ordinary package client into a folder of $DCR_CACHE that bears
# its version, so that the next run finds it. Sourced by run, under `set -e`.

export DCR_CACHE=${DCR_CACHE:-$HOME/.cache/dcr-bridge}

buf() {
    local at=$DCR_CACHE/buf-1.75.0
    [ -x "$at/node_modules/.bin/buf" ] ||
        npm install --prefix "$at" --no-audit --no-fund --silent @bufbuild/buf@1.75.0
    "$at/node_modules/.bin/buf" "$@"
}

# A folder with a Python of its own and these packages; of two runs side by side one waits. What failed is not complete:
# the caller may be looking at the outcome, and then `set -e` ends nothing here.
python_with() {
    local at=$1
    shift
    mkdir -p "$DCR_CACHE" && (
        exec 8>"$at.lock" && flock 8 || exit
        [ -e "$at/complete" ] ||
            { python3 -m venv --clear "$at" &&
                "$at/bin/pip" install --quiet --disable-pip-version-check "$@" &&
                touch "$at/complete"; }
    )
}

# A Python with kubernetes_validate, which carries Kubernetes' schemas.
python_with_schemas() {
    local at=$DCR_CACHE/kubernetes-validate-1.37.0
    python_with "$at" kubernetes-validate==1.37.0 && "$at/bin/python" "$@"
}

# The checker of recorded exchanges, which stands beside the API documents.
checker=${DCR_SPECS:-../shared/specs}/check-exchanges
need_checker() { [ -x "$checker" ] || { echo "the checker of recordings is missing: set DCR_SPECS" >&2; return 1; }; }

# Holds a recording against an API document: check_exchanges DOCUMENT ACCEPTED_FILE RECORDING
check_exchanges() {
    local at=$DCR_CACHE/check-exchanges-1
    need_checker && python_with "$at" openapi-schema-validator==0.9.0 PyYAML==6.0.4 &&
        "$at/bin/python" "$checker" --spec "${checker%/*}/$1.json" --strict-members --ignore "$2" "$3"
}

# Built without optimisation: 45 s instead of minutes, for a run of two.
cargo_deny() {
    local at=$DCR_CACHE/cargo-deny-0.20.2
    if [ ! -x "$at/bin/cargo-deny" ]; then
        CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR="$at/target" \
            cargo install --locked --quiet --debug --root "$at" cargo-deny@0.20.2
        rm -r "$at/target"
    fi
    "$at/bin/cargo-deny" "$@"
}

# kubectl has kustomize in it; where there is none, kustomize is built.
kustomize_build() {
    local at=$DCR_CACHE/kustomize-5.7.1
    if command -v kubectl >/dev/null; then
        kubectl kustomize "$@"
    else
        [ -x "$at/kustomize" ] || GOBIN=$at go install -trimpath sigs.k8s.io/kustomize/kustomize/v5@v5.7.1
        "$at/kustomize" build "$@"
    fi
}
