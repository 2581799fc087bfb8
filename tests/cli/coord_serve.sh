#!/usr/bin/env bash
# remora coordinator init, configtest and serve: what they write and refuse, the
# modes of their files, one server at a time, SIGHUP, TLS, an orderly end.
#   tests/cli/coord_serve.sh PATH-OF-REMORA
. "$(dirname "$0")/cases.sh"
for tool in jq curl openssl; do
    command -v $tool >/dev/null || {
        echo "$tool is missing; scripts/deps installs it"
        exit 1
    }
done
vectors=$(cd "$(dirname "$0")/../vectors/tls" && pwd)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; wait; rm -rf "$work"' EXIT
cd "$work" || exit 1
umask 022

until_ok() { # until_ok COMMAND...: within 20 s
    for _ in $(seq 400); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.05
    done
    echo "      timed out: $*"
    cat serve.out serve.err 2>/dev/null
    return 1
}
mode_is() { [ "$(stat -c %a "$2")" = "$1" ] || { echo "      mode $(stat -c %a "$2") of $2"; return 1; }; }

# ---- usage -------------------------------------------------------------------
wrong() { # wrong WORDS ARGUMENTS...: exit code 2 and one sentence
    local words=$1
    shift
    run 2 coordinator "$@" && one_sentence && said "$words"
}
check "no word"                  wrong "needs a word"
check "a word that is none"      wrong "knows no 'srve'" srve
check "serve with an operand"    wrong "serve takes no 'x'" serve x
check "an option of another word" wrong "serve takes no '--dir'" serve --dir x
check "config without a value"   wrong "--config needs a value" serve --config
check "config of nothing"        wrong "--config takes a file" serve --config=
check "json with a value"        wrong "--json takes no value" serve --json=x
check "dir of nothing"           wrong "--dir takes a directory" init --dir ""
check "an address that is none"  wrong "--listen takes an address" init --listen 8080
check "an URL that is none"      wrong "--server-url takes an URL" init --server-url hs.test
for w in "" serve configtest init; do
    # shellcheck disable=SC2086
    help_of() { run 0 coordinator $w --help && printed "remora coordinator $w" && printed "Example" && [ ! -s "$err" ]; }
    check "coordinator $w --help" help_of
done
in_help() { run 0 help coordinator && printed "remora coordinator" && run 0 help && printed "remora coordinator"; }
check "help coordinator" in_help

