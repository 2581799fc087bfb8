#!/usr/bin/env bash
# A node on libdispatch (examples/node_gcd.c): it joins, is reached by
# tailscaled and by a node on io-posix, directly and with the right bytes, and
# ends in order.  Where libdispatch was not found there is nothing to test.
. "$(dirname "$0")/lib.sh"
NODE_GCD=${NODE_GCD:-$(dirname "$(dirname "$REMORA")")/examples/example_node_gcd}
lab_start
if [ ! -x "$NODE_GCD" ]; then
    echo "      $name: no $NODE_GCD: libdispatch was not found, io-gcd is not tested"
    lab_end
fi
must relay_start
must control_start
must ts_start 1
must ts_up 1
must remora_start r1
mkdir -p "$d/state"
bg remora-gcd "$NODE_GCD" http://127.0.0.1:9911 labkey "$d/state/gcd"

joined() { until_ok 30 grep -q 'echoing as' "$d/log/remora-gcd.log"; }
step "it joins" joined
ip=$(lab nodes | jq -r '.nodes[] | select(.Name | startswith("echo")) | .Addresses[0] | split("/")[0]')

direct() { ts 1 ping --timeout 5s -c 10 --until-direct "$ip"; }
step "tailscaled reaches it, directly" direct
big() {
    head -c 20000000 /dev/urandom >"$d/www/random"
    [ "$(timeout 60 "$REMORA" nc --state-dir "$d/state/r1" "$ip" 7 <"$d/www/random" | sha256sum)" = \
        "$(sha256sum <"$d/www/random")" ]
}
step "20 MB come back from it with the right SHA-256" big
step "it ends at SIGTERM with code 0" end remora-gcd
twice() { [ "$(grep -c 'echoing as' "$d/log/remora-gcd.log")" = 2 ]; }
# ... and in the form that Apple's systems have, a source for each socket.
export NODE_GCD_PORTABLE=1
bg remora-gcd "$NODE_GCD" http://127.0.0.1:9911 none "$d/state/gcd"
step "its state brings it back, without a key, a source for each socket" until_ok 30 twice
step "tailscaled reaches it, directly" direct
step "20 MB come back from it with the right SHA-256" big
step "it ends again" end remora-gcd
lab_end
