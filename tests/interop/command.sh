#!/usr/bin/env bash
# A long-running node: its configuration file, metrics, captures, logs; and what
# whois and status say, beside what tailscale says.
. "$(dirname "$0")/lib.sh"
lab_start
must relay_start
must control_start -authkey labkey
must ts_start 1
must ts_up 1
must web_start
printf labkey >"$d/key"
cat >"$d/r1.yaml" <<Y
# what a service manager would give
control-url: $control_url
auth-key-file: $d/key
hostname: not-this-one
log-level: trace
log-json: true
socks5: 127.0.0.1:1055
socks5-auth: ann:s3cret-of-socks
metrics: 127.0.0.1:9191
metrics-file: $d/r1.prom
serve:
  - 80=127.0.0.1:8088
Y
must remora_run r1 --config "$d/r1.yaml" --hostname r1
must remora_wait r1
log_level=trace must remora_start r2

step "the command line wins over the file" test "$(running_event r1 | jq -r .hostname)" = r1.lab.test
step "a serve of the file" until_ok 60 hello 127.0.0.1:1081 "http://$(remora_ip4 r1)/"
step "SOCKS5 of the file, with its password" hello 127.0.0.1:1055 http://n1.lab.test:8088/ -U ann:s3cret-of-socks

# ---- whois: the same as tailscale's ------------------------------------------
who='{Node: (.Node | {ID, StableID, Name, User, Key, Addresses, AllowedIPs, Online, ComputedName,
    OS: .Hostinfo.OS, Hostname: .Hostinfo.Hostname}), UserProfile: (.UserProfile | {ID, LoginName, DisplayName})}'
same_whois() { # same_whois ADDRESS: of a node that neither of the two is
    ts 1 whois --json "$1" | jq -S "$who" >"$d/who.ts"
    remora r1 whois --json "$1" | jq -S "$who" >"$d/who.r1"
    diff "$d/who.ts" "$d/who.r1" && grep -q LoginName "$d/who.r1"
}
step "whois says what tailscale says, IPv4" until_ok 30 same_whois "$(remora_ip4 r2)"
step "whois says what tailscale says, IPv6" until_ok 30 same_whois "$(remora_ip6 r2)"
step "whois says what tailscale says, with a port" until_ok 30 same_whois "$(remora_ip4 r2):4711"
whois_of() { [ "$(remora r1 whois "$1" | sed -n 's/^Name  *//p')" = "$2" ]; }
step "whois of a name" whois_of n1 n1.lab.test
step "whois of itself" whois_of "$(remora_ip4 r1)" r1.lab.test
whois_nobody() { ! remora r1 whois 100.99.99.99 2>"$d/err" && grep "is not a peer" "$d/err"; }
step "whois of nobody" whois_nobody

# ---- status: the names of tailscale's ------------------------------------------
# What we leave out, because it means nothing here, and what we say beside it.
left_out='["CertDomains", "PeerAPIURL", "TaildropTarget", "NoFileSharingReason", "Capabilities", "CapMap", "ProfilePicURL"]'
added='["ControlURL", "UDPPort"]'
names='[(keys_unsorted[]), (.Self | keys_unsorted[] | "Self." + .), (.Peer[] | keys_unsorted[] | "Peer." + .),
    (.User[] | keys_unsorted[] | "User." + .), (.CurrentTailnet | keys_unsorted[] | "CurrentTailnet." + .)] | unique'
