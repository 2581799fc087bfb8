#!/usr/bin/env bash
# remora leaves the host as it is: no root, no interface, route, rule or name
# server changed, no packet anywhere but to the control server, relays, peers
# and the router; and at the most talkative level no secret is said (lib.sh looks).
. "$(dirname "$0")/lib.sh"
lab_start
# Nobody may be unable to enter the checkout (below /root, say): in this mount
# namespace the lab is at /mnt too, with a copy of the command.
mount --bind "$d" /mnt
d=/mnt
cp "$REMORA" "$d/remora"
must relay_start
must control_start -authkey labkey
must web_start

# A way out of the lab: whatever goes to a stranger leaves by v0.
quiet_way_out() {
    sysctl -qw net.ipv6.conf.v0.disable_ipv6=1 net.ipv6.conf.v1.disable_ipv6=1
    ip neigh add 10.77.0.2 lladdr 02:00:00:00:00:01 dev v0 nud permanent # no ARP
    ip route add default via 10.77.0.2 dev v0
    # The router may be asked for a port: NAT-PMP and PCP at the gateway, UPnP.
    nft -f - <<N
table inet strays {
    counter seen { }
    chain out {
        type filter hook output priority filter
        oifname v0 ip daddr 10.77.0.2 udp dport { 1900, 5351 } accept
        oifname v0 ip daddr 239.255.255.250 udp dport 1900 accept
        oifname v0 counter name seen
    }
}
N
}
must quiet_way_out
sent() { nft -j list counter inet strays seen | jq '.nftables[] | .counter? // empty | .packets'; }
counts_strays() { # the counter can fail: a datagram to a stranger moves it
    local before
    before=$(sent)
    echo x | socat -t 0 - UDP4:192.0.2.1:9 || :
    until_ok 30 moved "$before"
}
moved() { [ "$(sent)" -gt "$1" ]; }
step "a packet to a stranger would be seen" counts_strays

host() { # what could be changed
    ip -j addr show | jq -S 'map(del(.addr_info[]?.valid_life_time, .addr_info[]?.preferred_life_time))'
    ip route show table all | sort
    ip rule show
    ip -6 rule show
    cat /etc/resolv.conf /etc/hosts
    find /etc -newer "$d/began" -type f
}
: >"$d/began"
host >"$d/host.before"

# Without root and without any capability.
cat >"$d/unprivileged" <<X
#!/bin/sh
exec setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs --bounding-set=-all "$d/remora" "\$@"
X
chmod 755 "$d/unprivileged" "$d"
mkdir -p "$d/state/r1" "$d/state/r2"
chown 65534:65534 "$d/state" "$d/state/r1" "$d/state/r2"
chmod 700 "$d/state/r1" "$d/state/r2"

before=$(sent)
run_both() {
    remora_binary=$d/unprivileged log_level=trace
    remora_start r1 --socks5 127.0.0.1:1055 && remora_start r2 --serve 8088=127.0.0.1:8088
}
step "two nodes join without root" run_both
unprivileged() { [ "$(awk '/^Uid:/ {print $2}' "/proc/$(pgrep -f "state-dir $d/state/$1 " | tail -n 1)/status")" = 65534 ]; }
step "they run as nobody" unprivileged r1
step "one fetches from the other" fetch 127.0.0.1:1055 http://r2.lab.test:8088/big
stranger() { ! curl -fsS --max-time 10 --socks5-hostname 127.0.0.1:1055 "$1"; }
step "its SOCKS5 server goes to no stranger by address" stranger http://192.0.2.1/
step "nor by name" stranger http://example.com/
step "nor to the host itself" stranger http://127.0.0.1:8088/
ends() { remora_stop r1 && remora_stop r2; }
step "both end" ends
same_host() { host >"$d/host.after"; diff "$d/host.before" "$d/host.after"; }
step "interfaces, routes, rules and name servers are as before" same_host
no_strays() { [ "$(sent)" = "$before" ] || { echo "$(($(sent) - before)) packets left by v0"; return 1; }; }
step "no packet went to a stranger" no_strays
rm -f "$d/remora"
lab_end
