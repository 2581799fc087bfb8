# steps.sh - what is tried with each peer. lab.sh reads this.
#
# Where a peer lacks something:
# - boringtun's replay window has 1024 packets, wireguard-go's and ours 8128. The
#   wire here does not reorder by more than a few packets, so that all windows do.
# - boringtun does not pad, and does not follow its own cookie's rule of the
#   port (its cookies are of the address alone): we need not know either.
# - boringtun keeps the source address of a peer's socket for ever, so that it can't
#   move unless it is told to use one socket for all (--disable-connected-udp).
#   The wireguard-go of 2022 keeps it until it is told the endpoint again, where
#   the kernel says "network is unreachable" of an address that is gone.
# - boringtun counts no empty packets, and forgets none of its 8 sessions that
#   are still good.
# - The 120 s of a key can't be had of a peer, for its clock is the machine's. We
#   renew as initiator on a clock that runs faster (wg_tun --speed); they renew
#   by being told to forget us (replaced), and after a restart.

# ---- handshakes -----------------------------------------------------------------

# handshake OUTER PSK WHO: the side that is to initiate did, and the other did not.
handshake() {
    scene "$@"
    start
    if [ "$3" = us ]; then
        until_ok 10 we_ping 10.9.0.2
        is '.initiated >= 1 and .answered == 0 and .completed == 1'
    else
        until_ok 10 they_ping 10.9.0.1
        is '.initiated == 0 and .answered >= 1 and .completed == 1'
    fi
    all_pings
    is '.peers[0].session'
    all_understood
}
for psk in none psk; do
    for outer in 4 6; do
        with="over IPv$outer$([ $psk = none ] || echo ", with a PSK")"
        step initiate "we initiate $with" handshake $outer $psk us
        step accept "they initiate $with" handshake $outer $psk them
    done
done

# Both begin at the same time; whoever wins, both directions have to work.
crossing() {
    scene 4 none both
    start
    local we they
    we_ping 10.9.0.2 &
    we=$!
    they_ping 10.9.0.1 &
    they=$!
    wait $we || : # a first packet may be lost here
    wait $they || :
    all_pings
}
step crossing "both sides initiate at once" crossing

# Two initiations at least, and no session at either side.
wrong_psk() {
    scene 4 psk us
    our_peer+=(--psk "$d/psk2")
    our_tunnel=(--speed 10)
    start
    not we_ping -W 0.2 10.9.0.2
    until_ok 10 is '.initiations_out >= 3'
    is '.completed == 0 and (.peers[0].session | not)'
    is '.auth >= 1' # their answers don't open
}
step wrong_psk "with different PSKs there is no session" wrong_psk

# ---- data -------------------------------------------------------------------------

# Every length around what is padded, up to the whole MTU; nothing is fragmented.
sizes() {
    local n
    scene 4 none us
    start
    all_pings
    for n in $(seq 0 33) $(seq 1360 1392); do
        until_ok 5 we_ping -M do -s "$n" 10.9.0.2
    done
    for n in $(seq 0 17) $(seq 1340 1372); do
        until_ok 5 they_ping -M do -s "$n" fd09::1
    done
    all_understood
}
step sizes "packets of all lengths up to the MTU" sizes

# A source that is not among the allowed IPs comes through neither way.
their_echos() { theirs awk '/^Icmp:/ && n++ { print $10 }' /proc/net/snmp; } # received
source_filter() {
    local before
    scene 4 none us
    start
    all_pings
    theirs ip addr add 10.9.0.7/24 dev wgt
    not they_ping -W 0.2 -I 10.9.0.7 10.9.0.1
    is '.source >= 1'
    ip addr add 10.9.0.8/24 dev wgo
    before=$(their_echos)
    not we_ping -W 0.2 -I 10.9.0.8 10.9.0.2
    [ "$(their_echos)" = "$before" ]
    we_ping 10.9.0.2
    [ "$(their_echos)" = $((before + 1)) ]
}
step source "sources that are not allowed are dropped by both" source_filter

