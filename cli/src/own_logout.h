/*
 * Logging out where no node runs: one starts in this process, says so to the
 * control server, and ends.
 */
#ifndef CLI_OWN_LOGOUT_H
#define CLI_OWN_LOGOUT_H

#include <stdbool.h>

#include "args.h"
#include "files.h"
#include "proxy.h"

typedef struct cli_own_logout {
    cli_file ca;
    cli_proxy proxy;
    bool quiet;   /* for cli_log */
    bool asked;   /* the node was asked to log out */
    bool is_done; /* the control server agreed */
    bool is_over; /* nothing more is to come */
    char why[512]; /* what stands against it, a sentence */
} cli_own_logout;

/** Reads what the options name.  To be freed in any case.  False: it has
 *  complained. */
bool cli_own_logout_prepare(cli_own_logout *o, const cli_args *a);
/** The working directory is that of the state.  False: it has complained. */
bool cli_own_logout_run(cli_own_logout *o);
void cli_own_logout_free(cli_own_logout *o);

#endif
