/*
 * The DERP map that nodes get: regions from files in Headscale's YAML, or in
 * JSON as clients get it, and the region of the relay in the same process.  A
 * later region replaces an earlier one of its number.
 */
#ifndef CLI_COORD_DERPMAP_H
#define CLI_COORD_DERPMAP_H

#include "coord_config.h"
#include "files.h"

/* The relay in this process, as nodes are to reach it. */
typedef struct cli_derp_own {
    const char *host;
    bool pinned; /* by the SHA-256 of its certificate */
    uint8_t pin[32];
} cli_derp_own;

/** The map as JSON.
 *  \param own  NULL: there is none.
 *  \param out  To be freed by cli_file_free.
 *  False: `error` holds a sentence, with file and line where there are such. */
bool cli_coord_derp_map(const cli_coord_config *c, const cli_derp_own *own,
                        cli_file *out, char *error, size_t cap);

#endif
