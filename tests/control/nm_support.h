/* What the netmap's tests and its fuzz target share. */
#ifndef REMORA_TESTS_CONTROL_NM_SUPPORT_H
#define REMORA_TESTS_CONTROL_NM_SUPPORT_H

#include <remora/netmap.h>

#include "nm_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline rmr_err nm_feed(rmr_nm *nm, uint64_t now, rmr_bytes json,
                              size_t piece)
{
    rmr_nm_frame_begin(nm, now);
    while (json.len) {
        size_t n = piece && piece < json.len ? piece : json.len;
        if (rmr_nm_frame_feed(nm, rmr_bytes_of(json.ptr, n)))
            break;
        json.ptr += n;
        json.len -= n;
    }
    return rmr_nm_frame_end(nm);
}

/* The whole table as text; the caller frees it. */
static inline char *nm_dump(const rmr_nm *nm, size_t *out_len)
{
    size_t cap = 1 << 17, len = 0, n;
    uint64_t pos = 0;
    char *p = malloc(cap);
    for (;;) {
        if (cap - len < 70000)
            p = realloc(p, cap *= 2);
        if (rmr_nm_save(nm, &pos, rmr_buf_of(p + len, 66000), &n))
            abort();
        if (n == 0)
            break;
        len += n;
    }
    p[len] = '\0';
    if (out_len)
        *out_len = len;
    return p;
}

/* The i-th key of a peer in an index, as the index sees it. */
static inline size_t nm_key(const nm_peer *p, int kind, size_t i,
                            uint8_t key[NM_TEXT_MAX])
{
    static const uint8_t zero[32] = {0};
    const uint8_t *k = kind == NM_BY_KEY ? p->key : p->disco;
    nm_parts parts;
    rmri_nm_parts(p, &parts);
    if (kind == NM_BY_KEY || kind == NM_BY_DISCO) {
        memcpy(key, k, 32);
        return i == 0 && memcmp(k, zero, 32) != 0 ? 32 : 0;
    }
    if (kind == NM_BY_NAME) {
        memcpy(key, parts.name, p->name_len);
        return i == 0 ? p->name_len : 0;
    }
    if (i >= p->n_addrs ||
        parts.addrs[i].bits !=
            (parts.addrs[i].family == RMR_AF_INET ? 32 : 128))
        return 0;
    key[0] = parts.addrs[i].family;
    memcpy(key + 1, parts.addrs[i].ip, 16);
    return 17;
}

/* Does the peer of that place in the array hold this key, as the one of the
 * lowest id that has it? */
static inline bool nm_is_first(const rmr_nm *nm, size_t at, int kind,
                               const uint8_t *key, size_t len)
{
    uint8_t other[NM_TEXT_MAX];
    for (size_t q = 0; q < at; q++) {
        for (size_t i = 0; i < NM_MAX_ADDRS; i++) {
            size_t n = nm_key(nm->peers[q], kind, i, other);
            if (n == len && memcmp(other, key, len) == 0)
                return false;
        }
    }
    return true;
}

/* Indexes and table say the same; aborts otherwise. */
static inline void nm_check(const rmr_nm *nm)
{
    uint8_t key[NM_TEXT_MAX];
    bool ok = true;
    for (size_t i = 1; i < nm->n_peers; i++)
        ok = ok && nm->peers[i - 1]->id < nm->peers[i]->id;
    for (int kind = 0; kind < NM_INDEXES; kind++) {
        size_t held = 0, shadowed = 0;
        for (size_t p = 0; p < nm->n_peers; p++) {
            for (size_t i = 0; i < NM_MAX_ADDRS; i++) {
                size_t len = nm_key(nm->peers[p], kind, i, key);
                uint64_t v = 0;
                if (len == 0)
                    continue;
                bool there = rmr_hash_get(&nm->index[kind], key, len, &v);
                bool first = nm_is_first(nm, p, kind, key, len);
                bool mine = v == (uint64_t)(uintptr_t)nm->peers[p];
                ok = ok && there && mine == first;
                held += first;
                shadowed += !first;
            }
        }
        ok = ok && nm->index[kind].used == held;
        ok = ok && nm->shadowed[kind] == shadowed;
    }
    if (!ok) {
        (void)fprintf(stderr, "the indexes do not agree with the table\n");
        abort();
    }
}

#endif
