#!/usr/bin/env bash
# remora up beside control servers that do not answer: what it prints, and that
# it can be ended at any moment.
#   tests/cli/up.sh PATH-OF-REMORA
. "$(dirname "$0")/cases.sh"
command -v socat >/dev/null || {
    echo "socat is missing; scripts/deps installs it"
    exit 1
}
children=
trap 'kill $children 2>/dev/null; rm -rf "$work"' EXIT
state=$work/state

# A server that says nothing, one that ends each connection, one that is none.
serve() { # serve NAME COMMAND: sets `port`
    socat -d -d TCP-LISTEN:0,bind=127.0.0.1,fork,reuseaddr "SYSTEM:$2" 2>"$work/$1.log" &
    children="$children $!"
    for _ in $(seq 500); do
        port=$(sed -n 's/.*listening on .*127\.0\.0\.1:\([0-9]*\).*/\1/p' "$work/$1.log")
        [ -z "$port" ] || break
        sleep 0.02
    done
}
serve silent 'sleep 60'
silent=http://127.0.0.1:$port
serve rude 'true'
rude=http://127.0.0.1:$port
refused=http://127.0.0.1:1

# cancelled SIGNAL URL SECONDS: so long after its start it ends by that signal, in
# order, with exit code 0.
cancelled() {
    local began code=0 pid
    rm -f "$out"
    "$remora" up --no-udp --no-port-mapping --state-dir "$state" --control-url "$2" --log-level debug >"$out" 2>"$err" </dev/null &
    pid=$!
    for _ in $(seq 3000); do
        [ -s "$out" ] && break
        sleep 0.01
    done
    sleep "$3"
    began=$(date +%s%N)
    kill "-$1" $pid
    wait $pid || code=$?
    rm -rf "$state"
    [ $code = 0 ] && [ $((($(date +%s%N) - began) / 1000000)) -lt 5000 ] && printed Stopped.
}
for s in INT TERM; do
    for t in 0 0.3; do
        check "SIG$s $t s after it began to connect, refused" cancelled $s $refused $t
        check "SIG$s $t s after it began to connect, unanswered" cancelled $s $silent $t
        check "SIG$s $t s after it began to connect, cut off" cancelled $s $rude $t
    done
done
lines_have_time() {
    grep -q . "$err" && ! grep -vE '^(20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z (error|warn |info |debug|trace) [a-z0-9]+ +[^ ]|remora: .)' "$err"
}
check "each line of the log begins with its time" lines_have_time
utc() { [ "$(grep -m 1 -oE '^20[^.]*' "$err" | cut -c 1-13)" = "$(date -u +%Y-%m-%dT%H)" ] || [ "$(date -u +%M)" = 00 ]; }
check "which is UTC" utc
finish
