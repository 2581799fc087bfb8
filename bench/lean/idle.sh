# Wake-ups and packets of an idle node among 100 others that are idle too, each
# kind on a host of its own, all at the same time.  Sourced by run.
control_again 0
idle_kinds=(minimal remora tsnet tailscaled)
for kind in "${idle_kinds[@]}"; do net_host "h-$kind" none; done
for ((i = 1; i <= 100; i++)); do
    node_up minimal "peer$i" wan
    # A few at a time: the control server tells each of all others.
    [ $((i % 10)) != 0 ] || node_wait minimal "peer$i"
done
for kind in "${idle_kinds[@]}"; do node_up "$kind" "idle-$kind" "h-$kind"; done
for kind in "${idle_kinds[@]}"; do node_wait "$kind" "idle-$kind"; done
sleep 60 # what a start brings is over
idle_counts() { for k in "${idle_kinds[@]}"; do echo "$k $(wakeups "${node_pid[idle-$k]}") $(packets "h-$k") $(cpu_ms "${node_pid[idle-$k]}")"; done; }
idle_began=$(now_ms)
idle_counts >"$d/idle0"
sleep $((minutes * 60))
idle_counts >"$d/idle1"
idle_took=$(($(now_ms) - idle_began))
echo "| idle among 100 idle peers, a minute, over $minutes min | wake-ups | packets, both ways | CPU ms |"
echo "| --- | ---: | ---: | ---: |"
join "$d/idle0" "$d/idle1" 2>/dev/null | awk -v ms="$idle_took" '
    { m = ms / 60000; printf "| %s | %.1f | %.1f | %.1f |\n", $1, ($5 - $2) / m, ($6 - $3) / m, ($7 - $4) / m }'
for n in "${!node_pid[@]}"; do node_down "$n"; done
