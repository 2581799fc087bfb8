/* Commands, options and operands: which exist, and who takes which. */
#include "args.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secret.h"

typedef enum opt_id {
    OPT_CONTROL_URL,
    OPT_AUTH_KEY,
    OPT_AUTH_KEY_FILE,
    OPT_HOSTNAME,
    OPT_STATE_DIR,
    OPT_EPHEMERAL,
    OPT_ACCEPT_CONTROL_KEY,
    OPT_CA_FILE,
    OPT_SOCKS5,
    OPT_SOCKS5_AUTH,
    OPT_FORWARD,
    OPT_SERVE,
    OPT_UDP_PORT,
    OPT_NO_UDP,
    OPT_NO_PORT_MAPPING,
    OPT_STATIC_ENDPOINT,
    OPT_ADVERTISE_ROUTES,
    OPT_ADVERTISE_EXIT_NODE,
    OPT_ADVERTISE_TAGS,
    OPT_ACCEPT_ROUTES,
    OPT_EXIT_NODE,
    OPT_EXIT_NODE_ALLOW_LAN,
    OPT_ACCEPT_DNS,
    OPT_SHIELDS_UP,
    OPT_JSON,
    OPT_LOG_LEVEL,
    OPT_LOG_JSON,
    OPT_METRICS,
    OPT_METRICS_FILE,
    OPT_CONFIG,
    OPT_COUNT,
    OPT_ICMP,
    OPT_UNTIL_DIRECT,
    OPT_TIMEOUT,
    OPT_DERP_MAP,
    OPT_HELP,
    N_OPTS
} opt_id;

_Static_assert(N_OPTS <= 64, "cli_args.given has a bit for each");

#define FOR(c) (1U << (c))
#define FOR_LOCAL                                                              \
    (FOR(CLI_STATUS) | FOR(CLI_PING) | FOR(CLI_NETCHECK) | FOR(CLI_NC) |       \
     FOR(CLI_DEBUG) | FOR(CLI_DOWN) | FOR(CLI_WHOIS) | FOR(CLI_METRICS) |      \
     FOR(CLI_CAPTURE) | FOR(CLI_SET) | FOR(CLI_LOGOUT))
#define FOR_PREFS (FOR(CLI_UP) | FOR(CLI_SET))
#define FOR_ALL (~0U)

typedef struct opt {
    const char *name;
    opt_id id;
    unsigned commands;
    bool takes_value;
} opt;

