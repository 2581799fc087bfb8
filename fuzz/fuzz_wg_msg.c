/*
 * Messages into a tunnel with one peer, over the null ciphers, so that any
 * bytes pass authentication.  The input is a program: an operation, a length,
 * that many bytes, and again.
 */
#include <string.h>

#include "need.h"
#include "support.h"
#include "wg_internal.h"

typedef struct world {
    rmr_wg *wg;
    rmr_time now;
    rmr_wg_peer peer;
    uint8_t peer_pub[32];
    test_alloc alloc;
} world;

static void on_packet(void *user, rmr_wg_peer p, rmr_buf packet)
{
    world *w = (world *)user;
    need(p.id != 0 && packet.len >= 20 && packet.len <= RMR_WG_MAX_PACKET);
    /* Pump calls are refused here. */
    need(rmr_wg_handle_deadline(w->wg, w->now) == RMR_E_REENTRANT);
    packet.ptr[0] ^= packet.ptr[packet.len - 1]; /* all of it is there */
}

static void on_state(void *user, rmr_wg_peer p, rmr_wg_state s)
{
    (void)user;
    need(p.id != 0 && s <= RMR_WG_EXPIRED);
}

static void on_endpoint(void *user, rmr_wg_peer p, const rmr_wg_endpoint *at)
{
    (void)user;
    need(p.id != 0 && at->len <= RMR_WG_ENDPOINT_MAX);
}

/* Every other stranger is let in, up to the tunnel's bound. */
static void on_unknown(void *user, const uint8_t key[32],
                       const rmr_wg_endpoint *from)
{
    world *w = (world *)user;
    rmr_wg_peer_config pc;
    rmr_wg_peer p;
    if (key[0] & 1)
        return;
    rmr_wg_peer_config_init(&pc, sizeof pc);
    memcpy(pc.public_key, key, 32);
    pc.endpoint = *from;
    (void)rmr_wg_peer_add(w->wg, w->now, &pc, &p);
}

static bool open_world(world *w, test_rng *rng)
{
    rmr_env env = test_env(&w->alloc, rng, NULL);
    rmr_wg_callbacks cb = {.struct_size = sizeof cb,
                           .user = w,
                           .on_packet = on_packet,
                           .on_state = on_state,
                           .on_endpoint = on_endpoint,
                           .on_unknown = on_unknown};
    rmr_wg_config cfg;
    rmr_wg_config_init(&cfg, sizeof cfg);
    memset(cfg.private_key, 0x42, 32);
    cfg.max_peers = 4;
    cfg.max_staged_pkts = 8;
    cfg.roam = true;
    cfg.load_per_second = 20;
    cfg.wall_unix_ns = 1700000000u * RMR_SEC;
    cfg.callbacks = &cb;
    w->now = 1000 * RMR_SEC;
    if (rmr_wg_new(&w->wg, &env, &cfg, w->now))
        return false;
    rmr_wg_peer_config pc;
    rmr_wg_peer_config_init(&pc, sizeof pc);
    memset(pc.public_key, 0x17, 32);
    memcpy(w->peer_pub, pc.public_key, 32);
    rmr_prefix all[2] = {{{0}, RMR_AF_INET, 1}, {{0}, RMR_AF_INET6, 3}};
    return !rmr_wg_peer_add(w->wg, w->now, &pc, &w->peer) &&
           !rmr_wg_peer_set_allowed_ips(w->wg, w->peer, all, 2);
}

/* ---- messages --------------------------------------------------------- */

typedef struct msg {
    uint8_t b[2048];
    size_t len;
} msg;

/* What the null ciphers take for a right MAC. */
static void put_mac(uint8_t *at)
{
    memset(at, 0x11, 16);
}

static void fill(msg *m, size_t at, rmr_bytes in)
{
    if (at < m->len) {
        size_t n = m->len - at < in.len ? m->len - at : in.len;
        if (n)
            memcpy(m->b + at, in.ptr, n);
    }
}

static const wg_key *some_key(const wg_peer *p, uint8_t which)
{
    const wg_key *k = which % 3 == 0   ? p->current
                      : which % 3 == 1 ? p->next
                                       : p->previous;
    return k ? k : p->current ? p->current : p->next;
}

