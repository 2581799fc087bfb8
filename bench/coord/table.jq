# coord_load's lines as a table: a column a case, the best of its rounds.
def best: map(select(. != null)) | min;
def of($p; f): map(select(.phase == $p) | select(.good) | f) | best;
def round2: if . == null then "-" else (. * 100 | round / 100 | tostring) end;
[group_by([.server, .nodes, .users])[]
 | {name: "\(.[0].server), \(.[0].nodes) nodes of \(.[0].users) user\(if .[0].users > 1 then "s" else "" end)",
    rank: [(if .[0].server == "remora" then 0 else 1 end), .[0].nodes, .[0].users],
    cells: [
      of("join"; .wall_s), of("join"; .cpu_s), of("join"; .peak_kib / 1024), of("join"; .kib_a_node),
      of("change"; .each_p50_ms), of("change"; .each_p99_ms), of("change"; .all_p99_ms), of("change"; .all_max_ms),
      of("change"; .cpu_s * 1000 / .changes),
      of("reconnect"; .wall_s), of("reconnect"; .cpu_s), of("reconnect"; .peak_kib / 1024),
      of("idle"; .cpu_s / .wall_s * 1000), of("idle"; .keepalives / .wall_s),
      of("stop"; .wall_s)]}]
| sort_by(.rank) as $runs
| ["until all see all, s", "... the server's CPU s", "... MiB at most", "... KiB a node",
   "a change reaches one: p50, ms", "... p99", "a change reached all: p99, ms", "... the slowest",
   "... CPU ms a change",
   "all streams cut, until all are back, s", "... CPU s", "... MiB at most",
   "at rest: CPU ms a second", "... keep-alives a second", "SIGTERM until the end, s"] as $names
| (["| |"] + [$runs[].name + " |"] | join(" ")),
  ("|---|" + ($runs | map("---:|") | join(""))),
  (range($names | length) as $i | "| \($names[$i]) | " + ($runs | map(.cells[$i] | round2) | join(" | ")) + " |")
