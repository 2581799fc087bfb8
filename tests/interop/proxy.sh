#!/usr/bin/env bash
# remora where nothing but an HTTP proxy leads out: control server and relay are
# reached through CONNECT, with a password.
. "$(dirname "$0")/lib.sh"
lab_start
# Nobody may be unable to enter the checkout (below /root, say): in this mount
# namespace the lab is at /mnt too, with a copy of the command.
mount --bind "$d" /mnt
d=/mnt
chmod 755 "$d"
install -m 755 "$REMORA" "$d/remora"
must relay_start
must control_start -authkey labkey
must ts_start 1 TS_DEBUG_ALWAYS_USE_DERP=1
must ts_up 1
must web_start

cat >"$d/tinyproxy.conf" <<C
Port 8888
Listen 127.0.0.1
Timeout 600
MaxClients 50
LogLevel Connect
BasicAuth lab pass-word
C
bg proxy tinyproxy -d -c "$d/tinyproxy.conf"
must until_ok 30 curl -fsS -o /dev/null -x http://lab:pass%2Dword@127.0.0.1:8888 http://127.0.0.1:8088/

# Nothing but the proxy leads to the relay and the control server: who is
# nobody, as remora is here, gets a reset.
only_by_proxy() {
    nft -f - <<N
table ip out {
    chain o {
        type filter hook output priority filter
        meta skuid 65534 tcp dport { 3340, 9911 } reject with tcp reset
    }
}
N
}
as_nobody() { # remora as another user than the proxy
    mkdir -p "$d/state/r1"
    chmod 700 "$d/state/r1"
    chown -R 65534 "$d/state/r1"
    : >"$d/log/remora-r1.out"
    setsid setpriv --reuid 65534 --clear-groups env "$@" >>"$d/log/remora-r1.out" 2>>"$d/log/remora-r1.err" </dev/null &
    pid_of[remora-r1]=$!
}
up=("$d/remora" up --json --no-udp --state-dir "$d/state/r1" --control-url "$control_url" --auth-key labkey
    --hostname r1 --socks5 127.0.0.1:1091 --log-level debug)
must only_by_proxy

refused() { # its sentence, and no join
    as_nobody "${up[@]}"
    until_ok 30 grep -q trouble "$d/log/remora-r1.out" || return 1
    ! remora_is_up r1
}
step "nothing is reached without it" refused
step "an end" remora_stop r1
wrong() {
    as_nobody HTTPS_PROXY=http://lab:wrong@127.0.0.1:8888 "${up[@]}"
    until_ok 30 grep -qE 'the proxy (refused the connection|asks for other credentials)' "$d/log/remora-r1.out"
}
step "a wrong password is told" wrong
step "an end after it" remora_stop r1
joins() {
    as_nobody HTTPS_PROXY=http://lab:pass%2Dword@127.0.0.1:8888 "${up[@]}"
    remora_wait r1
}
step "it joins through the proxy" joins
n1_ip=$(ts_ip 1 4)
step "hello by the relay, through the proxy" until_ok 60 hello 127.0.0.1:1091 "http://$n1_ip:8088/"
# A little only: tinyproxy delays small segments (Nagle), and the relay drops the
# bursts that come of it.
head -c 3000000 /dev/urandom >"$d/www/some"
some() {
    [ "$(curl -fsS --max-time 60 --socks5-hostname 127.0.0.1:1091 "http://$n1_ip:8088/some" | sha256sum)" = "$(sha256sum <"$d/www/some")" ]
}
step "3 MB through the proxy" some
asked() { grep -q "CONNECT 127.0.0.1:$1 HTTP" "$d/log/proxy.log"; }
step "the proxy was asked for the control server" asked 9911
step "and for the relay" asked 3340
lab_end
