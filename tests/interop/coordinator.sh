#!/usr/bin/env bash
# Three tailscaled and three remora on one remora coordinator: all reach each
# other, users see nothing of each other, and what an administrator changes
# takes effect on all while they run.
. "$(dirname "$0")/lib.sh"
lab_start
must relay_start
derp_map

# ---- what lies behind the router -----------------------------------------------
# 10.55.0.0/24 is beyond v0, and 192.0.2.7, which stands for the Internet.  The
# far end of v0's pair is in a namespace of its own; only the router's user goes
# there, so whoever else gets an answer was carried.
behind() { nsenter --net="/proc/${pid_of[far]}/ns/net" "$@"; }
far_is_apart() { [ "$(readlink "/proc/${pid_of[far]}/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }
far_net() {
    bg far unshare --net sleep 1000
    until_ok 30 far_is_apart
    ip link set v1 netns "${pid_of[far]}"
    behind ip link set lo up
    behind ip addr add 10.77.0.2/24 dev v1
    behind ip link set v1 up
    local a
    for a in 10.55.0.1/24 192.0.2.7/32; do behind ip addr add $a dev lo; done
    behind ip route add default via 10.77.0.1
    ip route add 10.55.0.0/24 via 10.77.0.2
    ip route add 192.0.2.0/24 via 10.77.0.2
    echo hello >"$d/www/index.html"
    cat >"$d/far.conf" <<N
daemon off; pid $d/far.pid; error_log stderr; worker_processes 1; user root;
events {} http { access_log off;
  client_body_temp_path $d/far.tmp; proxy_temp_path $d/far.tmp; fastcgi_temp_path $d/far.tmp;
  uwsgi_temp_path $d/far.tmp; scgi_temp_path $d/far.tmp;
  server { listen 80; root $d/www; } }
N
    bg web nsenter --net="/proc/${pid_of[far]}/ns/net" nginx -e stderr -c "$d/far.conf"
    until_ok 30 curl -fsS http://10.55.0.1/
    nft -f - <<N
table inet fence {
    chain out {
        type filter hook output priority filter
        meta skuid 65533 accept
        ip daddr { 10.55.0.0/24, 192.0.2.0/24 } drop
    }
}
N
    printf '#!/bin/sh\nexec setpriv --reuid=65533 --regid=65533 --clear-groups "%s" "$@"\n' "$REMORA" >"$d/router"
    chmod 755 "$d/router"
    chmod 1777 "$d"
    mkdir -p "$d/state/r1"
    chmod 755 "$d/state"
    chmod 700 "$d/state/r1"
    chown 65533:65533 "$d/state/r1"
    ! curl -fsS --max-time 1 http://10.55.0.1/
}
must far_net

# ---- the coordinator -----------------------------------------------------------
coordinator_config() { # coordinator_config MODE...: where policies are
    cat >"$d/coordinator.yaml" <<Y
server_url: $control_url
listen_addr: 127.0.0.1:9911
state_dir: $d/coordinator
unix_socket: $d/coordinator/c.sock
derp:
  paths: ["$d/derpmap.json"]
dns:
  base_domain: lab.test
policy:
$(printf '  %s\n' "$@")
log:
  level: debug
Y
}
admin() { "$REMORA" coordinator "$@" --config "$d/coordinator.yaml"; }
coordinator_start() {
    bg remora-coordinator "$REMORA" coordinator serve --config "$d/coordinator.yaml"
    until_ok 30 admin health
}
mkdir -m 700 "$d/coordinator"
coordinator_config "mode: database"
step "the coordinator starts" coordinator_start
step "two users" eval 'admin users create alice && admin users create bob'
alice=$(admin preauthkeys create -u alice --reusable -e 1h)
bob=$(admin preauthkeys create -u bob --reusable -e 1h)
node_of() { admin nodes list -o json | jq -r --arg n "$1" '.[] | select(.name == $n) | '"$2"; }
id() { node_of "$1" .id; }
is_online() { [ "$(node_of "$1" .online)" = true ]; }

# ---- six nodes -----------------------------------------------------------------
# Web servers: on each tailscaled's own port 8088, and served by each remora.
web_here() {
    nginx_start here "server { listen 127.0.0.1:8088; root $d/www; }"
    until_ok 30 curl -fsS http://127.0.0.1:8088/
}
must web_here
for n in 1 2 3; do must ts_start $n; done
authkey=$alice
for n in 1 2; do step "tailscaled n$n joins alice" ts_up $n; done
remora_binary=$d/router step "remora r1 joins alice, as a router" remora_start r1 --socks5 127.0.0.1:1051 --serve 80=127.0.0.1:8088 \
    --advertise-routes 10.55.0.0/24 --advertise-exit-node
step "remora r2 joins alice" remora_start r2 --socks5 127.0.0.1:1052 --serve 80=127.0.0.1:8088 --accept-routes
authkey=$bob
step "tailscaled n3 joins bob" ts_up 3
step "remora r3 joins bob" remora_start r3 --socks5 127.0.0.1:1053 --serve 80=127.0.0.1:8088
for n in n1 n2 n3 r1 r2 r3; do step "$n is online" until_ok 30 is_online $n; done
must ts 1 set --accept-routes

socks() { case $1 in n*) echo 127.0.0.1:108${1#n} ;; *) echo 127.0.0.1:105${1#r} ;; esac; }
page() { case $1 in n*) echo "http://$1:8088/" ;; *) echo "http://$1/" ;; esac; }
pings() { # pings FROM TO: by disco or by the relay
    case $1 in
    n*) ts "${1#n}" ping --timeout 5s -c 3 --until-direct=false "$2" ;;
    *) remora "$1" ping --timeout 5s -c 1 "$2" ;;
    esac
}
gets() { hello "$(socks "$1")" "$(page "${3:-$2}" | sed "s|//[^/:]*|//$2|")"; }
reaches() { pings "$@" && gets "$@"; }
reaches_soon() { until_ok 60 reaches "$@"; }
cut_off() { ! patience=2 gets "$@"; }
cut_off_soon() { until_ok 60 cut_off "$@"; }
for from in n1 n2 r1 r2; do
    for to in n1 n2 r1 r2; do
        [ $from = $to ] || step "$from reaches $to" reaches_soon $from $to
    done
done
step "n3 reaches r3" reaches_soon n3 r3
step "r3 reaches n3" reaches_soon r3 n3

# ---- users are apart -----------------------------------------------------------
peers_of() { # the names of a node's peers, in one line
    case $1 in
    n*) ts "${1#n}" status --json ;;
    *) remora "$1" status --json ;;
    esac | jq -r '[.Peer // {} | .[].DNSName | split(".")[0]] | sort | join(" ")'
}
sees() { [ "$(peers_of "$1")" = "$2" ] || { echo "$1 sees: $(peers_of "$1")"; return 1; }; }
sees_soon() { until_ok 60 sees "$@"; }
step "n1 sees alice's nodes alone" sees_soon n1 "n2 r1 r2"
step "r1 sees alice's nodes alone" sees_soon r1 "n1 n2 r2"
step "n3 sees bob's nodes alone" sees_soon n3 r3
step "r3 sees bob's nodes alone" sees_soon r3 n3
apart() { cut_off r3 "$(ts_ip 1 4)" n1 && cut_off n3 "$(remora_ip4 r1)" r1; }
step "an address of another user leads nowhere" apart
status_of_user() { admin nodes list -u bob -o json | jq -e '[.[].name] | sort == ["n3", "r3"]'; }
step "bob's nodes are these" status_of_user