static const opt options[] = {
    {"--control-url", OPT_CONTROL_URL, FOR(CLI_UP), true},
    {"--login-server", OPT_CONTROL_URL, FOR(CLI_UP), true},
    {"--auth-key", OPT_AUTH_KEY, FOR(CLI_UP), true},
    {"--auth-key-file", OPT_AUTH_KEY_FILE, FOR(CLI_UP), true},
    {"--hostname", OPT_HOSTNAME, FOR_PREFS, true},
    {"--state-dir", OPT_STATE_DIR, FOR(CLI_UP) | FOR_LOCAL, true},
    {"--ephemeral", OPT_EPHEMERAL, FOR(CLI_UP), false},
    {"--accept-control-key", OPT_ACCEPT_CONTROL_KEY, FOR(CLI_UP), false},
    {"--ca-file", OPT_CA_FILE,
     FOR(CLI_UP) | FOR(CLI_NETCHECK) | FOR(CLI_LOGOUT), true},
    {"--socks5", OPT_SOCKS5, FOR(CLI_UP), true},
    {"--socks5-auth", OPT_SOCKS5_AUTH, FOR(CLI_UP), true},
    {"--forward", OPT_FORWARD, FOR(CLI_UP), true},
    {"--serve", OPT_SERVE, FOR(CLI_UP), true},
    {"--udp-port", OPT_UDP_PORT, FOR(CLI_UP), true},
    {"--no-udp", OPT_NO_UDP, FOR(CLI_UP), false},
    {"--no-port-mapping", OPT_NO_PORT_MAPPING, FOR(CLI_UP), false},
    {"--static-endpoint", OPT_STATIC_ENDPOINT, FOR(CLI_UP), true},
    {"--accept-dns", OPT_ACCEPT_DNS, FOR_PREFS, false},
    {"--shields-up", OPT_SHIELDS_UP, FOR_PREFS, false},
    {"--json", OPT_JSON,
     FOR(CLI_UP) | FOR(CLI_STATUS) | FOR(CLI_NETCHECK) | FOR(CLI_WHOIS), false},
    {"--advertise-routes", OPT_ADVERTISE_ROUTES, FOR_PREFS, true},
    {"--advertise-exit-node", OPT_ADVERTISE_EXIT_NODE, FOR_PREFS, false},
    {"--advertise-tags", OPT_ADVERTISE_TAGS, FOR(CLI_UP), true},
    {"--accept-routes", OPT_ACCEPT_ROUTES, FOR_PREFS, false},
    {"--exit-node", OPT_EXIT_NODE, FOR_PREFS, true},
    {"--exit-node-allow-lan", OPT_EXIT_NODE_ALLOW_LAN, FOR_PREFS, false},
    {"--log-level", OPT_LOG_LEVEL, FOR(CLI_UP), true},
    {"--log-json", OPT_LOG_JSON, FOR(CLI_UP), false},
    {"--metrics", OPT_METRICS, FOR(CLI_UP), true},
    {"--metrics-file", OPT_METRICS_FILE, FOR(CLI_UP), true},
    {"--config", OPT_CONFIG, FOR(CLI_UP), true},
    {"-c", OPT_COUNT, FOR(CLI_PING), true},
    {"--count", OPT_COUNT, FOR(CLI_PING), true},
    {"--icmp", OPT_ICMP, FOR(CLI_PING), false},
    {"--until-direct", OPT_UNTIL_DIRECT, FOR(CLI_PING), false},
    {"--timeout", OPT_TIMEOUT, FOR(CLI_PING), true},
    {"--derp-map", OPT_DERP_MAP, FOR(CLI_NETCHECK), true},
    {"-h", OPT_HELP, FOR_ALL, false},
    {"--help", OPT_HELP, FOR_ALL, false},
};

static const struct {
    const char *name;
    cli_command command;
} commands[] = {
    {"up", CLI_UP},           {"status", CLI_STATUS},
    {"ping", CLI_PING},       {"netcheck", CLI_NETCHECK},
    {"nc", CLI_NC},           {"debug", CLI_DEBUG},
    {"down", CLI_DOWN},       {"relay", CLI_RELAY},
    {"set", CLI_SET},         {"whois", CLI_WHOIS},
    {"metrics", CLI_METRICS}, {"capture", CLI_CAPTURE},
    {"logout", CLI_LOGOUT},   {"coordinator", CLI_COORDINATOR},
    {"version", CLI_VERSION}, {"help", CLI_HELP},
};

const char *cli_command_name(cli_command c)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (commands[i].command == c) {
            return commands[i].name;
        }
    }
    return "";
}

cli_command cli_command_find(const char *name)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return commands[i].command;
        }
    }
    return CLI_NONE;
}

bool cli_usage(cli_args *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(a->error, sizeof a->error, fmt, ap);
    va_end(ap);
    return false;
}

static uint64_t bit(opt_id id)
{
    return (uint64_t)1 << id;
}

/* Finds the option that `arg` is.  "--name=value" and "-c3" give a value. */
static const opt *find_option(char *arg, char **value)
{
    *value = NULL;
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        const opt *o = &options[i];
        size_t n = strlen(o->name);
        if (strncmp(arg, o->name, n) != 0) {
            continue;
        }
        if (arg[n] == '\0') {
            return o;
        }
        if (arg[n] == '=' && n > 2) {
            *value = arg + n + 1;
            return o;
        }
        if (n == 2 && o->takes_value) {
            *value = arg + n;
            return o;
        }
    }
    return NULL;
}

