/* The help texts of remora coordinator, and of serve. */
#include "help.h"

const char cli_help_coordinator[] =
    "remora coordinator: a coordination server, which Tailscale clients and "
    "remora\n"
    "nodes join\n"
    "\n"
    "  remora coordinator init         writes a configuration to begin with\n"
    "  remora coordinator configtest   says what is wrong with it\n"
    "  remora coordinator serve        runs it\n"
    "  remora coordinator users        who has nodes\n"
    "  remora coordinator preauthkeys  keys by which nodes join\n"
    "  remora coordinator nodes        the nodes: rename, expire, tag, routes\n"
    "  remora coordinator auth         logins that wait for approval\n"
    "  remora coordinator policy       who may reach whom\n"
    "  remora coordinator apikeys      keys of the REST API\n"
    "  remora coordinator health       is it well?\n"
    "\n"
    "remora coordinator WORD --help says more about each.\n"
    "\n"
    "Example:\n"
    "  remora coordinator serve --config coordinator.yaml\n"
    "  remora coordinator users create alice --config coordinator.yaml\n";

const char cli_help_coord_serve[] =
    "remora coordinator serve: runs the coordination server in the foreground\n"
    "\n"
    "  -c, --config FILE   YAML; default: /etc/remora/coordinator.yaml\n"
    "  --json              one object a line on stdout\n"
    "\n"
    "The file needs server_url and listen_addr; the names of the others are\n"
    "Headscale's. SIGHUP reads the policy, the certificate, DERP maps and\n"
    "DNS records anew. SIGTERM ends it in order.\n"
    "\n"
    "Example:\n"
    "  remora coordinator serve --config coordinator.yaml\n";

const char cli_help_coord_configtest[] =
    "remora coordinator configtest: says what serve would refuse: settings, "
    "the\n"
    "policy, the certificate, the DERP map, keys\n"
    "\n"
    "  -c, --config FILE   YAML; default: /etc/remora/coordinator.yaml\n"
    "\n"
    "Nothing is made or changed. Exit codes: 0 nothing is wrong, 1 something "
    "is.\n"
    "\n"
    "Example:\n"
    "  remora coordinator configtest --config coordinator.yaml\n";

const char cli_help_coord_init[] =
    "remora coordinator init: writes coordinator.yaml and policy.hujson, with\n"
    "comments, and says what to do next\n"
    "\n"
    "  --dir DIR           where; its state is in DIR/state. Default:\n"
    "                      /etc/remora, and /var/lib/remora/coordinator\n"
    "  --server-url URL    by which nodes reach it; default:\n"
    "                      http://127.0.0.1:8080\n"
    "  --listen ADDR:PORT  default: 127.0.0.1:8080\n"
    "\n"
    "Files that are there stay as they are.\n"
    "\n"
    "Example:\n"
    "  remora coordinator init --dir tailnet --server-url "
    "https://tailnet.example.com\n";
