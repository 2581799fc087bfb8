/*
 * The settings of the coordinator's file: which there are, and what each takes.
 * For coord_config*.c alone.
 */
#ifndef CLI_COORD_CONFIG_KEYS_H
#define CLI_COORD_CONFIG_KEYS_H

#include "coord_config.h"

typedef enum cli_coord_kind {
    COORD_TEXT,
    COORD_PATH, /* from the file's directory */
    COORD_BOOL,
    COORD_NUMBER, /* uint16_t, 1 or more */
    COORD_TIME,   /* a length of it */
    COORD_MODE,   /* octal */
    COORD_LEVEL,
    COORD_FORMAT,      /* text or json */
    COORD_POLICY_MODE, /* file or database */
    COORD_ADDR,        /* with its port */
    COORD_IP,
    COORD_PREFIX,
    COORD_ADDRS, /* one or a list, and those that follow */
    COORD_PREFIXES,
    COORD_TEXTS,
    COORD_PATHS,
    COORD_SPLIT,   /* domains, each with a list */
    COORD_RECORDS, /* a list of name, type, value */
    COORD_ONLY,    /* what differs from `want` is refused: there is no other */
    COORD_ANY,     /* of no meaning here; without harm */
    COORD_NEVER    /* refused, with `want` as the reason, unless it is off */
} cli_coord_kind;

typedef struct cli_coord_key {
    const char *path; /* "dns.base_domain" */
    cli_coord_kind kind;
    size_t at;        /* in cli_coord_config */
    const char *want; /* "an address and a port, such as 0.0.0.0:8080" */
} cli_coord_key;

extern const cli_coord_key cli_coord_keys[];
extern const size_t cli_coord_n_keys;

/** NULL: there is none. */
const cli_coord_key *cli_coord_key_find(const char *path);
/** Do settings stand below that name? */
bool cli_coord_key_is_section(const char *path);
/** The name of a setting or a section that is nearest to this one, which is
 *  none. */
void cli_coord_key_nearest(const char *path, char *dst, size_t cap);
/** Was it in the file? */
bool cli_coord_key_seen(const cli_coord_config *c, const char *path);

/* ---- memory (coord_config.c); NULL: none, and `error` says so ------------ */

void *cli_coord_keep(cli_coord_config *c, size_t size);
char *cli_coord_keep_text(cli_coord_config *c, const char *text, size_t len);
/** One more place behind `n` elements; the new array. */
void *cli_coord_grow(cli_coord_config *c, const void *array, size_t n,
                     size_t size);
/** The path of a file that is named from the directory of the configuration. */
const char *cli_coord_path(cli_coord_config *c, const char *given);
/** Sets `error` and returns false. */
bool cli_coord_wrong(cli_coord_config *c, const char *fmt, ...)
    RMR_PRINTF(2, 3);

/* ---- reading ------------------------------------------------------------- */

/** coord_config_yaml.c: the file's text into the fields. */
bool cli_coord_yaml(cli_coord_config *c, rmr_bytes text);
/** Its text is the list of dns.extra_records alone. */
bool cli_coord_yaml_records(cli_coord_config *c, rmr_bytes text);
/** coord_config_values.c: one value, not empty.  False: `error` is a sentence
 *  without the place. */
bool cli_coord_value(cli_coord_config *c, const cli_coord_key *k,
                     const char *v);
bool cli_coord_key_is_list(const cli_coord_key *k);
/** A resolver for names of a domain. */
bool cli_coord_split(cli_coord_config *c, const char *domain, const char *v);
/** Begins a record of dns.extra_records; then its members, by name. */
bool cli_coord_record(cli_coord_config *c);
bool cli_coord_record_member(cli_coord_config *c, const char *name,
                             const char *v);
/** coord_config_check.c: what only the whole shows. */
bool cli_coord_check(cli_coord_config *c);
bool cli_coord_check_records(cli_coord_config *c);

#endif
