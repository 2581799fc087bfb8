/*
 * A netcheck in this process: the node's own code, without a node that runs.
 */
#ifndef CLI_OWN_NETCHECK_H
#define CLI_OWN_NETCHECK_H

#include <remora/base.h>

#include "args.h"
#include "files.h"
#include "proxy.h"

typedef struct cli_own_netcheck {
    cli_file ca, map;
    cli_proxy proxy;
    bool has_map;   /* else the relays of the netmap in the working directory */
    bool quiet;     /* for cli_log */
    bool has_failed; /* and has complained */
    uint8_t *report; /* JSON; NULL: none */
    size_t report_len;
} cli_own_netcheck;

/** Reads the files that the options name.  To be freed in any case.  False: it
 *  has complained. */
bool cli_own_netcheck_prepare(cli_own_netcheck *o, const cli_args *a);
/** Measures, in some 5 s at most.
 *  \param in_dir  The working directory is that of a node's state.
 *  False: it has complained. */
bool cli_own_netcheck_run(cli_own_netcheck *o, bool in_dir, rmr_bytes *json);
void cli_own_netcheck_free(cli_own_netcheck *o);

#endif
