#!/usr/bin/env bash
# Names: dig asks 100.100.100.100 through a forward, split routes lead to
# dnsmasq, and SOCKS5, forwards and nc go where they say.
. "$(dirname "$0")/lib.sh"
lab_start
must relay_start
must control_start -authkey labkey -routes corp.lab=127.0.0.1:5301
must ts_start 1
must ts_up 1
must web_start
long=$(printf 'x%.0s' {1..200})
names=()
for i in {1..15}; do names+=("--txt-record=big.corp.lab,$i$long"); done
bg dnsmasq dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --port=5301 \
    --listen-address=127.0.0.1 --bind-interfaces --user=root --pid-file="$d/dnsmasq.pid" \
    --host-record=web.corp.lab,"$(ts_ip 1 4)" --local=/corp.lab/ "${names[@]}"
must until_ok 30 dig +short @127.0.0.1 -p 5301 web.corp.lab
must remora_start r1 --socks5 127.0.0.1:1055 --forward 15353=100.100.100.100:53 --forward 15354=[fd7a:115c:a1e0::53]:53 \
    --forward 18088=web.corp.lab:8088

ask() { dig +tcp +time=10 +tries=1 @127.0.0.1 -p "${port:-15353}" "$@"; }
says() { # says WANT ARGUMENTS...: the short answer
    local got
    got=$(ask +short "${@:2}")
    [ "$got" = "$1" ] || { echo "'$got', not '$1'"; ask "${@:2}"; return 1; }
}
status() { ask "${@:2}" | tee "$d/dig" | grep -q "status: $1,"; }

step "a peer's name" says "$(ts_ip 1 4)" n1.lab.test
step "in capitals" says "$(ts_ip 1 4)" N1.Lab.TEST
step "of the IPv6 address" eval 'port=15354 says "$(ts_ip 1 4)" n1.lab.test'
step "our own name" says "$(remora_ip4 r1)" r1.lab.test
step "no IPv6 address beside an IPv4 one" says "" n1.lab.test AAAA
step "a peer's reverse name" says n1.lab.test. -x "$(ts_ip 1 4)"
step "a peer's IPv6 reverse name" says n1.lab.test. -x "$(ts_ip 1 6)"
step "a 4via6 name" says fd7a:115c:a1e0:b1a:0:7:a01:203 10-1-2-3-via-7.lab.test AAAA
step "a name that nobody has" status NXDOMAIN nobody.lab.test
step "a reverse name that nobody has" status NXDOMAIN -x 100.127.1.1
step "an onion" status NXDOMAIN x.onion
step "a kind that is not kept" status NOTIMP n1.lab.test SOA
step "a name that no resolver is there for" status SERVFAIL www.example.org

step "a split route" says "$(ts_ip 1 4)" web.corp.lab
step "a split route's NXDOMAIN" status NXDOMAIN nobody.corp.lab
whole() { [ "$(ask +short big.corp.lab TXT | wc -l)" = 15 ]; }
step "an answer that is cut off is asked for by TCP" whole