# One TCP stream from each side at the same time, of the two kernels.
# bulk OUTER: inside it is IPv4 one way and IPv6 the other.
streams() {
    local sum
    sum=$(sha256sum <"$d/data")
    theirs timeout 40 socat -u TCP4-LISTEN:7000,reuseaddr - 2>"$d/err" | sha256sum >"$d/there" &
    local there=$!
    timeout 40 socat -u TCP6-LISTEN:7000,reuseaddr - 2>"$d/err2" | sha256sum >"$d/here" &
    local here=$!
    timeout 40 socat -u "FILE:$d/data" TCP4:10.9.0.2:7000,retry=200,interval=0.05 &
    local sender=$!
    theirs timeout 40 socat -u "FILE:$d/data" 'TCP6:[fd09::1]:7000,retry=200,interval=0.05'
    wait $sender
    wait $there
    wait $here
    cat "$d/err" "$d/err2"
    [ "$(<"$d/there")" = "$sum" ]
    [ "$(<"$d/here")" = "$sum" ]
}
bulk() {
    local began
    scene "$1" psk us
    start
    all_pings
    began=$(now_ms)
    streams
    echo "= $((40000 / ($(now_ms) - began + 1))) MB/s in sum"
    all_understood
}
step bulk "20 MB each way over IPv4" bulk 4
step bulk "20 MB each way over IPv6" bulk 6

# ---- keys -------------------------------------------------------------------------

# Our clock runs 60 times faster: REKEY_AFTER_TIME is 2 s. 9 s of pings see four
# renewals, and none of them is lost. REKEY_TIMEOUT is 83 ms, so that on a busy
# machine an answer may come to an attempt that is over: only data has to find
# its key.
rekey() {
    scene 4 none us
    our_tunnel=(--speed 60)
    start
    all_pings
    local before began
    before=$(value .completed)
    began=$(now_ms)
    ping -n -q -i 0.02 -c 450 10.9.0.2 | tee "$d/ping"
    grep -q '450 received' "$d/ping"
    # Each 2 s, and not only by the rule for an initiator who receives (2.75 s), or
    # when the old key has expired (3 s). A second is left for what is slow.
    is ".completed - $before >= $((($(now_ms) - began - 1000) / 2000))"
    is '.data_unknown + .malformed + .auth + .replay + .inner == 0'
    echo "= $(value '.completed') handshakes"
    all_pings
}
step rekey "we renew the keys, and no packet is lost" rekey

# The same while data fills the tunnel: sealed under one key, opened under the
# next one's previous.
rekey_bulk() {
    scene 4 psk us
    our_tunnel=(--speed 60)
    start
    all_pings
    # As often as it takes: a fast machine is done before the renewal is due.
    renewed_by_streams() { streams && is '.completed >= 2'; }
    until_ok 30 renewed_by_streams
    is '.data_unknown == 0'
    echo "= $(value '.completed') handshakes"
}
step rekey_bulk "we renew the keys under streams of 20 MB each way" rekey_bulk

# They forget us and are told of us again: they make a new session while ours
# is still good, which has to give way.
replaced() {
    scene 4 none them
    start
    until_ok 10 they_ping 10.9.0.1
    wg set wgt peer "$(<"$d/our.pub")" remove
    their_peer_is_set
    until_ok 10 they_ping 10.9.0.1
    is '.initiated == 0 and .answered >= 2 and .completed >= 2'
    all_pings
}
step replaced "they make a new session while the old one is good" replaced

# Nothing is sent for REJECT_AFTER_TIME, 180 s, which are 2 s on a clock that runs
# 90 times faster: what comes then begins anew.
expiry() {
    scene 4 none us
    our_tunnel=(--speed 90)
    start
    all_pings
    until_ok 10 is '.peers[0].session | not'
    until_ok 10 we_ping 10.9.0.2
    is '.completed >= 2'
    all_pings
}
step expiry "our keys expire, and the next packet brings new ones" expiry

