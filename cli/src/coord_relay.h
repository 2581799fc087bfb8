/*
 * The relay inside `remora coordinator serve`: a machine beside the server's,
 * on the same adapter.  It has the server's certificate, or one that it makes
 * itself; nodes are told of that by its SHA-256 in their DERP map.
 *
 *     cli_coord_relay_make(&r, cfg, files, env)        before the map is read
 *     cli_coord_files_derp_map(files, cfg, cli_coord_relay_own(&r))
 *     cli_coord_relay_start(&r, posix, coord)
 *     cli_coord_relay_renew(&r, files)                 SIGHUP, or when due
 *
 * Where derp.server.enabled is false, each does nothing and succeeds.
 */
#ifndef CLI_COORD_RELAY_H
#define CLI_COORD_RELAY_H

#include <remora/posix.h>
#include <remora/relay.h>

#include "coord_derpmap.h"
#include "coord_files.h"

typedef struct cli_coord_relay {
    const cli_coord_config *cfg;
    const rmr_env *env;
    rmr_relay *relay; /* NULL: there is none */
    rmr_coord *coord;
    rmr_posix *posix;
    cli_derp_own own;
    char host[256];
    bool made;        /* the certificate is our own */
    rmr_time look_at; /* ... when it is looked at again */
    uint64_t start_bytes; /* memory of the process, when it began */
    bool json;
    bool failed; /* it gave up, and has said so; the adapter stops */
    char error[1024];
} cli_coord_relay;

/** Its key, its certificate, and the relay.
 *  \param files  The server's certificate and key, where it has such.
 *  Retains r and cfg; *env is retained too.  False: `error` is a sentence. */
bool cli_coord_relay_make(cli_coord_relay *r, const cli_coord_config *cfg,
                          const cli_coord_files *files, const rmr_env *env);
/** For the DERP map; NULL: there is none. */
const cli_derp_own *cli_coord_relay_own(const cli_coord_relay *r);
/** It runs from now on.  False: `error` is a sentence. */
bool cli_coord_relay_start(cli_coord_relay *r, rmr_posix *posix,
                           rmr_coord *coord);
/** Is it time to look at the certificate that was made here?  Each hour. */
bool cli_coord_relay_due(cli_coord_relay *r);
/** The certificate anew: another one in the files, or its own that ends soon.
 *  Then the map is to be read anew.  False: `error` is a sentence, and the
 *  relay goes on with what it has. */
bool cli_coord_relay_renew(cli_coord_relay *r, const cli_coord_files *files);
/** Its metrics, as `remora relay` has them; 0: it has none.  Fits
 *  RMR_RELAY_METRICS_MAX. */
size_t cli_coord_relay_metrics(void *relay, rmr_buf dst);
/** Behind the adapter's end. */
void cli_coord_relay_free(cli_coord_relay *r);

#endif
