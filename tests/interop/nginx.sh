#!/usr/bin/env bash
# A real nginx in front of the control server: passing its Upgrade on; stripping
# it, as nginx does unless told otherwise, so that a WebSocket must do; and
# closing quiet streams early.
. "$(dirname "$0")/lib.sh"
lab_start
must relay_start
must control_start -authkey labkey
must ts_start 1
must ts_up 1
must web_start

front() { # front NAME PORT DIRECTIVES...: nginx before the control server
    nginx_start "$1" "map \$http_upgrade \$websocket_only { default ''; websocket websocket; }
        log_format asked '\$request_method \$uri \$status \$http_upgrade';
        server { listen 127.0.0.1:$2; access_log $d/log/$1.asked asked;
        location / { proxy_pass http://127.0.0.1:9911; proxy_http_version 1.1; proxy_buffering off; ${*:3} } }"
    until_ok 30 curl -fsS -o /dev/null "http://127.0.0.1:$2/generate_204"
}
passes='proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_read_timeout 300s;'
# As the documentation of many programs has it: for WebSockets alone.
strips='proxy_set_header Upgrade $websocket_only; proxy_set_header Connection upgrade; proxy_read_timeout 300s;'
must front passing 9921 "$passes"
must front stripping 9922 "$strips"
must front deaf 9923 ''
must front hasty 9924 'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_read_timeout 4s;'
# count NAME METHOD: how many requests for the upgrade by this method; nginx
# writes them down when they have ended.
count() { grep -c "^$2 /ts2021 " "$d/log/$1.asked" || :; }
counts() { [ "$(count "$1" POST) $(count "$1" GET)" = "$2 $3" ] || { cat "$d/log/$1.asked"; return 1; }; } # NAME POSTS GETS
url() { control_url=http://127.0.0.1:$1; }
n1_url=http://$(ts_ip 1 4):8088/

# ---- it passes the Upgrade ---------------------------------------------------
url 9921
step "through an nginx that passes the Upgrade" remora_start r1 --socks5 127.0.0.1:1091
step "traffic" until_ok 60 hello 127.0.0.1:1091 "$n1_url"
step "the map stream is open" until_ok 30 has_stream r1
must remora_stop r1
step "it was by POST" until_ok 30 counts passing 1 0

# ---- it strips it ------------------------------------------------------------
url 9922
step "through one that passes WebSockets alone" remora_start r2 --socks5 127.0.0.1:1092
step "traffic by that way" until_ok 60 hello 127.0.0.1:1092 "$n1_url"
step "the map stream is open, in messages" until_ok 30 has_stream r2
told() { grep -q 'trying it by a WebSocket' "$d/log/remora-r2.err"; }
step "the log tells of it" told
pushed() { lab "fake?n=3" && until_ok 30 remora_sees; }
remora_sees() { remora r2 status --json | jq -e '[.Peer[].HostName] | index("fake3")'; }
step "an update comes through" pushed
must remora_stop r2
step "it was by POST, then by GET" until_ok 30 counts stripping 1 1
: >"$d/log/stripping.asked"
again() { remora_run r2 --auth-key labkey --socks5 127.0.0.1:1092 && remora_wait r2 && until_ok 30 has_stream r2; }
step "a restart" again
must remora_stop r2
remembered() { [ "$(count stripping GET)" -ge 1 ] && [ "$(count stripping POST)" = 0 ]; }
step "the form that worked was remembered" until_ok 30 remembered

# ---- it passes neither -------------------------------------------------------
url 9923
names_it() {
    remora_run r3 --control-url "$control_url" --auth-key labkey --hostname r3
    until_ok 60 grep -q 'reverse proxy strips the Upgrade header' "$d/log/remora-r3.out" || return 1
    ! remora_is_up r3
}
step "through one that passes neither: it says so" names_it
must remora_stop r3

# ---- it closes what is quiet -------------------------------------------------
url 9924
step "through one that closes quiet streams" remora_start r4
names_the_limit() { until_ok 60 grep -q 'closes idle connections after about 4 s' "$d/log/remora-r4.err"; }
step "the limit is named" names_the_limit
step "and the stream comes back" until_ok 60 has_stream r4
lab_end
