# checks.sh - what `run check` does in one lab, and what it must find.  A check
# prints "ok TITLE (FIGURE)" or "FAIL TITLE: WHY"; `run` counts these lines.

# The bounds.  A transfer may take 5 times the ideal, which is the link's rate,
# or what a loss of p allows a Reno sender (1.22 MSS / RTT / sqrt p) where that
# is less, and 12 round trips for the opening and slow start.  A stall is a
# longer time without any acknowledged progress than RTOs allow: an RTO is the
# RTT, the full queue and 200 ms; up to 3 % loss a repeat may get lost too (3
# RTOs), above it twice (7).
bounds() { # bounds RTT-MS LOSS-% BYTES RATE-BYTES QUEUE-BYTES: ideal and stall, in ms
    awk -v rtt="$1" -v p="$2" -v n="$3" -v rate="$4" -v q="$5" 'BEGIN {
        wire = n / rate * 1280 / 1228 * 1000
        if (p > 0) {
            reno = n / (1.22 * 1228 / (rtt / 1000) / sqrt(p / 100)) * 1000
            if (reno > wire) wire = reno
        }
        printf "%d %d\n", wire + 12 * rtt + 50, (rtt + q / rate * 1000 + 200) * (p > 3 ? 7 : 3) + 100
    }'
}

check() { # check TITLE COMMAND...
    local title=$1 why began
    shift
    began=$(now_ms)
    if why=$("$@" 2>&1); then
        echo "ok    $title ($(($(now_ms) - began)) ms${why:+, $why})"
    else
        echo "FAIL  $title: $why"
    fi
}
now_ms() { echo $(($(date +%s%N) / 1000000)); }

within() { # within MS COMMAND...
    local most=$1 began took
    shift
    began=$(now_ms)
    "$@" || return 1
    took=$(($(now_ms) - began))
    [ "$took" -le "$most" ] || say_no "it took $took ms, more than $most"
}

# files RTT LOSS KIB: fetches and uploads both ways, then the shim's verdict
files() {
    local rtt=$1 loss=$2 n=$(($3 * 1024)) ideal stall
    head -c $n /dev/urandom >"$d/big"
    big_sum=$(sum <"$d/big")
    read -r ideal stall <<<"$(bounds "$rtt" "$loss" $n 12500000 262144)"
    limit=60
    web_start
    check "fetch, kernel from us" within $((5 * ideal)) fetch k
    check "fetch, we from kernel" within $((5 * ideal)) fetch p
    check "upload, kernel to us" within $((5 * ideal)) put k
    check "upload, we to kernel" within $((5 * ideal)) put p
    sleep "$(awk "BEGIN { print (3 * $rtt + 500) / 1000 }")" # for the last FINs
    lab_stop
    touch "$d/stopped"
    check "no stall (limit $stall ms)" no_stall "$stall"
    check "no reset" no_reset
    check "nothing is left open" nothing_left
}
no_stall() {
    local a b
    a=$(counted a_gap_ms) b=$(counted b_gap_ms)
    [ "$a" -le "$1" ] && [ "$b" -le "$1" ] || say_no "the kernel's data waited $a ms, ours $b ms"
    echo "longest $a and $b"
}
no_reset() {
    [ "$(counted a_resets) $(counted b_resets)" = "0 0" ] ||
        say_no "resets: $(counted a_resets) of the kernel, $(counted b_resets) of ours"
}
# Only the listeners are left (what waits in TIME-WAIT is no socket).
nothing_left() {
    [ "$(counted ns_flows) $(counted ns_sockets) $(counted ns_buffer_bytes)" = "0 2 0" ] ||
        say_no "flows $(counted ns_flows), sockets $(counted ns_sockets), bytes $(counted ns_buffer_bytes)"
}

# spurious: D-SACKs that the kernel sent, of the segments that we sent
spurious() {
    check "repeats for nothing are below 0.5 %" awk -v d="$(counted a_dsacks)" -v n="$(counted b_segments)" \
        'BEGIN { printf "%d of %d", d, n; exit !(n > 1000 && d < n / 200) }'
}

# speeds RTT LOSS: iperf3, both clients, both directions
speeds() {
    local ideal least who back
    read -r ideal _ <<<"$(bounds "$1" "$2" 3000000 12500000 262144)"
    least=$((3000000 * 8 / ideal / 5)) # kbit/s
    iperf_start
    for who in k p; do
        for back in "" -R; do
            # shellcheck disable=SC2086 # nothing, or -R
            check "iperf3, client $who $back" fast_enough $least $who $back 2
        done
    done
}
fast_enough() {
    local least=$1 got
    shift
    got=$(goodput "$@") || say_no "$got"
    [ "$got" -ge "$least" ] || say_no "$got kbit/s, less than $least"
    echo "$got kbit/s"
}
