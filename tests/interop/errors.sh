#!/usr/bin/env bash
# What can go wrong, and what remora says: each fault gives its own sentence,
# nothing is lost, and where the fault ends it goes on by itself.
. "$(dirname "$0")/lib.sh"
lab_start
must relay_start
must certificates
must control_start -authkey labkey

# gives_up WORDS ARGUMENTS...: remora up ends with code 1 and one line on
# stderr that holds the words.
gives_up() {
    local words=$1 code=0
    shift
    timeout 60 "$REMORA" up "$@" >"$d/out" 2>"$d/err" </dev/null || code=$?
    cat "$d/err"
    cat "$d/err" >>"$d/log/remora-faults.err"
    [ $code = 1 ] || { echo "exit code $code"; return 1; }
    grep -qE "^remora: .*($words)" "$d/err" || { echo "not said: $words"; return 1; }
    [ "$(wc -l <"$d/err")" = 1 ] || { echo "more than one line"; return 1; }
}
# in_trouble NAME WORDS: it has said so, and goes on trying
in_trouble() {
    until_ok 60 said_trouble "$1" "$2" && runs "remora-$1"
}
said_trouble() {
    grep '"event":"trouble"' "$d/log/remora-$1.out" | tail -n 3
    grep '"event":"trouble"' "$d/log/remora-$1.out" | grep -qE "$2"
}
mkdir -p "$d/state"

