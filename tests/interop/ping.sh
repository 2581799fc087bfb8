#!/usr/bin/env bash
# Both ways, both kinds: tailscale ping of remora, remora ping of tailscaled.
. "$(dirname "$0")/lib.sh"
lab_start
must relay_start
must control_start -authkey labkey -fake 2
must ts_start 1
must ts_up 1
must remora_start r1
REMORA_AUTH_KEY=labkey must remora_run r2 --control-url "$control_url" --hostname r2
must remora_wait r2

# Other users may look at these.
no_key_in() { ! tr '\0' '\n' <"/proc/${pid_of[remora-$1]}/$2" | grep labkey; }
step "the auth key is wiped from the command line" no_key_in r1 cmdline
step "the auth key is wiped from the environment" no_key_in r2 environ

# Who joined a moment ago is told to the others a moment later.
all_known() { ts 1 status --json | jq -e '[.Peer[].HostName] | contains(["r1", "r2"])' && remora r1 status --json | jq -e '[.Peer[].HostName] | contains(["r2"])'; }
must until_ok 30 all_known

# so many answers, and no other
answers() { # answers N COMMAND...
    "${@:2}" >"$d/answers" || :
    cat "$d/answers"
    [ "$(grep -c '^pong from' "$d/answers")" = "$1" ]
}
ts_pongs() { answers 3 ts 1 ping --c 3 --timeout 5s --until-direct=false "$@"; }
ts_icmp() { answers 1 ts 1 ping --icmp --c 1 --timeout 5s "$@"; }
step "tailscale ping of remora, IPv4" ts_pongs "$(remora_ip4 r1)"
step "tailscale ping of remora, IPv6" ts_pongs "$(remora_ip6 r1)"
step "tailscale ping of remora, by name" ts_pongs r1
step "tailscale ping --icmp of remora, IPv4" ts_icmp "$(remora_ip4 r1)"
step "tailscale ping --icmp of remora, IPv6" ts_icmp "$(remora_ip6 r1)"

pongs() { answers "$1" remora "$2" ping "${@:3}"; } # pongs N NODE ARGUMENTS...
step "remora ping of tailscaled, IPv4" pongs 1 r1 "$(ts_ip 1 4)"
step "remora ping of tailscaled, IPv6" pongs 1 r1 "$(ts_ip 1 6)"
step "remora ping of tailscaled, three, by name" pongs 3 r1 -c 3 n1
step "remora ping of tailscaled, by full name" pongs 1 r1 n1.lab.test
step "remora ping --icmp of tailscaled, IPv4" pongs 1 r1 --icmp "$(ts_ip 1 4)"
step "remora ping --icmp of tailscaled, IPv6" pongs 1 r1 --icmp "$(ts_ip 1 6)"
step "remora ping of remora" pongs 1 r1 r2
step "remora ping --icmp of remora" pongs 2 r2 -c 2 --icmp r1

no_answer() { # WORDS ARGUMENTS...: exit code 1, and words on stderr
    local code=0
    remora r1 ping "${@:2}" 2>"$d/err" || code=$?
    cat "$d/err"
    [ $code = 1 ] && grep -qF "$1" "$d/err" && [ "$(wc -l <"$d/err")" = 1 ]
}
step "remora ping of a peer that is not there" no_answer "answered none of 1" --icmp fake1
step "remora ping of nobody" no_answer "nobody" nobody

status() {
    remora r1 status --json >"$d/status.json" && jq -e --arg ip "$(ts_ip 1 4)" '
        .BackendState == "Running" and (.Self.TailscaleIPs | length) == 2 and .Self.Online and
        ([.Peer[] | select(.HostName == "n1")] | length) == 1 and
        ([.Peer[] | select(.HostName == "n1")][0] |
            .TailscaleIPs[0] == $ip and .Online and .RxBytes > 0 and .TxBytes > 0 and
            (.Relay == "lab") and (.LastHandshake | startswith("20")))' "$d/status.json"
}
step "remora status --json" until_ok 30 status
people() {
    remora r1 status >"$d/status.txt"
    cat "$d/status.txt"
    grep -q "^$(ts_ip 1 4) .*n1.lab.test" "$d/status.txt" && grep -q '4 peers, 3 online' "$d/status.txt"
}
step "remora status" until_ok 30 people
lab_end
