#!/usr/bin/env bash
# Our coordinator with a certificate of its own: tailscaled and remora join by
# https; it is renewed while they are there; a new policy reaches them.
. "$(dirname "$0")/lib.sh"
lab_start
must certificates
export SSL_CERT_FILE=$d/ca.pem # for tailscaled
control_url=https://localhost:9911
mkdir -p "$d/state"
cat >"$d/coordinator.yaml" <<Y
server_url: $control_url
listen_addr: 127.0.0.1:9911
state_dir: $d/state/coordinator
tls_cert_path: live.pem
tls_key_path: live.key
policy: {path: policy.hujson}
dns: {base_domain: lab.test, extra_records_path: records.json}
derp: {server: {enabled: true, listen_addr: 127.0.0.1:3340, stun_listen_addr: 127.0.0.1:3478}}
Y
cp "$d/control.pem" "$d/live.pem"
cp "$d/control.key" "$d/live.key"
echo '[]' >"$d/records.json"
policy() { printf '{"acls": [%s]}\n' "$1" >"$d/policy.hujson"; }
policy '{"action": "accept", "src": ["*"], "dst": ["*:*"]}'
serve() {
    setsid "$REMORA" coordinator serve --json --config "$d/coordinator.yaml" \
        >>"$d/log/remora-coordinator.out" 2>>"$d/log/remora-coordinator.err" </dev/null &
    pid_of[remora-coordinator]=$!
    until_ok 60 curl -fsS --cacert "$d/ca.pem" "$control_url/health"
}
admin() { "$REMORA" coordinator "$@" --config "$d/coordinator.yaml"; }
step "serve" serve
key() { curl -fsS --cacert "$d/ca.pem" "$control_url/key?v=130" | jq -e '.publicKey | startswith("mkey:")'; }
step "curl verifies it and has the key" key
refuses() { ! curl -fsS --cacert /dev/null "$control_url/health" && ! curl -fsS "http://127.0.0.1:9911/health"; }
step "nobody else does, and plain HTTP is none" refuses
must admin users create lab
must admin users create other
authkey=$(admin preauthkeys create --user lab --reusable) || authkey=
must test -n "$authkey"
must web_start
must ts_start 1
step "tailscaled joins" ts_up 1
step "remora joins" remora_start r1 --ca-file "$d/ca.pem" --socks5 127.0.0.1:1091
stranger() { ! timeout 5 "$REMORA" up --state-dir "$d/state/x" --control-url "$control_url" --auth-key "$authkey" --json >"$d/x.out" 2>"$d/x.err"; }
no_join() { stranger && ! grep -q '"event":"running"' "$d/x.out"; }
step "remora without that CA does not" no_join
n1=http://$(ts_ip 1 4):8088/
step "traffic" until_ok 60 hello 127.0.0.1:1091 "$n1"

# ---- SIGHUP ------------------------------------------------------------------
reloads=0
reload() { # reload OK: it tells whether all was taken
    reloads=$((reloads + 1))
    kill -HUP "${pid_of[remora-coordinator]}"
    until_ok 30 told && grep '"event":"reloaded"' "$d/log/remora-coordinator.out" | tail -n 1 | jq -e ".ok == $1"
}
told() { [ "$(grep -c '"event":"reloaded"' "$d/log/remora-coordinator.out")" = "$reloads" ]; }
serial() { openssl s_client -connect 127.0.0.1:9911 -servername localhost </dev/null 2>/dev/null | openssl x509 -noout -serial; }
renew() {
    local before
    before=$(serial)
    certificates && cp "$d/control.pem" "$d/live.pem" && cp "$d/control.key" "$d/live.key" &&
        reload true && [ "$(serial)" != "$before" ] && key
}
step "a renewed certificate" renew
named() { # a record for n1, told to nodes that are there
    printf '[{"name": "wiki.lab.test", "type": "A", "value": "%s"}]\n' "$(ts_ip 1 4)" >"$d/records.json"
    reload true && until_ok 60 hello 127.0.0.1:1091 http://wiki.lab.test:8088/
}
step "another DNS record" named
online() { admin nodes list --output json | jq -e --argjson n "$1" '[.[] | select(.online)] | length == $n'; }
step "the nodes stayed" online 2
mismatch() {
    local before
    before=$(serial)
    openssl ecparam -name prime256v1 -genkey -noout -out "$d/live.key" && reload false && [ "$(serial)" = "$before" ] &&
        cp "$d/control.key" "$d/live.key"
}
step "a key that is another's changes nothing" mismatch
bad_policy() {
    policy '{"action": "accept", "src": ["nowhere"], "dst": ["*:*"]}' && reload false &&
        until_ok 30 grep -q 'policy.hujson, line 1: .*nowhere.*the old policy stays' "$d/log/remora-coordinator.err"
}
step "a bad policy is told with its line" bad_policy
step "... and changes nothing" hello 127.0.0.1:1091 "$n1"
cut() { # nobody reaches anybody: the packets of new connections are dropped
    policy '' && reload true && until_ok 30 alone r1
}
alone() { remora "$1" status --json | jq -e '[.Peer[]?] | length == 0'; }
step "a policy that cuts all off" cut
no_traffic() { ! patience=3 hello 127.0.0.1:1091 "$n1"; }
step "no traffic" no_traffic
back() { policy '{"action": "accept", "src": ["lab@"], "dst": ["lab@:*"]}' && reload true && until_ok 60 hello 127.0.0.1:1091 "$n1"; }
step "and one that lets it through again" back
stop tailscaled-n1
lab_end