# ---- cookies ----------------------------------------------------------------------

# flood COMMAND ADDRESS KEY BURST MS: until that responder answers with cookies
flood() {
    bg flood $1 "$WG_BUILD/wg_flood" "$2" "$3" "$4" "$5"
    until_ok 10 grep -q cookie "$d/flood.log"
}
# We are under load. Their first initiation is answered by a cookie, and only one
# with mac2 is answered: they send it at their next try, 5 s later.
cookie_ours() {
    scene "$1" none them
    our_tunnel=(--load 20)
    start_ours
    flood "nsenter --net=/run/netns/theirs" "$our_endpoint" "$(<"$d/our.pub")" 10 50
    start_theirs
    until_ok 20 they_ping 10.9.0.1
    is '.cookies_sent >= 1 and .with_mac2_in >= 1 and .completed >= 1'
    is '.answered <= .with_mac2_in' # none without it
    all_pings
    is '.initiated == 0'
}
step cookie_ours "we are under load: they come through with a cookie of ours" cookie_ours 4
step cookie_ours "the same over IPv6" cookie_ours 6

# They are under load: wireguard-go when 128 handshake messages wait, and for a
# second after that; boringtun at more than 100 within a second, counted anew
# each second, so that it needs a flood without pauses. Our clock runs 10 times
# faster, so that our next try is after half a second.
cookie_theirs() {
    local burst=600 ms=200
    [ "$peer" != boringtun ] || { burst=150 ms=10; }
    scene "$1" none us
    our_tunnel=(--speed 10)
    start_theirs
    flood "" "$their_endpoint" "$(<"$d/their.pub")" $burst $ms
    start_ours
    until_ok 10 we_ping 10.9.0.2
    # Soon after the first cookie, and not at last in a gap of the flood.
    is '.cookies_taken >= 1 and .cookies_taken <= 4 and .with_mac2_out >= 1'
    end flood
    all_pings
}
step cookie_theirs "they are under load: we come through with a cookie of theirs" cookie_theirs 4
step cookie_theirs "the same over IPv6" cookie_theirs 6

# ---- roaming ------------------------------------------------------------------------

# Our socket gets another port: they follow our first packet from there.
roam_our_port() {
    scene "$1" none us
    start
    all_pings
    [ "$(ask 'port 5003')" = '{}' ]
    until_ok 10 we_ping 10.9.0.2
    their_endpoint_of_us_is "${our_endpoint/5001/5003}"
    all_pings
    is '.completed == 1'
}
step roam_our_port "our port changes: they follow" roam_our_port 4
step roam_our_port "our port changes: they follow, over IPv6" roam_our_port 6

roam_our_address() {
    scene "$1" none us
    start
    all_pings
    ip addr flush dev v0
    ip addr add 10.78.0.3/24 dev v0
    ip addr add fd78::3/64 dev v0 nodad
    until_ok 10 we_ping 10.9.0.2
    their_endpoint_of_us_is "$(sed 's/1\(\]*\):5001$/3\1:5001/' <<<"$our_endpoint")"
    all_pings
    is '.completed == 1'
}
step roam_our_address "our address changes: they follow" roam_our_address 4
step roam_our_address "our address changes: they follow, over IPv6" roam_our_address 6

# Their port changes: we follow their first packet from there.
roam_their_port() {
    scene "$1" none us
    start
    all_pings
    wg set wgt listen-port 5004
    until_ok 10 they_ping 10.9.0.1
    is ".peers[0].endpoint == \"${their_endpoint/5002/5004}\""
    all_pings
    is '.completed == 1'
}
step roam_their_port "their port changes: we follow" roam_their_port 4
step roam_their_port "their port changes: we follow, over IPv6" roam_their_port 6

