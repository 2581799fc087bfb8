# node.sh - starts the nodes that are measured, and reads what the kernel counts
# of them.  Sourced by run, inside tests/nat/lab.sh.
#
#   node_up KIND NAME HOST    KIND: minimal, remora, tsnet, tailscaled; fresh state
#   node_down NAME
declare -A node_pid=()

export d local_url=http://127.0.0.1:9911 # for nodes on the wan itself

url_of() { if [ "$1" = wan ]; then echo $local_url; else echo "$control_url"; fi; }

# A node must be the process that is started: `on` would leave a shell before it.
node_up() {
    local kind=$1 name=$2 host=$3 url
    url=$(url_of "$host")
    rm -rf "${d:?}/$name"
    mkdir -m 700 "$d/$name"
    case $kind in
    minimal) AUTH_KEY=labkey ip netns exec "$host" "$MINIMAL" "$url" "$d/$name" >"$d/$name.out" 2>"$d/$name.err" & ;;
    remora)
        ip netns exec "$host" "$REMORA" up --json --state-dir "$d/$name" --control-url "$url" --auth-key labkey \
            --hostname "$name" >"$d/$name.out" 2>"$d/$name.err" &
        ;;
    tsnet)
        ip netns exec "$host" "$PEERS/tsnetpeer" -name "$name" -control "$url" -authkey labkey -dir "$d/$name" \
            >"$d/$name.out" 2>"$d/$name.err" &
        ;;
    tailscaled)
        ip netns exec "$host" "$PEERS/tailscaled" --no-logs-no-support --tun=userspace-networking --statedir="$d/$name" \
            --socket="$d/$name.sock" --port=0 >"$d/$name.out" 2>"$d/$name.err" &
        ;;
    esac
    node_pid[$name]=$!
    [ "$kind" != tailscaled ] || {
        until_ok 20 "$PEERS/tailscale" --socket="$d/$name.sock" status --json
        "$PEERS/tailscale" --socket="$d/$name.sock" up --login-server="$url" --authkey=labkey \
            --hostname="$name" --timeout=55s
    }
}
node_joined() { grep -qE 'discarding as|"event":"running"|"what":"join"' "$d/$1.out"; }
node_wait() { [ "$1" = tailscaled ] || until_ok 60 node_joined "$2"; }
node_down() {
    kill "${node_pid[$1]}" 2>/dev/null || :
    wait "${node_pid[$1]}" 2>/dev/null || :
    unset "node_pid[$1]"
}
# The server has no peer of that name any more.
node_forget() { lab "remove?name=$1"; }
lab() { on wan curl -fsS -X POST "$local_url/lab/$1" >"$d/lab"; }

kb() { awk -v k="$2:" '$1 == k { print $2 }' "/proc/$1/$3"; } # kb PID FIELD FILE
# memory PID: RSS, its anonymous and file parts, PSS, in KiB
memory() { echo "$(kb "$1" VmRSS status) $(kb "$1" RssAnon status) $(kb "$1" RssFile status) $(kb "$1" Pss smaps_rollup)"; }
# wakeups PID: how often its threads slept and were woken
wakeups() { cat /proc/"$1"/task/*/status | awk '/^voluntary_ctxt/ { n += $2 } END { print n }'; }
cpu_ms() { awk -v t="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print ($12 + $13) * 1000 / t }' "/proc/$1/stat"; }
# packets HOST: both ways, over its only interface
packets() { ip -n "$1" -s -j link show dev eth0 | jq '.[0].stats64 | .rx.packets + .tx.packets'; }

# control_again FAKES: relays stay, the control server begins anew
control_again() {
    kill "$control_pid" 2>/dev/null || :
    wait "$control_pid" 2>/dev/null || :
    control_start "$1"
}
control_start() {
    ip netns exec wan "$PEERS/controlserver" -listen 127.0.0.1:9911 -base-url "$control_url" -derpmap "$d/derpmap.json" \
        -authkey labkey -domain lab.test -fake "$1" >"$d/log/control.log" 2>&1 &
    control_pid=$!
    until_ok 10 on wan curl -fsS "$control_url/generate_204"
}
# The wan, its relays and a control server, once.
wan_ready() {
    [ -z "${control_pid:-}" ] || return 0
    net_wan
    relay 1 198.18.0.2
    relay 2 198.18.0.3
    echo "{\"Regions\": {$(region 1 198.18.0.2), $(region 2 198.18.0.3)}}" >"$d/derpmap.json"
    bg socat on wan socat TCP-LISTEN:9911,bind=10.10.0.1,fork,reuseaddr TCP:127.0.0.1:9911
    control_start 0
}
