# Sizes of what was built.  Sourced by run.
size_row() { # size_row NAME FILE
    local n
    strip -o "$d/stripped" "$2"
    n=$(stat -c %s "$d/stripped")
    awk -v name="$1" -v n="$n" 'BEGIN { printf "| %s | %d | %.2f | %.2f |\n", name, n, n / 1e6, n / 1048576 }'
}
echo "| stripped | bytes | MB | MiB |"
echo "| --- | ---: | ---: | ---: |"
size_row "examples/minimal" "$MINIMAL"
size_row "the command, remora" "$REMORA"
size_row "tsnetpeer" "$PEERS/tsnetpeer"
size_row "tailscaled" "$PEERS/tailscaled"
