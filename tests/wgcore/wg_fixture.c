#include "wg_fixture.h"

/* ---- randomness ------------------------------------------------------- */

void wgf_script(wgf_rng *r, const uint8_t *bytes, size_t len)
{
    assert_true(r->n < sizeof r->len && r->used + len <= sizeof r->bytes);
    if (r->next == r->n)
        r->n = r->next = r->used = 0;
    memcpy(r->bytes + r->used, bytes, len);
    r->len[r->n++] = (uint8_t)len;
    r->used += len;
}

static rmr_err fill(void *user, uint8_t *dst, size_t len)
{
    wgf_rng *r = (wgf_rng *)user;
    if (r->next < r->n && r->len[r->next] == len) {
        size_t at = 0;
        for (size_t i = 0; i < r->next; i++)
            at += r->len[i];
        memcpy(dst, r->bytes + at, len);
        r->next++;
        return RMR_OK;
    }
    rmr_rng base = test_rng_table(&r->base);
    return base.fill(base.user, dst, len);
}

/* ---- callbacks -------------------------------------------------------- */

static void run_inside(wgf_side *s, rmr_wg_peer p)
{
    void (*f)(wgf_side *, rmr_wg_peer) = s->inside;
    s->inside = NULL;
    if (f)
        f(s, p);
}

static void on_packet(void *user, rmr_wg_peer p, rmr_buf packet)
{
    wgf_side *s = (wgf_side *)user;
    s->n_packets++;
    s->last_peer = p;
    s->last_len = packet.len;
    assert_true(packet.len <= sizeof s->last);
    memcpy(s->last, packet.ptr, packet.len);
    if (s->on_packet)
        s->on_packet(s, p, packet);
    run_inside(s, p);
}

static void on_state(void *user, rmr_wg_peer p, rmr_wg_state st)
{
    wgf_side *s = (wgf_side *)user;
    s->n_state[st]++;
    run_inside(s, p);
}

static void on_endpoint(void *user, rmr_wg_peer p, const rmr_wg_endpoint *at)
{
    wgf_side *s = (wgf_side *)user;
    s->n_endpoint++;
    s->seen = *at;
    run_inside(s, p);
}

static void on_job(void *user, rmr_wg_job *job)
{
    wgf_side *s = (wgf_side *)user;
    rmr_wg_peer p = job->peer;
    if (s->on_job)
        s->on_job(s, job);
    run_inside(s, p);
}

static void on_unknown(void *user, const uint8_t key[32],
                       const rmr_wg_endpoint *from)
{
    wgf_side *s = (wgf_side *)user;
    rmr_wg_peer none = {0};
    s->n_unknown++;
    s->seen = *from;
    memcpy(s->unknown, key, 32);
    run_inside(s, none);
}

/* ---- sides ------------------------------------------------------------ */

rmr_wg_endpoint wgf_endpoint(const char *text)
{
    rmr_wg_endpoint e;
    memset(&e, 0, sizeof e);
    e.len = (uint8_t)strlen(text);
    e.bucket_len = e.len;
    memcpy(e.bytes, text, e.len);
    return e;
}

rmr_env wgf_env(wgf_side *s)
{
    rmr_env env;
    env.alloc = test_alloc_table(&s->alloc);
    env.rng.fill = fill;
    env.rng.user = &s->rng;
    env.log = test_log_table(s->log, RMR_LOG_TRACE);
    return env;
}

rmr_wg_callbacks wgf_callbacks(wgf_side *s)
{
    rmr_wg_callbacks cb;
    memset(&cb, 0, sizeof cb);
    cb.struct_size = sizeof cb;
    cb.user = s;
    cb.on_packet = on_packet;
    cb.on_state = on_state;
    cb.on_endpoint = on_endpoint;
    cb.on_unknown = on_unknown;
    cb.on_job = on_job;
    return cb;
}

