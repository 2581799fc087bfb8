#!/usr/bin/env bash
# The administration words against a coordinator with nodes: every word in every
# form of output, and that form beside what Headscale's command printed.
#   tests/cli/coord_admin.sh PATH-OF-REMORA
. "$(dirname "$0")/cases.sh"
samples=$(cd "$(dirname "$0")/../vectors/coord" && pwd)/cli.json
for tool in jq socat openssl; do
    command -v $tool >/dev/null || {
        echo "$tool is missing; scripts/deps installs it"
        exit 1
    }
done
children=
trap 'kill $children 2>/dev/null; wait; rm -rf "$work"' EXIT
cd "$work" || exit 1

# ---- a coordinator and three nodes -------------------------------------------
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=lab \
    -addext subjectAltName=IP:127.0.0.1 -keyout tls.key -out tls.pem 2>/dev/null
cat >c.yaml <<Y
server_url: https://127.0.0.1:1
listen_addr: 127.0.0.1:0
state_dir: state
unix_socket: c.sock
tls_cert_path: tls.pem
tls_key_path: tls.key
dns: {base_domain: lab.test}
Y
mkdir -m 700 state
until_ok() { # until_ok COMMAND...: within 20 s
    for _ in $(seq 400); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.05
    done
    echo "      timed out: $*"
    return 1
}
"$remora" coordinator serve -c c.yaml >server.log 2>&1 &
children="$children $!"
until_ok test -S c.sock || cat server.log
until_ok grep -q '^listening at 127' server.log
port=$(sed -n 's/^listening at 127.0.0.1:\([0-9]*\).*/\1/p' server.log | head -n 1)
url=https://127.0.0.1:$port

# c CODE ARGUMENTS...: the command on the local socket ends with that exit code
c() {
    local want=$1
    shift
    run "$want" coordinator "$@" --socket c.sock
}
refuses() { # refuses WORDS ARGUMENTS...: exit code 1, one sentence that holds them
    local words=$1
    shift
    c 1 "$@" && one_sentence && said "$words"
}
# The text of --output json is what Go's encoder prints: tabs, ordered keys.
as_go() { sed 's/\\u003c/</g; s/\\u003e/>/g; s/\\u0026/\&/g' "$out" | diff -q <(jq -S --tab . "$out") - >/dev/null; }
# The types of JSON, with the members in their order; instants may be null.
shape() {
    jq -c 'def s: if type == "object" then with_entries(if (.key | test("^(expiry|expiration|lastSeen|createdAt)$")) then .value = "instant" else .value |= s end)
        elif type == "array" then (if all(.[]; type == "string") then "texts" else map(s)[:1] end) else type end; s' "$@"
}
sample() { jq -j --arg a "$1" '.runs[] | select(.args == $a) | .stdout' "$samples"; }
# like ARGUMENTS: what was printed has the shape of what Headscale printed
like() {
    [ "$(sample "$1" | shape)" = "$(shape "$out")" ] || {
        echo "      should: $(sample "$1" | shape)"
        echo "      is:     $(shape "$out")"
        return 1
    }
}
titles() { head -n 1 "$1" | sed 's/ *| */|/g; s/ *$//'; }
like_table() { [ "$(titles <(sample "$1"))" = "$(titles "$out")" ]; }
lines() { [ "$(wc -l <"$out")" = "$1" ]; }
# every cell of a column is as wide as the others
aligned() { [ "$(sed 's/[^|]*$//; s/[^|]/x/g' "$out" | sort -u | wc -l)" = 1 ]; }

json_like() { # json_like SAMPLE ARGUMENTS...
    local s=$1
    shift
    c 0 "$@" -o json && as_go && like "$s"
}
line_like() {
    local s=$1
    shift
    c 0 "$@" -o json-line && lines 1 && ! grep -q '": ' "$out" && like "$s"
}
empty_object() { # ... in every form
    c 0 "$@" && [ "$(cat "$out")" = "$wanted" ]
}

