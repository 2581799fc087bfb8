# What a cold peer takes: what a node among 1,000 and among 10,000 has more than
# one alone, 10 s after the join.  Sourced by run.
peers_rss() { # peers_rss KIND N: RSS and its anonymous part, KiB
    control_again "$2"
    node_up "$1" cold wan
    node_wait "$1" cold
    sleep 10
    memory "${node_pid[cold]}" | cut -d' ' -f1,2
    node_down cold
}
echo "| cold peers | RSS KiB | anonymous KiB | RSS, bytes a peer | anonymous, bytes a peer |"
echo "| --- | ---: | ---: | ---: | ---: |"
for kind in minimal tsnet; do
    for n in 0 1000 10000; do
        # Not in a subshell: node_up keeps what it starts.
        peers_rss $kind $n >"$d/rss"
        read -r rss anon <"$d/rss"
        [ $n != 0 ] || rss0=$rss anon0=$anon
        awk -v k=$kind -v n=$n -v r="$rss" -v a="$anon" -v r0="$rss0" -v a0="$anon0" 'BEGIN {
            printf "| %s, %d | %d | %d | ", k, n, r, a
            if (n) printf "%d | %d |\n", (r - r0) * 1024 / n, (a - a0) * 1024 / n; else print "| |" }'
    done
done
