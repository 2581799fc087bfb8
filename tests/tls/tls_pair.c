#include "tls_pair.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tls_pool.h"

rmr_err pair_identity(tls_pair *p, const char *chain, const char *key,
                      rmr_tls_identity **out)
{
    static char certs[32 * 1024], secret[8 * 1024];
    size_t nc = peer_load_text(chain, certs, sizeof certs);
    size_t nk = peer_load_text(key, secret, sizeof secret);
    return rmr_tls_identity_new(out, &p->env, rmr_bytes_of(certs, nc),
                                rmr_bytes_of(secret, nk));
}

void pair_init(tls_pair *p, const pair_config *cfg)
{
    memset(p, 0, sizeof *p);
    test_rng_seed(&p->r, cfg->seed);
    p->env = test_env(&p->a, &p->r, NULL);
    p->harm = cfg->harm;
    p->client_gcm = cfg->client_gcm;
    p->server_gcm = cfg->server_gcm;
    assert_int_equal(pair_identity(p, cfg->chain ? cfg->chain : "leaf-ec.pem",
                                   cfg->key ? cfg->key : "ec.key", &p->id),
                     RMR_OK);
    if (cfg->pool)
        assert_int_equal(rmr_tls_pool_new(&p->pool, &p->env, cfg->pool),
                         RMR_OK);
}

rmr_err pair_new_client(tls_pair *p, bool with_pool)
{
    rmr_tls_config cfg;
    rmr_tls_config_init(&cfg, sizeof cfg);
    cfg.server_name = "host.test";
    cfg.insecure = true;
    cfg.wall_unix_ns = TEST_WALL_NS;
    cfg.pool = with_pool ? p->pool : NULL;
    cfg.gcm = p->client_gcm;
    return rmr_tls_client_new(&p->c.t, &p->env, &cfg);
}

rmr_err pair_new_server(tls_pair *p)
{
    rmr_tls_server_config cfg;
    rmr_tls_server_config_init(&cfg, sizeof cfg);
    cfg.identity = p->id;
    cfg.pool = p->pool;
    cfg.gcm = p->server_gcm;
    return rmr_tls_server_new(&p->s.t, &p->env, &cfg);
}

void pair_open(tls_pair *p, const pair_config *cfg, size_t step)
{
    pair_init(p, cfg);
    assert_int_equal(pair_new_server(p), RMR_OK);
    assert_int_equal(pair_new_client(p, cfg->pool_for_client), RMR_OK);
    assert_int_equal(pair_pump(p, step), RMR_OK);
    assert_true(rmr_tls_is_open(p->c.t));
    assert_true(rmr_tls_is_open(p->s.t));
}

void pair_free(tls_pair *p)
{
    rmr_tls_free(p->c.t);
    rmr_tls_free(p->s.t);
    rmr_tls_identity_free(p->id);
    if (p->pool)
        assert_int_equal(rmr_tls_pool_stats_get(p->pool).in_use, 0);
    rmr_tls_pool_free(p->pool);
    assert_int_equal(p->a.live_blocks, 0);
}

static void harm_idle_buffers(tls_pair *p)
{
    if (!p->pool || p->harm == PAIR_KEEP)
        return;
    for (size_t i = 0; i < p->pool->n_idle; i++)
        memset(p->pool->idle[i], 0xa5, RMR_TLS_POOL_BUF);
    if (p->harm == PAIR_TAKE)
        rmr_tls_pool_trim(p->pool, 0);
}

static void note(tls_side *side, rmr_err e)
{
    if (side->err == RMR_OK)
        side->err = e;
}

static bool hear(tls_pair *p, tls_side *side)
{
    rmr_buf view;
    bool moved = false;
    while (!side->deaf && rmr_tls_peek(side->t, &view) == RMR_OK && view.len) {
        assert_true(view.len <= sizeof side->got - side->got_len);
        memcpy(side->got + side->got_len, view.ptr, view.len);
        memset(view.ptr, 0xee, view.len); /* the reader may use it */
        side->got_len += view.len;
        assert_int_equal(rmr_tls_consume(side->t, view.len), RMR_OK);
        harm_idle_buffers(p);
        moved = true;
    }
    return moved;
}

static bool read_piece(tls_pair *p, tls_side *side, size_t step)
{
    size_t n = side->wire_len < step ? side->wire_len : step, used;
    if (n == 0 || side->err != RMR_OK)
        return false;
    /* An exact copy, so that a sanitizer sees a read past it. */
    uint8_t *piece = malloc(n);
    if (!piece)
        abort();
    memcpy(piece, side->wire, n);
    note(side, rmr_tls_read(side->t, rmr_bytes_of(piece, n), &used));
    free(piece);
    harm_idle_buffers(p);
    memmove(side->wire, side->wire + used, side->wire_len - used);
    side->wire_len -= used;
    return used > 0;
}

bool pair_move(tls_pair *p, tls_side *from, tls_side *to, size_t step)
{
    size_t room = sizeof to->wire - to->wire_len, len;
    note(from, rmr_tls_write(from->t,
                             rmr_buf_of(to->wire + to->wire_len,
                                        room < step ? room : step),
                             &len));
    harm_idle_buffers(p);
    to->wire_len += len;
    bool moved = len > 0;
    moved |= read_piece(p, to, step);
    moved |= hear(p, to);
    return moved;
}

rmr_err pair_pump(tls_pair *p, size_t step)
{
    bool moved = true;
    while (moved) {
        moved = pair_move(p, &p->c, &p->s, step);
        moved |= pair_move(p, &p->s, &p->c, step);
    }
    return p->c.err != RMR_OK ? p->c.err : p->s.err;
}

void pair_send(tls_pair *p, tls_side *from, const void *data, size_t len,
               size_t step)
{
    rmr_bytes left = rmr_bytes_of(data, len);
    while (left.len) {
        size_t n;
        assert_int_equal(rmr_tls_send(from->t, left, &n), RMR_OK);
        harm_idle_buffers(p);
        left.ptr += n;
        left.len -= n;
        if (n == 0)
            assert_int_equal(pair_pump(p, step), RMR_OK);
    }
}
