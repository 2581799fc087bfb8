/* The state blob's reader: as it is, and past its hash, so that the fields are
 * reached too. */
#include "node_internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was read can be written, and read again. */
static void write_and_read(const nd_keys *keys)
{
    static uint8_t text[24 * 1024];
    nd_keys again;
    bool is_old;
    size_t len = 0;
    if (rmri_node_state_text(keys, rmr_buf_of(text, sizeof text), &len) !=
            RMR_OK ||
        rmri_node_state_parse(&again, rmr_bytes_of(text, len), &is_old) !=
            RMR_OK ||
        is_old || again.prefs.n_routes != keys->prefs.n_routes ||
        strcmp(again.prefs.hostname, keys->prefs.hostname) != 0 ||
        strcmp(again.url, keys->url) != 0)
        abort();
}

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
        write_and_read(&keys);
    }
    return 0;
}
