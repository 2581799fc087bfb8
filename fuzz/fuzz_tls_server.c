/*
 * The server's side of TLS with two record buffers to share, and its identity.
 *
 * The first byte is the mode, modulo 4:
 *   0  what follows is read as ciphertext, cut by the second byte
 *   1  the same, behind the client's real hello
 *   2  a program of operations on an open pair: bytes both ways, cuts, changed
 *      bytes, buffers that are taken away
 *   3  what follows is PEM text, for chain and key alike
 * Checked: plaintext is what was sent and comes in order; unless something was
 * broken, all of it comes once the buffers are back; the pool's bounds hold and
 * nothing stays leased; a changed byte is never plaintext.
 */
#include <stdlib.h>
#include <string.h>

#include "need.h"
#include "support.h"
#include "test_identity.h"
#include <remora/tls_srv.h>
#include "tls_internal.h"
#include "tls_pool.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WIRE_MAX 100000u
#define BUFS 3

typedef struct side {
    rmr_tls *t;
    uint8_t wire[WIRE_MAX]; /* for this side */
    size_t wire_len;
    uint8_t next_out, next_in; /* plaintext counts up */
    size_t sent, got;
    bool deaf, failed;
} side;

typedef struct world {
    rmr_env env;
    rmr_tls_identity *id;
    rmr_tls_pool *pool;
    uint8_t *taken[BUFS];
    size_t n_taken;
    side c, s;
    bool broken; /* a byte was changed */
} world;

static void set_up(world *w, test_rng *r)
{
    memset(w, 0, sizeof *w);
    test_rng_seed(r, 1);
    w->env = test_env(NULL, r, NULL);
    need(rmr_tls_identity_new(&w->id, &w->env,
                              rmr_bytes_str(test_identity_cert),
                              rmr_bytes_str(test_identity_key)) == RMR_OK);
    need(rmr_tls_pool_new(&w->pool, &w->env, BUFS) == RMR_OK);
    rmr_tls_server_config sc;
    rmr_tls_server_config_init(&sc, sizeof sc);
    sc.identity = w->id;
    sc.pool = w->pool;
    need(rmr_tls_server_new(&w->s.t, &w->env, &sc) == RMR_OK);
    rmr_tls_config cc;
    rmr_tls_config_init(&cc, sizeof cc);
    cc.server_name = "derp.test";
    cc.insecure = true;
    need(rmr_tls_client_new(&w->c.t, &w->env, &cc) == RMR_OK);
}

static void look(const world *w)
{
    rmr_tls_pool_stats st = rmr_tls_pool_stats_get(w->pool);
    need(st.in_use == rmr_tls_holds(w->s.t) + w->n_taken);
    need(st.in_use <= BUFS && st.in_use_input <= BUFS / 2);
    need(st.allocated <= BUFS);
    for (size_t i = 0; i < w->pool->n_idle; i++)
        memset(w->pool->idle[i], 0xa5, RMR_TLS_POOL_BUF);
}

static void give_back(world *w)
{
    while (w->n_taken)
        rmri_tls_pool_give(w->pool, w->taken[--w->n_taken], 0, false);
}

static void tear_down(world *w)
{
    give_back(w);
    rmr_tls_free(w->s.t);
    rmr_tls_free(w->c.t);
    need(rmr_tls_pool_stats_get(w->pool).in_use == 0);
    rmr_tls_pool_free(w->pool);
    rmr_tls_identity_free(w->id);
}

/* ---- operations -------------------------------------------------------- */

static bool hear(world *w, side *to)
{
    rmr_buf view;
    bool moved = false;
    while (!to->deaf && rmr_tls_peek(to->t, &view) == RMR_OK && view.len) {
        for (size_t i = 0; i < view.len; i++)
            need(view.ptr[i] == to->next_in++);
        to->got += view.len;
        need(rmr_tls_consume(to->t, view.len) == RMR_OK);
        look(w);
        moved = true;
    }
    return moved;
}

static bool move(world *w, side *from, side *to, size_t step)
{
    size_t room = WIRE_MAX - to->wire_len, len, used = 0;
    rmr_err e = rmr_tls_write(
        from->t, rmr_buf_of(to->wire + to->wire_len, room < step ? room : step),
        &len);
    from->failed |= e != RMR_OK;
    look(w);
    to->wire_len += len;
    size_t n = to->wire_len < step ? to->wire_len : step;
    uint8_t *piece = malloc(n + 1);
    need(piece != NULL);
    memcpy(piece, to->wire, n);
    to->failed |= rmr_tls_read(to->t, rmr_bytes_of(piece, n), &used) != RMR_OK;
    free(piece);
    need(used <= n);
    look(w);
    memmove(to->wire, to->wire + used, to->wire_len - used);
    to->wire_len -= used;
    bool heard = hear(w, to);
    return len > 0 || used > 0 || heard;
}

static void pump(world *w, size_t step)
{
    bool moved = true;
    while (moved && !w->c.failed && !w->s.failed) {
        moved = move(w, &w->c, &w->s, step);
        moved |= move(w, &w->s, &w->c, step);
    }
}

