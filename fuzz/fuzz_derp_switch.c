/* The relay's switch under a program of operations: up to five clients log in,
 * say anything in any order, read slowly, go; forwarders, rates, time, failing
 * memory.  Two switches run side by side, one fed in pieces; without failing
 * memory both must do the same.  Invariants: deadlines are later than the time
 * handled, memory is bounded, what is written is frames, nothing is written
 * after a close, counters and tables agree. */
#include <remora/derp_srv.h>

#include <remora/cursor.h>

#include "need.h"
#include "dsw_internal.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BURST 6 /* packets a queue holds for a moment */
#define CLIENTS 5
#define POOL ((size_t)200000)
#define TWIN_POOL ((size_t)800000) /* room for a longest frame of each */
#define KEPT 4096

typedef struct client {
    rmr_dsw_client h;
    bool is_open, is_closed; /* closed: by the switch, not yet by us */
    uint8_t kept[KEPT];      /* what the switch did not take */
    size_t kept_len;
    uint8_t header[5]; /* of what it gets */
    size_t header_len, body_left;
} client;

typedef struct side {
    rmr_dsw *sw;
    test_alloc mem;
    test_rng rng;
    size_t step, pool;
    uint64_t sum;
    client c[CLIENTS];
    uint8_t admit;
} side;

typedef struct world {
    side s[2];
    rmr_time now;
    uint8_t private_key[CLIENTS][32], public_key[CLIENTS][32];
    uint8_t relay_private[32], relay_public[32];
} world;

static void mix(side *s, const void *data, size_t n)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < n; i++)
        s->sum = (s->sum ^ p[i]) * 0x100000001b3;
    s->sum = (s->sum ^ n) * 0x100000001b3;
}

static void on_admit(void *user, rmr_dsw_client c, const rmr_dsw_info *info)
{
    side *s = user;
    mix(s, info->key, RMR_KEY_LEN);
    if (s->admit & 1)
        (void)rmr_dsw_admit(s->sw, 0, c, s->admit & 2);
}

static void on_forward(void *user, uint64_t forwarder,
                       const uint8_t src[RMR_KEY_LEN],
                       const uint8_t dst[RMR_KEY_LEN], rmr_bytes packet)
{
    side *s = user;
    mix(s, &forwarder, sizeof forwarder);
    mix(s, src, RMR_KEY_LEN);
    mix(s, dst, RMR_KEY_LEN);
    mix(s, packet.ptr, packet.len);
}

/* ---- in and out --------------------------------------------------------- */

static void feed(world *w, side *s, client *c, const uint8_t *p, size_t n)
{
    while (n && c->is_open && !c->kept_len) {
        size_t k = n < s->step ? n : s->step, used;
        uint8_t *copy = malloc(k);
        need(copy != NULL);
        memcpy(copy, p, k);
        rmr_err e =
            rmr_dsw_read(s->sw, w->now, c->h, rmr_buf_of(copy, k), &used);
        free(copy);
        need(used <= k && (e == RMR_OK || used == k));
        need(!c->is_closed || e == RMR_E_CLOSED);
        if (e != RMR_OK)
            return;
        p += used;
        n -= used;
        if (used < k)
            break;
    }
    if (n > KEPT - c->kept_len)
        n = KEPT - c->kept_len; /* a stream with a hole: it is fuzz */
    memcpy(c->kept + c->kept_len, p, n);
    c->kept_len += n;
}

static void follow(client *c, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (c->body_left) {
            c->body_left--;
            continue;
        }
        c->header[c->header_len++] = p[i];
        if (c->header_len < 5)
            continue;
        uint8_t t = c->header[0];
        c->header_len = 0;
        c->body_left = rmr_load_be32(c->header + 1);
        need(t == RMR_DERP_SERVER_KEY || t == RMR_DERP_SERVER_INFO ||
             t == RMR_DERP_RECV_PACKET || t == RMR_DERP_KEEP_ALIVE ||
             t == RMR_DERP_PEER_GONE || t == RMR_DERP_PEER_PRESENT ||
             t == RMR_DERP_PONG || t == RMR_DERP_HEALTH ||
             t == RMR_DERP_RESTARTING);
        need(c->body_left <= 32 + 65536);
    }
}

static void write_some(world *w, side *s, client *c, uint8_t arg)
{
    uint8_t buf[1024];
    size_t n;
    if (!c->is_open)
        return;
    need(rmr_dsw_write(s->sw, w->now, c->h,
                       rmr_buf_of(buf, RMR_DSW_WRITE_MIN + arg * (size_t)2),
                       &n) == RMR_OK);
    need(n <= RMR_DSW_WRITE_MIN + arg * (size_t)2);
    need(n == 0 || !c->is_closed);
    follow(c, buf, n);
    mix(s, buf, n);
    if (arg & 1)
        (void)rmr_dsw_wrote(s->sw, w->now, c->h, n);
}

