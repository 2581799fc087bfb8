#!/usr/bin/env bash
# The commands that ask a running node, against a scripted endpoint that speaks
# docs/local-api.md.
#   tests/cli/local.sh PATH-OF-REMORA
. "$(dirname "$0")/cases.sh"
command -v socat >/dev/null || {
    echo "socat is missing; scripts/deps installs it"
    exit 1
}
state=$work/state
mkdir -m 700 "$state"
cat >"$work/node" <<'NODE'
#!/usr/bin/env bash
read -r line
printf '%s\n' "$line" >>"$1/requests"
case $line in
*'"status"'*)
    printf '{"BackendState":"Running","Self":{"TailscaleIPs":["100.64.0.1","fd7a::1"],"DNSName":"n1.lab.test.","OS":"linux","Online":true,"Relay":"lab"},'
    printf '"Peer":{"nodekey:aa":{"TailscaleIPs":["100.64.0.2"],"HostName":"x\\u001b[31m","DNSName":"n2.lab.test.","OS":"linux","Online":true,"Relay":"lab","CurAddr":"","RxBytes":1500000,"TxBytes":20,"LastHandshake":"2026-01-01T00:00:00Z"},'
    printf '"nodekey:bb":{"TailscaleIPs":["100.64.0.3"],"HostName":"n\\u001b[31m3","Online":false,"ExitNode":true},"nodekey:cc":{"TailscaleIPs":["100.64.0.4"],"HostName":"n4","Online":true,"ExitNodeOption":true}},"Deep":{"er":[{},[],"a,{\\"b"]}}\n'
    ;;
*'"ping","peer":"dead"'*)
    echo '{"seq":1,"error":"timed out"}'
    echo '{"done":true,"sent":1,"received":0}'
    ;;
*'"ping","peer":"relayed"'*)
    echo '{"seq":1,"ip":"100.64.0.2","name":"n2.lab.test","ms":1.25,"via":"DERP(lab)"}'
    echo '{"done":true,"sent":1,"received":1,"direct":false}'
    ;;
*'"ping","peer":"near"'*)
    echo '{"seq":1,"ip":"100.64.0.2","name":"n2.lab.test","ms":1.25,"via":"192.0.2.7:41641","direct":true}'
    echo '{"done":true,"sent":1,"received":1,"direct":true}'
    ;;
*'"netcheck"'*)
    printf '{"UDP":true,"IPv4":true,"IPv6":false,"MappingVariesByDestIP":false,"UPnP":null,"PMP":true,"PreferredDERP":900,'
    printf '"GlobalV4":"192.0.2.9:41641","RegionLatency":{"901":40000000,"900":12500000},'
    printf '"Regions":{"900":{"RegionCode":"lab","RegionName":"The \\u001b[31mlab"},"901":{"RegionCode":"far","RegionName":"Far"},"902":{"RegionCode":"dead","RegionName":""}}}\n'
    ;;
*'"whois","peer":"100.64.0.2:80"'*)
    echo '{"Node":{"ID":2,"StableID":"s2","Name":"n2.lab.test.","Addresses":["100.64.0.2/32","fd7a::2/128"],"Hostinfo":{"OS":"linux","Hostname":"N\\u001b[31m2"},"Tags":["tag:a","tag:b"]},"UserProfile":{"ID":1,"LoginName":"ann@lab.test","DisplayName":"Ann"}}'
    ;;
*'"set"'*'"hostname":"taken"'*) echo '{"error":"this name is taken"}' ;;
*'"set"'*) echo '{"ok":true}' ;;
*'"whois"'*) echo '{"error":"x is not a peer of this tailnet: see remora status"}' ;;
*'"metrics"'*) printf '# HELP tailscale_up The node process answers.\n# TYPE tailscale_up gauge\ntailscale_up 1\n' ;;
*'"capture"'*)
    echo '{"ok":true}'
    cat "$1/packets"
    if [ -e "$1/goes-on" ]; then cat >/dev/null; fi # until the client ends
    ;;
*'"derp-map"'*) echo '{"Regions":{"900":{"RegionID":900,"Nodes":[]}}}' ;;
*'"ping","peer":"who"'*) echo '{"error":"there is no peer who; remora status lists them"}' ;;
*'"ping"'*)
    echo '{"seq":1,"ip":"100.64.0.2","name":"n2.lab.test","ms":1.25,"via":"DERP(lab)"}'
    echo '{"done":true,"sent":1,"received":1}'
    ;;
*'"nc","peer":"n2"'*)
    echo '{"ok":true}'
    cat
    ;;