# ---- init --------------------------------------------------------------------
writes() {
    run 0 coordinator init --dir a/b --server-url https://tailnet.example.com --listen 127.0.0.1:0 &&
        printed "remora coordinator serve --config a/b/coordinator.yaml" && printed "https://tailnet.example.com" &&
        mode_is 700 a/b && mode_is 600 a/b/coordinator.yaml && mode_is 600 a/b/policy.hujson &&
        [ "$(find a/b -type f | wc -l)" = 2 ]
}
check "init writes two files, for the owner alone" writes
check "which configtest takes" run 0 coordinator configtest --config a/b/coordinator.yaml
tests_make_nothing() { printed "nothing is wrong" && [ "$(find a/b | wc -l)" = 3 ]; }
check "... and makes nothing" tests_make_nothing
never_over() {
    cp a/b/coordinator.yaml before && run 1 coordinator init --dir a/b && one_sentence && said "already" &&
        cmp -s before a/b/coordinator.yaml
}
check "init never writes over a file" never_over
relay_at() { # relay_at ADDRESS URL LISTEN: where init has the relay listen
    rm -rf r && run 0 coordinator init --dir r --server-url "$2" --listen "$3" && grep -q "  listen_addr: \"$1:3340\"" r/coordinator.yaml &&
        grep -q "stun_listen_addr: \"$1:3478\"" r/coordinator.yaml
}
check "the relay listens beside the server" relay_at 192.0.2.1 http://192.0.2.1:8080 192.0.2.1:8080
check "... on loopback too" relay_at 127.0.0.1 http://localhost:8080 127.0.0.1:8080
check "... but not behind a proxy" relay_at 0.0.0.0 https://tailnet.example.com 127.0.0.1:8080
check "... of IPv6" relay_at '\[::\]' https://tailnet.example.com '[::1]:8080'
keeps_policy() {
    rm a/b/coordinator.yaml && echo '{"acls": []}' >a/b/policy.hujson && run 0 coordinator init --dir a/b/ &&
        [ "$(cat a/b/policy.hujson)" = '{"acls": []}' ]
}
check "init keeps a policy that is there" keeps_policy
bad_url() { run 1 coordinator init --dir u --server-url https://a/b && said "without a path" && [ ! -e u ]; }
check "init writes nothing of a wrong URL" bad_url
quoted_url() { run 1 coordinator init --dir u --server-url 'https://a"' && said "takes an URL" && [ ! -e u ]; }
check "init takes no URL with quotes" quoted_url
: >file
check "init below a file" run 1 coordinator init --dir file/x

# ---- configtest --------------------------------------------------------------
config() { # config TEXT: c.yaml with this, behind what is needed
    printf 'server_url: http://127.0.0.1:1\nlisten_addr: 127.0.0.1:0\nstate_dir: state\n%b' "$1" >c.yaml
}
refused() { # refused WORDS TEXT
    config "$2"
    run 1 coordinator configtest -c c.yaml && one_sentence && said "$1"
}
fine() { config "$1" && run 0 coordinator configtest -c c.yaml && printed "c.yaml: nothing is wrong"; }
no_default() { [ -e /etc/remora/coordinator.yaml ] || { run 1 coordinator configtest && one_sentence && said "remora coordinator init"; }; }
check "no configuration at all" no_default
check "a good configuration" fine ""
check "a file that is not there" run 1 coordinator configtest -c none.yaml
names_file() { said "can't read none.yaml"; }
check "... is named" names_file
check "a name that is none" refused "c.yaml, line 4: 'polcy' is no setting; the nearest is 'policy" 'polcy: x\n'
check "no YAML" refused "c.yaml, line 5: this is no YAML" 'log:\n\tlevel: info\n'
printf '{\n  // a comment\n  "acls": [],\n}\n' >good.hujson
printf '{\n  "acls": [\n    {"action": "accept", "src": ["nobody"], "dst": ["*:*"]},\n  ],\n}\n' >bad.hujson
check "a good policy" fine 'policy: {path: good.hujson}\n'
check "a bad policy" refused 'bad.hujson, line 3: ' 'policy: {path: bad.hujson}\n'
says_why() { said "nobody"; }
check "... with its reason" says_why
check "a policy that is not there" refused "can't read none.hujson" 'policy: {path: none.hujson}\n'
: >empty
check "an empty policy" refused "empty" 'policy: {path: empty}\n'
tls() { # tls NAME
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj "/CN=$1" \
        -addext subjectAltName=IP:127.0.0.1 -keyout "$1.key" -out "$1.pem" 2>/dev/null
}
tls one
tls two
tls_config='server_url: https://127.0.0.1:1\nlisten_addr: 127.0.0.1:0\nstate_dir: state\n'
printf "${tls_config}tls_cert_path: one.pem\ntls_key_path: two.key\n" >t.yaml
mismatch() { run 1 coordinator configtest -c t.yaml && one_sentence && said "one.pem and two.key"; }
check "a certificate with another's key" mismatch
printf "${tls_config}tls_cert_path: one.pem\ntls_key_path: none.key\n" >t.yaml
no_key() { run 1 coordinator configtest -c t.yaml && one_sentence && said "can't read none.key"; }
check "a key that is not there" no_key
nodes_refuse() { # nodes_refuse WORDS CERTIFICATE HOST
    printf "server_url: https://$3\nlisten_addr: 127.0.0.1:0\nstate_dir: state\ntls_cert_path: $vectors/$2\ntls_key_path: $vectors/ec.key\n" >t.yaml
    run 1 coordinator configtest -c t.yaml && one_sentence && said "$1" && said "nodes don't take it"
}
check "a certificate that has ended" nodes_refuse "ended on 2021-01-01" leaf-expired.pem host.test
check "a certificate that has not begun" nodes_refuse "begins on 2090-01-01" leaf-future.pem host.test
check "another host's certificate" nodes_refuse "is no certificate of other.test" leaf-ec.pem other.test
of_host() { sed -i s/other.test/host.test/ t.yaml && run 0 coordinator configtest -c t.yaml; }
check "the host's certificate" of_host
check "a DERP map that is not there" refused "none.yaml" 'derp: {paths: [none.yaml]}\n'
echo 'privkey:00' >short.key
chmod 600 short.key
dns='dns: {extra_records_path: records.json}\n'
check "DNS records that are not there" refused "can't read records.json" "$dns"
echo '[{"name": "wiki.test", "type": "A", "value": "100.64.0.9"}, {"name": "wiki.test", "type": "AAAA", "value": "::1"}]' >records.json
check "DNS records of a file" fine "$dns"
printf '[\n{"name": "wiki.test", "type": "MX", "value": "a"}]' >records.json
check "DNS records of another type" refused "records.json, line 2: a record's type is A or AAAA" "$dns"
printf '[{"name": "wiki.test", "type": "A", "value": "a"}]' >records.json
check "a DNS record without an address" refused "records.json: the record of wiki.test needs an address" "$dns"
echo '{"name": "wiki.test"}' >records.json
check "DNS records that are no list" refused "records.json, line 1: 'dns.extra_records' takes a list" "$dns"
: >records.json
check "DNS records that are just being written" refused "records.json, line 1: the file is empty" "$dns"
check "a damaged Noise key" refused "short.key holds no private key" 'noise: {private_key_path: short.key}\n'
printf 'privkey:%064d' 7 >open.key
chmod 644 open.key
check "a Noise key open to others" refused "chmod 600" 'noise: {private_key_path: open.key}\n'
several() {
    config 'policy: {path: bad.hujson}\nderp: {paths: [none.yaml]}\nnoise: {private_key_path: short.key}\n'
    run 1 coordinator configtest -c c.yaml && [ "$(wc -l <"$err")" = 3 ]
}
check "all that is wrong is told" several
no_state() { [ ! -e state ]; }
check "configtest made nothing" no_state

# ---- serve -------------------------------------------------------------------
start() { # start CONFIG: serve in the background; events in serve.out
    : >serve.out # not the one before is waited for
    : >serve.err
    "$remora" coordinator serve --config "$1" --json >>serve.out 2>>serve.err </dev/null &
    server=$!
    until_ok grep -q '"event":"ready"' serve.out
    port=$(jq -r 'select(.what == "nodes") | .at | sub(".*:"; "")' serve.out)
}
stop() { # stop [SIGNAL]: it ends with 0
    local code=0
    kill "-${1:-TERM}" "$server"
    wait "$server" || code=$?
    server=
    [ $code = 0 ] || { echo "      exit code $code"; return 1; }
}
socket() { curl -fsS --unix-socket state/coordinator.sock "http://x/api/v1/$1" "${@:2}"; }
no_complaint() { [ ! -s serve.err ] || { cat serve.err; return 1; }; }

config ''
ulimit -Sn 256
check "serve with three lines" start c.yaml
answers() { curl -fsS "http://127.0.0.1:$port/health" | grep -q pass; }
check "it answers" answers
all_descriptors() { # where the kernel tells
    [ ! -r "/proc/$server/limits" ] || awk '/^Max open files/ {exit $4 != $5}' "/proc/$server/limits"
}
check "it takes all descriptors that it may" all_descriptors
modes() {
    mode_is 700 state && mode_is 600 state/coordinator.db && mode_is 600 state/noise_private.key &&
        mode_is 700 state/coordinator.sock
}
check "its files are the owner's alone" modes
key_text() { grep -Eq '^privkey:[0-9a-f]{64}$' state/noise_private.key; }
check "the key is of Headscale's form" key_text
makes_user() { socket user -H 'Content-Type: application/json' -d '{"name":"alice"}' | jq -e '.user.name == "alice"' >"$out"; }
check "the local socket administers it" makes_user
second() {
    run 1 coordinator serve -c c.yaml && said "another process serves" && socket user | jq -e '.users | length == 1' >"$out"
}
check "a second one ends, and harms nothing" second
test_beside() { run 0 coordinator configtest -c c.yaml; }
check "configtest beside a running one" test_beside
check "it ends by SIGTERM" stop
gone() { [ ! -e state/coordinator.sock ] && [ ! -e state/coordinator.db-wal ] && no_complaint; }
check "... without its socket and its log" gone
pub=$(jq -r 'select(.event == "ready") | .public_key' serve.out)
check "it starts again" start c.yaml
same() { [ "$(jq -r 'select(.event == "ready") | .public_key' serve.out)" = "$pub" ] && socket user | jq -e '.users[0].name == "alice"' >"$out"; }
check "... with its key and its users" same
check "it ends by SIGINT" stop INT
killed() { start c.yaml && kill -KILL "$server" && ! wait "$server" && [ -e state/coordinator.sock ]; }
check "a killed one leaves its socket" killed 2>/dev/null
check "... and the next one takes it" start c.yaml
check "it ends" stop

# modes of the socket
config 'unix_socket_permission: "0660"\nunix_socket: run/c.sock\nmetrics_listen_addr: 127.0.0.1:0\nlog: {level: debug}\n'
check "another socket, and metrics" start c.yaml
shared() { mode_is 660 run/c.sock && mode_is 755 run && mode_is 700 state; }
check "who may open the socket" shared
metrics() {
    local at
    at=$(jq -r 'select(.what == "metrics") | .at' serve.out)
    curl -fsS "http://$at/metrics" | grep -q '^remora_nodes_total 0'
}
check "figures" metrics
logs() { curl -fsS "http://127.0.0.1:$port/health" >/dev/null && until_ok grep -q 'from 127.0.0.1: 200' serve.err; }
check "a log with who asks" logs
check "it ends" stop
mkdir -m 777 everybody
chmod 777 everybody
config 'unix_socket: everybody/c.sock\n'
open_dir() { run 1 coordinator serve -c c.yaml && one_sentence && said "everybody" && run 1 coordinator configtest -c c.yaml && one_sentence && said "chmod 700"; }
check "a socket where others may write" open_dir

# a policy of the database
config 'policy: {mode: database}\n'
in_database() {
    start c.yaml && run 0 coordinator policy set --config c.yaml --file good.hujson && policy_is good.hujson && stop &&
        start c.yaml && policy_is good.hujson && stop
}
policy_is() { socket policy >"$out" 2>"$err" && jq -jr .policy "$out" | cmp -s - "$1"; }
check "a policy of the database lasts" in_database

# what can't be started
config 'policy: {path: bad.hujson}\n'
bad_policy() { run 1 coordinator serve -c c.yaml && one_sentence && said "bad.hujson, line 3"; }
check "serve refuses a bad policy" bad_policy
chmod 755 state
config ''
open_state() { run 1 coordinator serve -c c.yaml && one_sentence && said "state"; }
check "a state directory open to others" open_state
chmod 700 state
taken() {
    start c.yaml && sed "s/127.0.0.1:0/127.0.0.1:$port/; s/state_dir: state/state_dir: other/" c.yaml >d.yaml &&
        run 1 coordinator serve -c d.yaml && said "can't listen at 127.0.0.1:$port" && stop
}
check "a port that is taken" taken

# ---- SIGHUP ------------------------------------------------------------------
reloaded() { [ "$(grep -c '"event":"reloaded"' serve.out)" = "$1" ]; }
hup() { kill -HUP "$server" && until_ok reloaded "$1"; }
cp good.hujson policy.hujson
printf "${tls_config}tls_cert_path: cert.pem\ntls_key_path: cert.key\npolicy: {path: policy.hujson}\n" >t.yaml
cp one.pem cert.pem
cp one.key cert.key
check "serve with TLS and a policy" start t.yaml
by() { curl -fsS --cacert "$1.pem" "https://127.0.0.1:$port/key?v=130" >"$out" 2>"$err" && printed '"publicKey":"mkey:'; }
check "a client verifies it" by one
check "its policy is the file's" policy_is good.hujson
plain() { ! curl -fsS "http://127.0.0.1:$port/key?v=130" >"$out" 2>"$err"; }
check "plain HTTP is no TLS" plain
cp two.pem cert.pem
cp two.key cert.key
printf '{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}\n' >policy.hujson
check "SIGHUP" hup 1
check "another policy" policy_is policy.hujson
check "another certificate" by two
not_before() { ! by one; }
check "... and the first no more" not_before
all_taken() { grep -q '"event":"reloaded","ok":true' serve.out && no_complaint; }
check "all was taken" all_taken
check "it ends" stop

# One that comes while the server starts: it waits for a file, and whoever opens
# the pipe's other end knows that.
mkfifo -m 600 early.pipe
early() { # early FILE COMMAND...: SIGHUP while it waits for that file
    local file=$1
    shift
    : >serve.out
    : >serve.err
    "$remora" "$@" early.pipe >>serve.out 2>>serve.err </dev/null &
    server=$!
    exec 9>early.pipe
    kill -HUP "$server"
    cat "$file" >&9
    exec 9>&-
}
serve_early() {
    early t.yaml coordinator serve --json --config && until_ok grep -q '"event":"ready"' serve.out &&
        port=$(jq -r 'select(.what == "nodes") | .at | sub(".*:"; "")' serve.out) && until_ok reloaded 1 && all_taken
}
check "SIGHUP at the very beginning" serve_early
check "it serves all the same" by two
check "it ends" stop
openssl rand -hex 32 >mesh.key
relay_early() {
    early mesh.key relay --listen 127.0.0.1:0 --insecure-http --mesh-key-file && until_ok grep -q '^ready' serve.out &&
        no_complaint
}
check "... and of a relay" relay_early
check "it ends" stop
check "serve again" start t.yaml
cp policy.hujson before
cp bad.hujson policy.hujson
cp one.pem cert.pem # with the key of two
check "SIGHUP with what is wrong" hup 1
told() {
    grep -q '"event":"reloaded","ok":false' serve.out && [ "$(wc -l <serve.err)" = 2 ] &&
        grep -q 'cert.pem and cert.key.*nothing is changed' serve.err &&
        grep -q 'policy.hujson, line 3: .*the old policy stays' serve.err
}
check "... is told, with line and reason" told
check "the certificate stays" by two
check "the policy stays" policy_is before
put_policy() {
    ! socket policy -X PUT -H 'Content-Type: application/json' -d '{"policy":"{}"}' >"$out" 2>"$err" && policy_is before
}
check "a policy of a file is not replaced by the API" put_policy
check "it ends" stop
relay_port() { # one that listens nowhere, and that no kernel gives to a connection
    for _ in $(seq 20); do
        relay_port=$((20000 + RANDOM % 12000))
        (exec 3<>"/dev/tcp/127.0.0.1/$relay_port") 2>/dev/null || return 0
    done
}
relay_port
printf "${tls_config}tls_cert_path: cert.pem\ntls_key_path: cert.key\nmetrics_listen_addr: 127.0.0.1:0\nderp: {server: {enabled: true, listen_addr: \"127.0.0.1:$relay_port\"}}\n" >r.yaml
cp one.pem cert.pem
cp one.key cert.key
chain() { [ "$(openssl s_client -connect "127.0.0.1:$relay_port" -showcerts </dev/null 2>"$err" | grep -c BEGIN)" = "$1" ]; }
check "serve with TLS and a relay" start r.yaml
check "the relay has its certificate" chain 1
relay_metrics() {
    local at
    at=$(jq -r 'select(.what == "metrics") | .at' serve.out)
    curl -fsS "http://$at/metrics" >"$out" && printed "derp_accepts 0" && printed "tls_listener_accepted_connections 1" &&
        grep -Eq '^process_resident_memory_bytes [1-9]' "$out" && grep -q '^remora_nodes_total 0' "$out"
}
check "its figures are beside the server's" relay_metrics
cat one.pem two.pem >cert.pem
check "SIGHUP" hup 1
check "another chain behind the same certificate" chain 2
check "it ends" stop
no_secret() { ! grep -rqE 'privkey:|PRIVATE KEY' serve.out serve.err; }
check "no key was printed" no_secret

printf "${tls_config}log: {format: json, level: debug}\n" | sed s/https/http/ >j.yaml
check "serve with a log of JSON" start j.yaml
curl -fsS "http://127.0.0.1:$port/health" >/dev/null 2>&1
json_lines() { until_ok test -s serve.err && jq -es 'all(.[]; .layer == "coord" or .layer == "posix")' serve.err >"$out"; }
check "... is JSON" json_lines
check "it ends" stop
finish