void wgf_side_keys(wgf_side *s, uint64_t seed, const char *at)
{
    test_rng_seed(&s->rng.base, seed);
    for (int i = 0; i < 4; i++)
        rmr_store_le64(s->priv + 8 * i, test_rng_u64(&s->rng.base));
    rmr_key_clamp(s->priv);
    rmr_x25519_public(s->pub, s->priv);
    s->at = wgf_endpoint(at);
}

void wgf_config(wgf_side *s, rmr_wg_config *cfg, rmr_wg_callbacks *cb)
{
    *cb = wgf_callbacks(s);
    rmr_wg_config_init(cfg, sizeof *cfg);
    memcpy(cfg->private_key, s->priv, 32);
    cfg->wall_unix_ns = WGF_WALL;
    cfg->mtu = 1420;
    cfg->roam = true;
    cfg->callbacks = cb;
}

void wgf_side_open(wgf_side *s, rmr_time now)
{
    rmr_wg_callbacks cb;
    rmr_wg_config cfg;
    rmr_env env = wgf_env(s);
    wgf_config(s, &cfg, &cb);
    assert_int_equal(rmr_wg_new(&s->wg, &env, &cfg, now), RMR_OK);
    s->wg->jitter_max = 0;
}

void wgf_side_close(wgf_side *s)
{
    rmr_wg_free(s->wg);
    s->wg = NULL;
    assert_int_equal(s->alloc.live_blocks, 0);
    assert_int_equal(s->alloc.live_bytes, 0);
    assert_int_equal(s->alloc.leaks, 0);
}

rmr_wg_peer wgf_add(wgf_side *s, rmr_time now, const uint8_t pub[32],
                    const uint8_t *psk, const rmr_wg_endpoint *at)
{
    rmr_wg_peer_config pc;
    rmr_wg_peer p = {0};
    rmr_wg_peer_config_init(&pc, sizeof pc);
    memcpy(pc.public_key, pub, 32);
    if (psk) {
        pc.has_psk = true;
        memcpy(pc.psk, psk, 32);
    }
    if (at)
        pc.endpoint = *at;
    assert_int_equal(rmr_wg_peer_add(s->wg, now, &pc, &p), RMR_OK);
    return p;
}

void wgf_allow(wgf_side *s, rmr_wg_peer p, const char *prefixes)
{
    rmr_prefix list[16];
    size_t n = 0;
    while (*prefixes) {
        size_t len = strcspn(prefixes, " ");
        assert_int_equal(
            rmr_prefix_parse(rmr_bytes_of(prefixes, len), &list[n++]), RMR_OK);
        prefixes += len + (prefixes[len] == ' ');
    }
    assert_int_equal(rmr_wg_peer_set_allowed_ips(s->wg, p, list, n), RMR_OK);
}

wg_peer *wgf_state(wgf_side *s)
{
    return rmri_wg_peer_of(s->wg, s->peer);
}

/* ---- the pair --------------------------------------------------------- */

void wgf_open(wgf *f)
{
    memset(f, 0, sizeof *f);
    f->now = WGF_T0;
    wgf_side_keys(&f->a, 1, "a:1");
    wgf_side_keys(&f->b, 2, "b:2");
    wgf_side_open(&f->a, f->now);
    wgf_side_open(&f->b, f->now);
    f->a.peer = wgf_add(&f->a, f->now, f->b.pub, NULL, &f->b.at);
    f->b.peer = wgf_add(&f->b, f->now, f->a.pub, NULL, &f->a.at);
    wgf_allow(&f->a, f->a.peer, "10.0.0.2/32");
    wgf_allow(&f->b, f->b.peer, "10.0.0.1/32");
}

void wgf_close(wgf *f)
{
    wgf_side_close(&f->a);
    wgf_side_close(&f->b);
}

wgf_side *wgf_other(wgf *f, wgf_side *s)
{
    return s == &f->a ? &f->b : &f->a;
}

