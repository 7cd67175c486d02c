#!/usr/bin/env bash
# The connector, the gateway and a real Keycloak. Fails when anything fails or is missing; nothing is skipped.
# Keycloak is installed once into $DCR_CACHE; each run has a Keycloak of its own with nothing in it, on a free port.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

. .ci/tools.sh
. .ci/servers.sh
here=connector/keycloak
target=${CARGO_TARGET_DIR:-target}

work_folder
need java python3 curl cargo
need_checker
mkdir -p "$DCR_CACHE" "$work/keycloak"
dist=$("$here/tests/install.sh")

# A copy for this run only: a start may write into any folder of it.
home=$work/keycloak/home
cp -r "$dist" "$home"
port=$(free_port)
url=http://127.0.0.1:$port
password >"$work/admin-password"
say "starting Keycloak at $url"
KC_BOOTSTRAP_ADMIN_USERNAME=admin KC_BOOTSTRAP_ADMIN_PASSWORD=$(cat "$work/admin-password") \
    JAVA_OPTS_APPEND="-Xmx768m" \
    "$home/bin/kc.sh" start --optimized --cache=local --http-enabled=true --hostname-strict=false \
    --http-host=127.0.0.1 --http-port="$port" >"$work/keycloak/log" 2>&1 &
echo $! >"$work/keycloak/pid"

say "building"
cargo build --quiet -p dcr-gateway -p dcr-connector-keycloak
cargo build --quiet -p dcr-connector-keycloak --example keycloak-real
cargo build --quiet -p dcr-tests --bin konnect-sim

await "$work/keycloak" "$url/realms/master/.well-known/openid-configuration" 120

say "making the realm apis"
export KCADM=$home/bin/kcadm.sh SERVER=$url REALM=apis ADMIN=admin
KC_CLI_PASSWORD=$(cat "$work/admin-password")
export KC_CLI_PASSWORD
kcadm() { "$KCADM" "$@" --config "$work/session" >"$work/kcadm.log" 2>&1 || { cat "$work/kcadm.log"; return 1; }; }
kcadm config credentials --server "$url" --realm master --user admin
cat >"$work/realm.json" <<'JSON'
{
  "realm": "apis", "enabled": true, "accessTokenLifespan": 300,
  "clients": [{"clientId": "orders-api", "bearerOnly": true, "enabled": true}],
  "roles": {"client": {"orders-api": [{"name": "reader"}, {"name": "writer"}]}}
}
JSON
kcadm create realms -f "$work/realm.json"
for scope in orders.read orders.write timetable.read; do
    kcadm create client-scopes -r apis -s "name=$scope" -s protocol=openid-connect \
        -s 'attributes={"include.in.token.scope": "true"}'
done
cat >"$work/audience.json" <<'JSON'
{
  "name": "ferry-audience", "protocol": "openid-connect", "attributes": {"include.in.token.scope": "true"},
  "protocolMappers": [{
    "name": "ferry", "protocol": "openid-connect", "protocolMapper": "oidc-audience-mapper",
    "config": {"included.custom.audience": "https://api.ferry.example", "access.token.claim": "true"}
  }]
}
JSON
kcadm create client-scopes -r apis -f "$work/audience.json"

say "running the script of the README"
sed -n '/<!-- script:begin -->/,/<!-- script:end -->/p' "$here/README.md" | sed '/^<!--/d; /^```/d' >"$work/script.sh"
grep -q 'KCADM' "$work/script.sh" || { say "the README has no script"; exit 1; }
ROLES="manage-clients manage-users" SECRET_FILE=$work/secret sh "$work/script.sh" >"$work/script.log" 2>&1 ||
    { cat "$work/script.log"; exit 1; }
[ "$(stat -c %a "$work/secret")" = 600 ] || { say "the script's secret file is not private"; exit 1; }
unset KC_CLI_PASSWORD

say "running the suite"
failed=0
"$target/debug/examples/keycloak-real" \
    --url "$url" --realm apis --admin admin --admin-password-file "$work/admin-password" \
    --secret-file "$work/secret" --recording "$work/recording.jsonl" \
    --gateway "$target/debug/dcr-gateway" --connector "$target/debug/dcr-connector-keycloak" \
    --konnect-sim "$target/debug/konnect-sim" "$@" || failed=1

say "checking the recording against Keycloak's API document"
check_exchanges keycloak "$here/tests/accepted.txt" "$work/recording.jsonl" || failed=1
exit "$failed"
