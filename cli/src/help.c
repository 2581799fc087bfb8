/* The help texts, with an example for each command. */
#include "help.h"

static const char help_all[] =
    "remora joins this program to a tailnet, without root, a daemon or a\n"
    "network interface.\n"
    "\n"
    "  remora up        joins and stays in the foreground\n"
    "  remora status    what the running node and its peers do\n"
    "  remora set       changes the running node\n"
    "  remora whois     who has a tailnet address\n"
    "  remora ping      asks a peer for an answer\n"
    "  remora netcheck  how the network treats this host\n"
    "  remora nc        stdin and stdout over the tailnet\n"
    "  remora capture   the packets inside the tunnels, as a pcap file\n"
    "  remora metrics   what the running node counts, for Prometheus\n"
    "  remora debug     what the running node knows\n"
    "  remora down      stops the running node\n"
    "  remora logout    leaves the tailnet: the node's key ends\n"
    "  remora relay     a DERP relay for all nodes of a tailnet\n"
    "  remora coordinator  a coordination server: a tailnet of one's own\n"
    "  remora version   the version\n"
    "  remora help X    more about a command\n"
    "\n"
    "Example: join, and reach the tailnet through a SOCKS5 proxy:\n"
    "  remora up --control-url https://headscale.example.com \\\n"
    "            --auth-key-file key.txt --socks5 127.0.0.1:1055\n"
    "  curl --socks5-hostname 127.0.0.1:1055 http://n2/\n"
    "\n"
    "Exit codes: 0 done, 1 failed (one line on stderr), 2 wrong usage.\n";

static const char help_up[] =
    "remora up: joins the tailnet and stays in the foreground\n"
    "\n"
    "  --control-url URL         the control server (Headscale, Tailscale);\n"
    "                            kept in the state after the first time\n"
    "  --login-server URL        the same, by its usual name\n"
    "  --auth-key KEY            a key that the control server made, for the\n"
    "                            first time only; also in $REMORA_AUTH_KEY\n"
    "  --auth-key-file F         a file that holds it\n"
    "  --hostname NAME           the node's name; default: this machine's\n"
    "  --state-dir DIR           default: $XDG_STATE_HOME/remora or\n"
    "                            ~/.local/state/remora\n"
    "  --ephemeral               the server forgets the node when it is gone\n"
    "  --ca-file PEM             trust these CAs instead of the system's\n"
    "  --accept-control-key      take over a changed key of a control server\n"
    "                            that is reached by plain http\n"
    "  --socks5 ADDR:PORT        a SOCKS5 proxy into the tailnet\n"
    "  --socks5-auth USER:PASS   who may use it; none: whoever reaches it\n"
    "  --forward LOCAL=PEER:PORT local port to a peer's; may be repeated\n"
    "  --serve PORT=ADDR:PORT    tailnet port to a local one; may be repeated\n"
    "  --udp-port N              default 41641, or any where that is taken\n"
    "  --no-udp                  no direct paths: all goes by relays\n"
    "  --no-port-mapping         don't ask the router for a port (NAT-PMP, "
    "PCP,\n"
    "                            UPnP)\n"
    "  --static-endpoint ADDR:PORT  peers reach this node there; may be\n"
    "                            repeated\n"
    "  --advertise-routes CIDR,...  offer these subnets to the tailnet; the\n"
    "                            control server approves them\n"
    "  --advertise-exit-node     offer to carry peers' traffic to the "
    "Internet\n"
    "  --advertise-tags TAG,...  be a node of these tags, such as tag:server,\n"
    "                            which the control server grants; nothing: "
    "none\n"
    "  --accept-routes           reach the subnets that peers offer\n"
    "  --exit-node PEER          reach all else through this peer: its name,\n"
    "                            tailnet address or stable id\n"
    "  --exit-node-allow-lan     but this host's own subnets directly\n"
    "  --shields-up              let no peer in; replies to us come\n"
    "  --accept-dns=false        don't heed the tailnet's DNS settings\n"
    "  --json                    one object a line on stdout\n"
    "  --log-level L             off, error, warn, info, debug or trace\n"
    "  --log-json                what goes to stderr as one object a line\n"
    "  --metrics ADDR:PORT       GET /metrics there, for Prometheus\n"
    "  --metrics-file F          the same as a file, every 15 s\n"
    "  --config FILE             YAML with these options, without --, as "
    "keys;\n"
    "                            the command line wins\n"
    "\n"
    "HTTPS_PROXY and NO_PROXY are heeded: http://HOST:PORT.\n"
    "\n"
    "Examples:\n"
    "  remora up --control-url https://headscale.example.com \\\n"
    "            --auth-key-file key.txt --hostname laptop\n"
    "  remora up                      # again later: the state is enough\n"
    "  remora up --socks5 127.0.0.1:1055 --forward 5432=db:5432 \\\n"
    "            --serve 80=127.0.0.1:8080\n"
    "  remora up --config remora.yaml # control-url: https://...\n";