size_t wgf_take(wgf *f, wgf_side *s, uint8_t buf[WGF_BUF])
{
    rmr_wg_pkt_info info;
    size_t n = 0;
    assert_int_equal(
        rmr_wg_write_pkt(s->wg, f->now, rmr_buf_of(buf, WGF_BUF), &n, &info),
        RMR_OK);
    return n;
}

rmr_err wgf_give(wgf *f, wgf_side *to, const uint8_t *d, size_t n)
{
    uint8_t copy[WGF_BUF];
    memcpy(copy, d, n);
    return rmr_wg_read_pkt(to->wg, f->now, &wgf_other(f, to)->at,
                           rmr_buf_of(copy, n));
}

size_t wgf_exchange(wgf *f)
{
    uint8_t d[WGF_BUF];
    size_t total = 0;
    for (bool any = true; any;) {
        any = false;
        wgf_side *sides[2] = {&f->a, &f->b};
        for (int i = 0; i < 2; i++)
            for (size_t n; (n = wgf_take(f, sides[i], d)) > 0; total++) {
                any = true;
                (void)wgf_give(f, wgf_other(f, sides[i]), d, n);
            }
    }
    return total;
}

void wgf_run(wgf *f, rmr_time until)
{
    wgf_exchange(f);
    for (;;) {
        rmr_time next = rmr_time_min(rmr_wg_next_deadline(f->a.wg),
                                     rmr_wg_next_deadline(f->b.wg));
        if (next > until)
            break;
        f->now = next;
        assert_int_equal(rmr_wg_handle_deadline(f->a.wg, f->now), RMR_OK);
        assert_int_equal(rmr_wg_handle_deadline(f->b.wg, f->now), RMR_OK);
        assert_true(rmr_wg_next_deadline(f->a.wg) > f->now);
        assert_true(rmr_wg_next_deadline(f->b.wg) > f->now);
        wgf_exchange(f);
    }
    f->now = until;
}

void wgf_handshake(wgf *f)
{
    assert_int_equal(wgf_send(f, &f->a, 40), RMR_OK);
    wgf_exchange(f);
    assert_non_null(wgf_state(&f->a)->current);
    assert_non_null(wgf_state(&f->b)->current);
}

/* ---- packets ---------------------------------------------------------- */

size_t wgf_packet(const wgf *f, const wgf_side *from, uint8_t *dst, size_t len)
{
    memset(dst, 0x61, len);
    memset(dst, 0, 20);
    dst[0] = 0x45;
    rmr_store_be16(dst + 2, (uint16_t)len);
    dst[12] = dst[16] = 10;
    dst[15] = from == &f->a ? 1 : 2;
    dst[19] = from == &f->a ? 2 : 1;
    return len;
}

rmr_err wgf_send(wgf *f, wgf_side *s, size_t len)
{
    uint8_t p[WGF_BUF];
    wgf_packet(f, s, p, len);
    return rmr_wg_send(s->wg, f->now, s->peer, rmr_bytes_of(p, len));
}

rmr_err wgf_seal(wgf *f, wgf_side *s, size_t len, uint8_t buf[WGF_BUF],
                 size_t *n)
{
    rmr_wg_endpoint to;
    rmr_pkt pkt = rmr_pkt_of(rmr_buf_of(buf, WGF_BUF), RMR_WG_HEADER_LEN);
    uint8_t *at = rmr_pkt_put(&pkt, len);
    assert_non_null(at);
    wgf_packet(f, s, at, len);
    rmr_err e = rmr_wg_seal(s->wg, f->now, s->peer, &pkt, &to);
    if (!e)
        assert_int_equal(pkt.off, 0);
    *n = pkt.len;
    return e;
}

/* ---- a cipher that is none --------------------------------------------- */

static void open_init(void *self, rmr_aead_ctx *ctx, const uint8_t *key)
{
    (void)self;
    memcpy(ctx->opaque, key, RMR_KEY_LEN);
}

