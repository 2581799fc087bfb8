# lab.sh - what the scripts of this folder share: namespaces of their own, the
# wan's servers, nodes on hosts of net.sh.  To be sourced first, with the
# script's arguments: it runs the script again inside.
#
# Environment: REMORA, PEERS as in tests/interop/lib.sh; LAB_LOGS.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
REMORA=$(realpath "${REMORA:-$top/build/dev/bin/remora}")
PEERS=$(realpath "${PEERS:-$top/build/peers}")
LAB_LOGS=${LAB_LOGS:-$top/build/nat}
if [ -z "${LAB_INSIDE:-}" ]; then
    [ -x "$PEERS/tailscaled" ] || { echo "no peers in $PEERS; run tests/peers/install.sh" >&2; exit 1; }
    export LAB_INSIDE=1 REMORA PEERS LAB_LOGS
    exec unshare --net --mount --pid --fork --kill-child --mount-proc bash "$0" "$@"
fi

# shellcheck source=tests/nat/net.sh
. "$here/net.sh"
d=$LAB_LOGS
rm -rf "$d"
mkdir -p "$d/log"
export HOME=$d TS_NO_LOGS_NO_SUPPORT=true TS_LOGS_DIR=$d
# An end by signal is an end too: namespaces go with the last process.
trap 'exit 143' TERM INT

now_ms() { local up; read -r up _ </proc/uptime; echo "${up/./}0"; }
until_ok() {
    local limit=$(($(now_ms) + $1 * 1000))
    shift
    until "$@" >"$d/until.$BASHPID" 2>&1; do
        [ "$(now_ms)" -lt $limit ] || { echo "timed out: $*" >&2; cat "$d/until.$BASHPID" >&2; return 1; }
        sleep 0.1
    done
}
bg() { local l=$1; shift; "$@" >"$d/log/$l.log" 2>&1 </dev/null & }

# ---- control server and two relays on the wan -----------------------------

relay() { # relay N ADDRESS
    mkdir -p "$d/derp$1"
    bg "derper$1" on wan "$PEERS/derper" -c "$d/derp$1/derper.json" -a "$2:3340" -http-port -1 \
        -stun-port 3478 -certmode manual -certdir "$d/derp$1" -hostname "$2"
    until_ok 30 test -s "$d/derp$1/$2.crt"
}
region() { # region N ADDRESS
    local pin
    pin=$(openssl x509 -in "$d/derp$1/$2.crt" -outform der | sha256sum | cut -d' ' -f1)
    cat <<J
"90$1": {"RegionID": 90$1, "RegionCode": "lab$1", "RegionName": "Lab $1", "Nodes": [
  {"Name": "90${1}a", "RegionID": 90$1, "HostName": "$2", "IPv4": "$2", "IPv6": "none",
   "DERPPort": 3340, "STUNPort": 3478, "CertName": "sha256-raw:$pin"}]}
J
}
control_url=http://10.10.0.1:9911
wan_start() {
    net_wan
    relay 1 198.18.0.2
    relay 2 198.18.0.3
    echo "{\"Regions\": {$(region 1 198.18.0.2), $(region 2 198.18.0.3)}}" >"$d/derpmap.json"
    # The control server keeps to loopback.
    bg control on wan "$PEERS/controlserver" -listen 127.0.0.1:9911 -base-url "$control_url" \
        -derpmap "$d/derpmap.json" -authkey labkey -domain lab.test
    bg socat on wan socat TCP-LISTEN:9911,bind=10.10.0.1,fork,reuseaddr TCP:127.0.0.1:9911
    until_ok 30 on wan curl -fsS "$control_url/generate_204"
}

# ---- nodes: NAME is KIND-a or KIND-b, WHAT is remora or tailscaled ----------

node_start() { # node_start WHAT NAME [OPTION OF THE DAEMON...]
    mkdir -p "$d/$1"
    case $1 in
        tailscaled)
            bg "$1-$2" on "$2" "$PEERS/tailscaled" --no-logs-no-support --tun=userspace-networking \
                --statedir="$d/$1/$2" --socket="$d/$1/$2.sock" "${@:3}"
            until_ok 60 node "$1" "$2" status --json
            until_ok 60 node "$1" "$2" up --login-server="$control_url" --authkey=labkey \
                --hostname="$1-$2" --timeout=55s
            ;;
        remora)
            bg "$1-$2" on "$2" "$REMORA" up --json --state-dir "$d/$1/$2" --log-level debug \
                --control-url "$control_url" --auth-key labkey --hostname "$1-$2" "${@:3}"
            ;;
    esac
    until_ok 60 is_running "$1" "$2"
}
node() { # node WHAT NAME COMMAND...
    local what=$1 name=$2
    shift 2
    case $what in
        tailscaled) "$PEERS/tailscale" --socket="$d/$what/$name.sock" "$@" ;;
        remora) "$REMORA" "$1" --state-dir "$d/$what/$name" "${@:2}" ;;
    esac
}
is_running() { node "$1" "$2" status --json | jq -e '.BackendState == "Running" and (.Self.Relay != "")'; }
ip_of() { node "$1" "$2" status --json | jq -r '.Self.TailscaleIPs[0]'; }
sees() { # sees WHAT NAME ADDRESS
    node "$1" "$2" status --json | jq -e --arg i "$3" '[.Peer[] | select(.TailscaleIPs[0] == $i)] | length == 1'
}
cur_addr() { # cur_addr WHAT NAME ADDRESS-OF-THE-PEER
    node "$1" "$2" status --json | jq -r --arg i "$3" '.Peer[] | select(.TailscaleIPs[0] == $i) | .CurAddr // ""'
}
