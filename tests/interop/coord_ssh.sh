#!/usr/bin/env bash
# SSH by the policy: tailscaled's SSH server asks our coordinator about a rule
# with "check"; an administrator says no, then yes; a yes lasts for its period.
. "$(dirname "$0")/lib.sh"
lab_start
must relay_start
derp_map
mkdir -m 700 "$d/coordinator"
cat >"$d/coordinator.yaml" <<Y
server_url: $control_url
listen_addr: 127.0.0.1:9911
state_dir: $d/coordinator
policy: {path: policy.hujson}
dns: {base_domain: lab.test}
derp: {paths: ["$d/derpmap.json"]}
Y
cat >"$d/policy.hujson" <<'P'
{
  "acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}],
  "ssh": [{"action": "check", "src": ["autogroup:member"], "dst": ["autogroup:self"],
           "users": ["root"], "checkPeriod": "1h"}],
}
P
admin() { "$REMORA" coordinator "$@" --config "$d/coordinator.yaml"; }
serve() {
    bg remora-coordinator "$REMORA" coordinator serve --json --config "$d/coordinator.yaml"
    until_ok 30 admin health
}
step "serve" serve
must admin users create alice
authkey=$(admin preauthkeys create --user alice --reusable -e 1h) || authkey=
must test -n "$authkey"
for n in 1 2; do
    must ts_start $n
    step "tailscaled n$n joins" ts_up $n
done
step "n1 runs the SSH server" ts 1 set --ssh
n1=$(ts_ip 1 4)
step "n2 sees it" until_ok 60 ts 2 ping --timeout 5s -c 1 --until-direct=false "$n1"

# The n-th connection's words are in ssh.N, its exit code in ssh.N.code.
knock() { # knock N: in the background
    (
        code=0
        timeout -k 5 60 ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
            -o "ProxyCommand=$PEERS/tailscale --socket=$d/n2.sock nc %h %p" "root@$n1" echo "I am in" \
            >"$d/ssh.$1" 2>"$d/ssh.$1.err" </dev/null || code=$?
        echo $code >"$d/ssh.$1.code"
    ) &
}
asked() { # asked N: so many were told of
    [ "$(grep -c '"event":"ssh_check"' "$d/log/remora-coordinator.log")" = "$1" ]
}
id() { grep '"event":"ssh_check"' "$d/log/remora-coordinator.log" | tail -n 1 | jq -r .auth_id; }
shown() { grep -F "$control_url/auth/$(id)" "$d/ssh.$1.err"; }
over() { [ -s "$d/ssh.$1.code" ] || { cat "$d/ssh.$1.err"; return 1; }; }
came_in() { until_ok 60 over "$1" && grep -qx "I am in" "$d/ssh.$1"; }
stayed_out() { until_ok 60 over "$1" && [ ! -s "$d/ssh.$1" ] && [ "$(cat "$d/ssh.$1.code")" != 0 ]; }

knock 1
step "the coordinator is asked" until_ok 60 asked 1
names() {
    grep '"event":"ssh_check"' "$d/log/remora-coordinator.log" | tail -n 1 |
        jq -e '.node == "n1" and .from_node == "n2" and .user == "root"'
}
step "it tells who wants in where" names
step "the terminal shows the page" until_ok 30 shown 1
page() { curl -fsS "$control_url/auth/$(id)" | grep -F "auth approve --auth-id $(id)"; }
step "which has the command" page
step "rejected" admin auth reject --auth-id "$(id)"
step "it stays out" stayed_out 1
knock 2
step "asked again" until_ok 60 asked 2
step "approved" admin auth approve --auth-id "$(id)"
step "it comes in" came_in 2
knock 3
step "within the hour nobody is asked" came_in 3
step "... indeed" asked 2
for n in 1 2; do stop tailscaled-n$n; done
lab_end