static void open_seal(void *self, const rmr_aead_ctx *ctx, uint64_t counter,
                      uint8_t *buf, size_t len)
{
    (void)self;
    (void)ctx;
    (void)counter;
    memset(buf + len, 0, RMR_TAG_LEN);
}

static rmr_err open_open(void *self, const rmr_aead_ctx *ctx, uint64_t counter,
                         uint8_t *buf, size_t len)
{
    (void)self;
    (void)ctx;
    (void)counter;
    (void)buf;
    (void)len;
    return RMR_OK;
}

const rmr_aead *wgf_open_aead(void)
{
    static const rmr_aead aead = {.name = "open",
                                  .init = open_init,
                                  .seal = open_seal,
                                  .open = open_open};
    return &aead;
}

/* ---- digest ----------------------------------------------------------- */

static const rmr_hash_key digest_key = {1, 2};

static uint64_t mix(uint64_t sum, const void *data, size_t len)
{
    return sum * 31 + rmr_siphash(&digest_key, data, len);
}

static uint64_t mix_key(uint64_t sum, const wg_key *k)
{
    if (!k)
        return sum * 31;
    sum = mix(sum, &k->ix.id, sizeof k->ix.id);
    sum = mix(sum, &k->counter, sizeof k->counter);
    sum = mix(sum, &k->replay, sizeof k->replay);
    sum = mix(sum, &k->born, sizeof k->born);
    return mix(sum, &k->can_send, sizeof k->can_send);
}

static uint64_t mix_peer(uint64_t sum, const wg_peer *p)
{
    sum = mix_key(mix_key(mix_key(sum, p->previous), p->current), p->next);
    if (p->hs)
        sum = mix(mix(sum, &p->hs->noise, sizeof p->hs->noise), p->hs->msg,
                  sizeof p->hs->msg);
    if (p->response)
        sum = mix(sum, p->response, WG_RESPONSE_LEN);
    sum = mix(sum, &p->endpoint, sizeof p->endpoint);
    sum = mix(sum, p->stamp, sizeof p->stamp);
    sum = mix(sum, &p->init_rx, sizeof p->init_rx);
    sum = mix(sum, &p->last_init, sizeof p->last_init);
    sum = mix(sum, p->cookie, sizeof p->cookie);
    sum = mix(sum, p->mac1, sizeof p->mac1);
    bool flags[] = {p->has_last_init, p->has_init_rx, p->has_cookie,
                    p->has_mac1,      p->need_ka,     p->last_minute,
                    p->want_ka};
    sum = mix(sum, flags, sizeof flags);
    sum = mix(sum, p->deadline, sizeof p->deadline);
    sum = mix(sum, &p->attempts, sizeof p->attempts);
    sum = mix(sum, &p->n_staged, sizeof p->n_staged);
    uint64_t n[] = {p->rx_bytes, p->tx_bytes, p->rx_pkts, p->tx_pkts,
                    p->last_rx,  p->last_tx,  p->events,  p->out.next != NULL};
    return mix(sum, n, sizeof n);
}

uint64_t wgf_digest(const rmr_wg *wg)
{
    uint64_t sum = 0, id;
    const wg_peer *p;
    for (uint32_t pos = 0;
         (p = (const wg_peer *)rmr_slots_next(&wg->peers, &pos, &id));)
        sum = mix_peer(sum, p);
    sum = mix(sum, &wg->stamp_unix_ns, sizeof wg->stamp_unix_ns);
    sum = mix(sum, &wg->indices.used, sizeof wg->indices.used);
    sum = mix(sum, &wg->stats.memory_bytes, sizeof wg->stats.memory_bytes);
    rmr_time next = rmr_wg_next_deadline(wg);
    return mix(sum, &next, sizeof next);
}

int wgf_group_setup(void **state)
{
    (void)state;
    return rmr_crypto_init();
}
