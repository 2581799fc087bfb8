/*
 * The DERP map that nodes get.
 */
#ifndef CLI_COORD_DERPMAP_H
#define CLI_COORD_DERPMAP_H

#include "coord_config.h"
#include "files.h"

/** What the files of derp.paths say, as JSON; empty: there are no relays.
 *  False: `error` holds a sentence. */
bool cli_coord_derp_map(const cli_coord_config *c, cli_file *out, char *error,
                        size_t cap);

#endif
