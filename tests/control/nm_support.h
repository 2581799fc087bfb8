/* What the netmap's tests share. */
#ifndef REMORA_TESTS_CONTROL_NM_SUPPORT_H
#define REMORA_TESTS_CONTROL_NM_SUPPORT_H

#include <remora/netmap.h>

#include <stdio.h>
#include <stdlib.h>

/* A file of tests/vectors/control; the caller frees it. */
static inline char *nm_sample(const char *name, size_t *len)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/control/%s", REMORA_VECTORS, name);
    FILE *f = fopen(path, "rb");
    if (!f) {
        (void)fprintf(stderr, "no sample %s\n", path);
        abort();
    }
    char *p = malloc(1 << 20);
    *len = fread(p, 1, (1 << 20) - 1, f);
    p[*len] = '\0';
    (void)fclose(f);
    return p;
}

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

#endif