# ---- a name --------------------------------------------------------------------
step "r2 is renamed" admin nodes rename -i "$(id r2)" printer
step "tailscaled hears of it" sees_soon n1 "n2 printer r1"
step "remora hears of it" sees_soon r1 "n1 n2 printer"
step "tailscaled reaches it by that name" until_ok 30 gets n1 printer r2
step "remora reaches it by that name" until_ok 30 gets r1 printer r2
step "and has its old name back" admin nodes rename -i "$(id r2)" r2
step "as all hear" sees_soon n1 "n2 r1 r2"

# ---- policies ------------------------------------------------------------------
policy() { # policy TEXT: in force by the command
    printf '%s' "$1" >"$d/set.hujson"
    admin policy set -f "$d/set.hujson"
}
all='"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]'
owners='"tagOwners": {"tag:server": ["alice@"]}'
step "a policy for all" policy "{$owners, $all}"
step "tailscaled sees other users' nodes now" sees_soon n1 "n2 n3 r1 r2 r3"
step "remora sees them too" sees_soon r1 "n1 n2 n3 r2 r3"
step "tailscaled reaches another user's remora" reaches_soon n1 r3
step "remora reaches another user's tailscaled" reaches_soon r1 n3
step "and back" reaches_soon r3 n1
bad_policy() { ! policy "{\"acls\": [{\"action\": \"deny\"}]}"; }
step "a policy that does not hold is refused" bad_policy
step "and changes nothing" reaches_soon n1 r3
step "port 80 of bob's alone, for alice" policy "{$owners, \"acls\": [
    {\"action\": \"accept\", \"src\": [\"alice@\"], \"dst\": [\"bob@:80\", \"alice@:*\"]}]}"
step "leaves port 80 open" until_ok 60 gets n1 r3
step "and closes 8088 to tailscaled" cut_off_soon n1 n3
step "and to remora" cut_off_soon r1 n3
step "and the way back" cut_off_soon r3 n1
step "to remora too" cut_off_soon n3 r1
step "nothing allowed" policy '{"acls": []}'
step "nobody sees anybody: tailscaled" sees_soon n1 ""
step "nobody sees anybody: remora" sees_soon r1 ""
step "all allowed again" policy "{$owners, $all}"
step "tailscaled is back" reaches_soon n1 r3
step "remora is back" reaches_soon r3 n1

# ---- a tag -----------------------------------------------------------------------
step "r2 becomes a server" admin nodes tag -i "$(id r2)" -t tag:server
tagged() { ts 1 status --json | jq -e '[.Peer[] | select(.DNSName | startswith("r2.")) | .Tags[]] == ["tag:server"]'; }
step "tailscaled sees the tag" until_ok 60 tagged
remora_tagged() { remora r1 whois r2 --json | jq -e '.Node.Tags == ["tag:server"]'; }
step "remora sees the tag" until_ok 60 remora_tagged
step "servers reach nobody" policy "{$owners, \"acls\": [{\"action\": \"accept\", \"src\": [\"alice@\", \"bob@\"], \"dst\": [\"*:*\"]}]}"
step "r2 can't reach tailscaled" cut_off_soon r2 n1
step "nor remora" cut_off_soon r2 r1
step "but is reached" until_ok 60 gets n3 r2
step "by remora too" until_ok 60 gets r1 r2

# ---- routes and an exit node ----------------------------------------------------
step "all allowed" policy "{$owners, $all}"
offered() { [ "$(node_of r1 '.availableRoutes | sort | join(",")')" = "0.0.0.0/0,10.55.0.0/24,::/0" ]; }
step "the coordinator knows what r1 offers" until_ok 30 offered
behind_r1() { hello "$(socks "$1")" http://10.55.0.1/; }
not_behind_r1() { ! patience=3 behind_r1 "$1"; }
step "what is not approved is not carried" not_behind_r1 n1
step "a route is approved" admin nodes approve-routes -i "$(id r1)" -r 10.55.0.0/24
step "tailscaled goes there" until_ok 60 behind_r1 n1
step "remora goes there" until_ok 60 behind_r1 r2
exits() { hello "$(socks "$1")" http://192.0.2.7/; }
not_exits() { ! patience=3 exits "$1"; }
step "no exit node yet" not_exits n1
step "an exit node is approved" admin nodes approve-routes -i "$(id r1)" -r 10.55.0.0/24,0.0.0.0/0
takes_exit() { ts 2 set --exit-node="$(remora_ip4 r1)"; }
step "tailscaled takes it" until_ok 60 takes_exit
step "and goes by it" until_ok 60 exits n2
step "remora takes it" remora r2 set --exit-node r1
step "and goes by it" until_ok 60 exits r2
step "routes are taken back" admin nodes approve-routes -i "$(id r1)" -r ''
step "tailscaled goes there no more" until_ok 60 not_behind_r1 n1
step "nor out" until_ok 60 not_exits n2
step "nor remora" until_ok 60 not_exits r2
ts 2 set --exit-node= || :
remora r2 set --exit-node= || :

# ---- a policy by file and SIGHUP, behind a restart ------------------------------
coordinator_config "mode: file" "path: $d/policy.hujson"
echo "{$owners, $all}" >"$d/policy.hujson"
restart() {
    stop remora-coordinator
    coordinator_start
    local n
    for n in n1 n2 n3 r1 r2 r3; do until_ok 60 is_online $n; done
}
step "the coordinator starts again, with a policy file" restart
step "tailscaled is there" reaches_soon n1 r3
step "remora is there" reaches_soon r3 n1
step "the command sets none now" eval '! admin policy set -f "$d/policy.hujson"'
hup() { kill -HUP "${pid_of[remora-coordinator]}"; }
echo "{\"acls\": [" >"$d/policy.hujson"
step "a broken file is told" hup
step "and changes nothing" reaches_soon n1 r3
echo "{$owners, \"acls\": [{\"action\": \"accept\", \"src\": [\"alice@\"], \"dst\": [\"alice@:*\"]}]}" >"$d/policy.hujson"
step "SIGHUP reads the file" hup
step "tailscaled sees its user's nodes alone" sees_soon n1 "n2 r1"
step "remora too" sees_soon r1 "n1 n2"
step "bob's nodes are alone" sees_soon r3 ""
echo "{$owners, $all}" >"$d/policy.hujson"
step "and opens again" hup
step "for tailscaled" reaches_soon n3 n1
step "for remora" reaches_soon r1 r3

# ---- the end of nodes -----------------------------------------------------------
step "n2 expires" admin nodes expire -i "$(id n2)"
logged_out() { ts 2 status --json | jq -e '.BackendState == "NeedsLogin"'; }
step "and must log in" until_ok 60 logged_out
step "tailscaled reaches it no more" cut_off_soon n1 n2
step "nor remora" cut_off_soon r1 n2
# By the ID that tailscale shows, and an administrator who lets it in.
logs_in() {
    local login
    bg tailscale-up "$PEERS/tailscale" --socket="$d/n2.sock" up --login-server="$control_url" --hostname=n2 --timeout=60s
    until_ok 60 grep -qE 'hskey-authreq-[0-9a-f]{24}' "$d/log/tailscale-up.log"
    login=$(grep -oE 'hskey-authreq-[0-9a-f]{24}' "$d/log/tailscale-up.log" | tail -n 1)
    admin auth register --user alice --auth-id "$login"
    until_ok 60 ts_running 2
}
step "it logs in and is registered" logs_in
step "as the same node" eval '[ "$(admin nodes list -o json | jq "[.[] | select(.name == \"n2\")] | length")" = 1 ]'
step "and is reached" reaches_soon r1 n2
rejoined() { [ "$(grep -c '"state":"Running"' "$d/log/remora-r3.out")" -gt "$1" ]; }
times=$(grep -c '"state":"Running"' "$d/log/remora-r3.out")
step "r3 expires" admin nodes expire -i "$(id r3)"
step "and joins by the key that it was given" until_ok 60 rejoined "$times"
step "as the same node" eval '[ "$(admin nodes list -o json | jq "[.[] | select(.name == \"r3\")] | length")" = 1 ]'
step "bob's key expires" admin preauthkeys expire -i 2
step "and r3 again" admin nodes expire -i "$(id r3)"
step "tailscaled reaches it no more" cut_off_soon n1 r3
step "nor remora" cut_off_soon r1 r3
step "n3 is deleted" admin nodes delete -i "$(id n3)" --force
step "tailscaled drops it" until_ok 60 eval '! peers_of n1 | grep -w n3'
step "remora drops it" until_ok 60 eval '! peers_of r1 | grep -w n3'
step "r2 is deleted" admin nodes delete -i "$(id r2)" --force
step "tailscaled drops it" until_ok 60 eval '! peers_of n1 | grep -w r2'
step "remora drops it" until_ok 60 eval '! peers_of r1 | grep -w r2'
no_keys() { ! grep -alE 'hskey-(auth|api)-[0-9a-f]{12}-[0-9a-f]{64}' "$d"/log/remora-*; }
step "no whole key in a log" no_keys
ended() { end remora-coordinator && [ ! -e "$d/coordinator/c.sock" ]; }
step "the coordinator ends cleanly" ended
lab_end
