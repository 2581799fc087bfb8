#!/usr/bin/env bash
# What the table says of given measurements.
set -euo pipefail
here=$(cd "$(dirname "$0")/../../bench" && pwd)
failures=0

table() { awk -F '\t' -v format="$1" -v seconds=1 -v rounds=2 -v cpu=0 -v machine='a "b"' -f "$here/table.awk"; }
expect() { # expect TEXT WHAT: TEXT has WHAT
    grep -qF -- "$2" <<<"$1" && return
    echo "there is no '$2' in:"
    echo "$1"
    failures=$((failures + 1))
}

lines=$(printf '%s\t%s\t%s\t%s\n' \
    aead/remora-x/1280 10 1000 1000 aead/remora-x/1280 10 1000 500 \
    aead/ring/1280 10 1000 250 wg/remora-x/1280 10 1000 550 \
    wg/boringtun/1280 10 1000 800 wg/wireguard-go/1280 10 1000 1200 \
    handshake/x25519 10 0 1000 handshake/remora 10 0 10000 \
    tcp/remora/1280 10 1000 300 tcp/smoltcp/1280 10 1000 400 tcp/lwip/1280 10 1000 600 \
    pipe/tcp/1280 10 1000 400 pipe/wg-x/1280 10 1000 600 pipe/whole-x/1280 10 1000 1200 \
    tls/remora/1280 10 1000 800 tls/bearssl-aes128-gcm/1280 10 1000 600)
said=$(table markdown <<<"$lines")
expect "$said" '| AEAD seal + open, 1280 bytes | GB/s | x 2.00 | ring 4.00 | 0.50x the best |  |  |'
expect "$said" '| 1.82 | the AEAD alone 2.00 | 91 % | >= 90 % | met |'
expect "$said" '| x 1.82 | boringtun 1.25, wireguard-go 0.83 | 1.45x the better | >= 1.5x | NOT met |'
expect "$said" '| 1000000 | 8 X25519 1250000 | 80 % | >= 85 % | NOT met |'
expect "$said" '| 0.30 | smoltcp 0.40 | 75 % | less | met |'
expect "$said" '| 0.30 | lwip 0.60 | 50 % | <= 45 % | NOT met |'
expect "$said" '| 1.20 | TCP 0.40 + tunnels 0.60 | 1.20x the sum | <= 1.25x | met |'
expect "$said" '| TLS records out + in, 1280 bytes | GB/s | remora 1.25 | bearssl-aes128-gcm 1.67 | 75 % |  |  |'

# Without rivals nothing is claimed.
said=$(grep remora <<<"$lines" | table markdown)
expect "$said" '| 0.30 | not built |  | less |  |'
expect "$said" '| x 1.82 | not built |  | >= 1.5x |  |'

said=$(table json <<<"$lines")
expect "$said" '"machine": "a \"b\""'
expect "$said" '"ratio": 0.75, "bar": "less", "met": true'
if command -v jq >/dev/null; then jq -e '.rows | length > 6' <<<"$said" >/dev/null; fi

# A line that is no measurement is no silence.
if printf 'tcp/remora/1280\t0\t0\t0\n' | table markdown >/dev/null 2>&1; then
    echo "an empty measurement was taken"
    failures=$((failures + 1))
fi
[ $failures = 0 ]
