/*
 * What remora relay is told, by its command line and by its configuration file.
 * The file has the options' names as its keys.  Nothing here does I/O.
 */
#ifndef CLI_RELAY_ARGS_H
#define CLI_RELAY_ARGS_H

#include <remora/base.h>
#include <remora/relay.h>

#define CLI_RELAY_MAX_ADDRS 8
#define CLI_RELAY_MAX_MESH 64
#define CLI_RELAY_MAX_NAMES 256

typedef struct cli_relay_addrs {
    rmr_addr at[CLI_RELAY_MAX_ADDRS];
    size_t n;
} cli_relay_addrs;

typedef struct cli_relay_args {
    bool help;
    cli_relay_addrs listen, http, stun, metrics;
    const char *tls_cert, *tls_key; /* NULL: not said, as for all texts */
    const char *config;
    const char *mesh_key_file;
    const char *verify_url;
    const char *state_dir;
    const char *ca_file;
    bool insecure_http, verify_fail_closed;
    rmr_dial mesh[CLI_RELAY_MAX_MESH];
    size_t n_mesh;
    rmr_log_level log_level;

    /* of the file alone */
    uint64_t rate_bytes, rate_burst;
    rmr_relay_name names[CLI_RELAY_MAX_NAMES];
    rmr_addr *name_addrs;
    size_t n_names, n_name_addrs;

    char **kept; /* texts of the file */
    size_t n_kept;
    char error[320]; /* what is wrong: one sentence that says what to do */
} cli_relay_args;

/** Parses what follows "relay".  False: `error` is set. */
bool cli_relay_args_parse(cli_relay_args *a, int argc, char **argv);
/** Adds the file's settings; what the command line said already stays.  False:
 *  `error` is set. */
bool cli_relay_args_file(cli_relay_args *a, const char *path, rmr_bytes text);
/** What only the whole shows.  False: `error` is set. */
bool cli_relay_args_check(cli_relay_args *a);
void cli_relay_args_free(cli_relay_args *a);

/** One option; `v` is NULL for one that takes no value.  False: `error` is set.
 *  \param from_file  It does not overrule what is there. */
bool cli_relay_apply(cli_relay_args *a, const char *name, const char *v,
                     bool from_file);
/** Does an option of that name (without dashes) exist, and with a value? */
bool cli_relay_option(const char *name, bool *takes_value);
bool cli_relay_wrong(cli_relay_args *a, const char *fmt, ...) RMR_PRINTF(2, 3);

#endif
