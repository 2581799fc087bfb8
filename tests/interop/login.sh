#!/usr/bin/env bash
# Logging in by a URL, and node keys that end while the node runs, with and
# without an auth key.
. "$(dirname "$0")/lib.sh"
lab_start
must relay_start
must control_start -authkey labkey
must ts_start 1
must ts_up 1
must web_start
n1_url=http://$(ts_ip 1 4):8088/

urls() { jq -r 'select(.event == "needs-login" and .url) | .url' "$d/log/remora-$1.out"; }
has_urls() { [ "$(urls "$1" | grep -c .)" -ge "$2" ]; }
node_key() { lab nodes | jq -er --arg h "$1" '.nodes[] | select((.Name | split(".")[0]) == $h) | .Key'; }
other_key() { [ "$(node_key "$1")" != "$2" ]; }

# ---- by the auth key -------------------------------------------------------
must remora_start r2 --socks5 127.0.0.1:1092
step "traffic of a node with an auth key" until_ok 60 hello 127.0.0.1:1092 "$n1_url"
by_itself() {
    local before
    before=$(node_key r2)
    lab "expire?node=r2" && until_ok 60 other_key r2 "$before" && ! has_urls r2 1
}
step "its key ends: another key by itself" by_itself
step "traffic after that" until_ok 60 hello 127.0.0.1:1092 "$n1_url"

# ---- by a URL --------------------------------------------------------------
# Another server: this one asks each node to log in, whatever key it has.
must remora_stop r2
stop tailscaled-n1
stop control
must control_start -interactive
by_url() {
    local n=$1
    shift
    remora_run "$n" --control-url "$control_url" --hostname "$n" "$@"
    until_ok 60 has_urls "$n" 1 || return 1
    ! remora_is_up "$n" || return 1
    curl -fsS "$(urls "$n" | tail -n 1)" && remora_wait "$n" 60
}
step "a login by a URL" by_url r1 --socks5 127.0.0.1:1091
step "another one" by_url r4 --serve 8088=127.0.0.1:8088
r4_url=http://$(remora_ip4 r4):8088/
step "traffic" until_ok 60 hello 127.0.0.1:1091 "$r4_url"
is_state() { remora r1 status --json | jq -e --arg s "$1" '.BackendState == $s'; }
silent() { # its key has ended: nothing goes any more
    lab "expire?node=r1" && until_ok 60 is_state NeedsLogin || return 1
    ! patience=3 hello 127.0.0.1:1091 "$r4_url"
}
before=$(node_key r1)
step "its key ends: it is silent" silent
again_by_url() {
    until_ok 60 has_urls r1 2 || return 1
    curl -fsS "$(urls r1 | tail -n 1)" && until_ok 60 other_key r1 "$before" && until_ok 60 is_state Running
}
step "another URL, another key" again_by_url
step "traffic after that, without a restart" until_ok 60 hello 127.0.0.1:1091 "$r4_url"

lab_end
