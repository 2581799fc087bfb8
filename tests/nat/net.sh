# net.sh - networks behind NATs, in network namespaces: a "wan" with a control
# server and two relays, and hosts behind gateways of several kinds.
#
# Addresses of the wan are of 198.18.0.0/15 (RFC 2544): public to a node, and
# nobody's.
#
#   net_wan                  the wan: a bridge, 198.18.0.1 to .3 on it, and 10.10.0.1
#   net_host NAME KIND       a host behind a gateway of that kind
#   on NAME COMMAND...       runs in that host (or gateway, or wan)
#
# Kinds (RFC 4787's words for mapping and filtering):
#   none        no NAT: the host is on the wan itself
#   cone        endpoint-independent mapping and filtering
#   restricted  endpoint-independent mapping (ports are kept), address and
#               port-dependent filtering: what a Linux router does
#   symmetric   address and port-dependent mapping (a random port for each
#               flow) and filtering
#   double      restricted behind restricted
#   blocked     restricted, and no UDP passes
#
# It wants a mount namespace of its own (run makes one): /run/netns is hidden.

kinds=(none cone restricted symmetric double blocked)
net_n=0

on() { ip netns exec "$@"; }

net_ns() { # net_ns NAME
    ip netns add "$1"
    ip -n "$1" link set lo up
    on "$1" sysctl -qw net.ipv6.conf.all.disable_ipv6=1
}

net_wan() {
    mkdir -p /run/netns
    mount -t tmpfs none /run/netns
    net_ns wan
    ip -n wan link add name br type bridge
    for i in 1 2 3; do ip -n wan addr add 198.18.0.$i/16 dev br; done
    # Clients speak plain http to control servers with private addresses alone.
    ip -n wan addr add 10.10.0.1/32 dev br
    ip -n wan link set dev br up
}

# net_join NAME IFACE ADDRESS: a leg of NAME on the wan
net_join() {
    ip -n wan link add name "w$net_n" type veth peer name "$2" netns "$1"
    ip -n wan link set "w$net_n" up master br
    ip -n "$1" addr add "$3" dev "$2"
    ip -n "$1" link set "$2" up
    ip -n "$1" route add 10.10.0.1 via 198.18.0.1
}

# net_leg GATEWAY HOST NETWORK [IFACE]: a LAN between them, .1 is the gateway;
# IFACE of the host is eth0, or another one, by which no route goes yet
net_leg() {
    local iface=${4:-eth0}
    ip -n "$1" link add name lan0 type veth peer name "$iface" netns "$2"
    ip -n "$1" addr add "$3.1/24" dev lan0
    ip -n "$2" addr add "$3.2/24" dev "$iface"
    ip -n "$1" link set lan0 up
    ip -n "$2" link set "$iface" up
    [ -n "${4:-}" ] || ip -n "$2" route add default via "$3.1"
}

# net_nat GATEWAY OUTSIDE KIND INSIDE-ADDRESS: what makes it a gateway
net_nat() {
    local masquerade=masquerade inbound="" udp=""
    case $3 in
        symmetric) masquerade="masquerade fully-random" ;;
        cone) inbound="iif $2 udp dport 1024-65535 dnat to $4" ;;
        blocked) udp="meta l4proto udp drop" ;;
    esac
    on "$1" sysctl -qw net.ipv4.ip_forward=1
    # What comes from outside and is not expected must leave no trace: else
    # it would take the port from the mapping that is made a moment later.
    on "$1" nft -f - <<N
table ip nat {
    chain pre { type nat hook prerouting priority dstnat; $inbound
    }
    chain post { type nat hook postrouting priority srcnat; oif $2 $masquerade
    }
}
table ip filter {
    chain incoming { type filter hook input priority filter; policy accept;
        iif $2 ct state established,related accept
        iif $2 drop
    }
    chain forwarded { type filter hook forward priority filter; policy drop;
        $udp
        iif lan0 accept
        ct state established,related accept
        ct status dnat accept
    }
}
N
}

net_host() {
    local name=$1 kind=$2
    net_n=$((net_n + 1))
    local lan=192.168.$net_n out=198.18.$net_n.1
    net_ns "$name"
    if [ "$kind" = none ]; then
        net_join "$name" eth0 "$out/16"
        ip -n "$name" route add default via 198.18.0.1
        return
    fi
    net_ns "$name-gw"
    net_join "$name-gw" wan0 "$out/16"
    if [ "$kind" = double ]; then
        net_ns "$name-gw2"
        net_leg "$name-gw" "$name-gw2" "172.20.$net_n"
        ip -n "$name-gw2" link set eth0 down
        ip -n "$name-gw2" link set eth0 name wan0
        ip -n "$name-gw2" link set wan0 up
        ip -n "$name-gw2" route add default via "172.20.$net_n.1"
        net_leg "$name-gw2" "$name" "$lan"
        net_nat "$name-gw" wan0 restricted "172.20.$net_n.2"
        net_nat "$name-gw2" wan0 restricted "$lan.2"
    else
        net_leg "$name-gw" "$name" "$lan"
        net_nat "$name-gw" wan0 "$kind" "$lan.2"
    fi
}
