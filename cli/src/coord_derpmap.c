/* The DERP map that nodes get: one file of JSON. */
#include "coord_derpmap.h"

#include <stdio.h>

#define MAP_MAX ((size_t)1024 * 1024)

bool cli_coord_derp_map(const cli_coord_config *c, cli_file *out, char *error,
                        size_t cap)
{
    if (c->derp.paths.n == 0) {
        return true;
    }
    if (c->derp.paths.n > 1) {
        (void)snprintf(error, cap, "'derp.paths' takes one file of JSON yet");
        return false;
    }
    return cli_file_read(out, c->derp.paths.at[0], MAP_MAX, error, cap);
}
