#!/usr/bin/env bash
# Ory Hydra with its public registration (RFC 7591, RFC 7592), built from the Go module proxy. See common.sh.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
. "$here/common.sh"
folder=$1 public=$2
need curl python3
dist=$(bash "$here/../../../hydra/tests/install.sh")

port=$(free_port) admin=$(free_port)
cat >"$folder/hydra.yml" <<YAML
dsn: memory
log: {level: warn, format: json}
serve:
  public: {host: 127.0.0.1, port: $port}
  admin: {host: 127.0.0.1, port: $admin}
urls:
  self: {issuer: "http://127.0.0.1:$public/", public: "http://127.0.0.1:$public/"}
  consent: http://127.0.0.1:1/consent
  login: http://127.0.0.1:1/login
secrets: {system: ["$(password)"]}
webfinger: {oidc_discovery: {client_registration_url: "http://127.0.0.1:$public/oauth2/register"}}
oidc: {dynamic_client_registration: {enabled: true, default_scope: [openid, offline, orders.read]}}
YAML
SQA_OPT_OUT=true "$dist/hydra" serve all --dev --sqa-opt-out -c "$folder/hydra.yml" >"$folder/log" 2>&1 &
echo $! >"$folder/pid"
await "$folder" "http://127.0.0.1:$admin/health/ready"
await "$folder" "http://127.0.0.1:$port/health/ready"

cat >"$folder/idp.yaml" <<YAML
  issuer: http://127.0.0.1:$public/
  registration: {open: true}
  behaviour: {get: nothing, put_secret: kept, put_token: new, delete: answers_204}
  not_sent_back: [metadata]
YAML
# A page that is not full may name a next one, too.
lister "$folder" <<BASH
python3 - <<'PYTHON'
import json, re, urllib.request
path = "/admin/clients?page_size=500"
while path:
    with urllib.request.urlopen("http://127.0.0.1:$admin" + path, timeout=10) as answer:
        clients, links = json.load(answer), answer.headers.get("link", "")
    print("".join(client["client_id"] + "\n" for client in clients), end="")
    following = re.search('<([^>]*)>; *rel="next"', links)
    path = clients and following and following[1]
PYTHON
BASH
# Its database in memory refuses what comes at once.
told "$folder" <<JSON
{
  "public": "http://127.0.0.1:$public", "origin": "http://127.0.0.1:$port", "registration_path": "/oauth2/register", "token_path": "/oauth2/token",
  "credentials": [], "updates": true, "rotates": false, "needs_scope": false, "at_once": 1, "warnings": []
}
JSON