roam_their_address() {
    scene "$1" none us
    [ "$peer" != boringtun ] || peer_command+=(--disable-connected-udp)
    start
    all_pings
    theirs ip addr flush dev v1
    theirs ip addr add 10.78.0.4/24 dev v1
    theirs ip addr add fd78::4/64 dev v1 nodad
    [ "$peer" != wireguard-go-debian ] || wg set wgt peer "$(<"$d/our.pub")" endpoint "$our_endpoint"
    until_ok 10 they_ping 10.9.0.1
    is ".peers[0].endpoint == \"$(sed 's/2\(\]*\):5002$/4\1:5002/' <<<"$their_endpoint")\""
    all_pings
    is '.completed == 1'
}
step roam_their_address "their address changes: we follow" roam_their_address 4
step roam_their_address "their address changes: we follow, over IPv6" roam_their_address 6

# ---- keepalives, restarts -------------------------------------------------------------

# No packet goes through the tunnel; the session and empty packets come anyway.
their_rx() { wg show wgt transfer | cut -f2; }
their_rx_grew() { [ "$(their_rx)" -ge $(($1 + 64)) ]; }
# For a peer that counts no empty packets: datagrams that came in at their host.
their_datagrams() { theirs awk '/^Udp:/ && n++ { print $2 }' /proc/net/snmp; }
their_datagrams_grew() { [ "$(their_datagrams)" -ge $(($1 + 2)) ]; }
keepalive_ours() {
    local before
    scene 4 none us
    our_peer+=(--keepalive 1)
    start
    until_ok 10 is '.completed == 1'
    if [ "$peer" = boringtun ]; then
        before=$(their_datagrams)
        until_ok 10 their_datagrams_grew "$before"
    else
        before=$(their_rx)
        until_ok 10 their_rx_grew "$before"
    fi
    is '.tun_in == 0 and .tun_out == 0'
    all_understood
}
step keepalive_ours "our persistent keepalive" keepalive_ours

keepalive_theirs() {
    local before
    scene 4 none them
    their_peer+=(persistent-keepalive 1)
    start_ours # first, or their first initiation finds nobody
    start_theirs
    until_ok 10 is '.completed == 1 and .initiated == 0'
    before=$(value '.peers[0].rx_bytes')
    until_ok 10 is ".peers[0].rx_bytes >= $before + 64"
    is '.tun_in == 0 and .tun_out == 0'
}
step keepalive_theirs "their persistent keepalive" keepalive_theirs

# They lose everything and can't reach us: what we send goes unanswered for 15 s
# (a second here), then we initiate.
restart_theirs() {
    scene 4 psk us
    our_tunnel=(--speed 15)
    start
    all_pings
    end theirs KILL || :
    start_theirs
    until_ok 10 we_ping 10.9.0.2
    is '.completed >= 2'
    all_pings
}
step restart_theirs "they restart: we notice and initiate" restart_theirs

# They lose everything and initiate at once, while our session is good.
restart_theirs_they_begin() {
    scene 4 psk both
    start
    all_pings
    end theirs KILL || :
    start_theirs
    until_ok 10 they_ping 10.9.0.1
    is '.answered >= 1'
    all_pings
}
step restart_theirs "they restart and initiate" restart_theirs_they_begin

# We lose everything: the stamp of our first initiation is above the last one of
# our former life, which they remember.
restart_ours() {
    scene 4 psk us
    start
    all_pings
    end ours KILL || :
    rm -f "$d/ours.sock"
    start_ours
    until_ok 10 we_ping 10.9.0.2
    is '.initiated >= 1 and .completed == 1'
    all_pings
}
step restart_ours "we restart and initiate" restart_ours

# We lose everything and can't reach them: they send under a key that we don't
# know, hear nothing for 15 s, and initiate. (15 s of their clock, so of ours.)
restart_ours_they_notice() {
    scene 4 none them
    start
    until_ok 10 they_ping 10.9.0.1
    end ours KILL || :
    rm -f "$d/ours.sock"
    start_ours
    until_ok 30 they_ping 10.9.0.1
    is '.initiated == 0 and .answered >= 1 and .unknown >= 1'
    all_pings
}
step restart_ours "we restart: they notice and initiate" restart_ours_they_notice
