# checks.sh - what `run check` does in one lab, and what it must find.  A check
# prints "ok TITLE (FIGURE)" or "FAIL TITLE: WHY"; `run` counts these lines.

# The bounds.  A transfer may take 5 times the ideal, which is the link's rate,
# or what a loss of p allows a Reno sender where that is less (Padhye, Firoiu,
# Towsley and Kurose 1998, with an RTO of RTT + 200 ms), and 12 round trips for
# the opening and slow start.  A stall is a longer time without any acknowledged
# progress than RTOs allow: here the RTT, a full queue and 300 ms; up to 3 % loss
# a repeat may get lost too (3 RTOs), above it twice (7).
bounds() { # bounds RTT-MS LOSS-% BYTES RATE-BYTES QUEUE-BYTES: ideal and stall, in ms
    awk -v rtt="$1" -v loss="$2" -v n="$3" -v rate="$4" -v q="$5" 'BEGIN {
        time = n / rate * 1280 / 1228
        p = loss / 100
        if (p > 0) {
            often = 3 * sqrt(3 * p / 8)
            if (often > 1) often = 1
            each = rtt / 1000 * sqrt(2 * p / 3) + (rtt / 1000 + 0.2) * often * p * (1 + 32 * p * p)
            if (n / 1228 * each > time) time = n / 1228 * each
        }
        printf "%d %d\n", time * 1000 + 12 * rtt + 50, (rtt + q / rate * 1000 + 300) * (loss > 3 ? 7 : 3)
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

# files RTT LOSS KIB [RATE QUEUE]: fetches and uploads both ways, and the verdict
files() {
    local rtt=$1 loss=$2 n=$(($3 * 1024)) ideal stall
    make_big $n
    read -r ideal stall <<<"$(bounds "$rtt" "$loss" $n "${4:-12500000}" "${5:-262144}")"
    check "fetch, kernel from us" within $((5 * ideal)) fetch k
    check "fetch, we from kernel" within $((5 * ideal)) fetch p
    check "upload, kernel to us" within $((5 * ideal)) put k
    check "upload, we to kernel" within $((5 * ideal)) put p
    verdict "$rtt" "$stall"
}
make_big() { # make_big BYTES: the file, and the servers of it
    head -c "$1" /dev/urandom >"$d/big"
    big_sum=$(sum <"$d/big")
    limit=60
    web_start
}
verdict() { # verdict RTT STALL
    local rtt=$1 stall=$2
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
# A reset that answers an ACK of what was closed by both sides is as it should be.
no_reset() {
    [ "$(counted a_resets) $(counted b_resets)" = "0 0" ] ||
        say_no "resets: $(counted a_resets) of the kernel, $(counted b_resets) of ours"
}
# Only the listeners are left (what waits in TIME-WAIT is no socket).
nothing_left() {
    [ "$(counted ns_flows) $(counted ns_sockets) $(counted ns_buffer_bytes)" = "0 2 0" ] ||
        say_no "flows $(counted ns_flows), sockets $(counted ns_sockets), bytes $(counted ns_buffer_bytes)"
}

# spurious: D-SACKs that the kernel sent, of the segments that we sent.  Such a
# link loses nothing, and its RTT, queue and delayed ACKs make less than 100 ms.
# If an ACK took 150 ms all the same, the machine stood still, RTOs ran out and
# the run says nothing: `run` makes it again.
spurious() {
    local gap
    gap=$(counted b_gap_ms)
    if [ "$gap" -gt 150 ]; then
        echo "AGAIN the machine stood still: our data waited $gap ms"
        return
    fi
    check "repeats for nothing are below 0.5 %" awk -v d="$(counted a_dsacks)" -v n="$(counted b_segments)" \
        'BEGIN { printf "%d of %d", d, n; exit !(n > 1000 && d < n / 200) }'
}

# small RTT N: N short connections each way, 20 at a time, each within 20 s: a
# SYN may get lost three times (1, 2 and 4 s).  Data behind a repeated SYN has an
# RTO of 3 s (RFC 6298 5.7).
small() {
    limit=20
    make_big 1
    check "$2 fetches, kernel from us" all_ready k "$2"
    check "$2 fetches, we from kernel" all_ready p "$2"
    verdict "$1" $((3000 + $1 + 500))
}
all_ready() {
    local run url got
    client "$1"
    got=$(seq "$2" | $run xargs -P 20 -I% curl -fsS --max-time "$limit" "$url/ready?%" |
        grep -o ready | wc -l)
    [ "$got" = "$2" ] || say_no "$got answers of $2"
}

# slow_readers RTT: windows that close and open, both ways; 3 s each
slow_readers() {
    local stall
    make_big 9000000
    check "slow fetch, kernel from us" fetch k --limit-rate 3M
    check "slow fetch, we from kernel" fetch p --limit-rate 3M
    read -r _ stall <<<"$(bounds "$1" 0 1000 12500000 262144)"
    verdict "$1" "$stall"
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
