/* A blob of any size under a key of the host's: a line that names the key, the
 * beginning of all nonces, then chunks.  A chunk is a mark (whether it is the
 * last, and its length) and its text under XChaCha20-Poly1305, whose nonce ends
 * in the chunk's number and in that it is the last: chunks that are cut off,
 * missing, doubled or in another order don't open. */
#include "node_internal.h"

#include <remora/cursor.h>

#include <string.h>

static const char magic[] = "remora-netmap 1 ";

#define PREFIX_LEN (RMR_XNONCE_LEN - 5) /* before number and mark */
#define MARK_LEN 4
#define IS_LAST 0x80000000u
#define FRONT_LEN (ND_SEAL_HEAD_LEN + PREFIX_LEN)

_Static_assert(sizeof magic - 1 == ND_SEAL_MAGIC_LEN, "as the state's");
_Static_assert(ND_CHUNK_MAX + FRONT_LEN + MARK_LEN + RMR_TAG_LEN <=
                   RMR_IO_SCRATCH_MIN,
               "a chunk with its front is one part of a STORE");

struct nd_sealer {
    uint8_t key[RMR_KEY_LEN];
    char head[ND_SEAL_HEAD_LEN + 1];
    uint8_t nonce[RMR_XNONCE_LEN];
    uint32_t number; /* of the next chunk */
    bool began, is_over;
    /* reading: what of the front, a mark or a chunk has come */
    uint8_t *buf;
    size_t have;
};

#define BUF_LEN (ND_CHUNK_MAX + MARK_LEN + RMR_TAG_LEN)

nd_sealer *rmri_node_blob_new(rmr_node *n, bool reads)
{
    const rmr_alloc *a = &n->env.alloc;
    nd_sealer *s = rmr_alloc_zero(a, sizeof *s, _Alignof(nd_sealer));
    if (s && reads)
        s->buf = rmr_alloc_zero(a, BUF_LEN, 1);
    bool ok = s && (!reads || s->buf);
    if (ok && !reads)
        ok = rmri_node_seal_head(n, magic, s->head, s->key) == RMR_OK &&
             rmr_rng_fill(&n->env.rng, s->nonce, PREFIX_LEN) == RMR_OK;
    if (!ok)
        rmri_node_blob_free(n, &s);
    return s;
}

void rmri_node_blob_free(rmr_node *n, nd_sealer **s)
{
    if (*s && (*s)->buf)
        rmr_release_wiped(&n->env.alloc, (*s)->buf, BUF_LEN);
    if (*s)
        rmr_release_wiped(&n->env.alloc, *s, sizeof **s);
    *s = NULL;
}

/* The nonce of the next chunk. */
static void next_nonce(nd_sealer *s, bool last)
{
    rmr_store_be32(s->nonce + PREFIX_LEN, s->number++);
    s->nonce[RMR_XNONCE_LEN - 1] = last;
}

/* ---- writing ----------------------------------------------------------- */

size_t rmri_node_blob_front(const nd_sealer *s)
{
    return s->began ? MARK_LEN : FRONT_LEN + MARK_LEN;
}

size_t rmri_node_blob_seal(nd_sealer *s, uint8_t *part, size_t len, bool last)
{
    size_t at = rmri_node_blob_front(s);
    if (!s->began) {
        memcpy(part, s->head, ND_SEAL_HEAD_LEN);
        memcpy(part + ND_SEAL_HEAD_LEN, s->nonce, PREFIX_LEN);
    }
    s->began = true;
    rmr_store_be32(part + at - MARK_LEN, (uint32_t)len | (last ? IS_LAST : 0));
    next_nonce(s, last);
    rmr_xchapoly_seal(part + at, s->key, s->nonce,
                      rmr_bytes_of(s->head, ND_SEAL_HEAD_LEN),
                      rmr_bytes_of(part + at, len));
    return at + len + RMR_TAG_LEN;
}

/* ---- reading ----------------------------------------------------------- */

static rmr_err take_front(rmr_node *n, nd_sealer *s)
{
    uint32_t number = 0;
    rmr_err err = rmri_node_seal_find(n, magic, s->buf, s->key, &number);
    memcpy(s->head, s->buf, ND_SEAL_HEAD_LEN);
    memcpy(s->nonce, s->buf + ND_SEAL_HEAD_LEN, PREFIX_LEN);
    s->began = true;
    return err;
}

/* What s->buf must hold before it can be looked at; 0: that is not ours. */
static size_t wanted(const nd_sealer *s)
{
    if (!s->began)
        return FRONT_LEN;
    if (s->have < MARK_LEN)
        return MARK_LEN;
    uint32_t len = rmr_load_be32(s->buf) & ~IS_LAST;
    return len > ND_CHUNK_MAX ? 0 : MARK_LEN + len + RMR_TAG_LEN;
}

static rmr_err take_chunk(rmr_node *n, nd_sealer *s, nd_blob_sink sink,
                          bool apply)
{
    uint8_t *text = s->buf + MARK_LEN;
    bool last = rmr_load_be32(s->buf) & IS_LAST;
    next_nonce(s, last);
    rmr_err err = rmr_xchapoly_open(text, s->key, s->nonce,
                                    rmr_bytes_of(s->head, ND_SEAL_HEAD_LEN),
                                    rmr_bytes_of(text, s->have - MARK_LEN));
    s->is_over = last && err == RMR_OK;
    return err == RMR_OK
               ? sink(n, rmr_bytes_of(text, s->have - MARK_LEN - RMR_TAG_LEN),
                      apply)
               : RMR_E_MALFORMED;
}

rmr_err rmri_node_blob_open(rmr_node *n, nd_sealer *s, rmr_bytes part,
                            nd_blob_sink sink, bool apply)
{
    rmr_err err = RMR_OK;
    while (err == RMR_OK && part.len > 0) {
        size_t want = wanted(s);
        if (s->is_over || want == 0)
            return RMR_E_MALFORMED;
        size_t len = want - s->have < part.len ? want - s->have : part.len;
        memcpy(s->buf + s->have, part.ptr, len);
        s->have += len;
        part = rmr_bytes_of(part.ptr + len, part.len - len);
        if (s->have < want || (s->began && want == MARK_LEN))
            continue;
        err = s->began ? take_chunk(n, s, sink, apply) : take_front(n, s);
        s->have = 0;
    }
    return err;
}

bool rmri_node_blob_is_whole(const nd_sealer *s)
{
    return s->is_over;
}
