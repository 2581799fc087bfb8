#!/usr/bin/env bash
# What a control server may ask of a node while it runs: signs of life, pings of
# peers, another way to itself, silence; and nodes that wait for approval.
. "$(dirname "$0")/lib.sh"
lab_start
must relay_start
must control_start -authkey labkey
must ts_start 1
must ts_up 1
must web_start
n1_ip=$(ts_ip 1 4)

# Behind a plain relay, so that the connection can be cut; by a name.
way() { bg way socat TCP-LISTEN:9931,fork,reuseaddr,bind=127.0.0.1 TCP:127.0.0.1:9911; }
must way
must until_ok 30 curl -fsS -o /dev/null http://127.0.0.1:9931/generate_204
control_url=http://control.lab:9931
# Where answers go: written down with their bodies.
must nginx_start answers "log_format asked escape=none '\$request_method \$uri \$request_body';
    server { listen 127.0.0.1:9941; access_log $d/log/answers.asked asked;
        location / { proxy_pass http://127.0.0.1:9942; } }
    server { listen 127.0.0.1:9942; return 204; }"
must until_ok 30 curl -fsS -o /dev/null http://127.0.0.1:9941/
must remora_start r1 --socks5 127.0.0.1:1091
n1_url=http://$n1_ip:8088/
must until_ok 60 hello 127.0.0.1:1091 "$n1_url"

# ---- pings -------------------------------------------------------------------
asked() { grep -E "^$1" "$d/log/answers.asked" | tail -n 1; }
raw() { lab "raw?node=r1" --data "$1"; }
ping() { # ping URL TYPES IP
    raw "{\"PingRequest\":{\"URL\":\"$1\",\"Types\":\"$2\",\"IP\":\"$3\"}}"
}
answers=http://control.lab:9941
head_is_answered() { ping $answers/alive "" "$n1_ip" && until_ok 30 asked "HEAD /alive"; }
step "a sign of life, outside of the control connection" head_is_answered
other_host() {
    ping http://localhost:9941/other "" "$n1_ip" &&
        until_ok 30 grep -q 'ping of localhost, another host: refused' "$d/log/remora-r1.err" && ! asked "HEAD /other"
}
step "not of another host" other_host
pinged() { # pinged TYPE: a POST with a latency and the peer's name
    ping "$answers/$1" "$1" "$n1_ip" && until_ok 15 asked "POST /$1" || return 1
    asked "POST /$1" | sed "s|^POST /$1 ||" |
        jq -e --arg t "$1" --arg ip "$n1_ip" '.Type == $t and .IP == $ip and (.NodeName | startswith("n1")) and .LatencySeconds > 0 and (has("Err") | not)'
}
step "a disco ping" pinged disco
step "a TSMP ping" pinged TSMP
step "an ICMP ping" pinged ICMP
nobody() {
    ping $answers/nobody disco,TSMP 100.64.200.200 &&
        until_ok 15 asked 'POST /nobody .*"Err":"no peer has this address"'
}
step "of an address that nobody has: an error is posted" nobody
r1_ip=$(remora_ip4 r1)
tsmp() { ts 1 ping --tsmp --c 1 "$r1_ip" | grep "pong from r1"; }
step "tailscaled's TSMP ping is answered" until_ok 60 tsmp

# ---- another way, and silence --------------------------------------------------
plan() {
    raw '{"ControlDialPlan":{"Candidates":[{"IP":"127.0.0.9","DialTimeoutSec":5},{"IP":"127.0.0.1","DialStartDelaySec":0.3,"DialTimeoutSec":5,"Priority":1}]}}' || return 1
    # What was sent behind it has come, so the plan has.
    ping $answers/planned "" "$n1_ip" && until_ok 30 asked "HEAD /planned" || return 1
    sed -i 's/ control.lab//' "$d/hosts" # nobody knows the name any more
    stop way
    until_ok 30 grep -q '"event":"trouble"' "$d/log/remora-r1.out" || return 1
    way
    until_ok 60 has_stream r1
}
step "the dial plan leads where the name does not" plan
silence() {
    raw '{"Debug":{"SleepSeconds":12}}' || return 1
    until_ok 30 grep -q 'asks for 12 s of silence' "$d/log/remora-r1.err" || return 1
    lab "fake?n=1"
    sleep 2
    ! sees fake1 || return 1
    until_ok 30 sees fake1
}
sees() { remora r1 status --json | jq -e --arg h "$1" '[.Peer[].HostName] | index($h)'; }
step "twelve seconds of silence, as asked" silence


# ---- approval ------------------------------------------------------------------
# Another server, which lets nobody in unasked.
must remora_stop r1
stop tailscaled-n1
stop way
stop control
control_url=http://127.0.0.1:9911
must control_start -authkey labkey -machine-auth
is_state() { remora "$1" status --json | jq -e --arg s "$2" '.BackendState == $s'; }
waits() {
    remora_run r5 --control-url "$control_url" --auth-key labkey --hostname r5 --serve 8088=127.0.0.1:8088
    until_ok 60 is_state r5 NeedsMachineAuth && ! remora_is_up r5 && until_ok 30 has_stream r5
}
step "a node that is not approved waits" waits
approved() { lab "approve?node=$1" && remora_wait "$1" 60; }
step "approved, it runs" approved r5
other() {
    remora_run r6 --control-url "$control_url" --auth-key labkey --hostname r6 --socks5 127.0.0.1:1096
    until_ok 60 is_state r6 NeedsMachineAuth && until_ok 30 has_stream r6 && approved r6
}
step "another one" other
step "traffic between them" until_ok 60 hello 127.0.0.1:1096 "http://$(remora_ip4 r5):8088/"
lab_end
