#!/usr/bin/env bash
# SOCKS5, forwards, serves, nc: who gets in, where to, and how streams end.
. "$(dirname "$0")/lib.sh"
lab_start
must relay_start
must control_start -authkey labkey
must ts_start 1
must ts_up 1
must web_start
bg sums socat TCP-LISTEN:7777,bind=127.0.0.1,reuseaddr,fork EXEC:sha256sum
bg tsnetpeer "$PEERS/tsnetpeer" -name srv -control "$control_url" -authkey labkey -dir "$d/srv"
must until_ok 60 grep -q '"what":"join"' "$d/log/tsnetpeer.log"
must remora_start r1 --socks5 127.0.0.1:1055 --socks5-auth ann:s3cret \
    --forward 18088=n1:8088 --forward 127.0.0.1:17777=n1.lab.test:7777 --forward "17778=$(ts_ip 1 4):7777" \
    --forward 18089=nobody:80
echo labkey >"$d/key"
must remora_run r2 --control-url "$control_url" --hostname r2 --auth-key-file "$d/key" --socks5 127.0.0.1:1056 --serve 7777=127.0.0.1:7777 --serve 80=localhost:8088 --serve 81=127.0.0.1:9
must remora_wait r2

# ---- SOCKS5 ----------------------------------------------------------------
r1=127.0.0.1:1055 r2=127.0.0.1:1056 n1=127.0.0.1:1081
step "the right user and password" hello $r1 http://n1.lab.test:8088/ -U ann:s3cret
refused() { # refused WORDS CURL ARGUMENTS...
    local code=0
    curl -sS --max-time 40 "${@:2}" >"$d/out" 2>"$d/err" || code=$?
    cat "$d/err"
    [ $code = 97 ] && grep -qE "$1" "$d/err"
}
step "a wrong password" refused "" --socks5-hostname $r1 -U ann:wrong http://n1.lab.test:8088/
step "a wrong user" refused "" --socks5-hostname $r1 -U bob:s3cret http://n1.lab.test:8088/
step "no password" refused "" --socks5-hostname $r1 http://n1.lab.test:8088/
step "a full MagicDNS name" hello $r2 http://n1.lab.test:8088/
step "a short name" hello $r2 http://n1:8088/
step "a name in capitals" hello $r2 http://N1.Lab.Test:8088/
step "an IPv6 address" hello $r2 "http://[$(ts_ip 1 6)]:8088/"
# curl prints the reply code of RFC 1928 6
step "a port that refuses is code 5" refused "\(5\)" --socks5-hostname $r2 http://n1.lab.test:9999/
step "a name that nobody has is code 4" refused "\(4\)" --socks5-hostname $r2 http://nobody.lab.test/
step "an address outside the tailnet is refused" refused "\([2345]\)" --socks5-hostname $r2 http://10.77.0.1:8088/
step "this machine's own address is refused" refused "\([2345]\)" --socks5-hostname $r2 http://127.0.0.1:8088/

# ---- forwards and serves ---------------------------------------------------
got_hello() { [ "$(curl -fsS --max-time 20 "$1")" = hello ]; }
step "a forward by name" got_hello http://127.0.0.1:18088/
nobody() { ! curl -sS --max-time 20 http://127.0.0.1:18089/; }
step "a forward to a peer that is not there closes" nobody
step "a serve" until_ok 60 hello $n1 "http://$(remora_ip4 r2)/"
step "a serve, IPv6" until_ok 60 hello $n1 "http://[$(remora_ip6 r2)]/"
closed() { ! hello $n1 "http://$(remora_ip4 r2):$1/"; }
step "a serve whose target refuses" closed 81
step "a port that nobody serves" closed 82

# ---- the end of one direction ----------------------------------------------
# sha256sum answers only when its input has ended.
sum_by() { # sum_by COMMAND...: the file's sum, by way of its input and output
    local sum
    sum=$(timeout 60 "$@" <"$d/www/big" | cut -d' ' -f1)
    [ "$sum" = "$big_sum" ] || { echo "got '$sum'"; return 1; }
}
step "half-close through a forward by name" sum_by socat -t 60 - TCP:127.0.0.1:17777
step "half-close through a forward by address" sum_by socat -t 60 - TCP:127.0.0.1:17778
step "half-close through nc to tailscaled" sum_by "$REMORA" nc --state-dir "$d/state/r1" n1 7777
step "half-close through nc to a serve" sum_by "$REMORA" nc --state-dir "$d/state/r1" r2 7777

# ---- nc --------------------------------------------------------------------
nc_http() { printf 'GET / HTTP/1.0\r\n\r\n' | remora r1 nc n1 8088 >"$d/out" && grep -q '^hello' "$d/out"; }
step "nc asks a web server" nc_http
nc_echo() { head -c 5000000 "$d/www/big" >"$d/five" && timeout 60 "$REMORA" nc --state-dir "$d/state/r1" srv 7 <"$d/five" | cmp - "$d/five"; }
step "nc echoes five megabytes with tsnet" nc_echo
nc_refused() {
    local code=0
    remora r1 nc n1 9999 </dev/null 2>"$d/err" || code=$?
    cat "$d/err"
    [ $code = 1 ] && grep -q "refused" "$d/err"
}
step "nc to a port that refuses" nc_refused
nc_nobody() {
    local code=0
    remora r1 nc nobody 80 </dev/null 2>"$d/err" || code=$?
    cat "$d/err"
    [ $code = 1 ] && grep -q "not a peer" "$d/err"
}
step "nc to nobody" nc_nobody
tsnet_http() { hello_of srv; }
hello_of() { curl -fsS --max-time 20 --socks5-hostname $r2 "http://$1/" | grep -q "^hello from $1"; }
step "a web server in tsnet" tsnet_http

# ---- many, and too many ----------------------------------------------------
hundred() {
    local i pids=() bad=0
    for i in $(seq 100); do patience=60 hello $r2 http://n1.lab.test:8088/ & pids+=($!); done
    for i in "${pids[@]}"; do wait "$i" || bad=$((bad + 1)); done
    [ $bad = 0 ] || { echo "$bad of 100 failed"; return 1; }
}
step "a hundred connections at once" hundred
descriptors() { # no descriptors left: it rests, and goes on when there are some
    local i
    must_run_limited || return 1
    for i in $(seq 40); do bg "hold$i" socat -u TCP:127.0.0.1:1057 -; done
    until_ok 30 holds 20
    for i in $(seq 40); do stop "hold$i" KILL; done
    until_ok 60 hello 127.0.0.1:1057 http://n1.lab.test:8088/
}
must_run_limited() {
    local soft
    soft=$(ulimit -Sn)
    ulimit -Sn 32
    remora_start r3 --socks5 127.0.0.1:1057
    local code=$?
    ulimit -Sn "$soft"
    return $code
}
holds() { [ "$(ss -tn state established "dport = :1057" | wc -l)" -gt "$1" ]; }
step "out of descriptors, and back" descriptors
lab_end
