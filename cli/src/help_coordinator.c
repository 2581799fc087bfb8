/* The help text of remora coordinator. */
#include "help.h"

const char cli_help_coordinator[] =
    "remora coordinator: a coordination server, which Tailscale clients and "
    "remora\n"
    "nodes join\n"
    "\n"
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
    "  remora coordinator users create alice\n";
