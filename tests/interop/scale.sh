#!/usr/bin/env bash
# A tailnet of 5,000 peers: join time, memory, deltas.
. "$(dirname "$0")/lib.sh"
lab_start
must relay_start
must control_start -authkey labkey -fake 5000
must ts_start 1
must ts_up 1
must web_start

peers() { [ "$(remora "$1" status --json | jq '.Peer | length')" = "$2" ]; }
memory() { awk '/^Vm(RSS|HWM)/ { printf "%s %.1f MB  ", $1, $2 / 1000 }' "/proc/${pid_of[remora-$1]}/status"; }
took() { running_event "$1" | jq .took_ms; }
measure() { # measure NAME BUILD
    figure "$2: joined after" "$(took "$1") ms"
    figure "$2: memory after the join" "$(memory "$1")"
}
step "it joins among 5,000 peers" remora_start r1 --socks5 127.0.0.1:1055
measure r1 "with sanitizers"
step "it knows them all" until_ok 60 peers r1 5001
deltas() { lab 'fake?n=100' && until_ok 60 peers r1 5101 && lab 'remove?name=fake7' && until_ok 60 peers r1 5100; }
step "changes arrive" deltas
step "traffic" hello 127.0.0.1:1055 http://n1.lab.test:8088/
people() { [ "$(remora r1 status | wc -l)" = 5102 ]; }
step "remora status prints them" people

release=${REMORA_RELEASE:-$top/build/release/bin/remora}
if [ -x "$release" ]; then
    remora_binary=$release step "the release build joins" remora_start r2 --socks5 127.0.0.1:1056
    measure r2 release
    figure "release: size of the program" "$(stat -c %s "$release") bytes, stripped $(strip -o "$d/stripped" "$release" && stat -c %s "$d/stripped")"
    step "traffic" hello 127.0.0.1:1056 http://n1.lab.test:8088/
    fetch_release() { fetch 127.0.0.1:1056 http://n1.lab.test:8088/big; }
    step "100 MB through it" fetch_release
    figure "release: memory after 100 MB" "$(memory r2)"
fi
lab_end
