/* The state blob's reader: as it is, and past its hash, so that the fields are
 * reached too. */
#include "node_internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void *take(void *user, size_t size, size_t align)
{
    (void)user;
    (void)align; /* what malloc gives does */
    return malloc(size);
}

static void give(void *user, void *ptr, size_t size)
{
    (void)user;
    (void)size;
    free(ptr);
}

static const rmr_alloc heap = {take, give, NULL};

/* What was read can be written, and read again. */
static void write_and_read(const nd_keys *keys)
{
    static uint8_t text[24 * 1024];
    nd_keys again;
    bool is_old;
    size_t len = 0;
    if (rmri_node_state_text(keys, rmr_buf_of(text, sizeof text), &len) !=
            RMR_OK ||
        rmri_node_state_parse(&again, &heap, rmr_bytes_of(text, len),
                              &is_old) != RMR_OK ||
        is_old || again.prefs.n_routes != keys->prefs.n_routes ||
        strcmp(again.prefs.hostname, keys->prefs.hostname) != 0 ||
        strcmp(rmr_text_kept(again.url), rmr_text_kept(keys->url)) != 0)
        abort();
    rmri_node_keys_wipe(&again, &heap);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nd_keys keys;
    bool is_old;
    if (rmri_node_state_parse(&keys, &heap, rmr_bytes_of(data, size),
                              &is_old) == RMR_OK)
        rmri_node_keys_wipe(&keys, &heap);
    if (rmri_node_state_parse_body(&keys, &heap, rmr_bytes_of(data, size)) ==
        RMR_OK) {
        static const uint8_t zero[RMR_KEY_LEN];
        if (memcmp(keys.machine, zero, sizeof zero) == 0 ||
            strlen(rmr_text_kept(keys.url)) >= ND_URL_MAX ||
            strlen(rmr_text_kept(keys.login)) >= ND_LOGIN_MAX)
            abort();
        write_and_read(&keys);
        rmri_node_keys_wipe(&keys, &heap);
    }
    return 0;
}
