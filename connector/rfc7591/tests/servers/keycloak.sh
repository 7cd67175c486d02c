#!/usr/bin/env bash
# Keycloak's `clients-registrations/openid-connect`: its registration access tokens are valid once. See common.sh.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
. "$here/common.sh"
folder=$1 public=$2
need java curl python3
dist=$("$here/../../../keycloak/tests/install.sh")

# A copy for this run only: a start may write into any folder of it.
cp -r "$dist" "$folder/keycloak"
password >"$folder/admin-password"
port=$(free_port)
url=http://127.0.0.1:$port
KC_BOOTSTRAP_ADMIN_USERNAME=admin KC_BOOTSTRAP_ADMIN_PASSWORD=$(cat "$folder/admin-password") \
    JAVA_OPTS_APPEND="-Xmx768m" \
    "$folder/keycloak/bin/kc.sh" start --optimized --cache=local --http-enabled=true \
    --hostname="http://127.0.0.1:$public" --hostname-backchannel-dynamic=false \
    --http-host=127.0.0.1 --http-port="$port" >"$folder/log" 2>&1 &
echo $! >"$folder/pid"
await "$folder" "$url/realms/master/.well-known/openid-configuration" 120

# An administrator's token lives for a minute.
cat >"$folder/admin.sh" <<BASH
token() {
    curl -sS -f "$url/realms/master/protocol/openid-connect/token" -d grant_type=password -d client_id=admin-cli \\
        -d username=admin --data-urlencode "password@$folder/admin-password" |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])'
}
# admin PATH [OPTION]...
admin() {
    local path=\$1
    shift
    curl -sS -f -H "Authorization: Bearer \$(token)" -H 'content-type: application/json' "$url/admin/realms\$path" "\$@"
}
BASH
. "$folder/admin.sh"
admin "" -d '{"realm": "apis", "enabled": true, "accessTokenLifespan": 300}'
for scope in orders.read orders.write; do
    place=$(admin /apis/client-scopes -o /dev/null -w '%header{location}' \
        -d "{\"name\": \"$scope\", \"protocol\": \"openid-connect\", \"attributes\": {\"include.in.token.scope\": \"true\"}}")
    # What is registered may ask for the scopes that the realm offers everyone.
    admin "/apis/default-optional-client-scopes/${place##*/}" -X PUT
done
admin /apis/clients-initial-access -d '{"count": 1000000, "expiration": 86400}' |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["token"], end="")' >"$folder/initial-access-token"

cat >"$folder/idp.yaml" <<YAML
  issuer: http://127.0.0.1:$public/realms/apis
  registration: {initial_access_token_file: $folder/initial-access-token}
  behaviour: {get: nothing, put_secret: kept, put_token: new, delete: answers_204}
  longest_name: 255
  longest_redirect_uri: 255
YAML
lister "$folder" <<'BASH'
. ./admin.sh
# What the realm itself came with has no registration token.
admin '/apis/clients?max=-1' | python3 -c '
import json, sys
for client in json.load(sys.stdin):
    if client.get("attributes", {}).get("client.secret.creation.time"):
        print(client["clientId"])'
BASH
told "$folder" <<JSON
{
  "public": "http://127.0.0.1:$public", "origin": "$url", "registration_path": "/realms/apis/clients-registrations/openid-connect", "token_path": "/realms/apis/protocol/openid-connect/token",
  "credentials": ["$folder/initial-access-token"], "updates": true, "rotates": false, "needs_scope": false, "at_once": 8, "warnings": []
}
JSON
