#!/usr/bin/env bash
# Wrong usage, help and exit codes of the command; no node runs.
#   tests/cli/usage.sh PATH-OF-REMORA
. "$(dirname "$0")/cases.sh"

# wrong WORDS ARGUMENTS...: exit code 2 and one sentence that holds the words
wrong() {
    local words=$1
    shift
    run 2 "$@" && one_sentence && said "$words"
}
check "no command"              wrong "see remora help"
check "an unknown command"      wrong "no command 'frob'" frob
check "... that would steer a terminal" wrong "no command 'f?r?o?b'" $'f\x1br\xc2\x9bo\x9bb'
check "... that would turn the line" wrong "no command 'f?rob'" $'f\xe2\x80\xaerob'
check "... that is neither"      wrong $'no command \'fr\xc3\xb6b \xf0\x9f\x9a\x80' $'fr\xc3\xb6b \xf0\x9f\x9a\x80'
check "an unknown help topic"   wrong "no command 'frob'" help frob
check "an unknown option"       wrong "no option '--bogus'" up --bogus=x
check "an option of another command" wrong "not an option of ping" ping --ephemeral n2
check "a missing value"         wrong "--state-dir needs a value" up --state-dir
check "a value that is too much" wrong "takes no value" up --ephemeral=1
check "an operand too many"     wrong "takes no 'x'" status x
check "a control URL that is none" wrong "--control-url takes" up --control-url headscale
check "a login server that is none" wrong "--control-url takes" up --login-server=ftp://x
check "an empty auth key"       wrong "--auth-key takes" up --auth-key=
check "an auth key and a file"  wrong "not both" up --auth-key k --auth-key-file f
check "a host name with a dot"  wrong "--hostname takes" up --hostname a.b
check "a SOCKS5 address without a port" wrong "--socks5 takes" up --socks5 127.0.0.1
check "a SOCKS5 port of 0"      wrong "--socks5 takes" up --socks5 127.0.0.1:0
check "an open SOCKS5 address without --socks5-auth" wrong "needs --socks5-auth" up --socks5 0.0.0.0:1055
check "--socks5-auth without --socks5" wrong "needs --socks5" up --socks5-auth a:b
check "--socks5-auth without a password" wrong "USER:PASS" up --socks5 127.0.0.1:1 --socks5-auth user
check "a forward without a peer" wrong "--forward takes" up --forward 8080=n2
check "a serve without a port"  wrong "--serve takes" up --serve 80=localhost
check "a port served twice"     wrong "port 80 twice" up --serve 80=127.0.0.1:1 --serve 80=127.0.0.1:2
check "a UDP port above 65535"  wrong "--udp-port takes" up --udp-port 65536
check "an unknown log level"    wrong "--log-level takes" up --log-level loud
check "ping without a peer"     wrong "needs a peer" ping
check "ping of no probes"       wrong "-c takes" ping -c 0 n2
check "a timeout that is none"  wrong "--timeout takes" ping --timeout soon n2
check "ping by ICMP until it is direct" wrong "not both" ping --icmp --until-direct n2
check "set of nothing"          wrong "set needs an option" set
check "set with a wrong subnet" wrong "--advertise-routes takes" set --advertise-routes 10.0.0.1/8
check "set with a flag that is neither" wrong "takes no value" set --shields-up=1
check "whois of nobody"         wrong "needs an address or a name" whois
check "capture without a file"  wrong "capture needs a file" capture
check "a metrics address without a port" wrong "--metrics takes" up --metrics 127.0.0.1
check "a metrics file without a name" wrong "--metrics-file takes" up --metrics-file=
check "a static endpoint without a port" wrong "--static-endpoint takes" up --static-endpoint 192.0.2.1
check "a route with host bits" wrong "without host bits" up --advertise-routes 10.0.0.1/8
check "a route of everything"   wrong "--advertise-exit-node" up --advertise-routes 10.0.0.0/8,0.0.0.0/0
check "an empty route"          wrong "--advertise-routes takes" up --advertise-routes 10.0.0.0/8,
check "a loopback route"        wrong "--advertise-routes takes" up --advertise-routes 127.0.0.0/8
check "a tag that is none"      wrong "--advertise-tags takes tags" up --advertise-tags tag:a,7b
check "a tag without a name"    wrong "--advertise-tags takes tags" up --advertise-tags tag:a,
check "a tag with a space"      wrong "--advertise-tags takes tags" up --advertise-tags "tag:a b"
check "too many tags"           wrong "32 tags" up --advertise-tags "$(printf 'a,%.0s' $(seq 32))a"
check "tags in set, which need a registration" wrong "not an option of set" set --advertise-tags tag:a
check "an empty exit node"      wrong "--exit-node takes" up --exit-node=
check "the LAN without an exit node" wrong "needs --exit-node" up --exit-node-allow-lan
check "an exit node that uses one" wrong "not both" up --exit-node n2 --advertise-exit-node
check "debug without a subject" wrong "needs a subject" debug
check "debug of an unknown subject" wrong "debug knows" debug frob
check "nc without a port"       wrong "peer and a port" nc n2
check "nc with port 0"          wrong "the port is" nc n2 0