*'"nc","peer":"cut"'*) printf '{"ok":true}\nearly' ;;
*'"nc"'*) echo '{"error":"the peer refused port 9"}' ;;
*'"logout"'*)
    if [ -e "$1/refuses" ]; then
        echo '{"error":"registration refused (not you)"}'
    else
        echo '{"ok":true}'
        kill "$(cat "$1/pid")"
    fi
    ;;
*'"down"'*)
    echo '{"ok":true}'
    kill "$(cat "$1/pid")" # nothing listens any more, and there is more to do
    sleep 0.2
    : >"$1/ended"
    ;;
esac
NODE
chmod +x "$work/node"
trap 'kill $node 2>/dev/null; rm -rf "$work"' EXIT
node_start() {
    rm -f "$state/remora.sock"
    socat -t 30 "UNIX-LISTEN:$state/remora.sock,fork" "EXEC:$work/node $work" 2>"$work/socat.log" &
    node=$!
    echo "$node" >"$work/pid"
    for _ in $(seq 500); do
        [ -S "$state/remora.sock" ] && break
        sleep 0.02
    done
}
node_start
asked() { tail -n 1 "$work/requests" | grep -qF -- "$1"; }

status_people() {
    run 0 status --state-dir "$state" && printed "n2.lab.test" && printed "relay lab" &&
        printed "1.5 MB" && printed "3 peers, 2 online" && printed "exit node, offline" && printed "offers exit node, idle" && printed "offline" &&
        ! grep -q $'\033' "$out" && asked '{"op":"status"}'
}
check "status for people" status_people
status_json() {
    run 0 status --json --state-dir "$state" && printed '  "BackendState": "Running",' &&
        printed '"a,{\"b"' && printed '"er": [' && ! grep -q $'\033' "$out"
}
check "status for programs" status_json
default_dir() {
    mkdir -p "$work/xdg" && ln -s "$state" "$work/xdg/remora" &&
        XDG_STATE_HOME=$work/xdg run 0 status && printed "n2.lab.test"
}
check "the default state directory" default_dir
long_dir() {
    local long
    long=$work/$(printf 'd%.0s' $(seq 120))
    ln -s "$state" "$long" && run 0 status --state-dir "$long"
}
check "a state directory with a name too long for a socket" long_dir
ping_answered() {
    run 0 ping -c3 n2 --icmp --state-dir "$state" && printed "pong from n2.lab.test (100.64.0.2) via DERP(lab) in 1.25 ms" &&
        asked '"count":3,"icmp":true'
}
check "ping that is answered" ping_answered
ping_dead() { run 1 ping dead --state-dir "$state" && printed "timed out" && said "answered none of 1"; }
check "ping that is not answered" ping_dead
ping_who() { run 1 ping who --state-dir "$state" && one_sentence && said "there is no peer who"; }
check "ping of nobody" ping_who
ping_direct() {
    run 0 ping --until-direct --timeout=500ms near --state-dir "$state" && printed "via 192.0.2.7:41641" &&
        asked '"count":10,"icmp":false,"until_direct":true,"timeout_ms":500'
}
check "ping until it is direct" ping_direct
ping_relayed() { run 1 ping --until-direct -c2 relayed --state-dir "$state" && said "no direct path" && asked '"count":2,'; }
check "ping that stays at the relay" ping_relayed
netcheck_people() {
    run 0 netcheck --state-dir "$state" && printed "seen as 192.0.2.9:41641" && printed "easy" && printed "NAT-PMP" &&
        ! grep -q $'\033' "$out" && grep -A3 '^Relays' "$out" | grep -n . | tr -s ' ' >"$work/relays" &&
        grep -q '^2: lab 12.5 ms .*(home)' "$work/relays" && grep -q '^3: far 40.0 ms' "$work/relays" &&
        grep -q '^4: dead no answer' "$work/relays" && asked '{"op":"netcheck"}'
}
check "netcheck for people" netcheck_people
netcheck_json() { run 0 netcheck --json --state-dir "$state" && printed '"PreferredDERP": 900,'; }
check "netcheck for programs" netcheck_json
whois_people() {
    run 0 whois 100.64.0.2:80 --state-dir "$state" && printed "Name       n2.lab.test" && printed "100.64.0.2, fd7a::2" &&
        printed "tag:a, tag:b" && printed "ann@lab.test" && ! grep -q $'\033' "$out"
}
check "whois for people" whois_people
whois_json() { run 0 whois --json 100.64.0.2:80 --state-dir "$state" && [ "$(jq -r .Node.StableID "$out")" = s2 ]; }
check "whois for programs" whois_json
set_all() {
    run 0 set --hostname laptop --shields-up --accept-dns=false --advertise-routes 10.1.0.0/16,fd00:1::/64 --exit-node n2 --state-dir "$state" &&
        asked '{"op":"set","hostname":"laptop","advertise_routes":["10.1.0.0/16","fd00:1::/64"],"exit_node":"n2","accept_dns":false,"shields_up":true}'
}
check "set asks for what was given" set_all
set_back() { run 0 set --exit-node= --advertise-routes= --state-dir "$state" && asked '{"op":"set","advertise_routes":[],"exit_node":""}'; }
check "set takes back" set_back
set_refused() { run 1 set --hostname taken --state-dir "$state" && one_sentence && said "this name is taken"; }
check "set that is refused" set_refused
whois_nobody() { run 1 whois x --state-dir "$state" && one_sentence && said "is not a peer"; }
check "whois of nobody" whois_nobody
metrics_lines() { run 0 metrics --state-dir "$state" && [ "$(wc -l <"$out")" = 3 ] && [ "$(tail -n 1 "$out")" = "tailscale_up 1" ]; }
check "metrics are passed on" metrics_lines
# A file head, one whole packet of four bytes, and half of another.
printf '\115\074\262\241\002\000\004\000\0\0\0\0\0\0\0\0\0\010\0\0\145\0\0\0' >"$work/whole"
printf '\1\0\0\0\2\0\0\0\4\0\0\0\4\0\0\0\105abc' >>"$work/whole"
cat "$work/whole" - <<<x >"$work/packets"
capture_whole() {
    (cd "$work" && "$remora" capture c.pcap --state-dir "$state" >"$out" 2>"$err") && [ ! -s "$out" ] && said "1 packets" &&
        cmp "$work/c.pcap" "$work/whole" && [ "$(stat -c %a "$work/c.pcap")" = 600 ]
}
check "capture writes whole packets, for its owner" capture_whole
capture_stopped() { # capture_stopped SIGNAL: while nothing more comes
    local pid code=0
    : >"$work/goes-on"
    rm -f "$work/c.pcap"
    (cd "$work" && exec "$remora" capture c.pcap --state-dir "$state" >"$out" 2>"$err") &
    pid=$!
    for _ in $(seq 1000); do
        ! cmp -s "$work/c.pcap" "$work/whole" || break
        sleep 0.02
    done
    kill "-$1" $pid
    wait $pid || code=$?
    rm "$work/goes-on"
    [ $code = 0 ] && said "1 packets" && cmp "$work/c.pcap" "$work/whole"
}
for s in INT TERM; do check "capture ends by SIG$s, in order" capture_stopped $s; done
capture_pipe() { "$remora" capture - --state-dir "$state" 2>"$err" | cmp - "$work/whole"; }
check "capture to a pipe" capture_pipe
capture_nowhere() { run 1 capture "$work/no/dir" --state-dir "$state" && one_sentence && said "can't write"; }
check "capture to where nothing can be written" capture_nowhere
derp_map() { run 0 debug derp-map --state-dir "$state" && printed '"RegionID": 900' && asked '{"op":"derp-map"}'; }
check "debug derp-map" derp_map
nc_echo() {
    head -c 3000000 /dev/urandom >"$work/big"
    timeout 60 "$remora" nc n2 80 --state-dir "$state" <"$work/big" 2>"$err" | cmp - "$work/big"
}
check "nc carries three megabytes there and back, and the end" nc_echo
nc_cut() {
    timeout 60 "$remora" nc cut 80 --state-dir "$state" </dev/null >"$out" 2>"$err" && [ "$(cat "$out")" = early ]
}
check "nc gives out what came with the answer" nc_cut
nc_refused() { run 1 nc n3 9 --state-dir "$state" && one_sentence && said "refused port 9"; }
check "nc that is refused" nc_refused
down() { run 0 down --state-dir "$state" && [ -e "$work/ended" ] && run 1 down --state-dir "$state" && said "no node runs"; }
check "down waits for the end" down
node_start
logout_refused() { : >"$work/refuses" && run 1 logout --state-dir "$state" && one_sentence && said "not you" && rm "$work/refuses"; }
check "logout that is refused" logout_refused
logout() { run 0 logout --state-dir "$state" && grep -qxF '{"op":"logout"}' "$work/requests" && [ ! -s "$out" ] && [ ! -s "$err" ]; }
check "logout waits for the end" logout
# Where no node runs the command joins by itself, with the state that there is.
logout_nowhere() { run 1 logout --state-dir "$state" && one_sentence && said "there is no state"; }
check "logout without a node and a state" logout_nowhere
echo junk >"$state/remora.state"
logout_damaged() { run 1 logout --state-dir "$state" && one_sentence && said "not logged out: " && [ "$(cat "$state/remora.state")" = junk ]; }
check "logout with a state that is damaged" logout_damaged
finish
