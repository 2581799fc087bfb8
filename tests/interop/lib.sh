# lib.sh - a lab for one interop script: a network of its own, a relay, a
# control server, tailscaled nodes and remora nodes in it, and steps that are
# counted.  A script begins with
#
#     . "$(dirname "$0")/lib.sh"
#     lab_start
#     step "title" function-or-command...
#     lab_end
#
# It runs itself again in fresh network, mount and process namespaces, so that
# nothing it does touches the machine, tailscaled's own probes reach nobody,
# and whatever it started ends with it.  Root is needed, or user namespaces.
#
# Environment: REMORA (the command to test), PEERS (where
# tests/peers/install.sh put the peers), LAB_LOGS (where logs are kept).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
name=$(basename "$0" .sh)
REMORA=$(realpath "${REMORA:-$top/build/dev/bin/remora}")
PEERS=$(realpath "${PEERS:-$top/build/peers}")
LAB_LOGS=${LAB_LOGS:-$top/build/interop}

if [ -z "${LAB_INSIDE:-}" ]; then
    [ -x "$REMORA" ] || { echo "$name: there is no $REMORA; build it first" >&2; exit 1; }
    [ -x "$PEERS/tailscaled" ] || { echo "$name: no peers in $PEERS; run tests/peers/install.sh" >&2; exit 1; }
    export LAB_INSIDE=1 REMORA PEERS LAB_LOGS
    as_root=()
    [ "$(id -u)" = 0 ] || as_root=(--map-root-user)
    exec unshare "${as_root[@]}" --net --mount --pid --fork --kill-child --mount-proc bash "$0" "$@"
fi

d=$LAB_LOGS/$name # state and files of this run; logs in $d/log
passed=0
failed=0
declare -A pid_of=()

# A report of a sanitizer must not be mistaken for a refusal: its own code.
export ASAN_OPTIONS=detect_leaks=1:exitcode=99:abort_on_error=0:strict_string_checks=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:exitcode=99
export TS_NO_LOGS_NO_SUPPORT=true TS_LOGS_DIR=$d HOME=$d

# Milliseconds of a clock that nobody sets.
now_ms() {
    local up
    read -r up _ </proc/uptime
    echo "${up/./}0"
}
ms_since() { echo $(($(now_ms) - $1)); }
lab_began=$(now_ms)

# ---- steps -----------------------------------------------------------------

# step TITLE COMMAND...: counted; what it prints is shown when it fails, lines
# that begin with "= " also when it succeeds.
step() {
    local title=$1 began
    shift
    began=$(now_ms)
    if "$@" >"$d/step" 2>&1; then
        passed=$((passed + 1))
        echo "ok    $name: $title ($(ms_since "$began") ms$(sed -n 's/^= /, /p' "$d/step" | tr -d '\n'))"
    else
        failed=$((failed + 1))
        echo "FAIL  $name: $title ($(ms_since "$began") ms)"
        sed 's/^/        /' "$d/step" | tail -n 20
    fi
}

# figure TITLE VALUE: something measured
figure() { echo "      $name: $1: $2"; }

# until_ok SECONDS COMMAND...: again and again until it succeeds.  The limit is for
# a busy machine: nothing is measured by it.  Bash expands the arguments once: what
# is looked at again has to be inside of a function.
until_ok() {
    local limit=$(($(now_ms) + $1 * 1000))
    shift
    until "$@" >"$d/until" 2>&1; do
        if [ "$(now_ms)" -gt $limit ]; then
            echo "timed out: $*"
            cat "$d/until"
            return 1
        fi
        sleep 0.05
    done
}

# must COMMAND...: for what has to work before any step makes sense
must() {
    "$@" >"$d/must" 2>&1 && return
    echo "FAIL  $name: $*"
    sed 's/^/        /' "$d/must"
    failed=$((failed + 1))
    lab_end
}

# ---- the lab ---------------------------------------------------------------