check "relay without an address"  wrong "--listen" relay --insecure-http
check "relay with an address that is none" wrong "--listen takes" relay --listen 443
check "relay without a certificate" wrong "--tls-cert and --tls-key" relay --listen 127.0.0.1:1
check "relay with both"         wrong "not both" relay --listen 127.0.0.1:1 --insecure-http --tls-cert f
check "a mesh without its key"  wrong "--mesh-key-file" relay --listen 127.0.0.1:1 --insecure-http --mesh-with h
check "a mesh with no host"     wrong "--mesh-with takes" relay --mesh-with "a b"
check "a verification URL that is none" wrong "--verify-clients-url takes" relay --verify-clients-url x
check "a verification URL without a host" wrong "--verify-clients-url takes" relay --verify-clients-url https:///verify
check "a verification URL with a space" wrong "--verify-clients-url takes" relay --verify-clients-url "http://a b/verify"
check "a verification URL's bad port" wrong "--verify-clients-url takes" relay --verify-clients-url http://a:0x/verify
check "an unknown option of relay" wrong "no option '--bogus'" relay --bogus=x
check "a missing value of relay" wrong "--listen needs a value" relay --listen
check "an operand of relay"     wrong "takes no 'x'" relay x

config_is() { # config_is WORDS TEXT: the file is refused with these words
    printf '%s' "$2" >"$work/relay.json"
    run 1 relay --config "$work/relay.json" && one_sentence && said "$1"
}
check "a config that is no JSON"    config_is "is not a JSON object" '{'
check "a config with an unknown key" config_is '"lisen" is no setting' '{"lisen": "127.0.0.1:1"}'
check "a config with a bad value"   config_is "--listen takes" '{"listen": ["x"]}'
check "a config with a bad rate"    config_is "takes a number" '{"PerClientRateLimitBytesPerSec": "a"}'
config_counts() {
    printf '{// a comment\n"listen": ["127.0.0.1:1"], "PerClientRateLimitBytesPerSec": 5,\n"bootstrap-dns": {"a": ["192.0.2.1"]},}' >"$work/relay.json"
    run 2 relay --config "$work/relay.json" && said "--tls-cert and --tls-key"
}
check "a config with a comment is read" config_counts

# ---- the configuration file of up ------------------------------------------
# yaml CODE WORDS TEXT ARGUMENTS...: up with a file of that text
yaml() {
    local code=$1 words=$2 text=$3
    shift 3
    printf '%b' "$text" >"$work/up.yaml"
    run "$code" up --config "$work/up.yaml" "$@" && one_sentence && said "$words"
}
check "settings that are no YAML"     yaml 1 "line 2: this is no YAML" 'hostname: a\n\tudp-port: 1\n'
check "a setting that is none"        yaml 1 "up.yaml, line 3: 'hostnam' is no setting" '# x\n\nhostnam: a\n'
check "a setting that is no option of up" yaml 1 "'icmp' is no setting" 'icmp: true\n'
check "a setting in a setting file"   yaml 1 "'config' is no setting" 'config: x\n'
check "a wrong value"                 yaml 1 "line 2: --hostname takes" 'ephemeral: true\nhostname: a.b\n'
check "a wrong value in a list"       yaml 1 "line 3: --forward takes" 'forward:\n  - 8080=n2:80\n  - nonsense\n'
check "a setting that is given twice" yaml 1 "line 2: 'udp-port' was set before" 'udp-port: 1\nudp-port: 2\n'
check "two names of one setting"      yaml 1 "was set before" 'control-url: http://a\nlogin-server: http://b\n'
check "a list where one is wanted"    yaml 1 "'hostname' takes one value" 'hostname: [a, b]\n'
check "a mapping where a text is wanted" yaml 1 "line 1: 'hostname' takes a text" 'hostname: {a: b}\n'
check "a flag that is neither"        yaml 1 "line 1: --no-udp takes true or false" 'no-udp: 1\n'
check "an alias"                      yaml 1 "line 2: 'ca-file' takes a text" 'hostname: &a b\nca-file: *a\n'
check "a list alone"                  yaml 1 "settings are lines such as" '- a\n'
check "two documents"                 yaml 1 "one document is enough" 'hostname: a\n---\nhostname: b\n'
check "a config that is not there"    run 1 up --config "$work/none.yaml"
check "settings that don't fit together" yaml 1 "--socks5-auth needs" 'socks5-auth: a:b\n'
secret_in_file() { yaml 1 "USER:PASS" 'socks5: 127.0.0.1:1\nsocks5-auth: hunter2\n' && ! said hunter2; }
check "a secret of a file is not repeated" secret_in_file
# Read to its end: what fails is the state directory, which is a file.
good='control-url: http://127.0.0.1:1\nno-udp: true\nephemeral: false\nlog-level: "error"\nserve:\n- 80=127.0.0.1:80\nforward: 8080=n2:80\nmetrics: 127.0.0.1:9\n'
: >"$work/file"
check "a config with settings of each kind" yaml 1 "not a directory" "${good}state-dir: $work/file\n"
check "the command line wins"           yaml 1 "not a directory" "${good}state-dir: $work/nowhere\n" --state-dir "$work/file"
wins_over_list() { yaml 1 "not a directory" "${good}state-dir: $work/file\n" --serve 80=127.0.0.1:81; }
check "a list of the command line replaces the file's" wins_over_list
check "a key of the command line replaces a key file of the config" \
    yaml 1 "not a directory" "auth-key-file: $work/none\nstate-dir: $work/file\n" --auth-key=k