static void say(world *w, side *from, size_t len)
{
    static uint8_t data[20000];
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)(from->next_out + i);
    size_t n;
    (void)rmr_tls_send(from->t, rmr_bytes_of(data, len), &n);
    need(n <= len);
    from->next_out = (uint8_t)(from->next_out + n);
    from->sent += n;
    look(w);
}

static void take_or_give(world *w)
{
    uint8_t *buf =
        w->n_taken < BUFS - 1 ? rmri_tls_pool_take(w->pool, false) : NULL;
    if (buf)
        w->taken[w->n_taken++] = buf;
    else
        give_back(w);
}

static void change(world *w, side *of, size_t at)
{
    if (of->wire_len == 0)
        return;
    of->wire[at % of->wire_len] ^= 0x20;
    w->broken = true;
}

static void operate(world *w, uint8_t op, uint8_t arg)
{
    side *one = op & 8 ? &w->c : &w->s, *two = op & 8 ? &w->s : &w->c;
    size_t step = (size_t)arg * (op & 16 ? 80u : 1u) + 1;
    switch (op & 7) {
    case 0:
    case 1:
        say(w, one, step <= 20000 ? step : 20000);
        break;
    case 2:
    case 3:
        (void)move(w, one, two, step);
        break;
    case 4:
        one->deaf = !one->deaf;
        break;
    case 5:
        take_or_give(w);
        break;
    case 6:
        if (arg == 77)
            change(w, one, op);
        else if (arg == 78)
            (void)rmr_tls_shutdown(one->t);
        else
            pump(w, step);
        break;
    default:
        if (rmr_tls_is_starved(w->s.t) && rmr_tls_can_retry(w->s.t))
            (void)move(w, &w->c, &w->s, step);
        break;
    }
}

static void run_program(rmr_bytes in)
{
    static world w;
    test_rng r;
    set_up(&w, &r);
    pump(&w, 4096);
    need(rmr_tls_is_open(w.s.t) && rmr_tls_is_open(w.c.t));
    need(rmr_tls_holds(w.s.t) == 0);
    for (; in.len >= 2; in.ptr += 2, in.len -= 2)
        operate(&w, in.ptr[0], in.ptr[1]);
    give_back(&w);
    w.c.deaf = w.s.deaf = false;
    (void)hear(&w, &w.c);
    (void)hear(&w, &w.s);
    pump(&w, 5000);
    if (!w.broken) {
        need(!w.c.failed && !w.s.failed);
        bool shut = w.c.t->shut || w.s.t->shut;
        need(shut || (w.c.got == w.s.sent && w.s.got == w.c.sent));
        need(shut || rmr_tls_holds(w.s.t) == 0);
    }
    need(w.c.got <= w.s.sent && w.s.got <= w.c.sent);
    tear_down(&w);
}

static void run_bytes(rmr_bytes in, bool behind_hello)
{
    static world w;
    test_rng r;
    if (in.len == 0)
        return;
    set_up(&w, &r);
    size_t step = in.ptr[0] + 1u;
    if (behind_hello)
        (void)move(&w, &w.c, &w.s, 4096);
    size_t n = in.len - 1 < WIRE_MAX ? in.len - 1 : WIRE_MAX;
    memcpy(w.s.wire, in.ptr + 1, n);
    w.s.wire_len = n;
    uint8_t out[300];
    bool moved = true;
    while (moved) { /* what the server says goes nowhere */
        size_t give = w.s.wire_len < step ? w.s.wire_len : step, used, len;
        (void)rmr_tls_read(w.s.t, rmr_bytes_of(w.s.wire, give), &used);
        look(&w);
        memmove(w.s.wire, w.s.wire + used, w.s.wire_len - used);
        w.s.wire_len -= used;
        (void)rmr_tls_write(w.s.t, rmr_buf_of(out, sizeof out), &len);
        look(&w);
        moved = used > 0 || len > 0;
        if (rmr_tls_is_closed(w.s.t) && len == 0)
            break;
    }
    need(!rmr_tls_is_open(w.s.t));
    tear_down(&w);
}

static void run_pem(rmr_bytes in)
{
    test_rng r;
    test_rng_seed(&r, 1);
    rmr_env env = test_env(NULL, &r, NULL);
    rmr_tls_identity *id;
    if (rmr_tls_identity_new(&id, &env, in, in) == RMR_OK) {
        need(rmr_tls_identity_kind(id) != NULL);
        rmr_tls_identity_free(id);
    }
    if (rmr_tls_identity_new(&id, &env, rmr_bytes_str(test_identity_cert),
                             in) == RMR_OK)
        rmr_tls_identity_free(id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    rmr_bytes in = rmr_bytes_of(data + 1, size - 1);
    switch (data[0] % 4) {
    case 0:
    case 1:
        run_bytes(in, data[0] % 4 == 1);
        break;
    case 2:
        run_program(in);
        break;
    default:
        run_pem(in);
        break;
    }
    return 0;
}
