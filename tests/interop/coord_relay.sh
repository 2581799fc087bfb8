#!/usr/bin/env bash
# The relay and STUN inside our coordinator: tailscaled and remora find it in the
# map, take its own certificate by the pin, and reach each other by it where no
# UDP passes between them.
. "$(dirname "$0")/lib.sh"
lab_start

state=$d/state/coordinator
mkdir -p "$state"
chmod 700 "$state"
pem=$state/derp_certificate.pem
{
    echo "server_url: http://127.0.0.1:9911"
    echo "listen_addr: 127.0.0.1:9911"
    echo "state_dir: $state"
    echo "unix_socket: $state/sock"
    echo "dns: {base_domain: lab.test}"
    echo "derp:"
    echo "  paths: [$d/more.yaml]"
    echo "  server:"
    echo "    enabled: true"
    echo "    region_code: own"
    echo "    region_name: Own relay"
    echo "    listen_addr: 127.0.0.1:3340"
    echo "    stun_listen_addr: 127.0.0.1:3478"
    echo "    ipv6: \"::1\""
} >"$d/coordinator.yaml"
# A region that nobody measures and nobody lives in.
region() {
    printf 'regions:\n  901:\n    regioncode: %s\n    nomeasurenohome: true\n    nodes:\n' "$1"
    printf '      - {name: 901a, hostname: relay.invalid, ipv4: 127.0.0.9, ipv6: none, stunport: -1}\n'
} >"$d/more.yaml"
region more >"$d/more.yaml"
# Under the name of a relay of ours, so that its log is looked at, and its end.
coordinator_run() {
    setsid "$REMORA" coordinator serve --config "$d/coordinator.yaml" \
        >>"$d/log/remora-coordinator.out" 2>>"$d/log/remora-coordinator.err" </dev/null &
    pid_of[remora-coordinator]=$!
    until_ok 60 curl -fsS http://127.0.0.1:9911/health
}
admin() { "$REMORA" coordinator "$@" --config "$d/coordinator.yaml"; }
must coordinator_run
must admin users create lab
authkey=$(admin preauthkeys create --user lab --reusable) || authkey=
must test -n "$authkey"

# ---- the certificate --------------------------------------------------------------

says() { # says TEXT: OpenSSL, of the certificate
    openssl x509 -in "$pem" -noout -text >"$d/text" && cat "$d/text" && grep -q -- "$1" "$d/text"
}
valid() { openssl x509 -in "$pem" -noout -checkend $((360 * 86400)); }
closed() { [ "$(stat -c %a "$pem" "$state/derp_private.key" | sort -u)" = 600 ]; }
step "OpenSSL verifies its certificate" openssl verify -x509_strict -CAfile "$pem" "$pem"
step "it is the host's" says "IP Address:127.0.0.1"
step "it is no CA's" says "CA:FALSE"
step "it is signed by ECDSA with SHA-256" says "Signature Algorithm: ecdsa-with-SHA256"
step "it lasts for a year" valid
step "nobody else can read it" closed
step "curl takes it" curl -fsS --cacert "$pem" https://127.0.0.1:3340/derp/probe

# ---- without UDP between peers ------------------------------------------------------

stun_alone() {
    nft add table inet lab &&
        nft add chain inet lab out '{ type filter hook output priority 0; }' &&
        nft add rule inet lab out udp sport 3478 accept &&
        nft add rule inet lab out udp dport 3478 accept &&
        nft add rule inet lab out meta l4proto udp drop
}
must stun_alone
must web_start
must ts_start 1
must ts_up 1
must ts_start 2
must ts_up 2
must remora_start r1 --socks5 127.0.0.1:1091 --serve 8088=127.0.0.1:8088
must remora_start r2 --socks5 127.0.0.1:1092