got_hello() { [ "$(curl -fsS --max-time 20 "$1")" = hello ]; }
step "SOCKS5 to a name of a route" hello 127.0.0.1:1055 http://web.corp.lab:8088/
step "a forward to a name of a route" got_hello http://127.0.0.1:18088/
nc_http() { printf 'GET / HTTP/1.0\r\n\r\n' | remora r1 nc web.corp.lab 8088 >"$d/out" && grep -q '^hello' "$d/out"; }
step "nc to a name of a route" nc_http
unknown() { ! hello 127.0.0.1:1055 http://nobody.corp.lab:8088/; }
step "SOCKS5 to a name that the route does not have" unknown
step "it ends in order" remora_stop r1

# ---- the user's wish ---------------------------------------------------------
must remora_start r2 --socks5 127.0.0.1:1056 --forward 15353=100.100.100.100:53
step "SOCKS5 to a name of a route, again" until_ok 60 hello 127.0.0.1:1056 http://web.corp.lab:8088/
step "the user wants none of the tailnet's DNS" remora r2 set --accept-dns=false
unwanted() { ! hello 127.0.0.1:1056 http://web.corp.lab:8088/; }
step "then there are no names of routes" unwanted
step "but those of nodes" hello 127.0.0.1:1056 http://n1.lab.test:8088/
step "and by quad-100" says "$(ts_ip 1 4)" n1.lab.test
step "the user wants them again" remora r2 set --accept-dns
step "and there they are" hello 127.0.0.1:1056 http://web.corp.lab:8088/
must remora_stop r2

# ---- the system's resolver, which only the host and tailscaled ask ------------
many=()
for i in {1..120}; do many+=("--host-record=many.outside.lab,127.1.0.$i"); done
bg system dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --port=53 \
    --listen-address=127.0.0.1 --bind-interfaces --user=root --pid-file="$d/system.pid" \
    --host-record=www.outside.lab,"$(ts_ip 1 4)" --local=/outside.lab/ "${many[@]}"
must until_ok 30 dig +short @127.0.0.1 www.outside.lab

# ---- an exit node answers for its users ---------------------------------------
must ts_start 2
must ts_up 2
must ts 2 set --advertise-exit-node
must lab "routes?node=n2&routes=0.0.0.0/0,::/0"
must remora_start r3 --socks5 127.0.0.1:1057 --exit-node n2 --forward 15355=100.100.100.100:53
r3=127.0.0.1:1057
step "SOCKS5 to a name that only the exit node can resolve" until_ok 60 hello $r3 http://www.outside.lab:8088/
step "quad-100 asks it too" eval 'port=15355 says "$(ts_ip 1 4)" www.outside.lab'
step "an answer that is cut off comes whole" eval '[ "$(port=15355 ask +short many.outside.lab | wc -l)" = 120 ]'
step "a name that it does not know" eval 'port=15355 status NXDOMAIN nobody.outside.lab'
step "names of nodes stay ours" eval 'port=15355 says "$(remora_ip4 r3)" r3.lab.test'
stop tailscaled-n2
leaks() { ! patience=5 hello $r3 http://www.outside.lab:8088/; }
step "without it nobody is asked" leaks
must remora_stop r3

# ---- remora answers for those who use it --------------------------------------
must remora_start r5 --advertise-exit-node
must lab "routes?node=r5&routes=0.0.0.0/0,::/0"
serves() {
    [ "$(lab nodes | jq -r '.nodes[] | select((.Name | split(".")[0]) == "r5") | .Hostinfo.Services // [] | map(.Proto) | sort | join(",")')" = "$1" ]
}
step "the server knows where remora answers" until_ok 30 serves peerapi-dns-proxy,peerapi4,peerapi6
ts_exit() { ts 1 set --exit-node="$(remora_ip4 r5)"; }
step "tailscaled takes remora as exit node" until_ok 30 ts_exit
# Of n1: what its own resolver, which is quad-100's, says.
ts_says() { ts 1 dns query "$1" "${3:-A}" | tee "$d/query" | grep -Fq "$2" || { cat "$d/query"; return 1; }; }
step "tailscaled asks it for names" until_ok 60 ts_says www.outside.lab "$(ts_ip 1 4)"
step "an answer that no datagram holds" until_ok 60 ts_says many.outside.lab 127.1.0.120
step "a name that nobody has" until_ok 60 ts_says nobody.outside.lab RCodeNameError
must remora_start r6 --socks5 127.0.0.1:1060 --exit-node r5
step "remora asks it for names" until_ok 60 hello 127.0.0.1:1060 http://www.outside.lab:8088/
must remora r5 set --advertise-exit-node=false
step "it answers no longer when it is none" until_ok 30 serves ""
must ts 1 set --exit-node=
must remora_stop r6
must remora_stop r5

# ---- our own stub resolver ----------------------------------------------------
# All of 127.1.0.0/24 leads to the control server.
nft -f - <<N
table ip count {
    chain out { type filter hook output priority 0; tcp dport 53 counter; }
    chain lead { type nat hook output priority -100; ip daddr 127.1.0.0/24 tcp dport 9911 redirect; }
}
N
control_url=http://many.outside.lab:9911
step "a control server whose 120 addresses no datagram holds" remora_start r4
by_tcp() { nft list table ip count | tee "$d/count"; grep -q 'counter packets [1-9]' "$d/count"; }
step "was asked for by TCP" by_tcp
step "it ends in order" remora_stop r4
lab_end