/* A message that is well-formed around the input's bytes. */
static void shape(world *w, msg *m, uint8_t kind, rmr_bytes in)
{
    const wg_peer *p = rmri_wg_peer_of(w->wg, w->peer);
    const wg_key *k = p && in.len ? some_key(p, in.ptr[0]) : NULL;
    uint32_t index = k ? k->ix.id : 0;
    memset(m, 0, sizeof *m);
    switch (kind) {
    case WG_INITIATION:
        m->len = WG_INITIATION_LEN;
        memset(m->b + 8, 0x33, 32);
        memcpy(m->b + 40, w->peer_pub, 32);
        fill(m, 88, in); /* the stamp */
        put_mac(m->b + 116);
        break;
    case WG_RESPONSE:
        m->len = WG_RESPONSE_LEN;
        fill(m, 4, in);
        memset(m->b + 12, 0x34, 32);
        rmr_store_le32(m->b + 8, p && p->hs ? p->hs->ix.id : index);
        put_mac(m->b + 60);
        break;
    case WG_COOKIE:
        m->len = WG_COOKIE_LEN;
        fill(m, 8, in);
        rmr_store_le32(m->b + 4, p && p->hs ? p->hs->ix.id : index);
        break;
    default:
        kind = WG_DATA;
        m->len = RMR_WG_OVERHEAD + (in.len > 3 ? in.len - 3 : 0);
        if (m->len > sizeof m->b)
            m->len = sizeof m->b;
        rmr_store_le32(m->b + 4, index);
        if (in.len > 2)
            rmr_store_le64(m->b + 8, in.ptr[1] + 256u * in.ptr[2]);
        if (in.len > 3)
            fill(m, 16, rmr_bytes_of(in.ptr + 3, in.len - 3));
        break;
    }
    rmr_store_le32(m->b, kind);
}

static void give(world *w, msg *m)
{
    rmr_wg_endpoint from;
    memset(&from, 0, sizeof from);
    from.len = 6;
    from.bucket_len = 4;
    from.bytes[5] = m->b[m->len / 2];
    (void)rmr_wg_read_pkt(w->wg, w->now, &from, rmr_buf_of(m->b, m->len));
}

static void drain(world *w)
{
    uint8_t out[4096];
    rmr_wg_pkt_info info;
    size_t n, total = 0;
    do {
        need(!rmr_wg_write_pkt(w->wg, w->now, rmr_buf_of(out, sizeof out), &n,
                               &info));
        need(++total < 10000);
    } while (n);
}

static void pass_time(world *w, rmr_dur d)
{
    w->now += d;
    rmr_time due = rmr_wg_next_deadline(w->wg);
    need(!rmr_wg_handle_deadline(w->wg, w->now));
    rmr_time next = rmr_wg_next_deadline(w->wg);
    need(due > w->now ? next == due : next > w->now);
}

static void step(world *w, uint8_t op, rmr_bytes in)
{
    msg m;
    switch (op % 10) {
    case 0: /* as it is */
        memset(&m, 0, sizeof m);
        m.len = in.len;
        fill(&m, 0, in);
        give(w, &m);
        break;
    case 1:
    case 2:
    case 3:
    case 4:
        shape(w, &m, op % 10, in);
        give(w, &m);
        break;
    case 5:
        pass_time(w, in.len ? in.ptr[0] * 100 * RMR_MS : 20 * RMR_MS);
        break;
    case 6:
        (void)rmr_wg_send(w->wg, w->now, w->peer, in);
        break;
    case 7:
        drain(w);
        break;
    case 8:
        w->alloc.fail_at = w->alloc.calls + 1 + (in.len ? in.ptr[0] % 4 : 0);
        break;
    default:
        (void)rmr_wg_peer_set_keepalive(w->wg, w->now, w->peer,
                                        in.len ? in.ptr[0] : 0);
        break;
    }
    need(w->wg->stats.memory_bytes == w->alloc.live_bytes);
    need(w->wg->staged_bytes <= w->wg->max_staged_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    world w;
    test_rng rng;
    memset(&w, 0, sizeof w);
    test_rng_seed(&rng, 1);
    need(open_world(&w, &rng));
    while (size >= 2) {
        uint8_t op = data[0];
        size_t n = data[1];
        data += 2;
        size -= 2;
        if (n > size)
            n = size;
        step(&w, op, rmr_bytes_of(data, n));
        data += n;
        size -= n;
    }
    drain(&w);
    pass_time(&w, 600 * RMR_SEC);
    drain(&w);
    rmr_wg_free(w.wg);
    need(w.alloc.live_blocks == 0);
    return 0;
}
