#!/usr/bin/env bash
# Our coordinator behind the nginx of docs/coordinator.md: nodes join by https
# through it, in both forms of the upgrade, and the server hears who they are.
. "$(dirname "$0")/lib.sh"
lab_start
must certificates
export SSL_CERT_FILE=$d/ca.pem # for tailscaled

# The documented blocks, with this lab's address, port and certificate.  What is
# not replaced stands as it is documented.
block() { # block LANGUAGE WORD: the fenced block of the document that has it
    awk -v open="\`\`\`$1" -v word="$2" '
        $0 == open { inside = 1; text = ""; next }
        $0 == "```" { if (inside && index(text, word)) { printf "%s", text; exit } inside = 0 }
        inside { text = text $0 "\n" }' "$top/docs/coordinator.md"
}
documented_nginx() {
    block nginx 'proxy_pass' | sed "s|^ *listen 443 ssl;|listen $1 ssl;|; /listen \[::\]:443 ssl;/d
        s|server_name .*|server_name localhost;|
        s|/etc/letsencrypt/live/tailnet.example.com/fullchain.pem|$d/control.pem|
        s|/etc/letsencrypt/live/tailnet.example.com/privkey.pem|$d/control.key|"
}
{
    block yaml trusted_proxies | sed "s|https://tailnet.example.com|https://localhost:9943|"
    echo "state_dir: $d/state/coordinator"
    echo "metrics_listen_addr: 127.0.0.1:9090"
    echo "dns: {base_domain: lab.test}"
    echo "log: {level: debug}"
    echo "derp: {server: {enabled: true, listen_addr: 127.0.0.1:3340, stun_listen_addr: 127.0.0.1:3478}}"
} >"$d/coordinator.yaml"
mkdir -p "$d/state"
is_whole() { grep -q 'listen_addr: 127.0.0.1:8080' "$d/coordinator.yaml" && documented_nginx 127.0.0.1:9943 | grep -q 'listen 127.0.0.1:9943 ssl'; }
step "the document has both blocks" is_whole
serve() {
    setsid "$REMORA" coordinator serve --json --config "$d/coordinator.yaml" \
        >>"$d/log/remora-coordinator.out" 2>>"$d/log/remora-coordinator.err" </dev/null &
    pid_of[remora-coordinator]=$!
    until_ok 60 curl -fsS http://127.0.0.1:8080/health
}
admin() { "$REMORA" coordinator "$@" --config "$d/coordinator.yaml"; }
step "serve with the documented configuration" serve
front() { # front NAME PORT [SED]: the documented nginx, changed by SED
    nginx_start "$1" "log_format asked '\$request_method \$uri \$status \$http_upgrade';
        $(documented_nginx "$2" | sed "/server_name/a access_log $d/log/$1.asked asked;
            ${3:-}")"
    until_ok 30 curl -fsS --cacert "$d/ca.pem" --connect-to "::$2" https://localhost/health
}
step "the documented nginx" front front 127.0.0.1:9943
# One that passes WebSockets alone, as hosted tunnels do.
step "one for WebSockets alone" front sockets 127.0.0.1:9944 \
    "s/default upgrade;/default close; websocket upgrade;/; s/Upgrade \$http_upgrade;/Upgrade \$websocket_only;/
     1i map \$http_upgrade \$websocket_only { default ''; websocket websocket; }"
must admin users create lab
authkey=$(admin preauthkeys create --user lab --reusable) || authkey=
must test -n "$authkey"
must web_start

# ---- nodes -------------------------------------------------------------------
control_url=https://localhost:9943
asked() { grep -c "^$2 /ts2021 101 $3" "$d/log/$1.asked" || :; }
step "tailscaled" ts_start 1
step "joins by it" ts_up 1
step "remora joins by it" remora_start r1 --ca-file "$d/ca.pem" --socks5 127.0.0.1:1091
control_url=https://localhost:9944
step "remora joins by a WebSocket" remora_start r2 --ca-file "$d/ca.pem" --socks5 127.0.0.1:1092
online() { admin nodes list --output json | jq -e --argjson n "$1" '[.[] | select(.online)] | length == $n'; }
step "three nodes are online" until_ok 60 online 3
step "tailscaled reaches remora" until_ok 60 ts 1 ping --c 1 --timeout 5s r1
n1=http://$(ts_ip 1 4):8088/
step "traffic from remora" until_ok 60 hello 127.0.0.1:1091 "$n1"
step "traffic from the other" until_ok 60 hello 127.0.0.1:1092 "$n1"
renamed() { admin nodes rename --identifier 1 new-name; }
step "a change" renamed
sees() { remora "$1" status --json | jq -e '[.Peer[].DNSName] | any(startswith("new-name."))'; }
step "reaches remora through it" until_ok 30 sees r1
step "and through the WebSocket" until_ok 30 sees r2

# ---- who asks ----------------------------------------------------------------
told() { # told NAME ADDRESS: the event of its joining has it
    grep '"event":"joined"' "$d/log/remora-coordinator.out" | jq -es --arg n "$1" --arg a "$2" 'any(.[]; .name == $n and .from == $a)'
}
from_veth() { # a node that comes from another address than the proxy's
    curl -fsS --interface 10.77.0.1 --cacert "$d/ca.pem" --connect-to ::10.77.0.1:9945 https://localhost/robots.txt
    until_ok 30 grep -q 'a request of HTTP from 10.77.0.1: 200' "$d/log/remora-coordinator.err"
}
step "nodes are told by the address that nginx saw" told r1 127.0.0.1
must front outside 10.77.0.1:9945
step "a client from elsewhere" from_veth
lies() { # what a client says itself is behind nginx's word
    curl -fsS --interface 10.77.0.1 --cacert "$d/ca.pem" --resolve localhost:9945:10.77.0.1 \
        -H 'X-Forwarded-For: 192.0.2.66' -H 'X-Real-IP: 192.0.2.66' https://localhost:9945/robots.txt
    curl -fsS --interface 10.77.0.1 --cacert "$d/ca.pem" --connect-to ::10.77.0.1:9945 https://localhost/robots.txt
    ! grep -q '192.0.2.66' "$d/log/remora-coordinator.err"
}
step "a client's own word is none" lies
figure() { curl -fsS http://127.0.0.1:9090/metrics | sed -n "s/^$1 //p"; }
counted() { [ "$(figure remora_coord_forwarded_total)" -ge 5 ] && [ "$(figure remora_coord_untrusted_forwards_total)" = 0 ]; }
step "it is counted" counted

# ---- its end -----------------------------------------------------------------
again() { remora_stop coordinator && serve && until_ok 60 online 3; }
step "after a restart all come back" again
for n in r1 r2; do step "$n ends" remora_stop $n; done
stop tailscaled-n1
must stop front
must stop sockets
# nginx writes them down when they have ended.
forms() { [ "$(asked front POST tailscale-control-protocol)" -ge 2 ] && [ "$(asked sockets GET websocket)" -ge 1 ]; }
step "both forms of the upgrade came" until_ok 30 forms
lab_end