check "health" c 0 health
check "health as JSON" json_like "health -o json" health
check "health as YAML" c 0 health -o yaml
check "which is right" printed "databaseconnectivity: true"

# ---- users -------------------------------------------------------------------
check "a user" c 0 users create alice
check "is told" printed "User created"
check "a user as JSON" json_like "users create grace -d Grace -e grace@example.test -o json" \
    user new grace -d Grace -e grace@example.test
check "a user's texts" printed '"displayName": "Grace"'
check "a user that is there" refuses "user already exists" users create alice
check "a user's name that is none" refuses "a name is" users create 7up
check "no policy yet" refuses "no policy was set; set one with remora coordinator policy set" policy get
check "users" c 0 users list
check "under Headscale's titles" like_table "users list"
check "one a line" lines 3
check "aligned" aligned
check "one user as JSON" json_like "users list -n frank -o json" users list -n grace
check "and no other" test "$(jq -c '[.[].name]' "$out")" = '["grace"]'
check "a user by mail" c 0 users list -e grace@example.test -o json-line
check "is found" test "$(jq -c '[.[].name]' "$out")" = '["grace"]'
check "a user by ID" c 0 users list --identifier=1 -o json-line
check "is found too" test "$(jq -c '[.[].name]' "$out")" = '["alice"]'
check "a user who is not there" c 0 users list -n nobody -o json
check "is no user" printed "[]"
yaml_like() {
    c 0 users list -n grace -o yaml &&
        [ "$(sed 's/: .*//' "$out")" = "$(sample "users list -o yaml" | sed 's/: .*//')" ] &&
        grep -q '^  id: "2"$' "$out" && grep -qE '^- createdat: 20[0-9T:.-]*Z$' "$out" && grep -q '^  provider: ""$' "$out"
}
check "users as YAML" yaml_like
check "a user renamed by name" c 0 users rename -n grace -r hopper -o json
check "is renamed" printed '"name": "hopper"'
check "a user renamed by ID" c 0 users mv -i 2 --new-name grace
check "is told of" printed "User renamed"
check "nobody renamed" refuses "no user has the name 'nobody'" users rename -n nobody -r x
check "a name that is taken" refuses "already exists" users rename -n grace -r alice

# ---- preauthkeys ---------------------------------------------------------------
is_key() { lines 1 && grep -qE "^hskey-$1-[0-9a-f]{12}-[0-9a-f]{64}\$" "$out"; }
check "a key" c 0 preauthkeys create -u 1
check "alone" is_key auth
check "a key for a user's name" c 0 preauthkeys create --user alice --reusable -e 1d12h -o json
as_asked() { [ "$(jq -c '[.user.name, .reusable, .ephemeral]' "$out")" = '["alice",true,false]' ]; }
check "is as asked" as_asked
lasts() { [ $(($(date -d "$(jq -r .expiration "$out")" +%s) - $(date +%s) - $1)) -gt -60 ] && [ $(($(date -d "$(jq -r .expiration "$out")" +%s) - $(date +%s) - $1)) -le 0 ]; }
check "and as long" lasts 129600
check "a key as JSON" json_like "preauthkeys create --user 13 --reusable -e 90d -o json" \
    preauthkeys create --user 1 --reusable -e 90d
check "lasts 90 days" lasts 7776000
auth_key=$(jq -r .key "$out")
check "a key on a line" line_like "preauthkeys create --user 13 --ephemeral -e 30m -o json-line" \
    preauthkeys create --user 1 --ephemeral -e 30m
check "a key with tags" json_like "preauthkeys create --tags tag:server -o json" \
    preauthkeys create --tags tag:server --tags tag:db,tag:server