/* \param v  NULL, "true" or "false" for an option that takes no value. */
static bool apply(cli_args *a, const opt *o, char *v)
{
    bool on = v == NULL || strcmp(v, "false") != 0;
    switch (o->id) {
    case OPT_CONTROL_URL:
        return cli_value_url(a, v);
    case OPT_AUTH_KEY:
        return cli_value_auth_key(a, v);
    case OPT_AUTH_KEY_FILE:
        a->auth_key_file = v;
        return true;
    case OPT_HOSTNAME:
        return cli_value_hostname(a, v);
    case OPT_STATE_DIR:
        a->state_dir = v;
        return *v != '\0' ||
               cli_usage(a, "--state-dir takes a directory, not nothing");
    case OPT_EPHEMERAL:
        a->ephemeral = on;
        return true;
    case OPT_ACCEPT_CONTROL_KEY:
        a->accept_control_key = on;
        return true;
    case OPT_CA_FILE:
        a->ca_file = v;
        return true;
    case OPT_SOCKS5:
        return cli_value_socks5(a, v);
    case OPT_SOCKS5_AUTH:
        return cli_value_socks5_auth(a, v);
    case OPT_FORWARD:
        return cli_value_forward(a, v);
    case OPT_SERVE:
        return cli_value_serve(a, v);
    case OPT_UDP_PORT:
        return cli_value_udp_port(a, v);
    case OPT_NO_UDP:
        a->no_udp = on;
        return true;
    case OPT_NO_PORT_MAPPING:
        a->no_port_mapping = on;
        return true;
    case OPT_STATIC_ENDPOINT:
        return cli_value_endpoint(a, v);
    case OPT_ADVERTISE_ROUTES:
        return cli_value_routes(a, v);
    case OPT_ADVERTISE_EXIT_NODE:
        a->advertise_exit_node = on;
        return true;
    case OPT_ADVERTISE_TAGS:
        return cli_value_tags(a, v);
    case OPT_ACCEPT_ROUTES:
        a->accept_routes = on;
        return true;
    case OPT_EXIT_NODE:
        a->exit_node = v;
        return ((*v != '\0' || a->command == CLI_SET) && strlen(v) < 256) ||
               cli_usage(a, "--exit-node takes a peer: its name, tailnet "
                            "address or stable id");
    case OPT_EXIT_NODE_ALLOW_LAN:
        a->exit_node_allow_lan = on;
        return true;
    case OPT_ACCEPT_DNS:
        a->accept_dns = on;
        return true;
    case OPT_SHIELDS_UP:
        a->shields_up = on;
        return true;
    case OPT_JSON:
        a->json = on;
        return true;
    case OPT_LOG_LEVEL:
        return cli_value_log_level(a, v);
    case OPT_LOG_JSON:
        a->log_json = on;
        return true;
    case OPT_METRICS:
        return cli_value_metrics(a, v);
    case OPT_METRICS_FILE:
        a->metrics_file = v;
        return *v != '\0' ||
               cli_usage(a, "--metrics-file takes a file, not nothing");
    case OPT_CONFIG:
        a->config_file = v;
        return *v != '\0' || cli_usage(a, "--config takes a file of YAML");
    case OPT_COUNT:
        return cli_value_count(a, v);
    case OPT_ICMP:
        a->icmp = on;
        return true;
    case OPT_UNTIL_DIRECT:
        a->until_direct = on;
        return true;
    case OPT_TIMEOUT:
        return cli_value_timeout(a, v);
    case OPT_DERP_MAP:
        a->derp_map = v;
        return *v != '\0' || cli_usage(a, "--derp-map takes a file of JSON");
    case OPT_HELP:
        a->topic = a->command;
        a->command = CLI_HELP;
        return true;
    case N_OPTS:
        break;
    }
    return true;
}

static bool operand(cli_args *a, const char *arg, size_t n)
{
    const char *name = cli_command_name(a->command);
    if (a->command == CLI_HELP && n == 0) {
        a->topic = cli_command_find(arg);
        return a->topic != CLI_NONE ||
               cli_usage(a, "there is no command '%s'; see remora help", arg);
    }
    if ((a->command == CLI_PING || a->command == CLI_NC) && n == 0) {
        a->peer = arg;
        return *arg != '\0' ||
               cli_usage(a, "%s needs a peer: its name or tailnet address",
                         name);
    }
    if (a->command == CLI_WHOIS && n == 0) {
        a->peer = arg;
        return *arg != '\0' ||
               cli_usage(a, "whois needs a tailnet address or a name");
    }
    if (a->command == CLI_CAPTURE && n == 0) {
        a->subject = arg;
        return *arg != '\0' || cli_usage(a, "capture needs a file, or -");
    }
    if (a->command == CLI_DEBUG && n == 0) {
        a->subject = arg;
        return strcmp(arg, "derp-map") == 0 ||
               cli_usage(a, "debug knows derp-map, not '%s'", arg);
    }
    if (a->command == CLI_NC && n == 1) {
        return cli_value_port(a, arg);
    }
    return cli_usage(a, "%s takes no '%s' here; see remora %s --help", name,
                     arg, name);
}