# ---- keys ------------------------------------------------------------------
join=(--control-url "$control_url" --state-dir "$d/state/r1" --hostname r1)
step "a wrong auth key" gives_up "auth key is not accepted: make a new one" "${join[@]}" --auth-key wrong
step "no auth key" gives_up "give an auth key" "${join[@]}"
key_of() { sha256sum "$d/state/r1/remora.state"; }
# The refusals left the keys that were made: the same machine joins now.
must remora_start r1 --socks5 127.0.0.1:1055
ip=$(remora_ip4 r1)
must ts_start 1
must ts_up 1
must web_start
works() { until_ok 60 hello 127.0.0.1:1055 http://n1.lab.test:8088/; }
step "with the right one it joins" works

# ---- what is taken ---------------------------------------------------------
step "a second node with the same state directory" gives_up "another node runs" "${join[@]}"
step "a SOCKS5 port in use" gives_up "127.0.0.1:8088.*(in use|listen)|listen.*8088" --control-url "$control_url" \
    --state-dir "$d/state/taken" --auth-key labkey --socks5 127.0.0.1:8088
step "a forwarded port in use" gives_up "127.0.0.1:8088.*(in use|listen)|listen.*8088" --control-url "$control_url" \
    --state-dir "$d/state/taken" --auth-key labkey --forward 8088=n1:80
udp_taken() {
    bg udp socat -u UDP-RECV:41700,bind=0.0.0.0 - &&
        until_ok 30 udp_listens 41700 && remora_start r2 --udp-port 41700 && remora_stop r2
}
udp_listens() { ss -lun "sport = :$1" | grep -q ":$1"; }
step "a UDP port in use: another is taken" udp_taken
step "the first node was not disturbed" works

# ---- a malformed map -------------------------------------------------------
for kind in length zstd json; do
    garbage() {
        local before
        before=$(grep -c '"event":"trouble"' "$d/log/remora-r1.out" || :)
        lab "garbage?node=r1&kind=$kind" && until_ok 60 more_trouble "$before" &&
            until_ok 60 has_stream r1 && works
    }
    more_trouble() { [ "$(grep -c '"event":"trouble"' "$d/log/remora-r1.out")" -gt "$1" ]; }
    step "a malformed map ($kind): said, and the stream is opened again" garbage
done

# Values of a wrong type are skipped; what was known before stays.
wrong_type() { lab "garbage?node=r1&kind=type" && lab 'fake?n=1' && until_ok 60 knows_fake && works; }
knows_fake() { remora r1 status --json | jq -e '[.Peer[] | select(.HostName == "fake1")] | length == 1'; }
step "a map with values of a wrong type does no harm" wrong_type

# ---- the state -------------------------------------------------------------
must remora_stop r1
state=$d/state/r1/remora.state
must cp -a "$state" "$d/good.state"
damaged() { # the file at hand is refused and left as it is
    local before
    before=$(sha256sum <"$state")
    gives_up "damaged" "${join[@]}" --auth-key labkey && [ "$(sha256sum <"$state")" = "$before" ]
}
size=$(stat -c %s "$state")
truncated() {
    local n
    for n in 0 1 20 $((size / 2)) $((size - 1)); do
        head -c "$n" "$d/good.state" >"$state" && damaged || return 1
    done
}
step "a truncated state file" truncated
flipped() {
    local at
    for at in 0 14 40 $((size / 3)) $((size / 2)) $((size - 1)); do
        cp "$d/good.state" "$state" && flip "$at" "$state" && damaged || return 1
    done
}
flip() { # one bit of the byte at $1
    local b
    b=$(tail -c +$(($1 + 1)) "$2" | head -c 1 | xxd -p)
    printf '%02x' $((0x$b ^ 1)) | xxd -r -p | dd of="$2" bs=1 seek="$1" conv=notrunc status=none
}
step "a state file with a flipped bit" flipped
foreign() { head -c 100000 /dev/urandom >"$state" && damaged; }
step "another file in its place" foreign

same_again() {
    cp -a "$d/good.state" "$state"
    # -authkey asks known nodes for their key too, so it is given again
    remora_start r1 --socks5 127.0.0.1:1055 && [ "$(remora_ip4 r1)" = "$ip" ] && works
}
step "the good one again: the same address" same_again
cache() { # any other blob is a cache: damage costs nothing but time
    local f
    remora_stop r1 || return 1
    for f in "$d"/state/r1/*; do
        [ "$f" = "$state" ] || [ ! -s "$f" ] || { echo "flipping in $f" && flip $(($(stat -c %s "$f") / 2)) "$f"; }
    done
    remora_start r1 --socks5 127.0.0.1:1055 && [ "$(remora_ip4 r1)" = "$ip" ] && works
}
step "a damaged netmap cache does no harm" cache
must remora_stop r1

step "the state of another control server" gives_up "another control server" --control-url http://127.0.0.1:9 --state-dir "$d/state/r1"
untouched() { remora_start r1 --socks5 127.0.0.1:1055 && [ "$(remora_ip4 r1)" = "$ip" ] && remora_stop r1; }
step "the state is untouched" untouched

# ---- an unwritable state directory -----------------------------------------
: >"$d/state/file"
step "a file in place of the state directory" gives_up "not a directory" --control-url "$control_url" --state-dir "$d/state/file"
read_only() {
    mkdir -p "$d/state/ro" && mount -t tmpfs -o mode=700 tmpfs "$d/state/ro" && mount -o remount,ro "$d/state/ro" &&
        gives_up "state" --control-url "$control_url" --auth-key labkey --state-dir "$d/state/ro"
}
step "a read-only state directory" read_only
full() {
    mkdir -p "$d/state/full" && mount -t tmpfs -o mode=700,size=64k tmpfs "$d/state/full" &&
        { dd if=/dev/zero of="$d/state/full/fill" status=none || :; } &&
        gives_up "state" --control-url "$control_url" --auth-key labkey --state-dir "$d/state/full"
}
step "a full disk" full
full_later() { # the state that was there stays good
    rm "$d/state/full/fill" && remora_start full && local first && first=$(remora_ip4 full) && remora_stop full &&
        { dd if=/dev/zero of="$d/state/full/fill" status=none || :; } &&
        remora_run full --auth-key labkey && until_ok 30 up_or_over full && stop remora-full &&
        rm "$d/state/full/fill" && remora_start full && [ "$(remora_ip4 full)" = "$first" ] && remora_stop full
}
up_or_over() { remora_is_up "$1" || ! runs "remora-$1"; }
step "a disk that is full later loses nothing" full_later

# ---- the way to the control server -----------------------------------------
step "a control URL that is none" gives_up "valid address" --control-url "http://[::1" --state-dir "$d/state/x"
unreachable() {
    local control_url=http://127.0.0.1:9920
    remora_run r3 --control-url $control_url --auth-key labkey --hostname r3
    in_trouble r3 "127.0.0.1:9920: no address .* reached: check" || return 1
    bg late socat TCP-LISTEN:9920,bind=127.0.0.1,reuseaddr,fork TCP:127.0.0.1:9911
    remora_wait r3 60 && remora_stop r3 && stop late KILL
}
step "an unreachable control server, which then comes" unreachable
no_name() {
    remora_run r4 --control-url http://no-such-host.invalid --auth-key labkey
    in_trouble r4 "no-such-host.invalid: .*resolved: check" && remora_stop r4
}
step "a control server without an address" no_name

front() { # front NAME LINES: an nginx before the control server
    nginx_start front "server { listen 127.0.0.1:9921; location / { proxy_pass http://127.0.0.1:9911; $1 } }"
    until_ok 30 curl -fsS http://127.0.0.1:9921/generate_204
}
stripped() {
    front "" || return 1
    remora_run r5 --control-url http://127.0.0.1:9921 --auth-key labkey --hostname r5
    in_trouble r5 "strips the Upgrade header: let it pass" || return 1
    stop front
    front 'proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;' &&
        remora_wait r5 60 && remora_stop r5
}
step "an nginx that strips Upgrade, and then passes it" stripped

https() { # https NAME WORDS URL ARGUMENTS...
    local n=$1 words=$2 url=$3
    shift 3
    remora_run "$n" --control-url "$url" --auth-key labkey --hostname "$n" "$@"
    until_ok 60 said_error "$n" "$words" && stop "remora-$n"
}
said_error() {
    cat "$d/log/remora-$1.out"
    grep -E '"event":"(trouble|failed)"' "$d/log/remora-$1.out" | grep -qE "$2"
}
must bg control-tls "$PEERS/controlserver" -listen 127.0.0.1:9922 -cert "$d/control.pem" -key "$d/control.key" -derpmap "$d/derpmap.json"
must until_ok 30 curl -fsSk https://127.0.0.1:9922/generate_204
step "a certificate of an unknown CA" https r6 "not issued by a trusted authority: .*--ca-file" https://localhost:9922
step "a certificate of another name" https r7 "another host.s" https://control.lab:9922 --ca-file "$d/ca.pem"
step "a CA file without a certificate" gives_up "certificate" --control-url https://localhost:9922 --state-dir "$d/state/x" --ca-file "$d/derpmap.json"
step "plain http on an https URL" https r8 "TLS.*scheme" https://127.0.0.1:9911 --ca-file "$d/ca.pem"

# ---- the control server's key ----------------------------------------------
must stop control
must control_start -authkey labkey # keeps nothing: a new key
step "a changed control key over plain http" gives_up "key.*accept-control-key|accept-control-key" "${join[@]}" --auth-key labkey
changed() { remora_start r1 --accept-control-key && remora_stop r1 && remora_start r1 && remora_stop r1; }
step "a changed control key, accepted" changed
lab_end
