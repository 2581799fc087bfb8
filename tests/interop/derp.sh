#!/usr/bin/env bash
# remora as a relay's client on ways that are not plain: frames that no relay of
# the peers ever sends (derp_tap puts them in), a proxy that passes no upgrade but
# WebSocket's, nodes that are away, and certificates in each form.
. "$(dirname "$0")/lib.sh"
lab_start
must certificates
must web_start
tap=${TAP:-$top/build/dev/tests/interop/derp_tap}
must test -x "$tap"

# A relay on plain HTTP, and TLS before it: 3340 lets websocket through alone,
# 3342 leads through the tap, 3346 straight to the relay.
bg derper0 "$PEERS/derper" -c "$d/derper.json" -a 127.0.0.1:3341 -http-port -1 -stun-port 3478 -hostname 127.0.0.1
bg tap "$tap" 3343 3341
bg remora-relay "$REMORA" relay --listen 127.0.0.1:3344 --listen '[::1]:3344' --tls-cert "$d/control.pem" --tls-key "$d/control.key" \
    --metrics 127.0.0.1:3348 --state-dir "$d/relay"
front() { # front PORT URL [UPGRADE]
    echo "server { listen 127.0.0.1:$1 ssl; ssl_certificate $d/control.pem; ssl_certificate_key $d/control.key;
        location / { proxy_pass $2; proxy_http_version 1.1; proxy_buffering off; proxy_read_timeout 300s;
            proxy_set_header Upgrade ${3:-\$http_upgrade}; proxy_set_header Connection \$passes; } }"
}
must nginx_start front "map \$http_upgrade \$only { websocket websocket; default ''; }
    map \$http_upgrade \$passes { '' close; default upgrade; }" \
    "$(front 3340 http://127.0.0.1:3341 '$only')" "$(front 3342 http://127.0.0.1:3343)" \
    "$(front 3345 https://127.0.0.1:3344 '$only')" "$(front 3346 http://127.0.0.1:3341)"
must until_ok 30 curl -fsS http://127.0.0.1:3341/derp/probe
must until_ok 30 curl -fsSk https://127.0.0.1:3346/derp/probe
must until_ok 30 curl -fsSk https://127.0.0.1:3344/derp/probe

pin="sha256-raw:$(openssl x509 -in "$d/control.pem" -outform der | sha256sum | cut -d' ' -f1)"
node() { # node NAME PORT [FIELDS]: pinned, unless the fields say another CertName
    echo "{\"Name\": \"$1\", \"RegionID\": 900, \"HostName\": \"127.0.0.1\", \"IPv4\": \"127.0.0.1\", \"IPv6\": \"none\",
        \"STUNPort\": -1, \"DERPPort\": $2, ${3:-\"CertName\": \"$pin\"}}"
}
map_of() { # the nodes of the one region
    local IFS=,
    echo "{\"Regions\": {\"900\": {\"RegionID\": 900, \"RegionCode\": \"lab\", \"RegionName\": \"Lab\", \"Nodes\": [$*]}}}"
}
map_of "$(node 900a 3346)" >"$d/derpmap.json"
must control_start -authkey labkey
must ts_start 1 TS_DEBUG_ALWAYS_USE_DERP=1
must ts_up 1
must remora_start r1 --no-udp --socks5 127.0.0.1:1091 --ca-file "$d/ca.pem"
n1_web=http://$(ts_ip 1 4):8088

log=$d/log/remora-r1.err
# gets NODE MAP: the node has another map from now on; told: what its log says then
gets() { lab "raw?node=$1" --data "{\"DERPMap\": $2}"; }
mark() { wc -l <"$log" >"$d/mark"; }
since() { tail -n "+$(($(cat "$d/mark") + 1))" "$log"; }
told() { since | grep -E "$1"; }
goes() { # goes MAP PATTERN: r1 gets that map, and its log says so
    mark && gets r1 "$1" && until_ok 60 told "$2"
}
reaches() { until_ok 60 hello 127.0.0.1:1091 "$n1_web/"; }
up='relay region 900 \(lab\) is connected$'
step "hello by the relay" reaches

# ---- what a relay may say ------------------------------------------------------

step "to the tap" goes "$(map_of "$(node 900a 3342)")" "$up"
step "hello through it" reaches
health() { remora r1 status --json | jq -e --arg t "$1" '.Health | index($t) != null'; }
ill() { kill -USR1 -- "-${pid_of[tap]}" && until_ok 30 health "relay lab: the disk is full?[2J"; }
step "a relay's trouble is in the status" ill
step "and in the log" told 'has a trouble: the disk is full\?\[2J$'
shown() { remora r1 status | grep 'the disk is full'; }
step "and told to people" shown
well() {
    kill -USR2 -- "-${pid_of[tap]}" || return
    until_ok 30 told 'is well again' && ! health "relay lab: the disk is full?[2J"
}
step "and gone when it is well" well
step "hello still" reaches

# in_time COMMAND...: its upper bounds are of a wall clock.  Where it is too late (2)
# the machine may have stood still, and it is tried again, thrice at most.
in_time() {
    local i code=0
    for i in 1 2 3; do
        code=0
        "$@" || code=$?
        [ $code = 2 ] || break
    done
    return $code
}
# It is back 2.5 s later than it says: the client comes 1.5 s to 2.25 s behind
# its word, is turned away, and comes again, without a word to anyone.
restarts() {
    local said first back
    mark
    kill -HUP -- "-${pid_of[tap]}"
    until_ok 30 told "$up" || return
    said=$(awk '$2 == "restarting" { t = $1 } END { print t }' "$d/log/tap.log") # the last time
    first=$(awk -v t="$said" '$1 >= t && ($2 == "turned" || $2 == "connect") { print $1 - t; exit }' "$d/log/tap.log")
    back=$(awk -v t="$said" '$1 > t && $2 == "connect" { print $1 - t; exit }' "$d/log/tap.log")
    echo "= back after $back ms, the first try after $first ms"
    [ "$first" -ge 1490 ] && [ "$back" -ge 2490 ] || return 1
    [ "$first" -le 2600 ] && [ "$back" -le 6000 ] || return 2
}
step "a restart is waited for as it was told" in_time restarts
quiet() { told 'the relay restarts' && [ "$(since | grep -c 'relay region 900 .lab. is gone')" = 1 ]; }
step "with one word of the end, and none of the tries" quiet
step "hello after it" reaches

# ---- WebSocket -------------------------------------------------------------------

ws='relay region 900 \(lab\) is connected, in WebSocket frames'
step "where no other upgrade passes, WebSocket does" goes "$(map_of "$(node 900a 3340)")" "$ws"
step "derper saw it" eval 'curl -fsS http://127.0.0.1:3341/debug/vars | jq -e ".derp_websocket_accepts == 1"'
step "hello in WebSocket frames" reaches
head -c 20000000 /dev/urandom >"$d/www/some"
some() {
    [ "$(curl -fsS --max-time 60 --socks5-hostname 127.0.0.1:1091 "$n1_web/some" | sha256sum)" = "$(sha256sum <"$d/www/some")" ]
}
step "20 MB out of derper's WebSocket" some
# And in: what is sent is cut as the reference wants it, or it would hang up.
puts() {
    curl -fsS --max-time 60 --socks5-hostname 127.0.0.1:1091 -T "$d/www/some" "$n1_web/up/some" && cmp "$d/www/some" "$d/www/up/some"
}
step "and 20 MB into it" puts
ours() {
    gets n1 "$(map_of "$(node 900a 3344)")" && goes "$(map_of "$(node 900a 3345)")" "$ws"
}
step "the same by our own relay" ours
step "hello by it" reaches
step "100 MB out of our relay's WebSocket" fetch 127.0.0.1:1091 "$n1_web/big"
accepts() { curl -fsS http://127.0.0.1:3348/metrics | grep -E '^derp_websocket_accepts 1$'; }
step "it counted the one" accepts

# ---- nodes and certificates ---------------------------------------------------------

by() { goes "$(map_of "$@")" "$up" && reaches; }
step "a node for STUN alone and one that is away are passed over" by "$(node 900a 3344 '"STUNOnly": true')" \
    "$(node 900b 3999)" "$(node 900c 3344)"
# No one answers at that IPv4 address: IPv6 begins beside it, not behind its 1.5 s.
races() {
    local began
    goes "$(map_of "$(node 900a 3344)")" "$up" || return 1 # from where it comes each time
    began=$(now_ms)
    goes "$(map_of "$(node 900a 3344 | sed 's/"IPv4": "127.0.0.1", "IPv6": "none"/"IPv4": "10.77.0.9", "IPv6": "::1"/')")" "$up" &&
        echo "= $(ms_since "$began") ms" || return 1
    [ "$(ms_since "$began")" -lt 1400 ] || return 2
}
step "a family that leads nowhere is not waited for" in_time races
step "CertName: another name, by our CA" by "$(node 900a 3344 '"CertName": "localhost"')"
step "no CertName: the address in the certificate" by "$(node 900a 3344 '"InsecureForTests": false')"
refuses() { # refuses NODE PATTERN
    goes "$(map_of "$1")" "relay region 900 \(lab\): $2" && ! told "$up"
}
step "CertName: a wrong name" refuses "$(node 900a 3344 '"CertName": "other.lab"')" "the certificate is another host's"
wrong=sha256-raw:$(printf '%064d' 0)
step "CertName: a wrong pin" refuses "$(node 900a 3344 "\"CertName\": \"$wrong\"")" 'the certificate is not the pinned one'
step "the same with InsecureForTests" refuses "$(node 900a 3344 "\"InsecureForTests\": true, \"CertName\": \"$wrong\"")" \
    'the certificate is not the pinned one'
step "and the right one after all" by "$(node 900a 3344)"
stop tailscaled-n1 # it would miss our relay
lab_end
