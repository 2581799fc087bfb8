# From the start of a process to the line that says that it is in the tailnet:
# fresh keys each time, ours and tsnet's in turn.  Run by run on the wan, so that
# nothing but exec lies between a shell and the node.
set -euo pipefail
# join_once KIND WAY: "KIND WAY MILLISECONDS" to $d/joins.  The shell that becomes
# the node says first when that is.
join_once() {
    local kind=$1 way=$2 name=$1-join began ended line fd pid
    local node=("$MINIMAL" $local_url "$d/$name")
    [ "$kind" = minimal ] || node=("$PEERS/tsnetpeer" -name tsnet -control $local_url -authkey labkey -dir "$d/$name")
    rm -rf "${d:?}/$name"
    mkdir -m 700 "$d/$name"
    exec {fd}< <(
        echo $EPOCHREALTIME
        AUTH_KEY=labkey exec "${node[@]}" 2>"$d/$name.err"
    )
    pid=$!
    read -r began <&"$fd"
    read -r -t 60 line <&"$fd" || line=nothing
    ended=$EPOCHREALTIME
    kill "$pid"
    wait "$pid" 2>/dev/null || :
    exec {fd}<&-
    case $line in "discarding as"* | *'"what":"join"'*) ;; *)
        echo "join: $kind said $line" >&2
        cat "$d/$name.err" >&2
        exit 1
        ;;
    esac
    awk -v k="$kind" -v w="$way" -v a="$began" -v b="$ended" 'BEGIN { print k, w, (b - a) * 1000 }' >>"$d/joins"
    echo "$kind $way $line" >>"$d/said"
    curl -fsS -X POST "$local_url/lab/remove?name=$kind" >/dev/null
}
udp_block() { # without a word to the sender, as networks do it
    nft -f - <<N
table inet lean {
    chain incoming { type filter hook input priority filter; policy accept;
        meta l4proto udp drop
    }
}
N
}
udp_free() { nft delete table inet lean; }

: >"$d/joins"
join_once minimal warm # the server's own first time
join_once tsnet warm
for ((round = 0; round < rounds; round++)); do
    for kind in minimal tsnet; do join_once $kind plain; done
done
udp_block
for ((round = 0; round < rounds; round++)); do
    for kind in minimal tsnet; do join_once $kind blocked; done
done
udp_free
echo "| joined, ms from the start of the process, $rounds times | minimal: best | median | worst | tsnet: best | median | worst | medians | bar | |"
echo "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- |"
sort -k2,2 -k1,1 -k3,3n "$d/joins" | awk '
    $2 != "warm" { v[$1, $2, ++n[$1, $2]] = $3 }
    function med(k, w) { return v[k, w, int((n[k, w] + 1) / 2)] }
    function cells(k, w) { return sprintf("%.1f | %.1f | %.1f", v[k, w, 1], med(k, w), v[k, w, n[k, w]]) }
    function row(name, w,   r) {
        r = med("minimal", w) / med("tsnet", w)
        printf "| %s | %s | %s | 1/%.1f | <= 1/10 | %s |\n", name, cells("minimal", w), cells("tsnet", w), 1 / r, r <= 0.1 ? "met" : "**NOT met**"
    }
    END { row("UDP passes", "plain"); row("UDP blocked", "blocked")
        r = med("minimal", "blocked") / med("minimal", "plain")
        printf "\nminimal with UDP blocked: %.2f times what it takes else.\n", r }'
