#!/usr/bin/env bash
# Direct paths between remora and tailscaled, found both ways; lost and found
# again; netcheck and the map.
. "$(dirname "$0")/lib.sh"
lab_start
must relay_start
must control_start -authkey labkey
must ts_start 1
must ts_up 1
must remora_start r1
must remora_start r2
must remora_start r3 --no-udp
must web_start

# ---- netcheck ---------------------------------------------------------------

measured() {
    remora r1 netcheck --json >"$d/netcheck.json"
    cat "$d/netcheck.json"
    jq -e '.UDP and .IPv4 and .PreferredDERP == 900 and .MappingVariesByDestIP == null
        and (.GlobalV4 | startswith("127.0.0.1:")) and .RegionLatency["900"] > 0
        and .RegionV4Latency["900"] > 0 and .Regions["900"].RegionCode == "lab"' "$d/netcheck.json"
}
step "remora netcheck --json" until_ok 60 measured
# The same words for the same things.
same_names() {
    ts 1 netcheck --format=json >"$d/ts-netcheck.json" 2>/dev/null
    diff <(jq -r 'keys[]' "$d/ts-netcheck.json") <(jq -r 'del(.Regions) | keys[]' "$d/netcheck.json")
}
step "its names are those of tailscale netcheck" same_names
people() { remora r1 netcheck >"$d/out" && cat "$d/out" && grep -q 'lab .* ms .*(home)' "$d/out"; }
step "remora netcheck" until_ok 60 people
https_alone() {
    remora r3 netcheck --json >"$d/out"
    cat "$d/out"
    jq -e '(.UDP | not) and .PreferredDERP == 900 and .RegionLatency["900"] > 0 and .RegionV4Latency == {}' "$d/out"
}
step "netcheck without UDP measures by HTTPS" until_ok 60 https_alone
# Without a node: with a map, and with what a node left behind.
alone() { # ARGUMENTS...
    "$REMORA" netcheck --json "$@" >"$d/alone.json"
    cat "$d/alone.json"
    jq -e '.UDP and .IPv4 and .IPv4CanSend and .PreferredDERP == 900
        and (.GlobalV4 | startswith("127.0.0.1:")) and .RegionLatency["900"] > 0
        and .RegionV4Latency["900"] > 0 and .Regions["900"].RegionCode == "lab"' "$d/alone.json"
}
remora r1 debug derp-map >"$d/map.json"
step "netcheck --derp-map, without a node" until_ok 60 alone --derp-map "$d/map.json"
step "its names are the running node's" diff <(jq -r 'keys[]' "$d/netcheck.json") <(jq -r 'keys[]' "$d/alone.json")
until_ok 30 test -s "$d/state/r2/netmap.cache"
must remora_stop r2
step "netcheck with the netmap of a node that was stopped" until_ok 60 alone --state-dir "$d/state/r2"
step "it left the state as it was" test "$d/state/r2/netmap.cache" -ot "$d/alone.json"
must remora_start r2
map() { remora r1 debug derp-map | jq -e '.Regions["900"].Nodes[0] | .DERPPort == 3340 and .STUNPort == 3478 and .IPv6 == "none"'; }
step "remora debug derp-map" map
# What control was told.
told() {
    lab nodes >"$d/out"
    jq -e '[.nodes[] | select(.Name | startswith("r1."))][0] |
        .Hostinfo.NetInfo.PreferredDERP == 900 and .Hostinfo.NetInfo.WorkingUDP
        and (.Endpoints | length) > 0' "$d/out"
}
step "control knows NetInfo and endpoints" until_ok 60 told

# ---- both ways --------------------------------------------------------------

direct() { # NODE PEER: remora finds it
    remora "$1" ping --until-direct "$2" >"$d/out"
    cat "$d/out"
    tail -n 1 "$d/out" | grep -qE 'via [0-9.]+:[0-9]+ in'
}
ts_direct() { # PEER: tailscaled finds it
    ts 1 ping --c 10 --timeout 5s "$1" >"$d/out"
    cat "$d/out"
    tail -n 1 "$d/out" | grep -qE 'via [0-9.]+:[0-9]+ in'
}
step "tailscale ping of remora is direct" ts_direct r1
step "remora ping --until-direct of tailscaled" direct r1 n1
step "remora ping --until-direct of remora" direct r1 r2
relayed() {
    local code=0
    remora r1 ping --until-direct -c 2 r3 >"$d/out" 2>"$d/err" || code=$?
    cat "$d/out" "$d/err"
    [ $code = 1 ] && grep -q 'via DERP(lab)' "$d/out" && grep -q 'no direct path' "$d/err"
}
step "without UDP it stays at the relay, and says so" relayed

curaddr() { # NODE PEER: its status names the address
    remora "$1" status --json | jq -e --arg h "$2" '[.Peer[] | select(.HostName == $h)][0] | (.CurAddr | length) > 0 and .Relay == "lab"'
}
# It trusts a path for 6.5 s without traffic: some, and a look.
looked() { ts_direct r1 && direct r1 n1 && "$@"; }
step "status --json says the address" until_ok 60 looked curaddr r1 n1
ts_curaddr() { ts 1 status --json | jq -e '[.Peer[] | select(.HostName == "r1")][0].CurAddr | length > 0'; }
step "and so does tailscaled's" until_ok 60 looked ts_curaddr
status_people() { remora r1 status >"$d/out" && cat "$d/out" && grep -q 'n1.lab.test .*direct [0-9.]*:' "$d/out"; }
step "status says that it is direct" until_ok 60 looked status_people

# ---- traffic ----------------------------------------------------------------

must remora_stop r2
must remora_start r2 --socks5 127.0.0.1:1092 --serve 80=127.0.0.1:8088
step "a restarted peer is direct again" direct r1 r2
frames() { curl -fsSk https://127.0.0.1:3340/debug/vars | jq '.derp.packets_sent'; }
by_udp() { # hardly a frame through the relay
    local before after
    before=$(frames)
    fetch "$@" || return 1
    after=$(frames)
    echo "= $((after - before)) packets by the relay"
    [ $((after - before)) -lt 500 ]
}
ts 1 serve --bg --tcp 80 tcp://127.0.0.1:8088 >/dev/null
# What is sent before the path is found goes by the relay, as it should.
must until_ok 60 direct r2 n1
step "100 MB from tailscaled, without the relay" by_udp 127.0.0.1:1092 http://n1/big
must until_ok 60 ts_direct r2
step "100 MB to tailscaled, without the relay" by_udp 127.0.0.1:1081 http://r2/big
lab_end
