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
    CLI_LOGOUT,
    CLI_SET,
    CLI_WHOIS,
    CLI_METRICS,
    CLI_CAPTURE,
    CLI_RELAY,
    CLI_COORDINATOR,
    CLI_VERSION,
    CLI_HELP
} cli_command;

#define CLI_SETTINGS_MAX 256 /* values in a configuration file */

#define CLI_TAGS_MAX 32
typedef struct cli_tags {
    char text[1024]; /* of all, with their zero bytes */
    const char *at[CLI_TAGS_MAX];
    size_t n;
} cli_tags;

typedef struct cli_args {
    cli_command command;
    cli_command topic; /* help: about which command; NONE: about all */

    const char *state_dir; /* NULL: the default place */
    bool json;

    /* relay, coordinator: what follows its name; they have parsers of their
     * own */
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
    cli_tags *tags; /* to ask for; NULL: not said */
    bool advertise_exit_node;
    bool accept_routes;
    const char *exit_node; /* NULL: none */
    bool exit_node_allow_lan;
    bool accept_dns, shields_up;
    rmr_addr socks5; /* family NONE: off */
    bool has_socks5_auth;
    char *socks5_user; /* copies, as auth_key; NULL: none asked for */
    char *socks5_password;
    rmr_forward *forwards;
    size_t n_forwards;
    rmr_serve *serves;
    size_t n_serves;
    rmr_log_level log_level;
    bool log_json;
    rmr_addr metrics;         /* family NONE: off */
    const char *metrics_file; /* NULL: none */
    const char *config_file;  /* NULL: none */
    uint64_t given, filed; /* options of the command line, and of the file */
    char *kept[CLI_SETTINGS_MAX]; /* values of the file, which others point to */
    size_t n_kept;

    /* ping, nc and whois */
    const char *peer;
    uint16_t port;
    uint32_t count; /* 0: not said */
    rmr_dur timeout; /* of a probe; 0: not said */
    bool icmp;
    bool until_direct;

    /* netcheck (and ca_file) */
    const char *derp_map; /* a file; NULL: not said */

    /* debug */
    const char *subject; /* "derp-map"; capture: the file, or "-" */

    char error[320]; /* wrong usage: one sentence that says what to do */
} cli_args;

/** Parses the whole command line.  Secrets in argv are copied and overwritten
 *  there.  False: wrong usage, `error` says why; NULs where memory ran out. */
bool cli_args_parse(cli_args *a, int argc, char **argv);
/** Wipes and frees what parse took. */
void cli_args_free(cli_args *a);
/** What only all options of up together show; parse has done it where there is
 *  no configuration file. */
bool cli_args_check(cli_args *a);

/** Was the option (of up, without "--") given, there or in the file? */
bool cli_args_gave(const cli_args *a, const char *name);

/* A setting of a configuration file. */
typedef struct cli_setting {
    const void *option;
    bool is_list; /* may have several values */
    bool is_ours; /* the command line does not have it: it counts */
} cli_setting;

/** Finds a setting by its option's name without "--"; each once. */
bool cli_args_setting(cli_args *a, const char *name, cli_setting *s);
/** Gives it a value, which must live as long as `a`; left aside where the
 *  command line has the option. */
bool cli_args_set(cli_args *a, const cli_setting *s, char *value);

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
bool cli_value_metrics(cli_args *a, const char *v);
bool cli_value_endpoint(cli_args *a, const char *v);
bool cli_value_routes(cli_args *a, const char *v);
bool cli_value_tags(cli_args *a, const char *v);
bool cli_value_timeout(cli_args *a, const char *v);
bool cli_value_count(cli_args *a, const char *v);
bool cli_value_port(cli_args *a, const char *v);

/** Sets `error` to a sentence and returns false. */
bool cli_usage(cli_args *a, const char *fmt, ...) RMR_PRINTF(2, 3);

#endif