check "sorted" test "$(jq -c .aclTags "$out")" = '["tag:db","tag:server"]'
check "lasts an hour, unasked" lasts 3600
tag_key=$(jq -r .key "$out")
check "a key as YAML" c 0 pre new -u 1 -o yaml
check "is a key" grep -qE '^key: hskey-auth-' "$out"
check "a key of a user who is not there" refuses "users list" preauthkeys create -u 99
check "a tag that is none" refuses "a tag is" preauthkeys create --tags server
check "keys" c 0 preauthkeys list
check "under the titles" like_table "preauthkeys list"
check "are aligned" aligned
check "their tags in lines" lines 8
check "without their secrets" test "$(grep -c -- '-\*\*\*' "$out")" = 6
check "keys as JSON" c 0 preauthkeys list -o json
check "as Go prints them" as_go
wanted="Key expired"
check "a key expires" empty_object preauthkeys expire -i 1
wanted="{}"
check "and again as JSON" empty_object preauthkeys expire --id 2 -o json
check "and as YAML" empty_object authkey revoke --id 2 -o yaml
check "and on a line" empty_object preauthkeys expire --id 2 -o json-line
wanted="Key deleted"
check "a key is deleted" empty_object preauthkeys delete -i 1
check "but once" refuses "auth-key not found; remora coordinator preauthkeys list" preauthkeys delete -i 1
json_refusal() {
    c 1 preauthkeys delete --id 1 -o json && [ ! -s "$out" ] && jq -e '.error | test("auth-key not found")' "$err" >/dev/null &&
        [ "$(cat "$err")" = "$(jq --tab . "$err")" ]
}
check "and says so as JSON" json_refusal

# ---- nodes ---------------------------------------------------------------------
up() { # up NAME ARGUMENTS...
    mkdir -m 700 "n-$1"
    "$remora" up --no-udp --no-port-mapping --ca-file tls.pem --control-url "$url" --state-dir "n-$1" --hostname "$1" "${@:2}" >"$1.log" 2>&1 </dev/null &
    children="$children $!"
}
up m1 --auth-key "$auth_key" --advertise-routes 192.168.8.0/24 --advertise-exit-node
up m2 --auth-key "$tag_key"
up m3
node() { "$remora" coordinator nodes list --socket c.sock -o json | jq -e --arg n "$1" ".[] | select(.givenName == \$n) | $2"; }
has() { node "$@" >/dev/null; }
check "a node joins by a key" until_ok node m1 '.online and (.availableRoutes | length > 0)'
check "a node joins by a key with tags" until_ok node m2 .online
id=$(node m1 .id | tr -d '"')
check "a login waits" until_ok grep -qoE 'hskey-authreq-[0-9a-f]{24}' m3.log
login=$(grep -oE 'hskey-authreq-[0-9a-f]{24}' m3.log | head -n 1)
check "a login approved without a user" refuses "register it for a user" auth approve --auth-id "$login"
check "a login as JSON" json_like "auth register --user frank --auth-id hskey-authreq-bbbbbbbbbbbbbbbbbbbbbbbb -o json" \
    auth register --user grace --auth-id "$login"
check "is the user's" test "$(jq -r .user.name "$out")" = grace
check "the node is in" until_ok node m3 .online
check "a login that is over" refuses "the node's own output" auth register --user 2 --auth-id "$login"
check "a login of nobody" refuses "no user has the id '77'" auth register --user 77 --auth-id "$login"
check "a rejected login that is none" refuses "auth ID has invalid length" auth reject --auth-id x
check "nodes register is auth register" refuses "registration cache" nodes register -u grace -k "$login"

check "nodes" c 0 nodes list
check "under their titles" like_table "nodes list"
check "aligned too" aligned
check "with addresses in lines" lines 7
check "nodes as JSON" json_like "nodes list -o json" node ls
check "a tagged node's user" test "$(jq -r '.[] | select(.name == "m2") | .user.name' "$out")" = tagged-devices
check "nodes of a user" c 0 nodes list -u grace -o json-line
check "are the user's" test "$(jq -c '[.[].name]' "$out")" = '["m3"]'
check "nodes of nobody" refuses "user not found" nodes list -u nobody
check "nodes as YAML" c 0 nodes list -o yaml
check "with lists" grep -q '^  - "192.168.8.0/24"$' "$out"