static void poll_ready(world *w, side *s)
{
    rmr_dsw_ready r;
    while (rmr_dsw_next_ready(s->sw, &r)) {
        client *c = r.tag;
        size_t n = c->kept_len;
        uint8_t kept[KEPT];
        need(c->is_open && c->h.id == r.client.id && r.what);
        mix(s, &r.what, sizeof r.what);
        if (r.what & RMR_DSW_CLOSE) {
            c->is_closed = true;
            mix(s, &r.why, sizeof r.why);
        }
        if (!(r.what & RMR_DSW_READ) || !n)
            continue;
        memcpy(kept, c->kept, n);
        c->kept_len = 0;
        feed(w, s, c, kept, n);
    }
}

static void open_or_close(world *w, side *s, client *c, uint8_t arg)
{
    rmr_dsw_peer p;
    if (c->is_open) {
        need(rmr_dsw_client_close(s->sw, w->now, c->h, RMR_OK) == RMR_OK);
        c->is_open = false;
        return;
    }
    memset(c, 0, sizeof *c);
    memset(&p, 0, sizeof p);
    p.tag = c;
    p.not_ideal = arg & 1;
    c->is_open = rmr_dsw_client_open(s->sw, w->now, &p, &c->h) == RMR_OK;
}

static void login(world *w, side *s, int i, const uint8_t *json, size_t n)
{
    uint8_t f[5 + 72 + 256] = {0}, shared[32];
    need(n <= 256);
    need(rmr_box_shared(shared, w->private_key[i], w->relay_public) == RMR_OK);
    rmri_derp_put_header(f, RMR_DERP_CLIENT_INFO, 72 + n);
    memcpy(f + 5, w->public_key[i], 32);
    rmr_box_seal(f + 61, shared, f + 37, rmr_bytes_of(json, n));
    feed(w, s, &s->c[i], f, 77 + n);
}

static void send(world *w, side *s, int i, uint8_t arg, const uint8_t *p,
                 size_t n)
{
    static const uint8_t magic[6] = {0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac};
    uint8_t f[5 + 64 + 256];
    size_t keys = arg & 8 ? 64 : 32, pad = arg & 16 ? 62 : 0;
    if (n > 256 - pad)
        n = 256 - pad;
    rmri_derp_put_header(
        f, arg & 8 ? RMR_DERP_FORWARD_PACKET : RMR_DERP_SEND_PACKET,
        keys + pad + n);
    memcpy(f + 5, w->public_key[(arg >> 5) % CLIENTS], 32);
    memcpy(f + 5 + keys - 32, w->public_key[(arg & 7) % CLIENTS], 32);
    memset(f + 5 + keys, 0, pad);
    if (pad)
        memcpy(f + 5 + keys, magic, sizeof magic);
    if (n)
        memcpy(f + 5 + keys + pad, p, n);
    feed(w, s, &s->c[i], f, 5 + keys + pad + n);
}

/* ---- what must hold -------------------------------------------------------- */

static void check(side *s)
{
    rmr_dsw_stats st;
    uint64_t open = 0;
    rmr_dsw_get_stats(s->sw, &st);
    for (int i = 0; i < CLIENTS; i++)
        open += s->c[i].is_open;
    need(st.connections == open && st.clients <= open);
    need(st.keys_local <= st.clients && st.homes <= st.clients);
    need(st.dup_conns <= st.clients && st.watchers <= st.clients);
    need(st.pool_used_bytes <= s->pool);
    need(s->sw->pool.gathered <= s->pool / 2);
    need(s->sw->login_used <= 4096 && st.notes <= 16 && st.pairs <= 8);
    need(st.queued_pkts <= open * 2 * BURST);
    /* the pool and what it keeps, logins while they grow, tables */
    need(s->mem.live_bytes < 2 * s->pool + 3 * 4096 + 64 * 1024);
    if (open == 0)
        need(st.pool_used_bytes == 0 && st.notes == 0 && st.pairs == 0 &&
             s->sw->login_used == 0 && s->sw->keys.used == st.keys_remote &&
             s->sw->timers.len == 0);
}

