# lab.sh PEER [STEP...] - run starts this in fresh network, mount and process
# namespaces: a network of two hosts. Ours (this namespace) runs wg_tun, theirs
# (the namespace "theirs") runs the peer; v0 - v1 is the wire between them.
#
#            outside                    inside (the interfaces wgo and wgt)
#   ours     10.78.0.1  fd78::1  :5001  10.9.0.1  fd09::1
#   theirs   10.78.0.2  fd78::2  :5002  10.9.0.2  fd09::2
#
# A step is a function of steps.sh. It sets a scene (which starts both sides
# anew, with new keys) and looks for something within a time limit. Nothing
# sleeps but in until_ok, which looks again.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
peer=$1
shift
d=$WG_LOGS/$peer # files and logs of this run
case $peer in
wireguard-go-debian) peer_command=(env LOG_LEVEL=verbose /usr/bin/wireguard-go -f wgt) ;;
wireguard-go) peer_command=(env LOG_LEVEL=verbose "$PEERS/wireguard-go" -f wgt) ;;
boringtun) peer_command=("$PEERS/boringtun-cli" -f -v debug --disable-drop-privileges wgt) ;;
*)
    echo "there is no peer $peer" >&2
    exit 1
    ;;
esac
passed=0
failed=0
declare -A pid_of=()
# A report of a sanitizer must not be mistaken for a refusal: its own code.
export ASAN_OPTIONS=detect_leaks=1:exitcode=99:strict_string_checks=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:exitcode=99

# ---- steps and waiting --------------------------------------------------------

