#!/usr/bin/env bash
# node-oidc-provider, twice to be had: `rotating` gives a new registration access token at each PUT, and a new secret where
# the PUT does not carry the present one; `fixed` leaves both as they are. See common.sh.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
. "$here/common.sh"
folder=$1 public=$2 kind=$3
version=9.13.3
need node npm curl python3

build() { npm install --prefix "$1" --no-audit --no-fund --silent "oidc-provider@$version"; }
dist=$(install_once "oidc-provider-$version" build)

# A module finds what it imports beside itself.
cp "$here/oidc-provider/server.mjs" "$folder"
ln -s "$dist/node_modules" "$folder/node_modules"
port=$(free_port) admin=$(free_port)
case $kind in
rotating) rotates=true secret=kept_if_sent token=new ;;
fixed) rotates=false secret=kept token=kept ;;
esac
ISSUER=http://127.0.0.1:$public PORT=$port ADMIN_PORT=$admin TOKEN_FILE=$folder/initial-access-token ROTATES=$rotates \
    node --no-warnings "$folder/server.mjs" >"$folder/log" 2>&1 &
echo $! >"$folder/pid"
await "$folder" "http://127.0.0.1:$port/.well-known/openid-configuration"

cat >"$folder/idp.yaml" <<YAML
  issuer: http://127.0.0.1:$public
  registration: {initial_access_token_file: $folder/initial-access-token}
  behaviour: {get: nothing, put_secret: $secret, put_token: $token, delete: answers_204}
YAML
lister "$folder" <<<"curl -sS -f http://127.0.0.1:$admin/"
told "$folder" <<JSON
{
  "public": "http://127.0.0.1:$public", "origin": "http://127.0.0.1:$port", "registration_path": "/reg", "token_path": "/token",
  "credentials": ["$folder/initial-access-token"], "updates": true, "rotates": $rotates, "needs_scope": false, "at_once": 8, "warnings": []
}
JSON
