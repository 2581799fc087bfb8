/*
 * The configuration file of `remora coordinator`: YAML with Headscale's names
 * where the meaning is the same.  Files that it names are found from its own
 * directory.
 */
#ifndef CLI_COORD_CONFIG_H
#define CLI_COORD_CONFIG_H

#include <remora/addr.h>
#include <remora/base.h>
#include <remora/coord.h>

#define CLI_COORD_CONFIG_DEFAULT "/etc/remora/coordinator.yaml"
#define CLI_COORD_MAX_LISTEN 8
#define CLI_COORD_PATH_MAX 4096

typedef struct cli_coord_texts {
    const char **at;
    size_t n;
} cli_coord_texts;

typedef struct cli_coord_addrs {
    rmr_addr at[CLI_COORD_MAX_LISTEN];
    size_t n;
} cli_coord_addrs;

typedef struct cli_coord_route { /* dns.nameservers.split */
    const char *domain;
    cli_coord_texts resolvers;
} cli_coord_route;

/* derp.server: the embedded relay. */
typedef struct cli_coord_derp_server {
    bool enabled;
    uint16_t region_id;                    /* 999                          */
    const char *region_code, *region_name; /* "remora", "remora"           */
    rmr_addr listen_addr;      /* TLS; family NONE: not said               */
    rmr_addr stun_listen_addr; /* family NONE: no STUN                     */
    const char *private_key_path; /* default: derp_private.key of state_dir */
    rmr_addr ipv4, ipv6;       /* what nodes are told; family NONE: unsaid */
    bool verify_clients;       /* true: nodes of this tailnet alone        */
    bool add_region;           /* automatically_add_embedded_derp_region   */
} cli_coord_derp_server;

typedef struct cli_coord_derp {
    cli_coord_derp_server server;
    cli_coord_texts paths; /* files with DERP maps */
} cli_coord_derp;

typedef struct cli_coord_config {
    const char *file;
    const char *state_dir; /* where what has no path of its own is kept    */
    const char *server_url;
    cli_coord_addrs listen;
    rmr_addr metrics; /* family NONE: none */
    const char *unix_socket;
    unsigned unix_socket_mode;
    const char *tls_cert, *tls_key; /* NULL: plain HTTP, both or none */
    rmr_prefix *proxies;            /* trusted_proxies */
    size_t n_proxies;
    uint16_t handshake_rate, handshake_burst; /* limits */

    const char *noise_key; /* a file */
    const char *database;  /* likewise */
    rmr_prefix v4, v6;     /* family NONE: none */

    bool policy_in_database; /* default: where no file is named */
    bool open;          /* without a policy users reach each other */
    const char *policy; /* a file, or NULL */

    rmr_dur node_expiry, ephemeral_timeout;
    const char *base_domain; /* "": none */
    bool magic_dns, override_dns;
    cli_coord_texts resolvers, search;
    cli_coord_route *routes;
    rmr_coord_dns_record *records;
    const char *records_path; /* a file of more of them, or NULL */
    size_t n_routes, n_records;
    rmr_coord_dns dns; /* all of it as the server takes it, behind parse */
    cli_coord_derp derp;

    rmr_log_level log_level;
    bool log_json;

    /* of the reader */
    void **kept; /* all memory that the above points to */
    size_t n_kept;
    uint64_t seen[4]; /* a bit for each setting: it was there */
    char error[640]; /* one sentence, with file and line where there is one */
} cli_coord_config;

/** Every setting at its default, for a file of that name. */
void cli_coord_config_init(cli_coord_config *c, const char *file);
/** Takes the text of the file, and checks each value and the whole.  Looks at
 *  no file.  False: `error` is set. */
bool cli_coord_config_parse(cli_coord_config *c, rmr_bytes text);
/** init, read the file, parse.  \param file  NULL: CLI_COORD_CONFIG_DEFAULT. */
bool cli_coord_config_read(cli_coord_config *c, const char *file);
/** init, and the file of dns.extra_records_path: a list of records, JSON or
 *  YAML, into `records`.  False: `error` is set. */
bool cli_coord_config_read_records(cli_coord_config *c, const char *file);
/** Behind init; also after a failure. */
void cli_coord_config_free(cli_coord_config *c);

/** The path of the local socket that this file says (NULL: the default file),
 *  and nothing else of it.  False: `error` holds a sentence. */
bool cli_coord_config_socket(const char *file, char *dst, size_t dst_cap,
                             char *error, size_t cap);

#endif