check "a flag can be taken back"        yaml 1 "not a directory" "log-json: true\nstate-dir: $work/file\n" --log-json=false
check "tags of a config"                yaml 1 "not a directory" "advertise-tags: tag:a,b\nstate-dir: $work/file\n"
check "wrong tags of a config"          yaml 1 "line 1: --advertise-tags takes tags" 'advertise-tags: 7\n'
check "an empty config"                 yaml 1 "not a directory" "" --state-dir "$work/file"
check "a config of comments"            yaml 1 "not a directory" "# nothing\n---\n" --state-dir "$work/file"
json_complaint() {
    run 1 up --log-json --state-dir "$work/file" && [ "$(wc -l <"$err")" = 1 ] &&
        jq -e '.level == "error" and .layer == "remora" and (.msg | test("not a directory")) and (.time | test("^20.*Z$"))' "$err" >"$out"
}
check "--log-json makes complaints JSON" json_complaint

bad_proxy() { # the variable's value is not repeated: it may hold a password
    HTTPS_PROXY="$1" run 1 up --state-dir "$work/s" && one_sentence && said "HTTPS_PROXY" && ! said "hunter2"
}
check "a proxy of another kind" bad_proxy socks5://me:hunter2@127.0.0.1:1
check "a proxy's port above 65535" bad_proxy http://me:hunter2@127.0.0.1:65536
check "a proxy without a host" bad_proxy http://me:hunter2@:80
check "a proxy's password that is not well escaped" bad_proxy http://me:hunter2%0@127.0.0.1:80
secret_is_not_repeated() {
    run 2 up --socks5 127.0.0.1:1 --socks5-auth hunter2 && ! said hunter2 &&
        run 2 up --bogus=hunter2 && ! said hunter2
}
check "a refused secret is not repeated" secret_is_not_repeated

for c in up set status whois ping netcheck nc capture metrics debug down logout relay version; do
    help_of() { run 0 "$c" --help && printed "remora $c" && printed "Example" && [ ! -s "$err" ]; }
    check "$c --help has an example" help_of
    same_help() { cp "$out" "$work/first" && run 0 help "$c" && cmp -s "$out" "$work/first"; }
    check "help $c says the same" same_help
done
overview() { run 0 --help && printed "Exit codes" && run 0 help && printed "remora up"; }
check "--help and help"         overview
version() { run 0 version && printed "remora " && run 0 --version && printed "remora "; }
check "version and --version"   version

# failed WORDS ARGUMENTS...: exit code 1 and one sentence
failed() {
    local words=$1
    shift
    run 1 "$@" && one_sentence && said "$words"
}
for c in "status" "set --shields-up" "whois n2" "capture -" "ping n2" "netcheck" "nc n2 80" "debug derp-map" "down"; do
    # shellcheck disable=SC2086
    check "$c without a node" failed "no node runs" $c --state-dir "$work/none"
done
metrics_alone() { run 1 metrics --state-dir "$work/none" && said "no node runs" && printed "tailscale_up 0" && printed "# TYPE tailscale_peers gauge"; }
check "metrics without a node" metrics_alone
check "netcheck with a map that is not there" failed "can't read" netcheck --derp-map "$work/none"
echo '{' >"$work/map"
check "netcheck with a map that is none" failed "no DERPMap" netcheck --derp-map "$work/map"
echo '{"Regions":{}}' >"$work/map"
check "netcheck with a map without relays" failed "no region" netcheck --derp-map "$work/map"
mkdir -m 700 "$work/kept"
echo junk >"$work/kept/netmap.cache"
check "netcheck with a netmap that is damaged" failed "no relays are known" netcheck --state-dir "$work/kept"
no_dir_is_made() { [ ! -e "$work/none" ]; }
check "netcheck makes no state directory" no_dir_is_made
check "a key file that is not there" failed "can't read" up --state-dir "$work/s" --auth-key-file "$work/none"
: >"$work/empty"
check "an empty key file" failed "holds no auth key" up --state-dir "$work/s" --auth-key-file "$work/empty"
check "a CA file that is not there" failed "can't read" up --state-dir "$work/s" --ca-file "$work/none"
check "a file in place of the state directory" failed "not a directory" up --control-url http://127.0.0.1:1 --state-dir "$work/empty"
mkdir -m 755 "$work/open"
check "a state directory open to others" failed "open to other" up --control-url http://127.0.0.1:1 --state-dir "$work/open"

full_disk() { "$remora" help >/dev/full 2>"$err"; [ $? = 1 ] && said "can't write"; }
[ -e /dev/full ] && check "output that can't be written" full_disk
finish
