#!/usr/bin/env bash
# Subnet routes and exit nodes, with tailscaled and with remora on either side.
# The subnets are in a network namespace behind this one: nobody is in them but
# who is carried there.
. "$(dirname "$0")/lib.sh"
lab_start
must relay_start
must control_start -authkey labkey

# ---- what lies behind the routers ------------------------------------------
# 10.55.0.0/24 and fd55::/64 are beyond v0; 192.0.2.7 too, which stands for the
# Internet.  The far end of v0's pair is moved into a namespace of its own.
behind() { nsenter --net="/proc/${pid_of[far]}/ns/net" "$@"; }
far_net() {
    bg far unshare --net sleep 1000
    until_ok 30 far_is_apart
    ip link set v1 netns "${pid_of[far]}"
    behind ip link set lo up
    behind ip addr add 10.77.0.2/24 dev v1
    behind ip -6 addr add fd77::2/64 dev v1 nodad
    behind ip link set v1 up
    local a
    for a in 10.55.0.1/24 192.0.2.7/32; do behind ip addr add $a dev lo; done
    behind ip -6 addr add fd55::1/64 dev lo nodad
    behind ip route add default via 10.77.0.1
    ip -6 addr add fd77::1/64 dev v0 nodad
    ip route add 10.55.0.0/24 via 10.77.0.2
    ip route add 192.0.2.0/24 via 10.77.0.2
    ip -6 route add fd55::/64 via fd77::2
    # Ping by whom no capability helps.
    sysctl -qw net.ipv4.ping_group_range="0 2147483647"
    until_ok 30 ping -c 1 -W 1 10.55.0.1
}
far_is_apart() { [ "$(readlink "/proc/${pid_of[far]}/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }
must far_net
# Sums come back when the input has ended; datagrams come back as they are.
bg sums nsenter --net="/proc/${pid_of[far]}/ns/net" socat TCP6-LISTEN:7777,ipv6only=0,reuseaddr,fork EXEC:sha256sum
bg udp nsenter --net="/proc/${pid_of[far]}/ns/net" socat UDP4-RECVFROM:7778,bind=10.55.0.1,reuseaddr,fork EXEC:cat
echo hello >"$d/www/index.html"
head -c 20000000 /dev/urandom >"$d/www/big"
big_sum=$(sha256sum <"$d/www/big" | cut -d' ' -f1)
nginx_far() {
    cat >"$d/far.conf" <<N
daemon off; pid $d/far.pid; error_log stderr; worker_processes 1; user root;
events {} http { access_log off;
  client_body_temp_path $d/far.tmp; proxy_temp_path $d/far.tmp; fastcgi_temp_path $d/far.tmp;
  uwsgi_temp_path $d/far.tmp; scgi_temp_path $d/far.tmp;
  server { listen 80; listen [::]:80; root $d/www; client_max_body_size 0;
    location /up/ { dav_methods PUT; create_full_put_path on; } } }
N
    bg web nsenter --net="/proc/${pid_of[far]}/ns/net" nginx -e stderr -c "$d/far.conf"
    until_ok 30 curl -fsS http://10.55.0.1/
}
must nginx_far

# From here on only the routers' user goes there: whoever else gets an answer was
# carried.
router=(setpriv --reuid=65533 --regid=65533 --clear-groups)
only_routers() {
    nft -f - <<N
table inet fence {
    chain out {
        type filter hook output priority filter
        meta skuid 65533 accept
        ip daddr { 10.55.0.0/24, 192.0.2.0/24 } drop
        ip6 daddr fd55::/64 drop
    }
}
N
    printf '#!/bin/sh\nexec %s "%s" "$@"\n' "${router[*]}" "$REMORA" >"$d/router"
    chmod 755 "$d/router"
    chmod 1777 "$d"
    mkdir -p "$d/state/r1" "$d/state/r5" "$d/n2"
    chmod 755 "$d/state"
    chmod 700 "$d/state/r1" "$d/state/r5"
    chown 65533:65533 "$d/state/r1" "$d/state/r5" "$d/n2"
    ! curl -fsS --max-time 1 http://10.55.0.1/
}
must only_routers
router_start() { remora_binary=$d/router remora_start "$@"; }

approve() { lab "routes?node=$1&routes=$2"; }
offers() { # what the server knows that a node offers
    [ "$(lab nodes | jq -r --arg h "$1" '.nodes[] | select((.Name | split(".")[0]) == $h) | .Hostinfo.RoutableIPs // [] | sort | join(",")')" = "$2" ]
}
got() { hello "$1" "$2"; }
not_got() { ! patience=${3:-5} hello "$1" "$2"; }
sum_of() { # sum_of COMMAND...: the file's sum, by way of its input and output
    local sum
    sum=$(timeout 60 "$@" <"$d/www/big" | cut -d' ' -f1)
    [ "$sum" = "$big_sum" ] || { echo "got '$sum'"; return 1; }
}
fetches() {
    [ "$(curl -fsS --max-time 60 --socks5-hostname "$1" "$2" | sha256sum | cut -d' ' -f1)" = "$big_sum" ]
}

# ---- remora routes, tailscaled uses ----------------------------------------
# Of 4via6: 10.55.0.0/24 at site 7.
via=fd7a:115c:a1e0:b1a:0:7:a37:0/120
must router_start r1 --advertise-routes 10.55.0.0/24,fd55::/64,$via
must ts_start 1
must ts_up 1
n1=127.0.0.1:1081
step "the server knows what remora offers" until_ok 30 offers r1 10.55.0.0/24,fd55::/64,$via
must ts 1 set --accept-routes
must approve r1 10.55.0.0/24,fd55::/64,$via
step "tailscaled reaches a subnet behind remora" until_ok 60 got $n1 http://10.55.0.1/
step "and an IPv6 one" until_ok 60 got $n1 "http://[fd55::1]/"
step "and by 4via6" until_ok 60 got $n1 "http://[fd7a:115c:a1e0:b1a:0:7:a37:1]/"
step "twenty megabytes come through" fetches $n1 http://10.55.0.1/big
uploads() {
    curl -fsS --max-time 60 --socks5-hostname $n1 -T "$d/www/big" http://10.55.0.1/up/big &&
        [ "$(sha256sum <"$d/www/up/big" | cut -d' ' -f1)" = "$big_sum" ]
}
step "twenty megabytes go through" uploads
# A datagram by the UDP association of a SOCKS5 server (RFC 1928 7): to 10.55.0.1,
# port 7778, and back.
ts_udp() { # it may get lost, and is sent again then
    local port
    exec 3<>/dev/tcp/127.0.0.1/1081
    printf '\x05\x01\x00' >&3
    head -c 2 <&3 >/dev/null
    printf '\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00' >&3
    port=$((16#$(head -c 10 <&3 | tail -c 2 | xxd -p)))
    printf '\x00\x00\x00\x01\x0a\x37\x00\x01\x1e\x62hello by UDP' |
        socat -t 3 - "UDP4:127.0.0.1:$port" >"$d/udp"
    exec 3>&-
    grep -aq 'hello by UDP$' "$d/udp" || { xxd "$d/udp"; return 1; }
}
step "a datagram goes there and back" until_ok 60 ts_udp
ts_refused() {
    local code=0
    curl -sS --max-time 20 --socks5-hostname $n1 http://10.55.0.1:9/ || code=$?
    [ $code = 97 ]
}
step "a closed port is refused" ts_refused
ts_ping() { ts 1 ping --icmp -c 2 --timeout 3s 10.55.0.1; }
step "tailscaled pings an address behind remora" ts_ping
step "an address beyond what is offered is not carried" not_got $n1 http://192.0.2.7/

# ---- remora uses a route of remora -----------------------------------------
must remora_start r2 --socks5 127.0.0.1:1056 --accept-routes --forward 17777=10.55.0.1:7777
r2=127.0.0.1:1056
must remora_start r3 --socks5 127.0.0.1:1057
step "remora reaches a subnet behind remora" until_ok 60 got $r2 http://10.55.0.1/
step "and an IPv6 one" got $r2 "http://[fd55::1]/"
step "and by a name of 4via6" got $r2 http://10-55-0-1-via-7.lab.test/
step "twenty megabytes come through" fetches $r2 http://10.55.0.1/big
step "a forward to an address behind it, and half-close" sum_of socat -t 60 - TCP:127.0.0.1:17777
step "nc to an address behind it" sum_of "$REMORA" nc --state-dir "$d/state/r2" 10.55.0.1 7777
pings() { remora "$1" ping -c 2 "${@:2}"; }
step "ping of an address behind it, by ICMP" pings r2 --icmp 10.55.0.1
step "of an IPv6 one" pings r2 --icmp fd55::1
step "by 4via6's name" pings r2 --icmp 10-55-0-1-via-7
step "by disco, of its router" pings r2 10.55.0.1
no_ping() { ! remora "$1" ping --timeout 1s "${@:2}"; }
step "without --accept-routes there is none" no_ping r3 --icmp 10.55.0.1
step "nor of what nobody routes" no_ping r2 --icmp 192.0.2.7
step "without --accept-routes nothing goes there" not_got 127.0.0.1:1057 http://10.55.0.1/

# ---- tailscaled routes and is an exit node, remora uses it ------------------
must ts_start 2 "${router[@]}"
must ts_up 2
must ts 2 set --advertise-routes=10.55.0.0/24 --advertise-exit-node
# A connection that runs while its router changes: neither router can go on with
# what the other began, and whoever speaks next hears of it.
bg held sh -c 'while sleep 0.2; do echo more; done | socat -t 1 - TCP:127.0.0.1:17777'
carried() { [ -n "$(behind ss -Htn state established 'sport = :7777')" ]; } # the other ones have ended
must until_ok 30 carried
must approve r1 ""
must approve n2 10.55.0.0/24
ended() { ! runs held; }
step "a connection by the router before it ends, and does not hang" until_ok 30 ended
must remora_stop r1
step "the route moves to tailscaled" until_ok 60 got $r2 http://10.55.0.1/
step "twenty megabytes come through" fetches $r2 http://10.55.0.1/big
must remora_start r4 --socks5 127.0.0.1:1058 --exit-node n2
r4=127.0.0.1:1058
step "an exit node that is not approved is a black hole" not_got $r4 http://192.0.2.7/
must approve n2 10.55.0.0/24,0.0.0.0/0,::/0
step "through tailscaled as exit node" until_ok 60 got $r4 http://192.0.2.7/
exit_known() { [ "$(lab nodes | jq -r '(.nodes[] | select((.Name | split(".")[0]) == "n2") | .StableID) as $id | [.nodes[] | select((.Name | split(".")[0]) == "r4") | .Hostinfo.ExitNodeID == $id] | any')" = true ]; }
step "the server knows which exit node it uses" until_ok 30 exit_known
stop tailscaled-n2
step "when the exit node is gone nothing leaks" not_got $r4 http://192.0.2.7/
step "and nothing goes by the host" not_got $r4 http://10.77.0.2/

# ---- remora is the exit node -----------------------------------------------
must router_start r5 --advertise-exit-node
step "the server knows that remora offers to be one" until_ok 30 offers r5 0.0.0.0/0,::/0
must approve r5 0.0.0.0/0,::/0
must approve n2 ""
ts_exit() { ts 1 set --accept-routes=false && ts 1 set --exit-node="$(remora_ip4 r5)"; }
step "tailscaled takes remora as exit node" until_ok 30 ts_exit
step "tailscaled reaches the Internet through remora" until_ok 60 got $n1 http://192.0.2.7/
step "but not the router's own net" not_got $n1 http://10.77.0.2/
must remora_start r6 --socks5 127.0.0.1:1059 --exit-node r5 --exit-node-allow-lan
r6=127.0.0.1:1059
step "remora through remora" until_ok 60 got $r6 http://192.0.2.7/
step "twenty megabytes come through" fetches $r6 http://192.0.2.7/big
step "ping through it, by ICMP" pings r6 --icmp 192.0.2.7
step "the LAN beside an exit node" got $r6 http://10.77.0.2/
lab_end