approved() { c 0 nodes list-routes -i "$id" -o json && [ "$(jq -c '.[0].approvedRoutes | sort' "$out")" = "$1" ]; }
check "routes that are approved" c 0 nodes approve-routes -i "$id" -r 192.168.8.0/24
check "are" approved '["192.168.8.0/24"]'
check "routes" c 0 nodes list-routes
check "under theirs" like_table "nodes list-routes"
check "of the one node that has some" lines 4
check "are served" grep -q '192.168.8.0/24 *$' "$out"
check "routes on a line" line_like "nodes list-routes -o json-line" nodes list-routes
check "an exit node" c 0 nodes approve-routes -i "$id" --routes 192.168.8.0/24,0.0.0.0/0 -o json
check "is for both families" approved '["0.0.0.0/0","192.168.8.0/24","::/0"]'
check "no routes" c 0 nodes approve-routes -i "$id" -r ''
check "are none" approved '[]'
check "a route that is none" refuses "parsing route" nodes approve-routes -i "$id" -r bogus
check "routes of no node" refuses "no node has the ID 99" nodes list-routes -i 99
check "a node renamed" c 0 nodes rename -i "$id" router
check "as told" printed "Node renamed"
check "has that name" has router .online
check "a label that is none" refuses "not a valid DNS label" nodes rename -i "$id" 'Bad_Name!'
check "a name that needs escapes" refuses "not a valid DNS label" nodes rename -i "$id" 'a/b ?%'
check "tags that no policy has" refuses "not permitted" nodes tag -i "$id" -t tag:db
echo '{"groups": {"group:ops": ["ops@"]}, "tagOwners": {"tag:db": ["group:ops"], "tag:x": ["group:ops"]}}' >tags.hujson
check "a policy that has them" c 0 policy set -f tags.hujson
check "a node with tags" c 0 nodes tag -i "$id" -t tag:db,tag:x -o json
check "has them" test "$(jq -c '.tags' "$out")" = '["tag:db","tag:x"]'
check "and no user" test "$(jq -c '.user.id' "$out")" = '""'
third=$(node m3 .id | tr -d '"')
check "an expiry" line_like "nodes expire -i 33 -e 2030-01-01T00:00:00Z -o json-line" \
    nodes expire -i "$third" -e 2030-01-01T00:00:00Z
check "is set" test "$(jq -r .expiry "$out")" = 2030-01-01T00:00:00.000Z
check "no expiry" c 0 nodes expire -i "$third" --disable
check "is none" printed "Node expiry disabled"
check "a node expires" c 0 nodes logout -i "$third"
expired() { c 0 nodes list && grep ' m3 ' "$out" | grep -q '| yes$'; }
check "and is shown so" expired
check "addresses of new prefixes" refuses "--force" nodes backfillips
check "by force" c 0 nodes backfillips --force
check "are given" printed "backfilled"
check "a node is not deleted unasked" refuses "Node not deleted: there is no terminal to ask at; add --force" nodes delete -i "$third"
check "and is still there" has m3 .id
ask() { # ask ANSWER: of nodes delete on a terminal; its exit code
    script -qec "'$remora' coordinator nodes delete -i $third --socket c.sock" /dev/null <<<"$1" >"$out" 2>&1
}
check "a node is not deleted by no" eval '! ask n'
check "which was asked for" printed "Do you want to remove the node m3? [y/n]"
check "by yes it is" ask y
check "and is gone" eval '! has m3 .id'
wanted=$(printf '{\n\t"result": "Node deleted"\n}')
check "a node is deleted by force" empty_object nodes delete -i "$id" --force -o json
check "but only once" refuses "node not found; remora coordinator nodes list" nodes delete -i "$id" --force