static const char help_status[] =
    "remora status: what the running node and its peers do\n"
    "\n"
    "  --json            everything, with the names of tailscale status\n"
    "  --state-dir DIR   of the node that is asked\n"
    "\n"
    "Examples:\n"
    "  remora status\n"
    "  remora status --json | jq -r '.Self.TailscaleIPs[0]'\n";

static const char help_ping[] =
    "remora ping: asks a peer for an answer, and says by which way it came\n"
    "\n"
    "  -c N, --count N   probes, one a second; default 1, or 10 with\n"
    "                    --until-direct\n"
    "  --until-direct    stop at the first answer that came by a direct path\n"
    "  --timeout T       how long a probe waits, such as 500ms; default 5s\n"
    "  --icmp            ICMP echo inside the tunnel instead of disco pings;\n"
    "                    of a routed address it goes all the way\n"
    "  --state-dir DIR   of the node that is asked\n"
    "\n"
    "Exit code 1 when no probe was answered, and when --until-direct saw no\n"
    "direct path.\n"
    "\n"
    "Examples:\n"
    "  remora ping n2\n"
    "  remora ping --until-direct n2\n"
    "  remora ping -c 3 --icmp 100.64.0.2\n";

static const char help_netcheck[] =
    "remora netcheck: measures how the network treats this host\n"
    "\n"
    "  --json            everything, with the names of tailscale netcheck\n"
    "  --state-dir DIR   of the node that is asked\n"
    "  --derp-map FILE   relays to measure with, in JSON as debug derp-map\n"
    "                    prints it; no node is asked\n"
    "  --ca-file FILE    certificates to trust, PEM; default: the system's\n"
    "\n"
    "The node that runs is asked. Where none runs, the command measures by\n"
    "itself, with the relays of the state directory's last netmap.\n"
    "\n"
    "UDP, IPv4 and IPv6, our address as relays see it, whether it depends on\n"
    "who is asked, port mapping, and the latency to each relay region.\n"
    "\n"
    "Examples:\n"
    "  remora netcheck\n"
    "  remora netcheck --json | jq .PreferredDERP\n"
    "  remora netcheck --derp-map relays.json\n";

static const char help_set[] =
    "remora set: changes the running node, at once and for later\n"
    "\n"
    "  --hostname NAME           the node's name\n"
    "  --shields-up[=false]      let no peer in\n"
    "  --advertise-routes CIDR,...  offer these subnets alone; nothing: none\n"
    "  --advertise-exit-node[=false]  offer to carry peers' traffic\n"
    "  --accept-routes[=false]   reach the subnets that peers offer\n"
    "  --exit-node PEER          reach all else through it; nothing: no peer\n"
    "  --exit-node-allow-lan[=false]  but this host's own subnets directly\n"
    "  --accept-dns[=false]      heed the tailnet's DNS settings\n"
    "  --state-dir DIR           of the node that is changed\n"
    "\n"
    "What is not named stays as it is. What remora up is given counts more, "
    "at\n"
    "the next start.\n"
    "\n"
    "Examples:\n"
    "  remora set --hostname laptop --shields-up\n"
    "  remora set --exit-node= --accept-routes=false\n";