names_are_tailscales() {
    ts 1 status --json >"$d/status.ts"
    remora r1 status --json >"$d/status.r1"
    jq -n --slurpfile t "$d/status.ts" --slurpfile r "$d/status.r1" "
        (\$t[0] | $names | map(select((split(\".\") | last) as \$n | $left_out | index(\$n) | not))) as \$want
        | (\$r[0] | $names | map(select(. as \$n | $added | index(\$n) | not))) as \$have
        | {missing: (\$want - \$have), beside: (\$have - \$want)}" >"$d/names"
    cat "$d/names"
    jq -e '.missing == [] and .beside == []' "$d/names"
}
step "status --json has tailscale's names, and no others" until_ok 30 names_are_tailscales
same_node='{ID, PublicKey, HostName, DNSName, OS, UserID, TailscaleIPs, AllowedIPs, Relay, Created, Online, ExitNode, ExitNodeOption, InNetworkMap}'
same_status() {
    remora r1 status --json >"$d/status.r1"
    ts 1 status --json >"$d/status.ts"
    # n1 and r1 see r2 alike; and r1 itself is what n1 sees of it.
    for q in '.Peer[] | select(.HostName == "r2")' '.[] | select(.HostName? == "r1")' .MagicDNSSuffix .CurrentTailnet \
        '.User | map_values(del(.ProfilePicURL))'; do
        case $q in
        *r1*)
            jq -S "[.Self] + [.Peer[]] | $q | $same_node" "$d/status.ts" >"$d/a"
            jq -S "[.Self] + [.Peer[]] | $q | $same_node" "$d/status.r1" >"$d/b"
            ;;
        *r2*)
            jq -S "$q | $same_node" "$d/status.ts" >"$d/a"
            jq -S "$q | $same_node" "$d/status.r1" >"$d/b"
            ;;
        *)
            jq -S "$q" "$d/status.ts" >"$d/a"
            jq -S "$q" "$d/status.r1" >"$d/b"
            ;;
        esac
        diff "$d/a" "$d/b" && [ -s "$d/a" ] || return 1
    done
}
step "status --json says the same of the same nodes" until_ok 60 same_status

# ---- capture -------------------------------------------------------------------
"$REMORA" capture "$d/r1.pcap" --state-dir "$d/state/r1" 2>"$d/log/capture.err" &
capture=$!
must until_ok 30 test -s "$d/r1.pcap"
step "remora ping --icmp, captured" remora r1 ping -c 2 --icmp n1
step "a web page, captured" hello 127.0.0.1:1055 http://n1.lab.test:8088/ -U ann:s3cret-of-socks
seen() { # seen FILTER LEAST: so many packets
    local n
    n=$(tshark -r "$d/r1.pcap" -Y "$1" 2>"$d/log/tshark.err" | wc -l)
    cat "$d/log/tshark.err"
    echo "$n packets of $1"
    ! grep -q 'cut short\|damaged' "$d/log/tshark.err" && [ "$n" -ge "$2" ]
}
# The file grows behind the traffic; what is cut in the middle of a packet is looked
# at again.
must until_ok 30 seen 'http.response.code == 200' 1
capture_ends() { kill -INT "$capture" && wait "$capture" && grep -E '^[0-9]+ packets$' "$d/log/capture.err"; }
step "capture ends by Ctrl-C, in order" capture_ends
step "Wireshark reads the echo requests" seen "icmp.type == 8 && ip.dst == $(ts_ip 1 4)" 2
step "Wireshark reads the answers" seen "icmp.type == 0 && ip.src == $(ts_ip 1 4)" 2
step "Wireshark reads the web page" seen 'http.response.code == 200' 1
step "no packet is one that Wireshark calls malformed" test "$(tshark -r "$d/r1.pcap" -Y _ws.malformed 2>/dev/null | wc -l)" = 0

# ---- metrics -------------------------------------------------------------------
must remora r1 ping --until-direct -c 20 n1
metric() { curl -fsS http://127.0.0.1:9191/metrics | awk -v n="$1" '$1 == n {print $2}'; }
metrics_say() { # as `remora status` counts
    [ "$(metric tailscale_up)" = 1 ] && [ "$(metric tailscale_backend_running)" = 1 ] && [ "$(metric tailscale_peers)" = 2 ] &&
        [ "$(metric tailscale_peers_direct)" -ge 1 ] && [ "$(metric 'tailscale_bytes_total{direction="rx"}')" -gt 1000 ]
}
step "metrics count peers and bytes" until_ok 30 metrics_say
file_says() { grep -x "tailscale_up $1" "$d/r1.prom" && [ ! -e "$d/r1.prom.tmp" ]; }
step "the metrics file says so too" until_ok 30 file_says 1
same_families() { diff <(curl -fsS http://127.0.0.1:9191/metrics | grep '^#') <(remora r1 metrics | grep '^#') && diff <(grep '^#' "$d/r1.prom") <(remora r1 metrics | grep '^#'); }
step "listener, file and command say the same" until_ok 30 same_families

# ---- set -----------------------------------------------------------------------
must remora r1 set --hostname renamed --shields-up
renamed() { ts 1 status --json | jq -e --arg ip "$(remora_ip4 r1)" '.Peer[] | select(.TailscaleIPs[0] == $ip) | .HostName == "renamed"'; }
step "set --hostname is told to the peers" until_ok 60 renamed
shut() { ! patience=3 hello 127.0.0.1:1081 "http://$(remora_ip4 r1)/"; }
step "set --shields-up lets no peer in" shut
step "its own connections go on" hello 127.0.0.1:1055 http://n1.lab.test:8088/ -U ann:s3cret-of-socks
must remora r1 set --shields-up=false
step "set --shields-up=false lets them in" until_ok 60 hello 127.0.0.1:1081 "http://$(remora_ip4 r1)/"

# ---- logs ----------------------------------------------------------------------
all_json() { jq -e -s 'length > 10 and all(.[]; (.time | type == "string") and .layer and .msg and (.level | IN("error", "warn", "info", "debug", "trace")))' "$d/log/remora-r1.err" >"$d/out"; }
step "each line of --log-json is an object" until_ok 30 all_json
no_password() { ! grep -aq 's3cret-of-socks' "$d"/log/remora-*; }
step "the SOCKS5 password is in no log, at trace level" no_password

step "down" remora r1 down
step "the metrics file of a node that ended" file_says 0
unset 'pid_of[remora-r1]'

# ---- logout --------------------------------------------------------------------
# Another server: this one asks for a login by a URL.
must remora r2 down
unset 'pid_of[remora-r2]'
stop tailscaled-n1
stop control
must control_start -interactive
urls() { jq -r 'select(.event == "needs-login" and .url) | .url' "$d/log/remora-r3.out"; }
has_url() { [ "$(urls | grep -c .)" -ge 1 ]; }
ask_by_url() {
    remora_run r3 --control-url "$control_url" --hostname r3 "$@"
    until_ok 60 has_url
}
join_by_url() {
    ask_by_url "$@" && curl -fsS "$(urls | tail -n 1)" && remora_wait r3 60
}
is_registered() { grep -aq "\"registered\":$1" "$d/state/r3/remora.state"; }
waits() { # waits SIGNAL: a start that waits for a login ends by it, in order
    ask_by_url && urls >"$d/url" && end remora-r3 "$1" && [ -z "$(running_event r3)" ]
}
step "a node that waits for a login ends by SIGINT" waits INT
first_url=$(cat "$d/url")
step "and by SIGTERM" waits TERM
step "each start waits for the same login" test "$(cat "$d/url")" = "$first_url"
ends_at_once() { # so long after its start, with a state and a server
    local t code
    for t in 0 0.02 0.03 0.04 0.05 0.07 0.1 0.15 0.2 0.3; do
        remora_run r3 --control-url "$control_url" --hostname r3
        until kill -0 -- "-${pid_of[remora-r3]}" 2>/dev/null; do sleep 0.005; done
        sleep $t
        code=0
        end remora-r3 TERM || code=$?
        # A start that has no handler yet is ended by the signal itself.
        [ $code = 0 ] || { [ $code = 143 ] && [ ! -s "$d/log/remora-r3.out" ]; } || { echo "$t s: exit code $code"; return 1; }
    done
}
step "a start ends at any moment" ends_at_once
step "a login by a URL" join_by_url --advertise-tags tag:a,printer
tags_are() { lab nodes | jq -e --argjson t "$1" '.nodes[] | select(.Hostinfo.Hostname == "r3") | (.Hostinfo.RequestTags // []) == $t'; }
step "tags are asked for" until_ok 30 tags_are '["tag:a","tag:printer"]'
step "its state has a registration" until_ok 30 is_registered true
logged_out() { remora r3 logout && until_ok 30 grep '"event":"stopped"' "$d/log/remora-r3.out"; }
step "logout ends the running node" logged_out
unset 'pid_of[remora-r3]'
step "its state has none any more" until_ok 30 is_registered false
step "it joins again by a URL" join_by_url
step "the tags are still asked for" until_ok 30 tags_are '["tag:a","tag:printer"]'
must remora r3 down
unset 'pid_of[remora-r3]'
step "logout where no node runs" remora r3 logout
step "that state has no registration either" is_registered false
stop control
logout_unheard() { ! remora r3 logout 2>"$d/err" && grep "not logged out: control server" "$d/err"; }
step "logout without the control server says so" logout_unheard
lab_end
