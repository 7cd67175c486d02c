#!/usr/bin/env bash
# glewlwyd, from Debian, on SQLite. A registration needs a token of a client of its own, `dcr-bridge`. See common.sh.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
. "$here/common.sh"
folder=$1 public=$2
mkdir -p "$DCR_CACHE"
need python3 curl
need_from_debian glewlwyd glewlwyd

port=$(free_port)
url=http://127.0.0.1:$port
python3 - "$folder/database" /usr/share/dbconfig-common/data/glewlwyd/install/sqlite3 <<'PYTHON'
import sqlite3, sys
database, script = sys.argv[1:]
sqlite3.connect(database).executescript(open(script).read())
PYTHON
cat >"$folder/glewlwyd.conf" <<CONF
port = $port
bind_address = "127.0.0.1"
external_url = "http://127.0.0.1:$public"
api_prefix = "api"
log_mode = "console"
log_level = "INFO"
cookie_domain = "127.0.0.1"
cookie_secure = 0
session_expiration = 86400
session_key = "GLEWLWYD2_SESSION_ID"
admin_scope = "g_admin"
profile_scope = "g_profile"
user_module_path = "/usr/lib/glewlwyd/user"
user_middleware_module_path = "/usr/lib/glewlwyd/user_middleware"
client_module_path = "/usr/lib/glewlwyd/client"
user_auth_scheme_module_path = "/usr/lib/glewlwyd/scheme"
plugin_module_path = "/usr/lib/glewlwyd/plugin"
static_files_path = "/usr/share/glewlwyd/webapp"
hash_algorithm = "SHA256"
database = { type = "sqlite3"; path = "$folder/database"; };
CONF
glewlwyd -c "$folder/glewlwyd.conf" >"$folder/log" 2>&1 &
echo $! >"$folder/pid"
await "$folder" "$url/config"

admin() {
    curl -sS -f -o /dev/null -b "$folder/session" -c "$folder/session" -H 'content-type: application/json' \
        -X POST "$url/api/$1" --data-binary @- || { tail -n 5 "$folder/log" >&2; return 1; }
}
# The package's own administrator.
admin auth/ <<<'{"username": "admin", "password": "password"}'
for scope in dcr orders.read orders.write; do
    admin scope <<<"{\"name\": \"$scope\", \"display_name\": \"$scope\", \"description\": \"$scope\",
        \"password_required\": true, \"password_max_age\": 0, \"scheme\": {}}"
done
admin mod/plugin/ <<JSON
{
  "module": "oidc", "name": "oidc", "display_name": "oidc", "order_rank": 0, "readonly": false,
  "parameters": {
    "iss": "http://127.0.0.1:$public/api/oidc", "jwt-type": "sha", "jwt-key-size": "256", "key": "$(password)",
    "access-token-duration": 3600, "refresh-token-duration": 86400, "code-duration": 600, "refresh-token-rolling": true,
    "allow-non-oidc": true, "auth-type-code-enabled": true, "auth-type-token-enabled": true,
    "auth-type-id-token-enabled": true, "auth-type-none-enabled": false, "auth-type-password-enabled": false,
    "auth-type-client-enabled": true, "auth-type-refresh-enabled": true, "auth-type-device-enabled": false,
    "scope": [], "additional-parameters": [], "claims": [], "service-documentation": "", "op-policy-uri": "",
    "op-tos-uri": "", "jwks-show": true, "jwks-x5c": [], "request-parameter-allow": true, "secret-type": "pairwise",
    "address-claim": {"type": "no"}, "name-claim": "no", "email-claim": "no", "scope-claim": "no",
    "allowed-scope": ["openid"], "pkce-allowed": true, "introspection-revocation-allowed": true,
    "introspection-revocation-auth-scope": [], "introspection-revocation-allow-target-client": true,
    "register-client-allowed": true, "register-client-auth-scope": ["dcr"],
    "register-client-credentials-scope": ["orders.read", "orders.write"],
    "register-client-management-allowed": true, "register-client-token-one-use": false
  }
}
JSON
password >"$folder/client-secret"
admin client/ <<JSON
{
  "client_id": "dcr-bridge", "name": "dcr-bridge", "confidential": true, "enabled": true,
  "client_secret": "$(cat "$folder/client-secret")", "scope": ["dcr"], "authorization_type": ["client_credentials"],
  "redirect_uri": ["https://dcr-bridge.example/none"], "token_endpoint_auth_method": ["client_secret_basic"]
}
JSON

cat >"$folder/idp.yaml" <<YAML
  issuer: http://127.0.0.1:$public/api/oidc
  registration:
    client_credentials:
      client_id: dcr-bridge
      client_secret_file: $folder/client-secret
      scope: dcr
      token_endpoint_auth_method: client_secret_basic
  behaviour: {get: nothing, put_secret: new, put_token: kept, delete: answers_200}
  redirect_uri_if_none: https://no-redirect.invalid/
YAML
# It never forgets a deleted client, but switches it off.
lister "$folder" <<'BASH'
python3 -c '
import sqlite3
clients = sqlite3.connect("file:database?mode=ro", uri=True, timeout=10).execute(
    "select gc_client_id from g_client where gc_enabled = 1 and gc_client_id <> ?", ("dcr-bridge",))
print("".join(f"{id}\n" for (id,) in clients), end="")'
BASH
# Its discovery document leaves out that it grants client_credentials, no client gets a token without a scope, and its
# database answers 500 to what comes at once.
told "$folder" <<JSON
{
  "public": "http://127.0.0.1:$public", "origin": "$url", "registration_path": "/api/oidc/register", "token_path": "/api/oidc/token",
  "credentials": ["$folder/client-secret"], "updates": false, "rotates": true, "needs_scope": true,
  "at_once": 1, "warnings": ["GRANT_TYPE_UNKNOWN", "NO_TOKEN", "NO_TOKEN"]
}
JSON
