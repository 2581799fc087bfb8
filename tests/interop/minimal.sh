#!/usr/bin/env bash
# examples/minimal.c, what embedders begin with: it joins, discards what peers
# send, comes back with the same keys, and ends by SIGTERM.
. "$(dirname "$0")/lib.sh"
minimal=$(realpath "${MINIMAL:-$top/build/dev/examples/example_minimal}")
lab_start
must relay_start
must control_start -authkey labkey
mkdir -m 700 -p "$d/minimal"
joined() { [ "$(grep -c '^discarding as' "$d/log/minimal.log")" = "$1" ]; }
minimal_start() { # minimal_start N: for the Nth time
    AUTH_KEY=labkey bg minimal "$minimal" "$control_url" "$d/minimal"
    until_ok 60 joined "$1"
}
minimal_ip() { sed -n 's/^discarding as \([0-9.]*\) .*/\1/p' "$d/log/minimal.log" | sort -u; }
step "it joins" minimal_start 1
must remora_start r1
# The end of the stream comes back: it was read to there.
discards() { head -c 3000000 /dev/zero | timeout 60 "$REMORA" nc --state-dir "$d/state/r1" "$(minimal_ip)" 9 >"$d/back" && [ ! -s "$d/back" ]; }
step "it takes 3 MB and answers nothing" discards
step "it ends by SIGTERM" end minimal
step "it comes back" minimal_start 2
one_address() { [ "$(minimal_ip | wc -l)" = 1 ]; }
step "with the same address" one_address
step "and serves again" discards
step "it ends" end minimal
lab_end
