/* The state blob's reader: as it is, and past its hash, so that the fields are
 * reached too. */
#include "node_internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nd_keys keys;
    bool is_old;
    rmri_node_state_parse(&keys, rmr_bytes_of(data, size), &is_old);
    if (rmri_node_state_parse_body(&keys, rmr_bytes_of(data, size)) == RMR_OK) {
        static const uint8_t zero[RMR_KEY_LEN];
        if (memcmp(keys.machine, zero, sizeof zero) == 0 ||
            !memchr(keys.url, 0, sizeof keys.url) ||
            !memchr(keys.login, 0, sizeof keys.login))
            abort();
    }
    return 0;
}
