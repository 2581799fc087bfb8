/* One IP packet, or a few, against a stack with listeners and sockets of all
 * kinds: nothing may break, nor memory grow beyond its bounds.
 *
 * Input: pieces of a 16-bit length and bytes.  The first byte of all chooses
 * whether sums are repaired, so that parsers behind them are reached. */
#include <remora/cursor.h>
#include <remora/netstack.h>

#include <stdlib.h>
#include <string.h>

#include "need.h"
#include "support.h"

#include <ns_internal.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEMORY_MAX (16u << 20)

static void on_datagram(void *user, void *tag, rmr_ns_sock s,
                        const rmr_addr *from, const rmr_addr *to,
                        rmr_bytes data)
{
    uint64_t *sum = user;
    (void)tag;
    (void)s;
    *sum += from->port + to->port;
    for (size_t i = 0; i < data.len; i++)
        *sum += data.ptr[i];
}

/* Makes the sums of a packet right when its headers are whole. */
static void repair4(uint8_t *p, size_t n)
{
    if (n < 20)
        return;
    size_t hl = (p[0] & 15u) * 4u, total = rmr_load_be16(p + 2);
    if (hl < 20 || hl > total || total > n)
        return;
    p[10] = p[11] = 0;
    rmri_ns_sum_store(p + 10, rmri_ns_sum(0, p, hl));
    ns_ip src = {{0}}, dst = {{0}};
    memcpy(src.b, p + 12, 4);
    memcpy(dst.b, p + 16, 4);
    uint8_t *l4 = p + hl;
    size_t len = total - hl, at = 0;
    uint64_t sum = rmri_ns_sum_pseudo(4, &src, &dst, p[9], len);
    if (p[9] == 6 && len >= 20)
        at = 16;
    else if (p[9] == 17 && len >= 8)
        at = 6;
    else if (p[9] == 1 && len >= 8)
        at = 2;
    if (!at)
        return;
    l4[at] = l4[at + 1] = 0;
    rmri_ns_sum_store(l4 + at, rmri_ns_sum(p[9] == 1 ? 0 : sum, l4, len));
}

static void repair6(uint8_t *p, size_t n)
{
    size_t len = n < 40 ? 0 : rmr_load_be16(p + 4), at = 0;
    if (n < 40 || len > n - 40)
        return;
    ns_ip src, dst;
    memcpy(src.b, p + 8, 16);
    memcpy(dst.b, p + 24, 16);
    if (p[6] == 6 && len >= 20)
        at = 16;
    else if (p[6] == 17 && len >= 8)
        at = 6;
    else if (p[6] == 58 && len >= 8)
        at = 2;
    if (!at)
        return;
    uint8_t *l4 = p + 40;
    l4[at] = l4[at + 1] = 0;
    uint64_t sum = rmri_ns_sum_pseudo(6, &src, &dst, p[6], len);
    rmri_ns_sum_store(l4 + at, rmri_ns_sum(sum, l4, len));
}

static rmr_ns *make(test_alloc *a, test_rng *rng, uint64_t *sink)
{
    rmr_ns *ns;
    rmr_ns_config cfg;
    rmr_ns_callbacks cb;
    rmr_ns_sock s;
    rmr_env env = test_env(a, rng, NULL);
    memset(&cb, 0, sizeof cb);
    cb.struct_size = sizeof cb;
    cb.user = sink;
    cb.on_datagram = on_datagram;
    rmr_ns_config_init(&cfg, sizeof cfg);
    cfg.callbacks = &cb;
    cfg.max_sockets = 16;
    cfg.backlog = 4;
    need(rmr_ns_new(&ns, &env, &cfg, RMR_SEC) == RMR_OK);
    rmr_addr me4 = rmr_addr_v4(10, 0, 0, 1, 80), me6, any, to;
    memset(&any, 0, sizeof any);
    any.port = 53;
    need(rmr_addr_parse_ip(rmr_bytes_str("fd00::1"), &me6) == RMR_OK);
    need(rmr_ns_addr_add(ns, &me4) == RMR_OK);
    need(rmr_ns_addr_add(ns, &me6) == RMR_OK);
    need(rmr_ns_tcp_listen(ns, &me4, NULL, &s) == RMR_OK);
    me6.port = 80;
    need(rmr_ns_tcp_listen(ns, &me6, NULL, &s) == RMR_OK);
    need(rmr_ns_udp_bind(ns, &any, NULL, &s) == RMR_OK);
    to = rmr_addr_v4(10, 0, 0, 2, 80);
    rmr_addr from = rmr_addr_v4(10, 0, 0, 1, 4000);
    need(rmr_ns_tcp_connect(ns, RMR_SEC, &from, &to, NULL, &s) == RMR_OK);
    return ns;
}

static void drain(rmr_ns *ns, rmr_time now)
{
    uint8_t buf[1280];
    for (int i = 0; i < 2000; i++) {
        size_t len;
        need(rmr_ns_write_pkt(ns, now, rmr_buf_of(buf, sizeof buf), &len) ==
             RMR_OK);
        need(len <= sizeof buf);
        if (!len)
            return;
    }
    abort(); /* it never ends */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    test_alloc a = {0};
    test_rng rng;
    uint64_t sink = 0;
    if (size < 1)
        return 0;
    test_rng_seed(&rng, 7);
    bool repair = data[0] & 1;
    rmr_ns *ns = make(&a, &rng, &sink);
    rmr_time now = RMR_SEC;
    drain(ns, now);
    rmr_rd r = rmr_rd_of(rmr_bytes_of(data + 1, size - 1));
    while (r.left >= 2) {
        size_t n = rmr_rd_be16(&r);
        now += (n >> 12) * 100 * RMR_MS;
        n &= 0xfff;
        if (n > r.left)
            n = r.left;
        uint8_t *p = malloc(n ? n : 1);
        if (!p)
            abort();
        rmr_rd_copy(&r, p, n);
        if (repair && n && p[0] >> 4 == 4)
            repair4(p, n);
        if (repair && n && p[0] >> 4 == 6)
            repair6(p, n);
        (void)rmr_ns_read_pkt(ns, now, rmr_bytes_of(p, n));
        free(p);
        drain(ns, now);
        if (rmr_ns_next_deadline(ns) <= now) {
            need(rmr_ns_handle_deadline(ns, now) == RMR_OK);
            need(rmr_ns_next_deadline(ns) > now);
        }
        need(a.live_bytes < MEMORY_MAX);
    }
    rmr_ns_free(ns);
    need(a.live_blocks == 0);
    return 0;
}
