# lab.sh - one lab: two ends, the shim between them, in namespaces of their
# own.  Sourced by `one` only, which runs inside fresh namespaces.
#
# A lab has the network namespace `k` (a kernel end, 10.9.0.1 and fd09::1) and
# `p` for the other end, 10.9.0.2 and fd09::2: a kernel too, or a program with a
# stack of its own.  In each, iperf3 listens on 5201 and nginx on 8088.  Seen
# from inside:
#
#     from k   the other end's services at 10.9.0.2
#     from p   with a kernel: at 10.9.0.1; with a program: at 127.0.0.1, ports
#              6201 and 9088, which it forwards through its stack
set -euo pipefail

mtu=1280
k_addr=10.9.0.1 p_addr=10.9.0.2
[ "${FAMILY:-4}" = 4 ] || k_addr='[fd09::1]' p_addr='[fd09::2]'
in_k() { ip netns exec k "$@"; }
in_p() { ip netns exec p "$@"; }

say_no() {
    echo "$*"
    exit 1
}

# What this machine's administrator chose must not count: the settings are those
# of a common Linux.  Congestion control hangs on the routes, because not every
# namespace may choose its own.
netns() { # netns NAME
    ip netns add "$1"
    ip -n "$1" link set lo up
    ip netns exec "$1" sysctl -qw net.ipv4.tcp_rmem="4096 131072 6291456" net.ipv4.tcp_wmem="4096 16384 4194304" \
        net.ipv4.tcp_no_metrics_save=1
}
tun() { # tun NAMESPACE LAST-BYTE
    ip -n "$1" tuntap add dev t0 mode tun
    ip -n "$1" link set t0 mtu $mtu txqueuelen 10000 up
    ip -n "$1" addr add "10.9.0.$2/32" dev t0
    ip -n "$1" route add 10.9.0.0/24 dev t0 src "10.9.0.$2" congctl cubic
    ip netns exec "$1" sysctl -qw net.ipv6.conf.t0.accept_dad=0
    ip -n "$1" addr add "fd09::$2/128" dev t0 nodad
    ip -n "$1" route add fd09::/64 dev t0 src "fd09::$2" congctl cubic
}

until_there() { # until_there FILE TEXT
    local i
    for ((i = 0; i < 500; i++)); do
        ! grep -qs "$2" "$1" || return 0
        sleep 0.01
    done
    say_no "no \"$2\" in $1: $(tail -n 3 "$1" 2>&1)"
}

# lab_start KIND LINK-FROM-K LINK-TO-K SEED: KIND is kernel, remora or gvisor.
# K is the shim's end A.
lab_start() {
    local kind=$1 seed=$4 end
    [ -c /dev/net/tun ] || say_no "tests/shim needs /dev/net/tun, and there is none on this machine"
    mkdir -p /run/netns
    mount -t tmpfs none /run/netns
    netns k
    netns p
    tun k 1
    if [ "$kind" = kernel ]; then
        tun p 2
        end=tun:/run/netns/p:t0
    else
        end=unix:$d/link
    fi
    "$BIN/shim" --a tun:/run/netns/k:t0 --b "$end" --ab "$2" --ba "$3" --seed "$seed" \
        ${PCAP:+--pcap "$PCAP"} >"$d/shim.log" 2>&1 &
    shim_pid=$!
    peer_pid=
    if [ "$kind" != kernel ]; then
        local i
        for ((i = 0; i < 500; i++)); do
            [ ! -S "$d/link" ] || break
            sleep 0.01
        done
        local program=$BIN/nspeer more=(--addr fd09::2 --recv-max 6291456 --send-max 4194304)
        [ "$kind" = remora ] || program=$PEERS/gvisorpeer more=()
        # shellcheck disable=SC2086 # PEER_ARGS are several words
        ip netns exec p "$program" --link "$d/link" --mtu $mtu --addr 10.9.0.2 "${more[@]}" ${PEER_ARGS:-} \
            --serve 5201=127.0.0.1:5201 --serve 8088=127.0.0.1:8088 \
            --forward "6201=$k_addr:5201" --forward "9088=$k_addr:8088" >"$d/peer.log" 2>&1 &
        peer_pid=$!
        until_there "$d/peer.log" ready
        to_k=127.0.0.1 iperf_at_k=6201 web_at_k=9088
    else
        to_k=$k_addr iperf_at_k=5201 web_at_k=8088
    fi
    until_there "$d/shim.log" ready
}