lab_start() {
    rm -rf "$d"
    mkdir -p "$d/log" "$d/www"
    trap 'lab_interrupted' INT TERM
    trap 'lab_died $LINENO' ERR
    ip link set lo up
    # With only lo up, tailscaled takes the network to be down.
    ip link add v0 type veth peer name v1
    ip addr add 10.77.0.1/24 dev v0
    ip link set v0 up
    ip link set v1 up
    # Names come from a file of this lab, and no name server answers.
    echo "127.0.0.1 localhost control.lab" >"$d/hosts"
    echo "nameserver 127.0.0.1" >"$d/resolv.conf"
    if [ ! -e /etc/hosts ]; then # a bare system: a copy of /etc, which has one
        cp -a /etc "$d/etc"
        touch "$d/etc/hosts"
        mount --bind "$d/etc" /etc
    fi
    mount --bind "$d/hosts" /etc/hosts
    [ ! -e /etc/resolv.conf ] || mount --bind "$d/resolv.conf" /etc/resolv.conf
}
lab_interrupted() {
    echo "$name: interrupted" >&2
    exit 130
}
lab_died() {
    echo "FAIL  $name: the script itself failed at line $1"
    failed=$((failed + 1))
    trap - ERR
    lab_end
}

# bg NAME COMMAND...: in the background, its output in log/NAME.log.  It runs
# alone in a process group, so that all of it can be ended.
bg() {
    local n=$1
    shift
    setsid "$@" >>"$d/log/$n.log" 2>&1 </dev/null &
    pid_of[$n]=$!
}
# end NAME [SIGNAL]: and wait for it; its exit code is the result.  What does not
# end within 20 s is killed: 124; remora has 60 s on a busy machine.  (tailscaled
# hangs now and then when it closes, and complains of itself after 45 s.)
end() {
    local pid=${pid_of[$1]:-} code=0 late=0
    [ -n "$pid" ] || return 0
    unset "pid_of[$1]"
    kill "-${2:-TERM}" -- "-$pid" 2>/dev/null || :
    local limit=$(($(now_ms) + 20000))
    case $1 in remora-*) limit=$((limit + 40000)) ;; esac
    while kill -0 "$pid" 2>/dev/null && [ "$late" = 0 ]; do
        [ "$(now_ms)" -lt $limit ] || late=1
        sleep 0.02
    done
    [ $late = 0 ] || kill -KILL -- "-$pid" 2>/dev/null || :
    wait "$pid" 2>/dev/null || code=$?
    [ $late = 0 ] || code=124
    return $code
} 2>/dev/null # bash would tell of each that was killed
stop() { end "$@" || :; } # whatever its exit code
runs() { [ -n "${pid_of[$1]:-}" ] && kill -0 "${pid_of[$1]}" 2>/dev/null; }

lab_end() {
    local n
    trap - ERR
    for n in "${!pid_of[@]}"; do
        case $n in remora-*) step "${n#remora-} ends cleanly" remora_stop "${n#remora-}" ;; esac
    done
    ! runs derper || step "the relay knows every frame it got" frames_known
    for n in "${!pid_of[@]}"; do stop "$n" KILL; done
    step "no report of a sanitizer" no_reports
    step "no secret in a log of remora" no_secrets
    step "no complaint about remora in the peers' logs" no_complaints
    rm -rf "$d/www"
    echo "$passed $failed" >"$d/counts"
    echo "      $name: $passed passed, $failed failed, $(ms_since "$lab_began") ms"
    [ "$failed" = 0 ] || {
        echo "      $name: logs are in $d/log"
        exit 1
    }
    exit 0
}