/* What only the whole line shows. */
static bool check_whole(cli_args *a)
{
    if (a->command == CLI_PING && a->peer == NULL) {
        return cli_usage(a, "ping needs a peer: remora ping NAME-OR-ADDRESS");
    }
    if (a->command == CLI_WHOIS && a->peer == NULL) {
        return cli_usage(a, "whois needs an address or a name: remora whois "
                            "100.64.0.2");
    }
    if (a->command == CLI_SET && (a->given & ~bit(OPT_STATE_DIR)) == 0) {
        return cli_usage(a, "set needs an option, such as --hostname laptop; "
                            "see remora set --help");
    }
    if (a->command == CLI_CAPTURE && a->subject == NULL) {
        return cli_usage(a, "capture needs a file: remora capture FILE.pcap, "
                            "or - for stdout");
    }
    if (a->icmp && a->until_direct) {
        return cli_usage(a, "--until-direct looks for a path by disco pings: "
                            "give it or --icmp, not both");
    }
    if (a->command == CLI_DEBUG && a->subject == NULL) {
        return cli_usage(a, "debug needs a subject: remora debug derp-map");
    }
    if (a->command == CLI_NC && a->port == 0) {
        return cli_usage(a, "nc needs a peer and a port: remora nc PEER PORT");
    }
    /* What a file says still comes: cli_args_check is asked then. */
    return a->command != CLI_UP || a->config_file != NULL || cli_args_check(a);
}

bool cli_args_check(cli_args *a)
{
    if (a->auth_key != NULL && a->auth_key_file != NULL) {
        return cli_usage(a, "give --auth-key or --auth-key-file, not both");
    }
    if (a->has_socks5_auth && a->socks5.family == RMR_AF_NONE) {
        return cli_usage(a, "--socks5-auth needs --socks5 ADDR:PORT too");
    }
    if (a->exit_node_allow_lan && a->exit_node == NULL) {
        return cli_usage(a, "--exit-node-allow-lan needs --exit-node PEER too");
    }
    if (a->exit_node != NULL && a->advertise_exit_node) {
        return cli_usage(a, "a node that uses an exit node can't be one: give "
                            "--exit-node or --advertise-exit-node, not both");
    }
    if (a->socks5.family != RMR_AF_NONE && !a->has_socks5_auth &&
        !rmr_addr_is_loopback(&a->socks5)) {
        return cli_usage(a,
                         "--socks5 on an address that others can reach needs "
                         "--socks5-auth USER:PASS (or none, to let anyone in)");
    }
    return true;
}

static bool is_word_of_truth(const char *v)
{
    return strcmp(v, "true") == 0 || strcmp(v, "false") == 0;
}

static bool parse_option(cli_args *a, char **argv, int argc, int *i)
{
    char *value = NULL;
    const opt *o = find_option(argv[*i], &value);
    const char *command = cli_command_name(a->command);
    if (o == NULL) {
        /* Only the name: what follows "=" may be a secret. */
        return cli_usage(a, "%s has no option '%.*s'; see remora %s --help",
                         command, (int)strcspn(argv[*i], "="), argv[*i],
                         command);
    }
    if ((o->commands & FOR(a->command)) == 0) {
        return cli_usage(a, "%s is not an option of %s; see remora %s --help",
                         o->name, command, command);
    }
    if (!o->takes_value && value != NULL && !is_word_of_truth(value)) {
        return cli_usage(a, "%s takes no value, or true or false", o->name);
    }
    if (o->takes_value && value == NULL) {
        if (*i + 1 >= argc) {
            return cli_usage(a, "%s needs a value; see remora %s --help",
                             o->name, command);
        }
        value = argv[++*i];
    }
    a->given |= bit(o->id);
    return apply(a, o, value);
}