static const char help_whois[] =
    "remora whois: who has a tailnet address, or a name\n"
    "\n"
    "  --json            everything, with the names of tailscale whois\n"
    "  --state-dir DIR   of the node that is asked\n"
    "\n"
    "A port behind the address is left aside. Exit code 1 when nobody has it.\n"
    "\n"
    "Examples:\n"
    "  remora whois 100.64.0.2\n"
    "  remora whois --json 100.64.0.2:51820 | jq -r .UserProfile.LoginName\n";

static const char help_capture[] =
    "remora capture: the packets inside the tunnels, as a pcap file\n"
    "\n"
    "  --state-dir DIR   of the node that is asked\n"
    "\n"
    "Both ways, also those that the packet filter refuses, until Ctrl-C or "
    "the\n"
    "end of the node. The file is for its owner alone; - is stdout. What "
    "comes\n"
    "faster than it is written is left out, and counted by remora metrics.\n"
    "\n"
    "Examples:\n"
    "  remora capture tailnet.pcap\n"
    "  remora capture - | tshark -r -\n";

static const char help_metrics[] =
    "remora metrics: what the running node counts, for Prometheus\n"
    "\n"
    "  --state-dir DIR   of the node that is asked\n"
    "\n"
    "Where no node runs it prints tailscale_up 0, and ends with exit code 1.\n"
    "remora up --metrics ADDR:PORT serves the same, and --metrics-file F "
    "writes\n"
    "it.\n"
    "\n"
    "Example:\n"
    "  remora metrics | grep tailscale_peers\n";

static const char help_debug[] =
    "remora debug: what the running node knows\n"
    "\n"
    "  derp-map          the relay regions that the control server told\n"
    "  --state-dir DIR   of the node that is asked\n"
    "\n"
    "Example:\n"
    "  remora debug derp-map | jq '.Regions | keys'\n";

static const char help_nc[] =
    "remora nc: stdin and stdout over the tailnet, by TCP\n"
    "\n"
    "  --state-dir DIR   of the node that is asked\n"
    "\n"
    "The end of stdin is passed on; the peer's answer may still follow.\n"
    "\n"
    "Examples:\n"
    "  printf 'GET / HTTP/1.0\\r\\n\\r\\n' | remora nc n2 80\n"
    "  ssh -o ProxyCommand='remora nc %h %p' user@n2\n";

static const char help_down[] =
    "remora down: stops the running node, and waits until it has ended\n"
    "\n"
    "  --state-dir DIR   of the node that is stopped\n"
    "\n"
    "The state stays; remora up joins again with it, without a key.\n"
    "\n"
    "Example:\n"
    "  remora down\n";

static const char help_logout[] =
    "remora logout: leaves the tailnet: the control server ends the node's "
    "key\n"
    "\n"
    "  --state-dir DIR   of the node that is logged out\n"
    "  --ca-file FILE    certificates to trust, PEM, where no node runs;\n"
    "                    default: the system's\n"
    "\n"
    "The running node logs out and ends; where none runs, the command does it "
    "by\n"
    "itself. The server deletes an ephemeral node at once, and keeps another "
    "as\n"
    "one that must log in. remora up joins anew: with an auth key, or by a "
    "URL.\n"
    "\n"
    "Example:\n"
    "  remora logout\n";

static const char help_version[] = "remora version: the version\n"
                                   "\n"
                                   "Example:\n"
                                   "  remora version\n";

const char *cli_help_text(cli_command topic)
{
    switch (topic) {
    case CLI_UP:
        return help_up;
    case CLI_STATUS:
        return help_status;
    case CLI_PING:
        return help_ping;
    case CLI_NETCHECK:
        return help_netcheck;
    case CLI_SET:
        return help_set;
    case CLI_WHOIS:
        return help_whois;
    case CLI_CAPTURE:
        return help_capture;
    case CLI_METRICS:
        return help_metrics;
    case CLI_DEBUG:
        return help_debug;
    case CLI_NC:
        return help_nc;
    case CLI_DOWN:
        return help_down;
    case CLI_LOGOUT:
        return help_logout;
    case CLI_RELAY:
        return cli_help_relay;
    case CLI_COORDINATOR:
        return cli_help_coordinator;
    case CLI_VERSION:
        return help_version;
    case CLI_HELP:
    case CLI_NONE:
        break;
    }
    return help_all;
}