frames_known() { curl -fsSk "https://127.0.0.1:${derper_port:-3340}/debug/vars" | jq -e '.derp.unknown_frames == 0'; }
no_reports() {
    ! grep -lE 'AddressSanitizer|LeakSanitizer|runtime error:|UndefinedBehavior' "$d"/log/remora-* 2>/dev/null
}
# Nothing that is a key may be in what remora printed at any level: not the
# auth key, nor a private key of its state in hex or base64.
no_secrets() {
    local f keys
    keys=$(cat "$d"/state/*/* 2>/dev/null | grep -aoE 'privkey:[0-9a-f]{64}' | cut -d: -f2 | sort -u) || :
    for f in "$d"/log/remora-*; do
        [ -e "$f" ] || continue
        for k in labkey $keys; do
            if grep -aqF "$k" "$f"; then
                echo "a secret is in $f"
                return 1
            fi
            [ "$k" != labkey ] || continue
            k=$(printf '%s' "$k" | xxd -r -p | base64)
            if grep -aqF "$k" "$f"; then
                echo "a secret (base64) is in $f"
                return 1
            fi
        done
    done
}
# The peers say in their own words when they dislike what they get.  Lines that
# come without remora too, or that a script provokes, are in allowlist.txt.  The
# first letters of a key, as in [2fAiL], are no word.
no_complaints() {
    local f bad=0
    for f in "$d"/log/{tailscaled,derper,control,tsnet}*.log; do
        [ -e "$f" ] || continue
        sed -E 's#\[[A-Za-z0-9+/]{1,4}[A-Z0-9+/][A-Za-z0-9+/]{0,3}\]#[key]#g' "$f" |
            grep -aEi 'error|fail|\bbad |invalid|unexpected|reject|drop|mismatch|malform|warn|panic|unknown|refus|timed? ?out|unable|denied|cannot|couldn|wrong|too (big|large|short|long|many)|discard|corrupt|fatal' |
            grep -avE -f <(sed -n "s/^@$name //p; /^[^@#]/p" "$here/allowlist.txt") >"$d/complaints" || continue
        head -n 10 "$d/complaints"
        echo "^ in $f"
        bad=1
    done
    [ $bad = 0 ]
}

# ---- relay and control server ----------------------------------------------

relay_start() {
    bg derper "$PEERS/derper" -c "$d/derper.json" -a 127.0.0.1:3340 -http-port -1 \
        -stun-port 3478 -certmode manual -certdir "$d" -hostname 127.0.0.1
    until_ok 30 test -s "$d/127.0.0.1.crt"
    until_ok 30 curl -fsSk https://127.0.0.1:3340/derp/probe
}

derp_map() {
    local pin
    pin=$(openssl x509 -in "$d/127.0.0.1.crt" -outform der | sha256sum | cut -d' ' -f1)
    cat >"$d/derpmap.json" <<J
{"Regions": {"900": {"RegionID": 900, "RegionCode": "lab", "RegionName": "Lab", "Nodes": [
  {"Name": "900a", "RegionID": 900, "HostName": "127.0.0.1", "IPv4": "127.0.0.1", "IPv6": "none",
   "DERPPort": 3340, "STUNPort": 3478, "CertName": "sha256-raw:$pin"}]}}}
J
}

# control_start [FLAGS...]: http://127.0.0.1:9911 unless the flags say more
control_url=http://127.0.0.1:9911
control_start() {
    [ -e "$d/derpmap.json" ] || derp_map
    bg control "$PEERS/controlserver" -listen 127.0.0.1:9911 -derpmap "$d/derpmap.json" -domain lab.test "$@"
    until_ok 30 control_answers
}
control_answers() { curl -fsSk "${control_url/\/\/[a-z.]*:/\/\/127.0.0.1:}/generate_204" && runs control; }
lab() { # lab PATH: the control server's own interface for tests
    local method=POST
    [ "$1" != nodes ] || method=GET
    curl -fsSk -X "$method" "${lab_url:-http://127.0.0.1:9911}/lab/$1" "${@:2}"
}
lab_nodes() { lab nodes | jq '.nodes | length'; }
# Is the map stream of that host open?
has_stream() {
    lab nodes | jq -e --arg h "$1" '. as $a | [.nodes[] | select((.Name | split(".")[0]) == $h) | $a.streams[.Key] // 0] | add > 0'
}

# ---- tailscaled ------------------------------------------------------------

# ts_start N [VAR=VALUE...]: the node nN, its SOCKS5 server on 127.0.0.1:108N
ts_start() {
    local n=$1
    shift
    bg "tailscaled-n$n" env "$@" "$PEERS/tailscaled" --no-logs-no-support \
        --tun=userspace-networking --statedir="$d/n$n" --socket="$d/n$n.sock" --port=0 \
        --socks5-server="127.0.0.1:108$n"
    until_ok 60 ts "$n" status --json
}
ts() { local n=$1; shift; "$PEERS/tailscale" --socket="$d/n$n.sock" "$@"; }
ts_up() {
    ts "$1" up --login-server="$control_url" --authkey="${authkey:-labkey}" --hostname="n$1" --timeout=60s
}
ts_running() { ts "$1" status --json | jq -e '.BackendState == "Running"'; }
ts_ip() { ts "$1" ip "-$2"; }

# ---- remora ----------------------------------------------------------------

# remora_start NAME [ARGUMENTS...]: remora up in the background.  Events are in
# log/remora-NAME.out, the rest in log/remora-NAME.err.
remora_start() {
    local n=$1
    shift
    remora_run "$n" --control-url "$control_url" --auth-key "${authkey:-labkey}" --hostname "$n" "$@"
    remora_wait "$n"
}
# remora_run NAME [ARGUMENTS...]: the same with these arguments alone, and
# without a wait.
remora_run() {
    local n=$1
    shift
    mkdir -p "$d/state"
    : >"$d/log/remora-$n.out"
    setsid "${remora_binary:-$REMORA}" up --json --state-dir "$d/state/$n" \
        --log-level "${log_level:-debug}" "$@" \
        >>"$d/log/remora-$n.out" 2>>"$d/log/remora-$n.err" </dev/null &
    pid_of[remora-$n]=$!
}
remora_wait() { until_ok "${2:-60}" remora_is_up "$1"; }
remora_is_up() {
    grep -q '"event":"running"' "$d/log/remora-$1.out" && return
    runs "remora-$1" || {
        tail -n 5 "$d/log/remora-$1.err"
        return 1
    }
    return 1
}
running_event() { grep '"event":"running"' "$d/log/remora-$1.out" | tail -n 1; }
remora_ip4() { running_event "$1" | jq -r '.ips[] | select(contains(":") | not)'; }
remora_ip6() { running_event "$1" | jq -r '.ips[] | select(contains(":"))'; }
# remora NAME COMMAND [ARGUMENTS...]: status, ping, nc, down
remora() { local n=$1 c=$2; shift 2; "$REMORA" "$c" --state-dir "$d/state/$n" "$@"; }
# It ends by SIGTERM with code 0.
remora_stop() {
    local code=0
    end "remora-$1" TERM || code=$?
    [ $code = 0 ] || {
        echo "exit code $code"
        tail -n 30 "$d/log/remora-$1.err"
        return 1
    }
}

# ---- certificates ----------------------------------------------------------

# ca.pem, and control.pem with control.key for localhost and 127.0.0.1
certificates() {
    openssl ecparam -name prime256v1 -genkey -noout -out "$d/ca.key" &&
        openssl req -x509 -new -key "$d/ca.key" -days 30 -subj "/CN=lab CA" -out "$d/ca.pem" &&
        openssl ecparam -name prime256v1 -genkey -noout -out "$d/control.key" &&
        openssl req -new -key "$d/control.key" -subj "/CN=control" -out "$d/control.csr" &&
        printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n' >"$d/control.ext" &&
        openssl x509 -req -in "$d/control.csr" -CA "$d/ca.pem" -CAkey "$d/ca.key" -CAcreateserial \
            -days 30 -extfile "$d/control.ext" -out "$d/control.pem"
}

# ---- web -------------------------------------------------------------------

nginx_start() { # nginx_start NAME SERVER-BLOCK...
    local n=$1
    shift
    {
        echo "daemon off; pid $d/$n.pid; error_log stderr; worker_processes 1;"
        [ "$(id -u)" != 0 ] || echo "user root;"
        echo "events {} http { access_log off; sendfile on;"
        for t in client_body proxy fastcgi uwsgi scgi; do echo "${t}_temp_path $d/$n.tmp;"; done
        printf '%s\n' "$@"
        echo "}"
    } >"$d/$n.conf"
    bg "$n" nginx -e stderr -c "$d/$n.conf"
}
# A web server on 127.0.0.1:8088 with the file /big of 100 MB; it takes PUTs
# below /up/.
web_start() {
    head -c 100000000 /dev/urandom >"$d/www/big"
    echo hello >"$d/www/index.html"
    big_sum=$(sha256sum <"$d/www/big" | cut -d' ' -f1)
    nginx_start web "server { listen 127.0.0.1:8088; root $d/www; client_max_body_size 0;
        location /up/ { dav_methods PUT; create_full_put_path on; } }"
    until_ok 30 curl -fsS http://127.0.0.1:8088/
}
# fetch PROXY URL: the 100 MB file, whole and right; prints the speed.
fetch() {
    local began sum
    began=$(now_ms)
    sum=$(curl -fsS --max-time 120 --socks5-hostname "$1" "$2" | sha256sum | cut -d' ' -f1)
    [ "$sum" = "$big_sum" ] || { echo "the SHA-256 is $sum, not $big_sum"; return 1; }
    echo "= $((100000 / ($(ms_since "$began") + 1))) MB/s"
}
# Tailscaled's proxy gives up after 5 s, which is when a handshake that came too early
# for its peer's relay to be known is sent again: the first one by it is until_ok.
hello() { # hello PROXY URL [CURL ARGUMENTS...]
    [ "$(curl -fsS --max-time "${patience:-20}" --socks5-hostname "$1" "$2" "${@:3}")" = hello ]
}
