# Makes the table of bench/run from the lines of the benchmarks: name,
# operations, bytes, nanoseconds of CPU; the best of each name counts.
#   awk -F '\t' -v format=markdown|json -v seconds= -v rounds= -v cpu= \
#       -v machine= -f table.awk LINES

{
    if (NF != 4 || $2 <= 0 || $4 <= 0) {
        print "table.awk: no measurement: " $0 >"/dev/stderr"
        failed = 1
        exit 1
    }
    # Nanoseconds a byte are seconds a GB.
    cost = $3 > 0 ? $4 / $3 : $4 / $2
    if (!($1 in best)) names[++n_names] = $1
    if (!($1 in best) || cost < best[$1]) best[$1] = cost
}

# row(WHAT, UNIT, OURS, RIVALS, RATIO, RATIO_TEXT, BAR, MET): MET is yes, no or
# empty where there is no bar or nothing to compare with.
function row(what, unit, ours, rivals, ratio, text, bar, met) {
    r_what[++n_rows] = what
    r_unit[n_rows] = unit
    r_ours[n_rows] = ours
    r_rivals[n_rows] = rivals == "" ? "not built" : rivals
    r_ratio[n_rows] = rivals == "" ? "" : ratio
    r_text[n_rows] = rivals == "" ? "" : text
    r_bar[n_rows] = bar
    r_met[n_rows] = rivals == "" ? "" : met
}
function yes(x) { return x ? "yes" : "no" }
function num(x) { return sprintf(x < 10 ? "%.2f" : "%.0f", x) }
# The part of NAME between its first and last slash, without "remora-".
function middle(name) {
    sub(/^[^\/]*\//, "", name)
    sub(/\/[0-9]*$/, "", name)
    sub(/^remora-/, "", name)
    return name
}
# least(PATTERN): the lowest cost of the names that match; sets `listed` to all
# of them as text, as rates when `rates` is 1.
function least(pattern, rates,    i, low, name) {
    listed = ""
    low = 0
    for (i = 1; i <= n_names; i++) {
        name = names[i]
        if (name !~ pattern) continue
        if (low == 0 || best[name] < low) low = best[name]
        listed = listed (listed == "" ? "" : ", ") middle(name) " " \
            num(rates ? 1 / best[name] : best[name])
    }
    return low
}

function aead_rows(    i, size, sizes, ours, mine, theirs) {
    split("64 1280 1420", sizes, " ")
    for (i = 1; i <= 3; i++) {
        size = sizes[i]
        mine = least("^aead/remora-.*/" size "$", 1)
        if (mine == 0) continue
        ours = listed
        theirs = least("^aead/(openssl|ring|go|ipsec-mb.*)/" size "$", 1)
        row("AEAD seal + open, " size " bytes", "GB/s", ours, listed, \
            theirs / mine, num(theirs / mine) "x the best", "", "")
    }
}

function wg_rows(    i, name, alone, share, mine, ours, theirs) {
    for (i = 1; i <= n_names; i++) {
        name = names[i]
        if (name !~ /^wg\/remora-/) continue
        alone = "aead/remora-" middle(name) "/1280"
        if (!(alone in best)) sub(/-batch/, "", alone) # it has no such form
        if (!(alone in best)) continue
        share = best[alone] / best[name]
        row("wgcore seal + open, 1,280 bytes, " middle(name), "GB/s", \
            num(1 / best[name]), "the AEAD alone " num(1 / best[alone]), share, \
            sprintf("%.0f %%", 100 * share), ">= 90 %", yes(share >= 0.9))
    }
    mine = least("^wg/remora-", 1)
    if (mine == 0) return
    ours = listed
    theirs = least("^wg/(wireguard-go|boringtun)/", 1)
    row("the same beside other WireGuards", "GB/s", ours, listed, \
        theirs / mine, num(theirs / mine) "x the better", ">= 1.5x", \
        yes(theirs / mine >= 1.5))
}

function handshake_row(    mine, scalar, share) {
    mine = best["handshake/remora"]
    scalar = best["handshake/x25519"]
    if (!mine || !scalar) return
    # Scalar multiplications of both sides: initiator e, es, ee, se; responder
    # es, e, ee, se; static-static is kept.
    share = 8 * scalar / mine
    row("handshakes, both sides", "1/s", num(1e9 / mine), \
        "8 X25519 " num(1e9 / (8 * scalar)), share, \
        sprintf("%.0f %%", 100 * share), ">= 85 %", yes(share >= 0.85))
}

# tcp_row(GROUP, WHAT, RIVAL, BAR, LIMIT): a limit of 0 is no bar.
function tcp_row(group, what, rival, bar, limit,    mine, theirs) {
    mine = best[group "/remora/1280"]
    if (!mine) return
    theirs = least("^" group "/" rival, 0)
    row(what, "CPU s/GB", num(mine), listed, theirs ? mine / theirs : "", \
        theirs ? sprintf("%.0f %%", 100 * mine / theirs) : "", bar, \
        limit ? yes(mine < limit * theirs) : "")
}
function tcp_rows(    what) {
    what = "TCP, two stacks, MTU 1,280"
    tcp_row("tcp", what, "smoltcp", "less", 1)
    tcp_row("tcp", what, "lwip", "<= 45 %", 0.45)
    what = what ", two packets at a time"
    tcp_row("tcp2", what, "smoltcp", "", 0)
    tcp_row("tcp2", what, "lwip", "", 0)
}

function pipe_rows(    i, name, end, tunnel, tcp, sum) {
    tcp = best["pipe/tcp/1280"]
    for (i = 1; i <= n_names; i++) {
        name = names[i]
        if (name !~ /^pipe\/whole-/) continue
        end = middle(name)
        sub(/^whole-/, "", end)
        tunnel = best["pipe/wg-" end "/1280"]
        if (!tcp || !tunnel) continue
        sum = tcp + tunnel
        row("TCP > WireGuard > WireGuard > TCP, " end, "CPU s/GB", \
            num(best[name]), "TCP " num(tcp) " + tunnels " num(tunnel), \
            best[name] / sum, num(best[name] / sum) "x the sum", "<= 1.25x", \
            yes(best[name] <= 1.25 * sum))
        if (end ~ /ipsec-?mb/)
            row("the same, absolute", "CPU s/GB", num(best[name]), "1.2", \
                best[name] / 1.2, "", "<= 1.2 s/GB", yes(best[name] <= 1.2))
    }
}

function tls_rows(    i, size, sizes, mine, ours, alone) {
    split("1280 16384", sizes, " ")
    for (i = 1; i <= 2; i++) {
        size = sizes[i]
        mine = least("^tls/remora/" size "$", 1)
        if (mine == 0) continue
        ours = listed
        alone = least("^tls/bearssl-.*/" size "$", 1)
        row("TLS records out + in, " size " bytes", "GB/s", ours, listed, \
            alone / mine, sprintf("%.0f %%", 100 * alone / mine), "", "")
    }
}

function markdown(    i, verdict) {
    print "One core (" cpu ") of " machine "; best of " rounds " x " seconds \
        " s of CPU each."
    print ""
    print "| what | unit | ours | beside | ratio | bar | |"
    print "|---|---|---|---|---|---|---|"
    for (i = 1; i <= n_rows; i++) {
        verdict = r_met[i] == "yes" ? "met" : r_met[i] == "no" ? "NOT met" : ""
        print "| " r_what[i] " | " r_unit[i] " | " r_ours[i] " | " \
            r_rivals[i] " | " r_text[i] " | " r_bar[i] " | " verdict " |"
    }
}

function text(s) {
    gsub(/[\\"]/, "\\\\&", s)
    return "\"" s "\""
}
function json(    i, met) {
    print "{\"machine\": " text(machine) ", \"cpu\": " cpu ", \"rounds\": " \
        rounds ", \"seconds\": " seconds ", \"rows\": ["
    for (i = 1; i <= n_rows; i++) {
        met = r_met[i] == "yes" ? "true" : r_met[i] == "no" ? "false" : "null"
        print "  {\"what\": " text(r_what[i]) ", \"unit\": " text(r_unit[i]) \
            ", \"ours\": " text(r_ours[i]) ", \"beside\": " text(r_rivals[i]) \
            ", \"ratio\": " (r_ratio[i] == "" ? "null" : r_ratio[i] + 0) \
            ", \"bar\": " text(r_bar[i]) ", \"met\": " met "}" \
            (i < n_rows ? "," : "")
    }
    print "], \"best\": {"
    for (i = 1; i <= n_names; i++)
        print "  " text(names[i]) ": {\"" \
            (names[i] ~ /^handshake/ ? "ns_an_operation" : "ns_a_byte") \
            "\": " best[names[i]] "}" (i < n_names ? "," : "")
    print "}}"
}

END {
    if (failed) exit 1
    aead_rows()
    wg_rows()
    handshake_row()
    tcp_rows()
    pipe_rows()
    tls_rows()
    if (format == "json") json()
    else markdown()
}
