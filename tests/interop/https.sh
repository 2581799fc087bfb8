#!/usr/bin/env bash
# A control server by https, with a CA of its own: alone, and behind a real
# nginx that passes the Upgrade on.
. "$(dirname "$0")/lib.sh"
lab_start
must relay_start
must certificates
export SSL_CERT_FILE=$d/ca.pem # for the Go programs
control_url=https://localhost:9911 lab_url=https://127.0.0.1:9911
must control_start -authkey labkey -cert "$d/control.pem" -key "$d/control.key"
must ts_start 1
must ts_up 1
must web_start

step "by host name, --ca-file" remora_start r1 --ca-file "$d/ca.pem" --socks5 127.0.0.1:1055
control_url=https://127.0.0.1:9911 step "by IP address, --ca-file" remora_start r2 --ca-file "$d/ca.pem"
step "traffic" hello 127.0.0.1:1055 http://n1.lab.test:8088/
step "the map stream is open" until_ok 30 has_stream r1
# The server starts anew and has another Noise key: through verified TLS it is
# taken over.
must remora_stop r2
must stop control
must control_start -cert "$d/control.pem" -key "$d/control.key"
other_key() { remora_run r2 --ca-file "$d/ca.pem" && remora_wait r2; }
step "the server's new Noise key is taken over through TLS" other_key

# nginx in front: TLS there, plain http behind.
must remora_stop r2
must stop control
control_url=http://127.0.0.1:9911 lab_url=http://127.0.0.1:9911
must control_start -authkey labkey
must nginx_start front "server { listen 127.0.0.1:9443 ssl;
    ssl_certificate $d/control.pem; ssl_certificate_key $d/control.key;
    location / { proxy_pass http://127.0.0.1:9911; proxy_http_version 1.1;
        proxy_set_header Upgrade \$http_upgrade; proxy_set_header Connection upgrade;
        proxy_buffering off; proxy_read_timeout 300s; } }"
must until_ok 30 curl -fsSk https://127.0.0.1:9443/generate_204
control_url=https://localhost:9443
step "through nginx" remora_start r3 --ca-file "$d/ca.pem" --socks5 127.0.0.1:1057
control_url=http://127.0.0.1:9911 # the ordinary client: straight to it
must ts_start 2
must ts_up 2
step "traffic" hello 127.0.0.1:1057 http://n2.lab.test:8088/
step "the map stream is open through nginx" until_ok 30 has_stream r3
lab_end