static void operate(world *w, side *s, uint8_t op, uint8_t arg,
                    const uint8_t *p, size_t n)
{
    static const char plain[] = "{\"version\":2}";
    static const char mesh[] = "{\"meshKey\":\"01010101010101010101010101010101"
                               "01010101010101010101010101010101\"}";
    int i = (op >> 4) % CLIENTS;
    client *c = &s->c[i];
    switch (op & 15) {
    case 0:
        open_or_close(w, s, c, arg);
        break;
    case 1:
        s->admit = arg;
        login(w, s, i, (const uint8_t *)plain, sizeof plain - 1);
        break;
    case 2:
        login(w, s, i, (const uint8_t *)mesh, sizeof mesh - 1);
        break;
    case 3:
        s->admit = 3;
        login(w, s, i, p, n);
        break;
    case 4:
    case 5:
        feed(w, s, c, p, n);
        break;
    case 6:
    case 7:
        send(w, s, i, arg, p, n);
        break;
    case 8:
    case 9:
        write_some(w, s, c, arg);
        break;
    case 10:
        if (c->is_open)
            (void)rmr_dsw_wrote(s->sw, w->now, c->h, arg);
        break;
    case 11:
        if (c->is_open)
            (void)rmr_dsw_admit(s->sw, w->now, c->h, arg & 1);
        break;
    case 12:
        if (arg & 4)
            rmr_dsw_forwarder_forget(s->sw, w->now, arg & 3);
        else if (arg & 8)
            (void)rmr_dsw_forwarder_add(s->sw, w->now, w->public_key[i],
                                        arg & 3);
        else
            (void)rmr_dsw_forwarder_remove(s->sw, w->now, w->public_key[i],
                                           arg & 3);
        break;
    case 13:
        if (arg & 1)
            rmr_dsw_set_rate(s->sw, w->now, (uint64_t)arg * 64, 0);
        else if (arg & 2)
            rmr_dsw_send_restarting(s->sw, w->now, arg, 1);
        else if (c->is_open)
            (void)rmr_dsw_send_health(s->sw, w->now, c->h,
                                      rmr_bytes_of(&arg, arg & 4 ? 1 : 0));
        break;
    default:
        need(rmr_dsw_handle_deadline(s->sw, w->now) == RMR_OK);
        need(rmr_dsw_next_deadline(s->sw) > w->now);
    }
    if (!(op & 0x80) || (op & 15) == 0)
        poll_ready(w, s);
    check(s);
}

/* Twins must never lack room for frames in parts: the one that is fed whole
 * ones needs none. */
static bool make(world *w, side *s, bool twins)
{
    rmr_dsw_callbacks cb = {sizeof cb, s, on_admit, on_forward};
    rmr_dsw_config cfg;
    test_rng_seed(&s->rng, 3);
    rmr_env env = test_env(&s->mem, &s->rng, NULL);
    rmr_dsw_config_init(&cfg, sizeof cfg);
    memcpy(cfg.private_key, w->relay_private, 32);
    memset(cfg.mesh_key, 1, 32);
    cfg.max_clients = CLIENTS;
    cfg.queue_pkts = 4;
    cfg.burst_pkts = BURST;
    s->pool = twins ? TWIN_POOL : POOL;
    cfg.pool_bytes = s->pool;
    cfg.login_bytes = 4096;
    cfg.max_pairs = 8;
    cfg.client_pairs = 3;
    cfg.max_notes = 16;
    cfg.callbacks = &cb;
    return rmr_dsw_new(&s->sw, &env, &cfg, w->now) == RMR_OK;
}

static void run(world *w, const uint8_t *p, size_t left, bool twins)
{
    while (left >= 2) {
        uint8_t op = p[0], arg = p[1];
        p += 2;
        left -= 2;
        size_t n = 0;
        if ((op & 15) >= 3 && (op & 15) <= 7)
            n = (op & 15) >= 6 ? arg & 63 : arg;
        n = n < left ? n : left;
        if ((op & 15) >= 14)
            w->now += (rmr_dur)arg * arg * 2 * RMR_MS;
        operate(w, &w->s[0], op, arg, p, n);
        if (twins) {
            operate(w, &w->s[1], op, arg, p, n);
            need(w->s[0].sum == w->s[1].sum);
        }
        p += n;
        left -= n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static world w;
    if (size < 3 || rmr_crypto_init() != RMR_OK)
        return 0;
    memset(&w, 0, sizeof w);
    w.now = RMR_SEC;
    w.relay_private[0] = 16;
    rmr_key_clamp(w.relay_private);
    rmr_x25519_public(w.relay_public, w.relay_private);
    for (uint8_t i = 0; i < CLIENTS; i++) {
        /* The last one has the first one's key. */
        w.private_key[i][1] = (uint8_t)(1 + i % (CLIENTS - 1));
        rmr_key_clamp(w.private_key[i]);
        rmr_x25519_public(w.public_key[i], w.private_key[i]);
    }
    /* Failing memory fails the twins at different places: then one runs. */
    bool twins = data[0] == 0;
    w.s[0].mem.fail_at = data[0];
    w.s[0].step = 1 << 20;
    w.s[1].step = 1 + data[1] % 64;
    if (make(&w, &w.s[0], twins) && (!twins || make(&w, &w.s[1], twins)))
        run(&w, data + 2, size - 2, twins);
    for (int i = 0; i < 2; i++) {
        rmr_dsw_free(w.s[i].sw);
        need(w.s[i].mem.live_blocks == 0);
    }
    return 0;
}
