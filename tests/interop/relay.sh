#!/usr/bin/env bash
# remora's relay with real clients and a real relay beside it: tailscaled and
# remora by it, raw and in WebSocket frames, and packets that pass from it to a
# meshed derper and back.
. "$(dirname "$0")/lib.sh"
lab_start
must certificates
must web_start

openssl rand -hex 32 >"$d/mesh.key"
chmod 600 "$d/mesh.key"
mkdir -p "$d/derper"
derper_port=3341

# ---- two relays of one region -------------------------------------------------

# It trusts our CA, and we its certificate.  It is up first: it tries us every 5 s.
bg derper env SSL_CERT_FILE="$d/ca.pem" "$PEERS/derper" -c "$d/derper/derper.json" -a 127.0.0.1:3341 \
    -http-port -1 -stun=false -certmode manual -certdir "$d/derper" -hostname 127.0.0.1 \
    -mesh-psk-file "$d/mesh.key" -mesh-with 127.0.0.1:3340
must until_ok 30 curl -fsSk https://127.0.0.1:3341/derp/probe

relay_run() {
    setsid "$REMORA" relay --listen 127.0.0.1:3340 --listen 127.0.0.1:443 --tls-cert "$d/control.pem" \
        --tls-key "$d/control.key" --stun 127.0.0.1:3478 --metrics 127.0.0.1:3342 --state-dir "$d/relay" \
        --mesh-key-file "$d/mesh.key" --mesh-with 127.0.0.1:3341 --ca-file "$d/derper/127.0.0.1.crt" \
        --log-level info >>"$d/log/remora-relay.out" 2>>"$d/log/remora-relay.err" </dev/null &
    pid_of[remora-relay]=$!
}
must relay_run
probe() { curl -fsS --cacert "$d/ca.pem" "https://127.0.0.1:${1:-3340}/derp/probe"; }
must until_ok 30 probe

metric() { curl -fsS http://127.0.0.1:3342/metrics | awk -v n="$1" '$1 == n { print $2; f = 1 } END { exit !f }'; }
at_least() { # at_least METRIC N
    local v
    v=$(metric "$1") || { echo "there is no $1"; return 1; }
    echo "= $1 $v"
    [ "${v%.*}" -ge "$2" ]
}
derper_says() { curl -fsSk https://127.0.0.1:3341/debug/vars | jq -e ".derp | $1"; }

pin() { openssl x509 -in "$1" -outform der | sha256sum | cut -d' ' -f1; }
derp_node() { # NAME PORT CERTIFICATE STUNPORT
    echo "{\"Name\": \"$1\", \"RegionID\": 900, \"HostName\": \"127.0.0.1\", \"IPv4\": \"127.0.0.1\", \"IPv6\": \"none\",
        \"DERPPort\": $2, \"STUNPort\": $4, \"CertName\": \"sha256-raw:$(pin "$3")\"}"
}
ours=$(derp_node 900a 3340 "$d/control.pem" 3478)
theirs=$(derp_node 900b 3341 "$d/derper/127.0.0.1.crt" -1)
derp_map_of() { # the nodes in this order
    local IFS=,
    echo "{\"Regions\": {\"900\": {\"RegionID\": 900, \"RegionCode\": \"lab\", \"RegionName\": \"Lab\", \"Nodes\": [$*]}}}"
}
derp_map_of "$ours" "$theirs" >"$d/derpmap.json"
must control_start -authkey labkey

# ---- by our relay -------------------------------------------------------------

must ts_start 1 TS_DEBUG_ALWAYS_USE_DERP=1
must ts_up 1
must ts_start 2 TS_DEBUG_ALWAYS_USE_DERP=1
must ts_up 2
must remora_start r1 --no-udp --socks5 127.0.0.1:1091

by_relay() { # by_relay N ADDRESS: tailscale ping says so
    ts "$1" ping --c 1 --timeout 10s "$2" >"$d/out" 2>&1 || :
    cat "$d/out"
    grep -q 'via DERP(lab)' "$d/out"
}
step "tailscaled to tailscaled by remora's relay" by_relay 1 "$(ts_ip 2 4)"
step "tailscaled to remora by remora's relay" by_relay 1 "$(remora_ip4 r1)"
n1_ip=$(ts_ip 1 4)
n2_ip=$(ts_ip 2 4)
step "100 MB from tailscaled to remora" fetch 127.0.0.1:1091 "http://$n1_ip:8088/big"
step "100 MB from tailscaled to tailscaled" fetch 127.0.0.1:1082 "http://$n1_ip:8088/big"
step "all three are clients of it" at_least derp_clients_local 3
step "it counts what it carried" at_least derp_packets_sent 100000
answers_stun() { remora r1 netcheck --json | jq -e '.RegionLatency["900"] > 0'; }
step "its latency is measured by HTTPS" until_ok 60 answers_stun
step "it tells what its process uses" at_least derp_current_file_descriptors 8

# ---- WebSocket ------------------------------------------------------------------

# Of the reference's builds only those with a tag speak it; it asks the relay's
# name at port 443 and checks the certificate against the roots.
bg tsnet-ws env TS_DEBUG_ALWAYS_USE_DERP=1 TS_DEBUG_DERP_WS_CLIENT=1 SSL_CERT_FILE="$d/ca.pem" \
    "$PEERS/tsnetpeer-ws" -name ws -control "$control_url" -authkey labkey -dir "$d/ws"
ws_ip() { ts 1 status --json | jq -er '.Peer[] | select(.HostName == "ws") | .TailscaleIPs[0]'; }
must until_ok 60 ws_ip
at_least_ws() { at_least derp_websocket_accepts 1; }
step "a client in WebSocket frames" until_ok 60 at_least_ws
step "tailscaled reaches it" until_ok 60 by_relay 1 "$(ws_ip)"
body() { # its HTTP service makes bodies of any length
    local began n
    began=$(now_ms)
    n=$(curl -fsS --max-time 60 --socks5-hostname 127.0.0.1:1091 "http://$(ws_ip)/100000000" | wc -c)
    [ "$n" = 100000000 ] || { echo "$n bytes came"; return 1; }
    echo "= $((100000 / ($(ms_since "$began") + 1))) MB/s"
}
step "100 MB out of WebSocket frames" body

# ---- the mesh ---------------------------------------------------------------------

step "derper watches us" until_ok 30 at_least derp_watchers 1
step "we watch derper" until_ok 30 derper_says '.gauge_watchers >= 1 // .watchers >= 1'
# n2 gets the region's relays in the other order, and so goes to derper.
move() {
    local map
    map=$(derp_map_of "$theirs" "$ours")
    lab "raw?node=n2" --data "{\"DERPMap\": $map}"
    until_ok 60 derper_says '.gauge_clients_local // .clients_local // 0 | . >= 2'
}
step "one tailscaled goes to the derper" move
step "it still reaches the others" until_ok 60 by_relay 2 "$n1_ip"
step "100 MB from our relay to the derper" fetch 127.0.0.1:1082 "http://$n1_ip:8088/big"
step "100 MB from the derper to our relay" fetch 127.0.0.1:1091 "http://$n2_ip:8088/big"
step "packets were forwarded by us" at_least derp_packets_forwarded_out 10000
step "and to us" at_least derp_packets_forwarded_in 10000

# ---- an end -----------------------------------------------------------------------

drained() { # SIGTERM: an orderly end, and its clients come back to the next
    remora_stop relay && relay_run && until_ok 30 probe && until_ok 60 by_relay 1 "$(remora_ip4 r1)"
}
stop tsnet-ws # its tries would fill its log
step "after a restart its clients come back" drained
step "it still runs" probe
lab_end
