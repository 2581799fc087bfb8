/* The bodies of /machine/register and /machine/map, whole, byte by byte and in
 * two parts: the same comes out, and all of it within its bounds. */
#include "crd_internal.h"
#include "need.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *t, size_t cap)
{
    size_t n = 0;
    while (n < cap && t[n]) {
        uint8_t ch = (uint8_t)t[n++];
        need(ch >= 0x20 && ch != 0x7f);
    }
    need(n < cap);
}

static void check(const crd_request *q)
{
    check_text(q->auth_key, sizeof q->auth_key);
    check_text(q->followup, sizeof q->followup);
    check_text(q->hostname, sizeof q->hostname);
    check_text(q->os, sizeof q->os);
    need(q->n_routes <= RMR_COORD_MAX_ROUTES &&
         q->n_tags <= RMR_COORD_MAX_TAGS && q->n_services <= CRD_MAX_SERVICES &&
         q->n_endpoints <= RMR_COORD_MAX_ENDPOINTS);
    for (size_t i = 0; i < q->n_routes; i++)
        need(q->routes[i].bits <=
             (q->routes[i].family == RMR_AF_INET ? 32 : 128));
    for (size_t i = 0; i < q->n_tags; i++)
        check_text(q->tags[i], sizeof q->tags[0]);
    for (size_t i = 0; i < q->n_services; i++)
        check_text(q->services[i].proto, sizeof q->services[0].proto);
    need(!q->has_expiry || q->expiry > 0);
}

static rmr_err read_parts(crd_reader *r, const uint8_t *p, size_t n,
                          size_t first, size_t step)
{
    rmr_err e = RMR_OK;
    memset(r, 0, sizeof *r);
    rmri_crd_reader_init(r);
    for (size_t at = 0; at < n && e == RMR_OK;) {
        size_t k = at == 0 && first ? first : step;
        k = n - at < k ? n - at : k;
        e = rmri_crd_reader_feed(r, rmr_bytes_of(p + at, k));
        at += k;
    }
    return e == RMR_OK ? rmri_crd_reader_end(r) : e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static crd_reader whole, bytes, two;
    if (size < 1 || size > 16384)
        return 0;
    size_t cut = data[0];
    uint8_t *p = malloc(size);
    need(p != NULL);
    memcpy(p, data + 1, size - 1);
    rmr_err a = read_parts(&whole, p, size - 1, 0, SIZE_MAX);
    rmr_err b = read_parts(&bytes, p, size - 1, 0, 1);
    rmr_err c = read_parts(&two, p, size - 1, cut, SIZE_MAX);
    free(p);
    need(a == b && a == c);
    need(memcmp(&whole.q, &bytes.q, sizeof whole.q) == 0 &&
         memcmp(&whole.q, &two.q, sizeof whole.q) == 0);
    check(&whole.q);
    return 0;
}