# Milliseconds of a clock that nobody sets.
now_ms() {
    local up
    read -r up _ </proc/uptime
    echo "${up/./}0"
}
# step NAME TITLE COMMAND...: counted, when it is wanted; what it prints is shown
# when it fails, lines that begin with "= " also when it succeeds.
step() {
    local name=$1 title=$2 began code
    shift 2
    case " ${wanted[*]} " in *" $name "* | "  ") ;; *) return 0 ;; esac
    began=$(now_ms)
    seen_steps=$((seen_steps + 1))
    # A subshell with -e: each line of a step has to succeed (but for lines with
    # ! or &&, which -e does not see: use not). It ends what it began, so that the
    # next step has the place for itself.
    set +e
    (
        set -e
        trap 'code=$?; end_all || code=1; exit $code' EXIT
        "$@"
    ) >"$d/step" 2>&1
    code=$?
    set -e
    if [ $code = 0 ]; then
        passed=$((passed + 1))
        echo "ok    $peer: $name: $title ($(($(now_ms) - began)) ms$(sed -n 's/^= /, /p' "$d/step" | tr -d '\n'))"
    else
        failed=$((failed + 1))
        echo "FAIL  $peer: $name: $title ($(($(now_ms) - began)) ms)"
        sed 's/^/        /' "$d/step" | tail -n 20
        mkdir -p "$d/failed"
        cp "$d"/*.log "$d/failed/" || :
    fi
}
not() { ! "$@"; }
# until_ok SECONDS COMMAND...: again and again until it succeeds.
until_ok() {
    local limit=$(($(now_ms) + $1 * 1000))
    shift
    until "$@" >"$d/until" 2>&1; do
        if [ "$(now_ms)" -gt $limit ]; then
            echo "timed out: $*"
            cat "$d/until"
            # What the two sides know then.
            ! ask status || wg show wgt || :
            return 1
        fi
        sleep 0.05
    done
}

# ---- processes ------------------------------------------------------------------

# bg NAME COMMAND...: in the background, its output in NAME.log.
bg() {
    local n=$1
    shift
    "$@" >>"$d/$n.log" 2>&1 </dev/null &
    pid_of[$n]=$!
}
# end NAME [SIGNAL]: and wait for it; its exit code is the result. What does not
# end within 10 s is killed: 124.
end() {
    local pid=${pid_of[$1]:-} code=0 limit
    [ -n "$pid" ] || return 0
    unset "pid_of[$1]"
    kill "-${2:-TERM}" "$pid" 2>/dev/null || :
    limit=$(($(now_ms) + 10000))
    while kill -0 "$pid" 2>/dev/null; do
        if [ "$(now_ms)" -gt $limit ]; then
            kill -KILL "$pid" || :
            return 124
        fi
        sleep 0.02
    done
    wait "$pid" || code=$?
    return $code
} 2>/dev/null # bash would tell of each that was killed
# At the end of each step. Ours has to end by itself: 0.
end_all() {
    local code=0
    end ours || code=$?
    end theirs KILL || :
    end flood || :
    [ $code = 0 ] || {
        echo "wg_tun ended with code $code"
        cat "$d/ours.log"
        return 1
    }
}

# ---- the two hosts ----------------------------------------------------------------

theirs() { nsenter --net=/run/netns/theirs "$@"; }

lab_start() {
    local dir
    rm -rf "$d"
    mkdir -p "$d"
    for dir in /run "$(realpath -m /var/run)"; do # theirs: /var/run/wireguard
        mkdir -p "$dir"
        mount -t tmpfs tmpfs "$dir"
    done
    ip netns add theirs
    ip link set lo up
    theirs ip link set lo up
    ip link add v0 type veth peer name v1 netns theirs
    head -c 20000000 /dev/urandom >"$d/data"
}
addresses() { # as in the picture, whatever they were
    ip addr flush dev v0
    theirs ip addr flush dev v1
    ip addr add 10.78.0.1/24 dev v0
    ip addr add fd78::1/64 dev v0 nodad
    theirs ip addr add 10.78.0.2/24 dev v1
    theirs ip addr add fd78::2/64 dev v1 nodad
    ip link set v0 up
    theirs ip link set v1 up
}

# scene OUTER PSK WHO: new keys, and what the two sides begin with.
#   OUTER  4 or 6: the family of the endpoints
#   PSK    psk or none
#   WHO    us, them or both: who knows the other's endpoint, and so can initiate
# It changes our_tunnel, our_peer, their_peer: options that ours and theirs use.
scene() {
    local n
    for n in our their; do
        (umask 077 && wg genkey >"$d/$n.key")
        wg pubkey <"$d/$n.key" >"$d/$n.pub"
    done
    (umask 077 && wg genpsk >"$d/psk" && wg genpsk >"$d/psk2")
    rm -f "$d"/*.log
    addresses
    our_tunnel=()
    our_peer=()
    their_peer=()
    our_endpoint=10.78.0.1:5001
    their_endpoint=10.78.0.2:5002
    if [ "$1" = 6 ]; then
        our_endpoint=[fd78::1]:5001
        their_endpoint=[fd78::2]:5002
    fi
    [ "$2" = none ] || our_peer+=(--psk "$d/psk") their_peer+=(preshared-key "$d/psk")
    case $3 in us | both) our_peer+=(--endpoint "$their_endpoint") ;; esac
    case $3 in them | both) their_peer+=(endpoint "$our_endpoint") ;; esac
}
start_ours() {
    bg ours "$WG_BUILD/wg_tun" --tun wgo --control "$d/ours.sock" --key "$d/our.key" --port 5001 \
        "${our_tunnel[@]}" --peer "$(<"$d/their.pub")" --allow 10.9.0.2/32 --allow fd09::2/128 "${our_peer[@]}"
    until_ok 10 test -S "$d/ours.sock"
    interface "" wgo 10.9.0.1/24 fd09::1/64
}
# Their control socket takes connections. To ask by wg would be too early: wg
# takes a socket that is bound and not yet listening for a dead one's, and
# removes it.
they_listen() {
    theirs awk '$4 == "00010000" && /\/wgt\.sock$/ { found = 1 } END { exit !found }' /proc/net/unix
}
start_theirs() {
    rm -f /var/run/wireguard/wgt.sock
    bg theirs nsenter --net=/run/netns/theirs "${peer_command[@]}"
    until_ok 10 they_listen
    until_ok 10 wg show wgt
    wg set wgt listen-port 5002 private-key "$d/their.key"
    their_peer_is_set
    interface theirs wgt 10.9.0.2/24 fd09::2/64
}
their_peer_is_set() {
    wg set wgt peer "$(<"$d/our.pub")" allowed-ips 10.9.0.1/32,fd09::1/128 "${their_peer[@]}"
}
interface() { # interface COMMAND DEVICE ADDRESS4 ADDRESS6
    $1 ip addr add "$3" dev "$2"
    $1 ip addr add "$4" dev "$2" nodad
    $1 ip link set "$2" mtu 1420 up
}
start() {
    start_theirs
    start_ours
}

# ---- asking ---------------------------------------------------------------------

ask() { socat -t 5 - "UNIX-CONNECT:$d/ours.sock" <<<"$1"; }
is() { # is EXPRESSION: of our status
    local status
    status=$(ask status)
    jq -e "$1" <<<"$status" && return
    echo "not so: $1"
    echo "$status"
    return 1
}
value() { ask status | jq -r "$1"; }
we_ping() { ping -n -q -c 1 -W 1 "$@"; }
they_ping() { theirs ping -n -q -c 1 -W 1 "$@"; }
# Both inner families, from both sides.
all_pings() {
    until_ok 10 we_ping 10.9.0.2
    until_ok 10 we_ping fd09::2
    until_ok 10 they_ping 10.9.0.1
    until_ok 10 they_ping fd09::1
}
their_endpoint_of_us_is() { [ "$(wg show wgt endpoints | cut -f2)" = "$1" ]; }
# Not one datagram that one side sent was refused by the other.
all_understood() {
    is '.malformed + .auth + .replay + .unknown + .ratelimit + .source + .inner == 0'
    # wireguard-go says "invalid", "failed to"; boringtun's level is an error.
    not grep -iE 'invalid|failed to|ERROR|could not' "$d/theirs.log"
}

wanted=("$@")
seen_steps=0
lab_start
. "$here/steps.sh"
if [ $seen_steps = 0 ]; then
    echo "FAIL  $peer: no such step: ${wanted[*]}"
    failed=$((failed + 1))
fi
rm -f "$d"/*.key "$d"/psk* "$d/data"
echo "$passed $failed" >"$d/counts"
