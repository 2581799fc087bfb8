/*
 * The command line, parsed and checked.  Nothing here does I/O.
 */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include <remora/addr.h>
#include <remora/base.h>
#include <remora/bridge.h>

typedef enum cli_command {
    CLI_NONE,
    CLI_UP,
    CLI_STATUS,
    CLI_PING,
    CLI_NETCHECK,
    CLI_NC,
    CLI_DEBUG,
    CLI_DOWN,
    CLI_RELAY,
    CLI_VERSION,
    CLI_HELP
} cli_command;

typedef struct cli_args {
    cli_command command;
    cli_command topic; /* help: about which command; NONE: about all */

    const char *state_dir; /* NULL: the default place */
    bool json;

    /* relay: what follows its name; it has a parser of its own */
    int rest_argc;
    char **rest_argv;

    /* up */
    const char *control_url;
    char *auth_key; /* a copy; the command line's own is overwritten */
    const char *auth_key_file;
    const char *hostname;
    const char *ca_file;
    bool ephemeral;
    bool accept_control_key;
    bool has_udp_port;
    uint16_t udp_port;
    bool no_udp;
    bool no_port_mapping;
    rmr_addr *endpoints; /* static ones */
    size_t n_endpoints;
    rmr_prefix *routes; /* that are offered */
    size_t n_routes;
    bool advertise_exit_node;
    bool accept_routes;
    const char *exit_node; /* NULL: none */
    bool exit_node_allow_lan;
    rmr_addr socks5; /* family NONE: off */
    bool has_socks5_auth;
    char *socks5_user; /* copies, as auth_key; NULL: none asked for */
    char *socks5_password;
    rmr_forward *forwards;
    size_t n_forwards;
    rmr_serve *serves;
    size_t n_serves;
    rmr_log_level log_level;

    /* ping and nc */
    const char *peer;
    uint16_t port;
    uint32_t count; /* 0: not said */
    rmr_dur timeout; /* of a probe; 0: not said */
    bool icmp;
    bool until_direct;

    /* netcheck (and ca_file) */
    const char *derp_map; /* a file; NULL: not said */

    /* debug */
    const char *subject; /* "derp-map" */

    char error[320]; /* wrong usage: one sentence that says what to do */
} cli_args;

/** Parses the whole command line.  Secrets in argv are copied and overwritten
 *  there.  False: wrong usage, `error` says why; NULs where memory ran out. */
bool cli_args_parse(cli_args *a, int argc, char **argv);
/** Wipes and frees what parse took. */
void cli_args_free(cli_args *a);

/** "up" for CLI_UP, "" for CLI_NONE. */
const char *cli_command_name(cli_command c);
/** CLI_NONE when there is no such command. */
cli_command cli_command_find(const char *name);

/* ---- values (args_values.c); false: `error` is set ---------------------- */

bool cli_value_url(cli_args *a, const char *v);
bool cli_value_auth_key(cli_args *a, char *v);
bool cli_value_hostname(cli_args *a, const char *v);
bool cli_value_socks5(cli_args *a, const char *v);
bool cli_value_socks5_auth(cli_args *a, char *v);
bool cli_value_forward(cli_args *a, const char *v);
bool cli_value_serve(cli_args *a, const char *v);
bool cli_value_udp_port(cli_args *a, const char *v);
bool cli_value_log_level(cli_args *a, const char *v);
bool cli_value_endpoint(cli_args *a, const char *v);
bool cli_value_routes(cli_args *a, const char *v);
bool cli_value_timeout(cli_args *a, const char *v);
bool cli_value_count(cli_args *a, const char *v);
bool cli_value_port(cli_args *a, const char *v);

/** Sets `error` to a sentence and returns false. */
bool cli_usage(cli_args *a, const char *fmt, ...) RMR_PRINTF(2, 3);

#endif
