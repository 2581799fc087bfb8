#!/usr/bin/env bash
# The administration words without a coordinator: wrong usage, and against a
# scripted server that answers what no coordinator should.
#   tests/cli/coord_words.sh PATH-OF-REMORA
. "$(dirname "$0")/cases.sh"
for tool in jq socat script; do
    command -v $tool >/dev/null || {
        echo "$tool is missing; scripts/deps installs it"
        exit 1
    }
done
children=
trap 'kill $children 2>/dev/null; wait; rm -rf "$work"' EXIT
cd "$work" || exit 1

# ---- usage --------------------------------------------------------------------
wrong() { # wrong WORDS ARGUMENTS...: exit code 2 and one sentence that holds the words
    local words=$1
    shift
    run 2 coordinator "$@" && one_sentence && said "$words"
}
for word in "users list" "preauthkeys list" "nodes list" "apikeys list" "policy get" "auth reject" health; do
    verb=${word#* }
    word=${word% *}
    check "$word --help" run 0 coordinator $word --help
    check "has examples" printed "  remora coordinator $word"
    check "and says where the server is" printed "--socket PATH"
    [ $word = $verb ] || check "$word $verb -h" run 0 coordinator $word $verb -h
done
check "an unknown word"             wrong "knows no 'frob'" frob
check "a word without a verb"       wrong "nodes needs a verb" nodes
check "options alone"               wrong "nodes needs a verb" nodes --socket s
check "an unknown verb"             wrong "nodes has no 'frob'" nodes frob
check "an unknown option"           wrong "has no option '--frob'" nodes list --frob
check "an option in front of the verb" wrong "in front of its verb" nodes --frob list
check "an option of another verb"   wrong "has no option '--routes'" nodes rename --routes x
check "a letter that is none"       wrong "has no option '-z'" users list -z
check "a missing value"             wrong "--identifier needs a value" nodes expire -i
check "a value that is too much"    wrong "--force takes no value" nodes delete --force=maybe
check "an operand too many"         wrong "takes no 'b'" users create a b
check "an operand that has no place" wrong "takes no 'x'" nodes list x
check "no name"                     wrong "users create needs a name" users create
check "an empty name"               wrong "users create needs a name" users create ''
check "nobody"                      wrong "say whom by --identifier ID or --name NAME" users destroy --socket s
check "no new name"                 wrong "needs --new-name" users rename -i 1
check "an ID that is none"          wrong "takes an ID, which is a number" nodes expire -i laptop --socket s
check "no ID"                       wrong "nodes delete needs --identifier" nodes delete
check "no routes"                   wrong "needs --routes" nodes approve-routes -i 1
check "routes with a hole"          wrong "a comma too many" nodes approve-routes -i 1 -r a,,b
check "no tags"                     wrong "needs --tags" nodes tag -i 1
check "an expiry that is none"      wrong "--expiry takes a time" nodes expire -i 1 -e soon --socket s
check "an expiry and none"          wrong "not both" nodes expire -i 1 -e 2030-01-01T00:00:00Z -d --socket s
check "a key for nobody"            wrong "--user, or what they will be with --tags" preauthkeys create --socket s
for d in bogus '' 1 h 1h1d -1h 1.5h 99999999999h 300y; do
    check "the duration '$d'"       wrong "--expiration takes" apikeys create --socket s -e "$d"
done
check "a key by nothing"            wrong "by --id or by --prefix" apikeys delete --socket s
check "a key by both"               wrong "by --id or by --prefix" apikeys expire --id 1 --prefix x --socket s
check "no policy"                   wrong "policy set needs --file" policy set
check "no login"                    wrong "needs --auth-id" auth approve
check "no user of a login"          wrong "needs --user" auth register --auth-id x
check "a form that is none"         wrong "--output takes table, json, json-line or yaml, not 'xml'" users list -o xml
check "a socket and an address"     wrong "not both" users list --socket s --address https://x
check "an address that is none"     wrong "--address takes" users list --address hs.example.com
check "an address with a path"      wrong "--address takes" users list --address https://hs.example.com/api
check "a key in the clear"          wrong "--insecure-http" users list --address http://192.0.2.1:80 --api-key-file /dev/null
check "a name that looks like here" wrong "--insecure-http" users list --address http://127.0.0.1.example.com --api-key-file /dev/null
check "a key without an address"    wrong "needs --address too" users list --api-key-file /dev/null
check "an address without a key"    wrong "needs --api-key-file" users list --address https://192.0.2.1
fails() { # fails WORDS ARGUMENTS...
    local words=$1
    shift
    run 1 coordinator "$@" && one_sentence && said "$words"
}
check "nobody listens"              fails "no coordinator listens at nowhere" users list --socket nowhere
check "a file that is no socket"    fails "no coordinator listens at" users list --socket /etc/passwd
check "a socket's path that is too long" fails "too long" users list --socket "$(printf 'x%.0s' $(seq 200))"
check "no configuration"            fails "can't read nothing.yaml" users list -c nothing.yaml
check "nobody at the address"       fails "can't reach the coordinator at http://127.0.0.1:1" users list --address http://127.0.0.1:1 --api-key-file /etc/hostname
check "a key's file that is empty"  fails "holds no auth key" users list --address http://127.0.0.1:1 --api-key-file /dev/null
as_json() { run 2 coordinator nodes frob -o json && said "remora: "; }
check "wrong usage is told in words" as_json

# ---- a server that answers anything ----------------------------------------------
cat >server <<'S'
#!/usr/bin/env bash
length=0
while IFS= read -r line; do
    line=${line%$'\r'}
    case $line in
    '') break ;;
    [Cc]ontent-[Ll]ength:*) length=${line#*: } ;;
    esac
    printf '%s\n' "$line" >>requests
done
[ "$length" = 0 ] || head -c "$length" >>requests
cat answer
S
chmod +x server
socat UNIX-LISTEN:s.sock,fork EXEC:./server 2>/dev/null &
children="$children $!"
for _ in $(seq 400); do
    [ -S s.sock ] && break
    sleep 0.05
done
answer() { # answer STATUS TYPE BODY
    printf 'HTTP/1.1 %s X\r\nContent-Type: %s\r\nContent-Length: %s\r\n\r\n%s' "$1" "$2" "$(printf %s "$3" | wc -c)" "$3" >answer
    : >requests
}
c() {
    local want=$1
    shift
    run "$want" coordinator "$@" --socket s.sock
}
refuses() {
    local words=$1
    shift
    c 1 "$@" && one_sentence && said "$words"
}
# No byte that steers a terminal, no C1, nothing that turns the direction.
harmless() {
    ! LC_ALL=C grep -qP '[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]|\xd8\x9c' "$1"
}
evil='x\u001b[31m\u009b2J\u202e\u2066\u200f\u2028\u0000\u007f\u0085\n\r\ty'
evil_raw=$(printf 'x\xc2\x9b2J\xe2\x80\xaey')
node='{"id":"'$evil'","name":"'$evil'","givenName":"'$evil'","machineKey":"'$evil'","nodeKey":"mkey:'$evil'","user":{"name":"'$evil_raw'"},"tags":["'$evil'","'$evil_raw'"],"ipAddresses":["'$evil'"],"lastSeen":"'$evil'","expiry":"'$evil'","online":true,"availableRoutes":["'$evil'"]}'
user='{"id":"'$evil'","name":"'$evil'","email":"'$evil_raw'","displayName":"'$evil'","createdAt":"'$evil'"}'
key='{"id":"'$evil'","key":"'$evil'","user":{"name":"'$evil'"},"aclTags":["'$evil_raw'"],"expiration":"'$evil'"}'
hostile() { # hostile BODY ARGUMENTS...: harmless in every form
    answer 200 application/json "$1"
    shift
    for form in table json json-line yaml; do
        c 0 "$@" -o $form && [ -s "$out" ] && harmless "$out" || {
            echo "      as $form: $*"
            return 1
        }
    done
}
check "hostile nodes"      hostile '{"nodes":['"$node,$node"']}' nodes list
check "hostile routes"     hostile '{"nodes":['"$node"']}' nodes list-routes
check "a hostile node"     hostile '{"node":'"$node"'}' nodes rename -i 1 x
check "hostile users"      hostile '{"users":['"$user"']}' users list
check "hostile keys"       hostile '{"preAuthKeys":['"$key"']}' preauthkeys list
check "a hostile key"      hostile '{"preAuthKey":'"$key"'}' preauthkeys create -u 1
check "hostile API keys"   hostile '{"apiKeys":[{"id":"'$evil'","prefix":"'$evil'"}]}' apikeys list
check "a hostile API key"  hostile '{"apiKey":"'$evil'"}' apikeys create
check "hostile members"    hostile '{"nodes":[{"id":"1","'$evil'":{"'$evil_raw'":"x"}}]}' nodes list
says_harmless() { # says_harmless STATUS TYPE BODY ARGUMENTS...
    answer "$1" "$2" "$3"
    shift 3
    c 1 "$@" && harmless "$err" && c 1 "$@" -o json && harmless "$err" && jq -e .error "$err" >/dev/null
}
check "a hostile refusal"  says_harmless 400 application/problem+json '{"detail":"'$evil'","errors":[{"message":"'$evil_raw'"}]}' users list
check "a hostile text"     says_harmless 502 text/html "$(printf 'x\x9b2J\xe2\x80\xae\033[2Jy\n<html>')" users list
check "a hostile question" eval 'answer 200 application/json "{\"node\":$node}"; script -qec "'"'$remora'"' coordinator nodes delete -i 1 --socket s.sock" /dev/null <<<n >"$out" 2>&1; tr -d "\r" <"$out" >clean; harmless clean && printed "remove the node x?[31m"'

yaml_quotes() {
    answer 200 application/json '{"users":[{"a":"x: y # z","b":"no","c":"1.5","d":"- x","e":"","f":" x","g":"x\ny","h":"Müller"}]}'
    c 0 users list -o yaml && diff - "$out" <<'Y'
- a: 'x: y # z'
  b: "no"
  c: "1.5"
  d: "- x"
  e: ""
  f: " x"
  g: "x\ny"
  h: Müller
Y
}
check "YAML quotes what would be something else" yaml_quotes
yaml_error() { answer 404 application/problem+json '{"detail":"gone: all"}' && c 1 users list -o yaml && grep -qx "error: 'the coordinator refused: gone: all'" "$err"; }
check "an error as YAML" yaml_error

policy='{"policy":"{\n\t// \u001b[31mred\u009b\n}\n","updatedAt":null}'
exact() {
    answer 200 application/json "$policy"
    c 0 policy get && printf '{\n\t// \033[31mred\xc2\x9b\n}\n' | cmp -s - "$out"
}
check "a policy to a file is exact" exact
check "to a terminal it is harmless" eval 'script -qec "'"'$remora'"' coordinator policy get --socket s.sock" /dev/null </dev/null >"$out" 2>&1; tr -d "\r" <"$out" >clean; harmless clean && printed "// ?[31mred?"'
sent() { grep -qF -- "$1" requests; }
check "a policy is sent" eval 'printf "{\"acls\": [] // all\n}" >p; answer 200 application/json "$policy"; c 0 policy set -f p && sent "PUT /api/v1/policy HTTP/1.1" && sent "{\"policy\":\"{\\\"acls\\\": [] // all\\n}\"}"'
check "is told" printed "Policy updated."
from_stdin() {
    "$remora" coordinator policy check -f - --socket s.sock <p >"$out" 2>"$err" && printed "Policy is valid" && sent "POST /api/v1/policy/check"
}
check "a policy of stdin" from_stdin
check "names in a path are escaped" eval 'answer 200 application/json "{\"node\":{}}"; c 0 nodes rename -i 1 "a/b ?%&#" && sent "POST /api/v1/node/1/rename/a%2Fb%20%3F%25%26%23 HTTP/1.1"'
check "and in a query" eval 'answer 200 application/json "{\"users\":[]}"; c 0 users list -n "a&b=c d" && sent "GET /api/v1/user?name=a%26b%3Dc%20d HTTP/1.1"'
check "the socket gets no key" eval '! sent Authorization'

# ---- answers that are none -------------------------------------------------------
none() { # none WORDS TEXT ARGUMENTS...: the bytes of an answer
    printf "%b" "$2" >answer
    local words=$1
    shift 2
    refuses "$words" "$@"
}
ok='HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n'
check "nothing"                   none "is it the coordinator" '' users list
check "no HTTP"                   none "speaks no HTTP" 'SSH-2.0-x\r\n' users list
check "a head cut"                none "broke off" 'HTTP/1.1 200 OK\r\nConte' users list
check "a body cut"                none "broke off" "${ok}Content-Length: 100\r\n\r\n{\"users\":[" users list
check "a chunk cut"               none "broke off" "${ok}Transfer-Encoding: chunked\r\n\r\n5\r\n{\"us" users list
check "a bad chunk"               none "speaks no HTTP" "${ok}Transfer-Encoding: chunked\r\n\r\nzz\r\n" users list
check "an endless head"           none "speaks no HTTP" "HTTP/1.1 200 OK\r\nX: $(printf 'x%.0s' $(seq 20000))\r\n\r\n" users list
check "chunks that are right"     eval 'printf "%b" "${ok}Transfer-Encoding: chunked\r\n\r\n5\r\n{\"use\r\n7\r\nrs\":[]}\r\n0\r\n\r\n" >answer; c 0 users list'
bad() { # bad WORDS BODY ARGUMENTS...: a body of status 200
    answer 200 application/json "$2"
    local words=$1
    shift 2
    refuses "$words" "$@"
}
check "no body"                   bad "makes no sense" '' users list
check "no JSON"                   bad "makes no sense" '{"users":[}' users list
check "JSON and more"             bad "makes no sense" '{"users":[]}{}' users list
check "JSON that is no UTF-8"     bad "makes no sense" "$(printf '{"users":["\x9b"]}')" users list
check "JSON nested too deep"      bad "makes no sense" "$(printf '[%.0s' $(seq 40))$(printf ']%.0s' $(seq 40))" users list
check "another object"            bad 'has no "users"' '{"nodes":[]}' users list
check "a list"                    bad 'has no "users"' '[]' users list
check "a number"                  bad 'has no "users"' '1' users list
check "two users of one name"     bad "more than one user" '{"users":[{},{}]}' users destroy -n x --force
check "a user without an ID"      bad "names no user" '{"users":[{}]}' users destroy -n x --force
check "health that is none"       bad "can't reach its store" '{"databaseConnectivity":false}' health
check "members of other types"    eval 'answer 200 application/json "{\"nodes\":[1,null,[],{\"id\":7,\"name\":[\"a\"],\"tags\":{\"a\":1},\"user\":\"x\",\"ipAddresses\":\"y\",\"expiry\":3}]}"; c 0 nodes list && c 0 nodes list-routes && c 0 nodes list -o json && c 0 nodes list -o yaml'
check "lists of other types"      eval 'answer 200 application/json "{\"users\":\"x\"}"; c 0 users list && c 0 users list -o json'

# ---- refusals of other servers -----------------------------------------------------
answer 500 application/json '{"code":2,"message":"old words","details":[]}'
check "an old server's refusal"   refuses "refused: old words; see what the coordinator's log says" users list
answer 404 text/plain '404 page not found'
check "another server"            refuses "has no such REST API" users list
answer 401 text/plain 'Unauthorized'
check "a key that is not known"   refuses "Unauthorized; make an API key there" users list
answer 422 application/problem+json '{"detail":"validation failed","errors":[{"message":"expected string","location":"body.user","value":5}]}'
check "a cause"                   refuses "validation failed: expected string" users list
answer 503 text/plain ''
check "no words at all"           refuses "status 503" users list
finish
