# Memory 10 s after the join, alone in the tailnet and among 64 peers. Where the
# kernel puts libc decides how much of it one touch makes resident, so each kind
# is started several times. Sourced by run.
memory_kinds=(minimal remora tsnet tailscaled)
memory_once() { # memory_once PEERS: "KIND RSS ANONYMOUS FILES PSS" to $d/memory
    local kind
    control_again "$1"
    for kind in "${memory_kinds[@]}"; do node_up "$kind" "mem-$kind" wan; done
    for kind in "${memory_kinds[@]}"; do node_wait "$kind" "mem-$kind"; done
    sleep 10
    for kind in "${memory_kinds[@]}"; do
        echo "$kind $(memory "${node_pid[mem-$kind]}")" >>"$d/memory"
        node_down "mem-$kind"
    done
}
memory_rows() { # memory_rows PEERS
    local i
    : >"$d/memory"
    for ((i = 0; i < 5; i++)); do memory_once "$1"; done
    for kind in "${memory_kinds[@]}"; do
        grep "^$kind " "$d/memory" | sort -k2,2n | awk -v k="$kind" -v p="$1" '
            { for (i = 2; i <= 5; i++) v[i, NR] = $i }
            END {
                m = int((NR + 1) / 2)
                bar = k == "minimal" || k == "remora" ? (v[2, m] <= 3072 ? "met" : "**NOT met**") : ""
                printf "| %s, %d peers | %d | %.2f | %d to %d | %d | %d | %d | %s |\n", k, p + 3, v[2, m], v[2, m] / 1024,
                    v[2, 1], v[2, NR], v[3, m], v[4, m], v[5, m], bar
            }'
    done
}
echo "| idle for 10 s, the median of 5 starts | RSS KiB | RSS MiB | RSS KiB, least to most | of it anonymous KiB | of files KiB | PSS KiB | RSS <= 3 MiB |"
echo "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |"
memory_rows 0
memory_rows 64
