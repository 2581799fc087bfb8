/*
 * The files that the coordinator's configuration names: read and checked.
 */
#ifndef CLI_COORD_FILES_H
#define CLI_COORD_FILES_H

#include <remora/crypto.h>

#include "coord_config.h"
#include "coord_derpmap.h"
#include "files.h"

typedef struct cli_coord_files {
    cli_file cert, key; /* PEM; empty: plain HTTP */
    cli_file policy;    /* HuJSON; empty: none */
    cli_file derp_map;  /* JSON as clients get it; empty: no relays */
    cli_coord_config *records; /* of dns.extra_records_path; NULL: none */
    rmr_coord_dns dns;  /* the configuration's, with them */
    char error[1024];   /* one sentence */
} cli_coord_files;

/** Each reads and checks one, in place of what was read before.  False:
 *  `error` says what is wrong, with the line where there is one, and the one
 *  before is there no more. */
bool cli_coord_files_certificate(cli_coord_files *f, const cli_coord_config *c);
/** Would nodes take the certificate: is it of server_url's host, and of today?
 *  False: `error` says why they would not. */
bool cli_coord_files_doubts(cli_coord_files *f, const cli_coord_config *c,
                            uint64_t unix_seconds);
bool cli_coord_files_policy(cli_coord_files *f, const cli_coord_config *c);
bool cli_coord_files_derp_map(cli_coord_files *f, const cli_coord_config *c,
                              const cli_derp_own *own);
bool cli_coord_files_dns(cli_coord_files *f, const cli_coord_config *c);
/** Sets `error` to why the server refused that policy. */
void cli_coord_files_why(cli_coord_files *f, const cli_coord_config *c,
                         rmr_err err, rmr_pol_why *why);
/** The directory of the local socket; it may not be there yet.  False: others
 *  could put a socket of theirs there, or come in. */
bool cli_coord_files_socket_dir(cli_coord_files *f, const cli_coord_config *c,
                                char *dir, size_t cap);
/** Wipes and frees. */
void cli_coord_files_free(cli_coord_files *f);

#endif
