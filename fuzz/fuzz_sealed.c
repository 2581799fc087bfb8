/* Sealed blobs: any bytes are refused or taken without harm, and what was sealed
 * in chunks of any size opens again from parts of any size, but for altered. */
#include "node_internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MOST ((size_t)4096)

static rmr_node node; /* of it only what sealing looks at */
static uint8_t got[2 * MOST];
static size_t got_len;

static rmr_err seal_key(void *user, uint32_t number, uint8_t key[RMR_KEY_LEN])
{
    (void)user;
    memset(key, (int)number + 7, RMR_KEY_LEN);
    return number < 2 ? RMR_OK : RMR_E_NOTFOUND;
}

static void *take(void *user, size_t size, size_t align)
{
    (void)user;
    (void)align;
    return malloc(size);
}

static void give_back(void *user, void *p, size_t size)
{
    (void)user;
    (void)size;
    free(p);
}

static rmr_err fill(void *user, uint8_t *dst, size_t len)
{
    (void)user;
    memset(dst, 0x5a, len);
    return RMR_OK;
}

static rmr_err sink(rmr_node *n, rmr_bytes text, bool apply)
{
    (void)n;
    (void)apply;
    if (text.len > sizeof got - got_len)
        abort();
    memcpy(got + got_len, text.ptr, text.len);
    got_len += text.len;
    return RMR_OK;
}

/* In parts of that size; true: all of it was taken. */
static bool opens(const uint8_t *blob, size_t len, size_t part)
{
    nd_sealer *s = rmri_node_blob_new(&node, true);
    rmr_err err = RMR_OK;
    if (!s)
        abort();
    got_len = 0;
    for (size_t at = 0; at < len && err == RMR_OK; at += part)
        err = rmri_node_blob_open(
            &node, s,
            rmr_bytes_of(blob + at, len - at < part ? len - at : part), sink,
            false);
    bool whole = err == RMR_OK && rmri_node_blob_is_whole(s);
    rmri_node_blob_free(&node, &s);
    return whole;
}

static size_t seal(uint8_t *blob, const uint8_t *text, size_t len, size_t chunk)
{
    static uint8_t part[MOST + 256];
    nd_sealer *s = rmri_node_blob_new(&node, false);
    size_t blob_len = 0;
    if (!s)
        abort();
    for (size_t at = 0; at < len; at += chunk) {
        size_t n = len - at < chunk ? len - at : chunk;
        memcpy(part + rmri_node_blob_front(s), text + at, n);
        n = rmri_node_blob_seal(s, part, n, at + n == len);
        memcpy(blob + blob_len, part, n);
        blob_len += n;
    }
    rmri_node_blob_free(&node, &s);
    return blob_len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t blob[MOST * 32];
    uint32_t number;
    if (size < 4 || size > MOST)
        return 0;
    node.env.alloc = (rmr_alloc){take, give_back, NULL};
    node.env.rng = (rmr_rng){fill, NULL};
    node.seal_key = seal_key;
    size_t chunk = 1 + data[0], part = 1 + data[1];
    size_t at = (size_t)data[2] << 8 | data[3];
    data += 4;
    size -= 4;
    (void)opens(data, size, part);
    memcpy(blob, data, size);
    rmr_buf whole = rmr_buf_of(blob, size);
    (void)rmri_node_unseal(&node, &whole, &number);
    if (size == 0)
        return 0;
    size_t len = seal(blob, data, size, chunk);
    if (!opens(blob, len, part) || got_len != size ||
        memcmp(got, data, size) != 0)
        abort();
    blob[at % len] ^= 1;
    if (opens(blob, len, part))
        abort();
    return 0;
}
