#!/usr/bin/env bash
# Restarts: of remora from its state, of a peer, of the relay; and the control
# connection cut.  Traffic recovers each time with nothing restarted by hand.
. "$(dirname "$0")/lib.sh"
lab_start
must relay_start
# Without -authkey: with it the server would ask a known node for the key too.
# -verbose logs each register request.
must control_start -verbose
must ts_start 1
must ts_up 1
must web_start

# The control connection runs through a process that can be ended.
proxy_start() {
    bg proxy socat TCP-LISTEN:9912,bind=127.0.0.1,reuseaddr,fork TCP:127.0.0.1:9911
    until_ok 30 curl -fsS http://127.0.0.1:9912/generate_204
}
must proxy_start
control_url=http://127.0.0.1:9912 must remora_start r1 --socks5 127.0.0.1:1055 --serve 8088=127.0.0.1:8088
r1=127.0.0.1:1055 n1=127.0.0.1:1081
ip=$(remora_ip4 r1)
n1_url=http://$(ts_ip 1 4):8088/
r1_url=http://$ip:8088/

# Long enough for each party's own timers: WireGuard gives up a dead session
# after 15 s and retries every 5 s; the relay is dialled again with back-off.
patience=3
both_ways() { until_ok 60 hello $r1 "$n1_url" && until_ok 60 hello $n1 "$r1_url"; }
step "traffic both ways" both_ways

# ---- remora from its state -------------------------------------------------
auths() { grep -c '"AuthKey"' "$d/log/control.log" || :; }
again() { # again HOW: stopped that way, then run with the state alone
    local nodes auths_before
    nodes=$(lab_nodes) auths_before=$(auths)
    case $1 in
    killed) stop remora-r1 KILL ;;
    down) remora r1 down && until_ok 30 has_ended r1 && end remora-r1 ;;
    *) remora_stop r1 ;;
    esac
    remora_run r1 --socks5 127.0.0.1:1055 --serve 8088=127.0.0.1:8088
    remora_wait r1 || return 1
    [ "$(remora_ip4 r1)" = "$ip" ] || { echo "another address: $(remora_ip4 r1)"; return 1; }
    [ "$(lab_nodes)" = "$nodes" ] || { echo "another node on the server"; return 1; }
    [ "$(auths)" = "$auths_before" ] || { echo "it sent a key"; return 1; }
}
has_ended() { ! runs "remora-$1"; }
auth_was_sent() { [ "$(auths)" -ge 2 ]; } # n1's and r1's: the search finds them
step "the first registration sent the key" auth_was_sent
step "from its state: same address, no key" again stopped
step "traffic both ways after that" both_ways
step "from its state after kill -9" again killed
step "traffic both ways after that" both_ways
step "from its state after remora down" again down
step "traffic both ways after that" both_ways
private() {
    find "$d/state/r1" -type d ! -perm 700 | grep . && return 1
    find "$d/state/r1" -type f ! -perm 600 | grep . && return 1
    return 0
}
step "state directory 0700, files 0600" private

# ---- a peer ----------------------------------------------------------------
peer_again() {
    stop tailscaled-n1 KILL
    ts_start 1 && until_ok 60 ts_running 1 && both_ways
}
step "tailscaled killed and started again" peer_again

# ---- the relay -------------------------------------------------------------
relay_again() {
    stop derper KILL
    until_ok 30 relay_is_gone
    relay_start && both_ways && until_ok 60 relay_has 2
}
relay_is_gone() { ! curl -fsSk https://127.0.0.1:3340/derp/probe; }
relay_has() { # so many clients
    [ "$(curl -fsSk https://127.0.0.1:3340/debug/vars | jq .derp.gauge_clients_total)" -ge "$1" ]
}
step "the relay killed and started again" relay_again

# By the relay alone, so that no direct path hides that it is gone.
relay_alone() {
    stop tailscaled-n1 KILL
    ts_start 1 TS_DEBUG_ALWAYS_USE_DERP=1 && until_ok 60 ts_running 1 && both_ways && relay_again
}
step "the relay killed and started again, with no other way" relay_alone

# ---- the control connection ------------------------------------------------
cut_off() {
    stop proxy KILL
    until_ok 60 no_stream && both_ways # peers don't need the control server
}
no_stream() { ! has_stream r1; }
step "the control connection cut: peers go on" cut_off
restored() {
    proxy_start && until_ok 90 has_stream r1 && lab 'fake?n=1' && until_ok 60 sees_fake
}
sees_fake() { remora r1 status --json | jq -e '[.Peer[] | select(.HostName == "fake1")] | length == 1'; }
step "restored: the map stream is back, changes arrive" restored
step "traffic both ways after that" both_ways

# Started while the control server is away: the state is enough to be reached
# once it is back.
server_late() {
    stop proxy KILL
    remora_stop r1
    remora_run r1 --socks5 127.0.0.1:1055 --serve 8088=127.0.0.1:8088
    until_ok 60 in_trouble
    proxy_start && remora_wait r1 60 && both_ways
}
in_trouble() { grep -q '"event":"trouble"' "$d/log/remora-r1.out" && runs remora-r1; }
step "started from its state while the control server is away" server_late
lab_end
