# Lines "peer way field value" -> a table in Markdown; of several rounds the best
# of each field counts (memory: the worst), because others only make it worse.
function better(f, a, b) { return f == "mbit" || f == "memory" ? a > b : a < b }
{
    k = $1 SUBSEP $2
    if (!(k in seen)) {
        seen[k] = 1
        order[++n] = k
    }
    if (!((k, $3) in v) || better($3, $4, v[k, $3])) v[k, $3] = $4
}
function row(k, f, form) { return (k, f) in v ? sprintf(form, v[k, f]) : "-" }
# What a bar says: the ratio of ours to tsnet's on the same way.
function bar(k, base, f, limit, at_least, name,    r, ok) {
    if (!((k, f) in v) || !((base, f) in v) || v[base, f] == 0) return
    r = v[k, f] / v[base, f]
    ok = at_least ? r >= limit : r <= limit
    printf "| %s | %s | %s | %.2f | %s %.2f | %s |\n", part[1], part[2], name, r,
        at_least ? ">=" : "<=", limit, ok ? "met" : "NOT met"
}
END {
    printf "%s; %d MiB a transfer, best of %d\n\n", machine, mb, rounds
    print "| node | way | Mbit/s | CPU s/GB: client | server | relay | connect us p50 | p99 | 1 byte us p50 | p99 | peak MiB |"
    print "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for (i = 1; i <= n; i++) {
        k = order[i]
        split(k, part, SUBSEP)
        print "| " part[1] " | " part[2] " | " row(k, "mbit", "%.0f") " | " row(k, "client", "%.2f") " | " \
            row(k, "server", "%.2f") " | " row(k, "relay", "%.2f") " | " row(k, "conn50", "%.0f") " | " \
            row(k, "conn99", "%.0f") " | " row(k, "rr50", "%.0f") " | " row(k, "rr99", "%.0f") " | " \
            row(k, "memory", "%.1f") " |"
    }
    print "\n| node | way | figure | to tsnet's | bar | |"
    print "| --- | --- | --- | ---: | ---: | --- |"
    for (i = 1; i <= n; i++) {
        k = order[i]
        split(k, part, SUBSEP)
        if (part[1] == "tsnet") continue
        base = "tsnet" SUBSEP (part[2] == "remora" ? "derper" : part[2])
        v[k, "cpu"] = v[k, "client"] + v[k, "server"]
        v[base, "cpu"] = v[base, "client"] + v[base, "server"]
        bar(k, base, "mbit", part[2] == "direct" ? 3.5 : 6, 1, "throughput")
        if (part[2] == "direct") bar(k, base, "cpu", 0.3, 0, "CPU of both ends per GB")
        if (part[2] == "remora") bar(k, base, "relay", 1 / 6, 0, "CPU of the relay per GB")
        bar(k, base, "conn50", 0.5, 0, "connect p50")
        bar(k, base, "conn99", 0.5, 0, "connect p99")
        bar(k, base, "rr50", 0.5, 0, "round trip p50")
        bar(k, base, "rr99", 0.5, 0, "round trip p99")
        if ((k, "memory") in v)
            printf "| %s | %s | peak memory | %.1f MiB | <= 16 MiB | %s |\n", part[1], part[2], v[k, "memory"],
                v[k, "memory"] <= 16 ? "met" : "NOT met"
    }
}