# The shim and the program end by a signal and tell what they counted.
lab_stop() {
    local code=0
    if [ -n "$peer_pid" ]; then
        kill -TERM "$peer_pid" 2>/dev/null || :
        wait "$peer_pid" || code=$?
        [ $code = 0 ] || say_no "the program ended with code $code: $(tail -n 20 "$d/peer.log")"
    fi
    kill -TERM "$shim_pid" 2>/dev/null || :
    wait "$shim_pid" || say_no "the shim ended with code $?: $(tail -n 3 "$d/shim.log")"
    [ "$(counted refused)" = 0 ] || say_no "a kernel refused packets of the shim"
}

counted() { # counted WORD: what the shim or the program counted
    cat "$d/shim.log" "$d/peer.log" 2>/dev/null | sed -n "s/^$1 //p"
}

# ---- services --------------------------------------------------------------

iperf_start() {
    local ns
    for ns in k p; do
        ip netns exec $ns iperf3 -s --forceflush >"$d/iperf-$ns.log" 2>&1 &
        until_there "$d/iperf-$ns.log" listening
    done
}

# A web server at both ends with the file /big; it takes PUTs below /up.
web_start() {
    local ns t
    for ns in k p; do
        mkdir -p "$d/www-$ns/up"
        ln -f "$d/big" "$d/www-$ns/big" 2>/dev/null || cp "$d/big" "$d/www-$ns/big"
        {
            echo "daemon off; pid $d/nginx-$ns.pid; error_log stderr; worker_processes 1;"
            [ "$(id -u)" != 0 ] || echo "user root;"
            echo "events {} http { access_log off; sendfile on;"
            for t in client_body proxy fastcgi uwsgi scgi; do echo "${t}_temp_path $d/$ns-$t;"; done
            echo "server { listen 8088; listen [::]:8088; root $d/www-$ns; client_max_body_size 0;"
            echo "location /up/ { dav_methods PUT; } location /ready { return 200 ready; } } }"
        } >"$d/nginx-$ns.conf"
        ip netns exec $ns nginx -e stderr -c "$d/nginx-$ns.conf" >"$d/nginx-$ns.log" 2>&1 &
        local i
        for ((i = 0; i < 500; i++)); do
            ! ip netns exec $ns curl -fs -o /dev/null http://127.0.0.1:8088/ready || break
            sleep 0.01
        done
    done
}

sum() { sha256sum | cut -d' ' -f1; }

client() { # client WHO: sets `run` and `url`
    if [ "$1" = k ]; then
        run=in_k url=http://$p_addr:8088
    else
        run=in_p url=http://$to_k:$web_at_k
    fi
}
# fetch and put WHO [CURL-ARGUMENTS...]: k or p is the client
fetch() {
    local run url got
    client "$1"
    got=$($run curl -fsS --max-time "$limit" "${@:2}" "$url/big" | sum)
    [ "$got" = "$big_sum" ] || say_no "fetched by $1: the SHA-256 is $got, not $big_sum"
}
put() {
    local run url other=p got
    client "$1"
    [ "$1" = k ] || other=k
    $run curl -fsS --max-time "$limit" -H Expect: -T "$d/big" "$url/up/file" >/dev/null
    got=$(sum <"$d/www-$other/up/file")
    [ "$got" = "$big_sum" ] || say_no "put by $1: the SHA-256 is $got, not $big_sum"
}

# goodput WHO [-R] SECONDS: what iperf3's receiver counted, in kbit/s
goodput() {
    local run=in_k to=$p_addr port=5201 back=()
    if [ "$1" = p ]; then
        run=in_p to=$to_k port=$iperf_at_k
    fi
    shift
    if [ "$1" = -R ]; then
        back=(-R)
        shift
    fi
    $run iperf3 -c "${to//[\[\]]/}" -p "$port" -t "$1" -J ${back[@]+"${back[@]}"} >"$d/iperf.json" 2>"$d/iperf.err" ||
        say_no "iperf3: $(jq -r '.error // "?"' "$d/iperf.json") $(cat "$d/iperf.err")"
    jq -r '.end.sum_received.bits_per_second / 1000 | floor' "$d/iperf.json"
}
