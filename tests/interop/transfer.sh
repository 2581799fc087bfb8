#!/usr/bin/env bash
# A file of 100 MB with the right SHA-256, between every kind of pair, over
# IPv4 and IPv6 tailnet addresses and by MagicDNS name.
. "$(dirname "$0")/lib.sh"
lab_start
must relay_start
must control_start # without -authkey: it would ask the restarted tailscaled again
must ts_start 1
must ts_up 1
must remora_start r1 --socks5 127.0.0.1:1055 --serve 8088=127.0.0.1:8088
must remora_start r2 --socks5 127.0.0.1:1056
must web_start

n1=127.0.0.1:1081 r1=127.0.0.1:1055 r2=127.0.0.1:1056
step "remora to tailscaled, IPv4" fetch $r1 "http://$(ts_ip 1 4):8088/big"
step "remora to tailscaled, IPv6" fetch $r1 "http://[$(ts_ip 1 6)]:8088/big"
step "remora to tailscaled, MagicDNS name" fetch $r1 http://n1.lab.test:8088/big
step "tailscaled to remora, IPv4" fetch $n1 "http://$(remora_ip4 r1):8088/big"
step "tailscaled to remora, IPv6" fetch $n1 "http://[$(remora_ip6 r1)]:8088/big"
step "tailscaled to remora, MagicDNS name" fetch $n1 http://r1.lab.test:8088/big
step "remora to remora, IPv4" fetch $r2 "http://$(remora_ip4 r1):8088/big"
step "remora to remora, IPv6" fetch $r2 "http://[$(remora_ip6 r1)]:8088/big"
step "remora to remora, MagicDNS name" fetch $r2 http://r1.lab.test:8088/big

# Upwards: the same file by PUT.
upload() {
    local sum began
    began=$(now_ms)
    curl -fsS --max-time 120 --socks5-hostname "$1" -T "$d/www/big" "$2/up/big" >/dev/null || return 1
    sum=$(sha256sum <"$d/www/up/big" | cut -d' ' -f1)
    rm -f "$d/www/up/big"
    [ "$sum" = "$big_sum" ] || { echo "the SHA-256 is $sum, not $big_sum"; return 1; }
    echo "= $((100000 / ($(ms_since "$began") + 1))) MB/s"
}
step "remora to tailscaled, upwards" upload $r1 http://n1.lab.test:8088
step "tailscaled to remora, upwards" upload $n1 http://r1.lab.test:8088

many() { # several at once through one proxy
    local i pids=() ok=0
    for i in 1 2 3 4 5 6 7 8; do
        fetch_part "$1" "$2" $((i * 10000000)) & pids+=($!)
    done
    for i in "${pids[@]}"; do wait "$i" || ok=1; done
    return $ok
}
fetch_part() {
    cmp <(curl -fsS --max-time 120 --socks5-hostname "$1" -r "$3-$(($3 + 9999999))" "$2") \
        <(tail -c +$(($3 + 1)) "$d/www/big" | head -c 10000000)
}
step "eight downloads at once" many $r1 http://n1.lab.test:8088/big
step "eight downloads at once, the other way" many $n1 http://r1.lab.test:8088/big

# The relay alone: tailscaled keeps to it, and so must remora.
must stop tailscaled-n1
must ts_start 1 TS_DEBUG_ALWAYS_USE_DERP=1
must until_ok 60 ts_running 1
must until_ok 60 hello $r1 http://n1.lab.test:8088/ # its old session must time out first
step "remora to tailscaled, by the relay alone" fetch $r1 http://n1.lab.test:8088/big
step "tailscaled to remora, by the relay alone" fetch $n1 http://r1.lab.test:8088/big
lab_end