pin() { openssl x509 -in "$pem" -outform der | sha256sum | cut -d' ' -f1; }
ts_map() { ts "$1" debug derp-map; }
pinned() { ts_map 1 | jq -e --arg p "sha256-raw:$(pin)" '.Regions["999"].Nodes[0] | .CertName == $p and .DERPPort == 3340'; }
netcheck() { # netcheck N: tailscale measures it by STUN
    ts "$1" netcheck --format json >"$d/out" 2>&1 || :
    cat "$d/out"
    sed -n '/^{/,$p' "$d/out" | jq -e '.UDP and .PreferredDERP == 999 and .RegionLatency["999"] > 0'
}
home() { ts "$1" status --json | jq -e '.Self.Relay == "own"'; }
ours() { remora "$1" netcheck --json | jq -e '.UDP and .PreferredDERP == 999 and .RegionLatency["999"] > 0'; }
by_relay() { # by_relay N ADDRESS: tailscale ping says so
    ts "$1" ping --c 1 --timeout 10s "$2" >"$d/out" 2>&1 || :
    cat "$d/out"
    grep -q 'via DERP(own)' "$d/out"
}
by_ours() { remora "$1" ping -c 1 "$2" | tee "$d/out" | grep -q 'own'; }
step "tailscaled has its region, with the pin" until_ok 60 pinned
step "tailscale netcheck measures it by STUN" until_ok 60 netcheck 1
step "it is tailscaled's home" until_ok 60 home 2
step "remora netcheck measures it by STUN" until_ok 60 ours r1
step "tailscaled to tailscaled by it" until_ok 60 by_relay 1 "$(ts_ip 2 4)"
step "tailscaled to remora by it" until_ok 60 by_relay 1 "$(remora_ip4 r1)"
step "remora to tailscaled by it" until_ok 60 by_ours r1 n1
step "remora to remora by it" until_ok 60 by_ours r1 r2
step "100 MB from tailscaled to remora" fetch 127.0.0.1:1091 "http://$(ts_ip 1 4):8088/big"
step "100 MB from remora to remora, by name" fetch 127.0.0.1:1092 "http://r1.lab.test:8088/big"
step "100 MB from remora to tailscaled" fetch 127.0.0.1:1081 "http://$(remora_ip4 r1):8088/big"
no_direct() { ts 1 status --json | jq -e '[.Peer[] | .CurAddr] | all(. == "")'; }
step "nothing went another way" no_direct

# ---- who may enter ------------------------------------------------------------------

# Another server, whose tailnet lives by this relay: its node is a stranger here.
other=$d/state/other
mkdir -p "$other"
chmod 700 "$other"
{
    echo "server_url: http://127.0.0.1:9912"
    echo "listen_addr: 127.0.0.1:9912"
    echo "state_dir: $other"
    echo "unix_socket: $other/sock"
    echo "dns: {base_domain: other.test}"
    echo "derp: {paths: [$d/other.json]}"
} >"$d/other.yaml"
ts_map 1 >"$d/other.json"
bg remora-other "$REMORA" coordinator serve --config "$d/other.yaml"
must until_ok 60 curl -fsS http://127.0.0.1:9912/health
stranger_start() {
    local key
    "$REMORA" coordinator users create other --config "$d/other.yaml" || return 1
    key=$("$REMORA" coordinator preauthkeys create --user other --config "$d/other.yaml") || return 1
    remora_run s1 --control-url http://127.0.0.1:9912 --auth-key "$key" --hostname s1 && remora_wait s1
}
must stranger_start
connects() { grep -q 'relay region 999 (own) is connected' "$d/log/remora-s1.err"; }
is_refused() { [ "$(grep -c 'relay region 999 (own) is gone' "$d/log/remora-s1.err")" -ge 2 ] && ! connects; }
step "a node of another tailnet is refused" until_ok 60 is_refused

# ---- another map ----------------------------------------------------------------------

reload() { kill -HUP "${pid_of[remora-coordinator]}"; }
has_code() { ts_map 1 | jq -e --arg c "$1" '.Regions["901"].RegionCode == $c'; }
step "a region of a file" has_code more
another() { region other >"$d/more.yaml" && reload && until_ok 30 has_code other; }
step "SIGHUP: another map, on open streams" another
broken() { # it says where, and the map stays
    echo "regions: {901: {regioncod: x}}" >"$d/more.yaml"
    reload && until_ok 30 grep -q "more.yaml, line 1: a region has no field 'regioncod'" "$d/log/remora-coordinator.err" &&
        has_code other
}
step "a broken file changes nothing" broken
region other >"$d/more.yaml"

# ---- an end ---------------------------------------------------------------------------

again() {
    local before
    before=$(pin)
    remora_stop coordinator && coordinator_run && [ "$(pin)" = "$before" ] &&
        until_ok 60 by_relay 1 "$(remora_ip4 r1)"
}
step "after a restart: the same certificate, and all come back" again

# ---- for all ----------------------------------------------------------------------------

open_to_all() {
    sed -i 's/^    enabled: true/&\n    verify_clients: false/' "$d/coordinator.yaml" &&
        remora_stop coordinator && coordinator_run && until_ok 60 connects
}
step "verify_clients: false lets the other tailnet's node in" open_to_all
stop remora-other
step "the stranger ends cleanly" remora_stop s1

# ---- another certificate ------------------------------------------------------------------

anew() { # its file is gone: another certificate, and another pin in the map
    local before
    before=$(pin)
    rm "$pem" && reload && until_ok 30 test -s "$pem" && [ "$(pin)" != "$before" ] && until_ok 60 pinned &&
        until_ok 60 by_relay 1 "$(remora_ip4 r1)"
}
step "another certificate reaches all by the map" anew
lab_end