# ---- apikeys, and the API from elsewhere -------------------------------------------
check "an API key" c 0 apikeys create
check "is alone" is_key api
cp "$out" key
check "an API key as JSON" c 0 apikeys create -e 24h -o json
check "is a text" test "$(jq -r 'type' "$out")" = string
check "API keys" c 0 apikeys list
check "under Headscale's titles there" like_table "apikeys list"
check "two of them" lines 3
check "API keys as JSON" json_like "apikeys list -o json" api ls
prefix=$(jq -r '.[1].prefix' "$out")
wanted="Key expired"
check "an API key expires" empty_object apikeys expire --prefix "$prefix"
check "and by its ID" empty_object apikeys expire --id 2
wanted="Key deleted"
check "an API key is deleted" empty_object apikeys delete --prefix "$prefix"
check "but not another" refuses "apikeys list" apikeys delete --id 2
far() { # far CODE ARGUMENTS...: by TLS
    local want=$1
    shift
    run "$want" coordinator "$@" --address "$url" --ca-file tls.pem --api-key-file key
}
check "users from elsewhere" far 0 users list
check "are there" printed alice
check "a key made from elsewhere" far 0 preauthkeys create -u alice
check "is one" is_key auth
by_environment() { env REMORA_COORDINATOR_ADDRESS="$url" REMORA_COORDINATOR_API_KEY="$(cat key)" \
    "$remora" coordinator health --ca-file tls.pem >"$out" 2>"$err"; }
check "the key in the environment" by_environment
check "a CA that nobody trusts" run 1 coordinator health --address "$url" --api-key-file key
check "is told of" said "--ca-file"
echo "hskey-api-000000000000-$(printf '0%.0s' $(seq 64))" >bad
check "a wrong key" run 1 coordinator health --address "$url" --ca-file tls.pem --api-key-file bad
check "says what to do" said "apikeys create"
cp key bad
c 0 apikeys delete --id 1
check "a deleted key" far 1 health
check "an address without a key" run 2 coordinator health --address "$url"
check "needs one" said "--api-key-file"

# ---- policy ------------------------------------------------------------------------
printf '{"acls": [' >broken.hujson
printf '{\n\t// all\n\t"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}],\n}\n' >all.hujson
printf '{}' >open.hujson
: >empty.hujson
check "a policy that holds" c 0 policy check -f all.hujson
check "is told" printed "Policy is valid"
wanted="{}"
check "and as JSON" empty_object policy check -f all.hujson -o json
check "a policy" c 0 policy set -f all.hujson
check "is in force" printed "Policy updated."
same_policy() { c 0 policy get "$@" && cmp -s all.hujson "$out"; }
check "and is the same again" same_policy
for form in json json-line yaml; do check "as $form too" same_policy -o $form; done
check "a policy as JSON" c 0 policy set --file open.hujson -o json
check "is there" test "$(jq -c '[.policy, (.updatedAt | length > 0)]' "$out")" = '["{}",true]'
check "a broken policy" refuses "parsing" policy set -f broken.hujson
check "an empty one" refuses "{} allows all" policy set -f empty.hujson
check "a policy with a mistake" refuses "parsing" policy check -f broken.hujson
printf '{"acls": [\n\t{"action": "accept", "src": ["tag:x"], "dst": ["*:*"]}]}\n' >tagless.hujson
check "one with a tag that has no owner" refuses "line 2, column" policy set -f tagless.hujson
check "changes nothing" c 0 policy get
check "nor is lost" printed "{}"
check "a policy that is not there" refuses "can't read nothing.hujson" policy check -f nothing.hujson

# ---- where it is -------------------------------------------------------------------
check "the socket of a configuration" run 0 coordinator users list -c c.yaml
check "users stay while they have nodes" c 0 nodes list
check "a user destroyed" c 0 users destroy -n grace --force -o json
check "with an empty object" printed "{}"
check "but not twice" refuses "no user has the name 'grace'" users destroy -n grace --force
check "nor unasked" refuses "User not destroyed" users destroy -i 1
finish