/* Either one of a file is left aside where the command line has one. */
static uint64_t rivals(opt_id id)
{
    uint64_t keys = bit(OPT_AUTH_KEY) | bit(OPT_AUTH_KEY_FILE);
    return (keys & bit(id)) != 0 ? keys : bit(id);
}

static const opt *find_setting(const char *name)
{
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        const opt *o = &options[i];
        if (strncmp(o->name, "--", 2) == 0 && strcmp(o->name + 2, name) == 0 &&
            (o->commands & FOR(CLI_UP)) != 0 && o->id != OPT_HELP &&
            o->id != OPT_CONFIG) {
            return o;
        }
    }
    return NULL;
}

bool cli_args_setting(cli_args *a, const char *name, cli_setting *s)
{
    const opt *o = find_setting(name);
    if (o == NULL) {
        return cli_usage(a,
                         "'%.60s' is no setting; the settings are the "
                         "options of remora up, without --",
                         name);
    }
    if ((a->filed & bit(o->id)) != 0) {
        return cli_usage(a, "'%s' was set before", name);
    }
    a->filed |= bit(o->id);
    s->option = o;
    s->is_list = o->id == OPT_FORWARD || o->id == OPT_SERVE ||
                 o->id == OPT_STATIC_ENDPOINT;
    s->is_ours = (a->given & rivals(o->id)) == 0;
    return true;
}

bool cli_args_gave(const cli_args *a, const char *name)
{
    const opt *o = find_setting(name);
    return o != NULL && ((a->given | a->filed) & bit(o->id)) != 0;
}

bool cli_args_set(cli_args *a, const cli_setting *s, char *value)
{
    const opt *o = s->option;
    if (!o->takes_value && !is_word_of_truth(value)) {
        return cli_usage(a, "%s takes true or false", o->name);
    }
    return !s->is_ours || apply(a, o, value);
}

bool cli_args_parse(cli_args *a, int argc, char **argv)
{
    size_t n_operands = 0;
    bool options_over = false;

    memset(a, 0, sizeof *a);
    a->log_level = RMR_LOG_ERROR; /* trouble is told by events */
    if (argc < 2) {
        return cli_usage(a, "which command? up, status, ping, netcheck, nc, "
                            "debug, down, logout, set, whois, metrics, "
                            "capture, relay, coordinator, version or help; see "
                            "remora help");
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        a->command = CLI_HELP;
        return true;
    }
    if (strcmp(argv[1], "--version") == 0) {
        a->command = CLI_VERSION;
        return true;
    }
    a->command = cli_command_find(argv[1]);
    if (a->command == CLI_NONE) {
        return cli_usage(a, "there is no command '%s'; see remora help",
                         argv[1]);
    }
    if (a->command == CLI_RELAY || a->command == CLI_COORDINATOR) {
        a->rest_argc = argc - 2;
        a->rest_argv = argv + 2;
        return true;
    }
    size_t room = (size_t)argc + CLI_SETTINGS_MAX;
    a->forwards = calloc(room, sizeof *a->forwards);
    a->serves = calloc(room, sizeof *a->serves);
    a->endpoints = calloc(room, sizeof *a->endpoints);
    if (a->forwards == NULL || a->serves == NULL || a->endpoints == NULL) {
        return cli_usage(a, "out of memory");
    }
    for (int i = 2; i < argc; i++) {
        bool ok;
        if (!options_over && strcmp(argv[i], "--") == 0) {
            options_over = true;
            continue;
        }
        if (!options_over && argv[i][0] == '-' && argv[i][1] != '\0') {
            ok = parse_option(a, argv, argc, &i);
        } else {
            ok = operand(a, argv[i], n_operands++);
        }
        if (!ok) {
            return false;
        }
        if (a->command == CLI_HELP && a->topic != CLI_NONE) {
            return true; /* --help wins over whatever follows */
        }
    }
    return check_whole(a);
}

void cli_args_free(cli_args *a)
{
    cli_secret_free(a->auth_key);
    cli_secret_free(a->socks5_user);
    cli_secret_free(a->socks5_password);
    free(a->forwards);
    free(a->serves);
    free(a->endpoints);
    for (size_t i = 0; i < a->n_kept; i++) {
        cli_secret_free(a->kept[i]);
    }
    free(a->routes);
    free(a->tags);
    memset(a, 0, sizeof *a);
}
