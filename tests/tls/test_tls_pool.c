/* Record buffers that connections share: taken away at every idle point, too
 * few of them, what an idle connection costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tls_internal.h"
#include "tls_pair.h"
#include "tls_pool.h"

#define TOTAL 60000

static tls_pair p;

static void fill(uint8_t *dst, size_t len, uint64_t seed)
{
    test_rng r;
    test_rng_seed(&r, seed);
    for (size_t i = 0; i < len; i++)
        dst[i] = (uint8_t)test_rng_u64(&r);
}

/* The engine must keep to the 5 bytes of the head. */
static void check_head(const rmr_tls *t)
{
    static const uint8_t none[3] = {0};
    assert_memory_equal(t->lease.head + 5, none, 3);
}

static void talk(pair_harm harm, size_t step, bool both, const char *chain,
                 const char *key)
{
    static uint8_t up[TOTAL], down[TOTAL];
    fill(up, TOTAL, 1);
    fill(down, TOTAL, 2);
    size_t total = step == 1 ? 2000 : TOTAL;
    pair_open(&p,
              &(pair_config){.chain = chain,
                             .key = key,
                             .pool = 4,
                             .pool_for_client = both,
                             .harm = harm},
              step);
    size_t sizes[] = {1, 100, 1500, 17000};
    for (size_t at = 0, i = 0; at < total; i++) {
        size_t n = sizes[i % 4] < total - at ? sizes[i % 4] : total - at;
        pair_send(&p, &p.c, up + at, n, step);
        pair_send(&p, &p.s, down + at, n, step);
        assert_int_equal(pair_pump(&p, step), RMR_OK);
        assert_int_equal(rmr_tls_holds(p.s.t), 0);
        assert_int_equal(rmr_tls_holds(p.c.t), 0);
        check_head(p.s.t);
        check_head(p.c.t);
        at += n;
    }
    assert_int_equal(p.s.got_len, total);
    assert_int_equal(p.c.got_len, total);
    assert_memory_equal(p.s.got, up, total);
    assert_memory_equal(p.c.got, down, total);
    assert_int_equal(rmr_tls_shutdown(p.s.t), RMR_OK);
    assert_int_equal(pair_pump(&p, step), RMR_OK);
    assert_true(rmr_tls_is_closed(p.c.t));
    pair_free(&p);
}

static void buffers_may_be_taken_away_at_every_idle_point(void **state)
{
    (void)state;
    static const size_t steps[] = {1, 2, 4, 5, 6, 29, 1000, 20000};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        talk(PAIR_SCRIBBLE, steps[i], true, NULL, NULL);
        talk(PAIR_TAKE, steps[i], true, NULL, NULL);
        talk(PAIR_TAKE, steps[i], false, "leaf-rsa.pem", "rsa.key");
    }
}

/* The other ciphers place their plaintext elsewhere in the buffer. */
static void every_suite_lives_with_it(void **state)
{
    (void)state;
    static const uint16_t suites[] = {
        BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    };
    for (size_t i = 0; i < 3; i++) {
        pair_init(&p, &(pair_config){.pool = 4, .harm = PAIR_TAKE});
        assert_int_equal(pair_new_server(&p), RMR_OK);
        assert_int_equal(pair_new_client(&p, true), RMR_OK);
        br_ssl_engine_set_suites(p.s.t->eng, &suites[i], 1);
        static uint8_t data[TOTAL];
        fill(data, sizeof data, i);
        assert_int_equal(pair_pump(&p, 3), RMR_OK);
        assert_int_equal(p.s.t->eng->session.cipher_suite, suites[i]);
        pair_send(&p, &p.c, data, sizeof data, 4096);
        pair_send(&p, &p.s, data, sizeof data, 4096);
        assert_int_equal(pair_pump(&p, 4096), RMR_OK);
        assert_int_equal(p.s.got_len, sizeof data);
        assert_int_equal(p.c.got_len, sizeof data);
        assert_memory_equal(p.s.got, data, sizeof data);
        assert_memory_equal(p.c.got, data, sizeof data);
        pair_free(&p);
    }
}

/* ---- who holds what, and when ------------------------------------------ */

static void a_buffer_is_held_only_while_something_is_in_it(void **state)
{
    (void)state;
    pair_open(&p, &(pair_config){.pool = 4}, 4096);
    rmr_tls *t = p.s.t;
    size_t n, len;
    assert_int_equal(rmr_tls_holds(t), 0);
    assert_int_equal(rmr_tls_send(p.c.t, rmr_bytes_str("hello"), &n), RMR_OK);
    assert_int_equal(rmr_tls_write(p.c.t, rmr_buf_of(p.s.wire, WIRE_MAX), &len),
                     RMR_OK);
    /* The head is no reason, a byte of the body is. */
    for (size_t i = 0; i < len - 1; i++) {
        assert_int_equal(rmr_tls_read(t, rmr_bytes_of(p.s.wire + i, 1), &n),
                         RMR_OK);
        assert_int_equal(n, 1);
        assert_int_equal(rmr_tls_holds(t), i < 5 ? 0 : 1);
    }
    assert_int_equal(rmr_tls_read(t, rmr_bytes_of(p.s.wire + len - 1, 1), &n),
                     RMR_OK);
    assert_int_equal(rmr_tls_consume(t, 4), RMR_OK);
    assert_int_equal(rmr_tls_holds(t), 1);
    assert_int_equal(rmr_tls_consume(t, 1), RMR_OK);
    assert_int_equal(rmr_tls_holds(t), 0);
    /* Output: from the first byte to the last of its record. */
    assert_int_equal(rmr_tls_send(t, rmr_bytes_str("x"), &n), RMR_OK);
    assert_int_equal(rmr_tls_holds(t), 1);
    uint8_t out[64];
    assert_int_equal(rmr_tls_write(t, rmr_buf_of(out, 10), &n), RMR_OK);
    assert_int_equal(rmr_tls_holds(t), 1);
    assert_int_equal(rmr_tls_write(t, rmr_buf_of(out, 64), &n), RMR_OK);
    assert_true(n > 0 && n < 64);
    assert_int_equal(rmr_tls_holds(t), 0);
    /* A place that is not used goes back with the next call. */
    rmr_buf place;
    assert_int_equal(rmr_tls_reserve(t, &place), RMR_OK);
    assert_int_equal(place.len, 16384);
    assert_int_equal(rmr_tls_holds(t), 1);
    assert_int_equal(rmr_tls_write(t, rmr_buf_of(out, 64), &n), RMR_OK);
    assert_int_equal(n, 0);
    assert_int_equal(rmr_tls_holds(t), 0);
    pair_free(&p);
}

static void an_idle_server_costs_less_than_five_kilobytes(void **state)
{
    (void)state;
    pair_init(&p, &(pair_config){.pool = 4});
    size_t before = p.a.live_bytes;
    assert_int_equal(pair_new_server(&p), RMR_OK);
    size_t server = p.a.live_bytes - before;
    assert_int_equal(rmr_tls_pool_stats_get(p.pool).allocated, 0);
    before = p.a.live_bytes;
    assert_int_equal(pair_new_client(&p, true), RMR_OK);
    size_t client = p.a.live_bytes - before - RMR_TLS_POOL_BUF;
    assert_int_equal(pair_pump(&p, 4096), RMR_OK);
    rmr_tls_pool_trim(p.pool, 0);
    assert_int_equal(rmr_tls_holds(p.s.t), 0);
    assert_int_equal(rmr_tls_holds(p.c.t), 0);
    assert_true(server < 5 * 1024);
    assert_true(client < 9 * 1024); /* it has a judge of certificates */
    pair_free(&p);
}

/* ---- too few ----------------------------------------------------------- */

#define MANY 12
static tls_pair many[MANY]; /* each uses the first one's pool */

static rmr_tls_pool *share(size_t bufs)
{
    rmr_tls_pool *pool = NULL;
    for (size_t i = 0; i < MANY; i++) {
        pair_init(&many[i], &(pair_config){.seed = i});
        if (i == 0)
            assert_int_equal(rmr_tls_pool_new(&pool, &many[0].env, bufs),
                             RMR_OK);
        many[i].pool = pool;
        assert_int_equal(pair_new_server(&many[i]), RMR_OK);
        assert_int_equal(pair_new_client(&many[i], false), RMR_OK);
    }
    return pool;
}

static void free_all(rmr_tls_pool *pool)
{
    for (size_t i = MANY; i-- > 0;) {
        many[i].pool = NULL;
        rmr_tls_free(many[i].s.t);
        many[i].s.t = NULL;
        if (i == 0) {
            assert_int_equal(rmr_tls_pool_stats_get(pool).in_use, 0);
            rmr_tls_pool_free(pool);
        }
        pair_free(&many[i]);
    }
}

/* An echo that can take plaintext only as fast as it can send it: the case in
 * which input waits for output. */
static bool echo(tls_pair *x)
{
    rmr_buf view;
    size_t n = 0;
    if (rmr_tls_peek(x->s.t, &view) != RMR_OK || view.len == 0)
        return false;
    assert_int_equal(rmr_tls_send(x->s.t, rmr_bytes_of(view.ptr, view.len), &n),
                     RMR_OK);
    assert_int_equal(rmr_tls_consume(x->s.t, n), RMR_OK);
    return n > 0;
}

static void two_buffers_serve_many_connections(void **state)
{
    (void)state;
    static uint8_t data[TOTAL];
    fill(data, sizeof data, 9);
    for (size_t bufs = 2; bufs < 5; bufs++) {
        rmr_tls_pool *pool = share(bufs);
        size_t sent[MANY] = {0};
        bool moved = true;
        while (moved) {
            moved = false;
            for (size_t i = 0; i < MANY; i++) {
                tls_pair *x = &many[i];
                size_t n = 0;
                x->s.deaf = true;
                if (rmr_tls_is_open(x->c.t))
                    assert_int_equal(rmr_tls_send(x->c.t,
                                                  rmr_bytes_of(data + sent[i],
                                                               TOTAL - sent[i]),
                                                  &n),
                                     RMR_OK);
                sent[i] += n;
                moved |= n > 0;
                moved |= pair_move(x, &x->c, &x->s, 100 + 700 * i);
                moved |= echo(x);
                moved |= pair_move(x, &x->s, &x->c, 100 + 700 * i);
                rmr_tls_pool_stats st = rmr_tls_pool_stats_get(pool);
                assert_true(st.in_use <= bufs && st.allocated <= bufs);
                assert_true(st.in_use_input <= bufs / 2);
            }
        }
        assert_true(rmr_tls_pool_stats_get(pool).refused > 0);
        for (size_t i = 0; i < MANY; i++) {
            assert_int_equal(many[i].c.got_len, TOTAL);
            assert_memory_equal(many[i].c.got, data, TOTAL);
        }
        free_all(pool);
    }
}

/* One that sends half a record can't take more than input's share. */
static void a_starved_connection_says_so_and_can_go_on_later(void **state)
{
    (void)state;
    pair_open(&p, &(pair_config){.pool = 2}, 4096);
    rmr_tls *first = p.s.t, *first_client = p.c.t;
    assert_int_equal(pair_new_server(&p), RMR_OK);
    assert_int_equal(pair_new_client(&p, false), RMR_OK);
    assert_int_equal(pair_pump(&p, 4096), RMR_OK);
    size_t n, len;
    static uint8_t half[64], whole[64];
    assert_int_equal(rmr_tls_send(first_client, rmr_bytes_str("one"), &n),
                     RMR_OK);
    assert_int_equal(rmr_tls_write(first_client, rmr_buf_of(half, 64), &len),
                     RMR_OK);
    assert_int_equal(rmr_tls_read(first, rmr_bytes_of(half, len - 1), &n),
                     RMR_OK);
    assert_int_equal(n, len - 1);

    rmr_tls *t = p.s.t;
    assert_int_equal(rmr_tls_send(p.c.t, rmr_bytes_str("two"), &n), RMR_OK);
    assert_int_equal(rmr_tls_write(p.c.t, rmr_buf_of(whole, 64), &len), RMR_OK);
    assert_int_equal(rmr_tls_read(t, rmr_bytes_of(whole, len), &n), RMR_OK);
    assert_int_equal(n, 5); /* the head */
    assert_true(rmr_tls_is_starved(t));
    assert_true(rmr_tls_lacks_input(t) && rmr_tls_holds_input(first));
    assert_false(rmr_tls_lacks_input(first) || rmr_tls_holds_input(t));
    assert_false(rmr_tls_can_retry(t));
    assert_true(rmr_tls_pool_has_room(p.pool));
    size_t used = n;
    assert_int_equal(
        rmr_tls_read(t, rmr_bytes_of(whole + used, len - used), &n), RMR_OK);
    assert_int_equal(n, 0);
    /* Output is not held up. */
    assert_int_equal(rmr_tls_send(t, rmr_bytes_str("out"), &n), RMR_OK);
    assert_int_equal(n, 3);
    assert_true(rmr_tls_is_starved(t)); /* still, for input */
    assert_false(rmr_tls_can_retry(t));
    assert_false(rmr_tls_pool_has_room(p.pool));
    assert_int_equal(rmr_tls_send(first, rmr_bytes_str("x"), &n), RMR_OK);
    assert_int_equal(n, 0);
    assert_true(rmr_tls_is_starved(first));
    assert_false(rmr_tls_lacks_input(first));
    assert_false(rmr_tls_can_retry(first));
    assert_int_equal(pair_pump(&p, 4096), RMR_OK); /* "out" goes */
    assert_true(rmr_tls_can_retry(first));
    assert_int_equal(rmr_tls_send(first, rmr_bytes_str("x"), &n), RMR_OK);
    assert_int_equal(n, 1);
    assert_false(rmr_tls_is_starved(first));
    size_t none;
    rmr_buf nowhere;
    assert_int_equal(rmr_tls_reserve(t, &nowhere), RMR_OK);
    assert_int_equal(nowhere.len, 0);
    assert_true(t->lease.lacks_out);
    assert_int_equal(rmr_tls_send(t, rmr_bytes_str(""), &none), RMR_OK);
    assert_false(t->lease.lacks_out);

    assert_int_equal(
        rmr_tls_read(t, rmr_bytes_of(whole + used, len - used), &n), RMR_OK);
    assert_int_equal(n, 0);
    rmr_tls_free(first); /* the host loses patience with it */
    assert_true(rmr_tls_can_retry(t));
    assert_int_equal(
        rmr_tls_read(t, rmr_bytes_of(whole + used, len - used), &n), RMR_OK);
    assert_int_equal(n, len - used);
    rmr_buf view;
    assert_int_equal(rmr_tls_peek(t, &view), RMR_OK);
    assert_memory_equal(view.ptr, "two", 3);
    rmr_tls_free(first_client);
    pair_free(&p);
}

/* Else a host would try a dead connection again and again. */
static void a_dead_connection_does_not_starve(void **state)
{
    (void)state;
    pair_open(&p, &(pair_config){.pool = 2}, 4096);
    uint8_t *taken[2] = {rmri_tls_pool_take(p.pool, true),
                         rmri_tls_pool_take(p.pool, false)};
    size_t n, len;
    assert_int_equal(rmr_tls_send(p.c.t, rmr_bytes_str("x"), &n), RMR_OK);
    assert_int_equal(rmr_tls_write(p.c.t, rmr_buf_of(p.s.wire, WIRE_MAX), &len),
                     RMR_OK);
    assert_int_equal(rmr_tls_read(p.s.t, rmr_bytes_of(p.s.wire, len), &n),
                     RMR_OK);
    assert_int_equal(n, 5);
    assert_int_equal(rmr_tls_shutdown(p.s.t), RMR_OK);
    assert_true(rmr_tls_is_starved(p.s.t));
    assert_int_equal(rmr_tls_read_eof(p.s.t), RMR_OK);
    assert_false(rmr_tls_is_starved(p.s.t));
    rmri_tls_pool_give(p.pool, taken[0], 0, true);
    rmri_tls_pool_give(p.pool, taken[1], 0, false);
    assert_false(rmr_tls_can_retry(p.s.t));
    pair_free(&p);
}

static void a_close_waits_for_a_buffer(void **state)
{
    (void)state;
    pair_open(&p, &(pair_config){.pool = 2}, 4096);
    uint8_t *taken[2] = {rmri_tls_pool_take(p.pool, false),
                         rmri_tls_pool_take(p.pool, false)};
    assert_int_equal(rmr_tls_shutdown(p.s.t), RMR_OK);
    assert_true(rmr_tls_is_starved(p.s.t));
    assert_int_equal(pair_pump(&p, 4096), RMR_OK);
    assert_false(rmr_tls_is_closed(p.c.t));
    size_t n;
    assert_int_equal(rmr_tls_send(p.s.t, rmr_bytes_str("x"), &n), RMR_E_CLOSED);
    rmri_tls_pool_give(p.pool, taken[0], 0, false);
    assert_true(rmr_tls_can_retry(p.s.t));
    assert_int_equal(pair_pump(&p, 4096), RMR_OK);
    assert_true(rmr_tls_is_closed(p.c.t));
    rmri_tls_pool_give(p.pool, taken[1], 0, false);
    pair_free(&p);
}

static void a_client_is_not_made_without_a_buffer_for_its_hello(void **state)
{
    (void)state;
    pair_init(&p, &(pair_config){.pool = 2});
    assert_int_equal(pair_new_server(&p), RMR_OK);
    uint8_t *taken[2] = {rmri_tls_pool_take(p.pool, false),
                         rmri_tls_pool_take(p.pool, false)};
    assert_int_equal(pair_new_client(&p, true), RMR_E_FULL);
    assert_null(p.c.t);
    rmri_tls_pool_give(p.pool, taken[0], 0, false);
    rmri_tls_pool_give(p.pool, taken[1], 0, false);
    assert_int_equal(pair_new_client(&p, true), RMR_OK);
    assert_int_equal(pair_pump(&p, 4096), RMR_OK);
    assert_true(rmr_tls_is_open(p.s.t));
    pair_free(&p);
}

/* What waits in a connection that is freed or broken is not lost to others. */
static void buffers_come_back_whatever_happens(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        pair_open(&p, &(pair_config){.pool = 4}, 4096);
        p.s.deaf = true;
        pair_send(&p, &p.c, "unread", 6, 4096);
        assert_int_equal(pair_pump(&p, 4096), RMR_OK);
        size_t n;
        assert_int_equal(rmr_tls_send(p.s.t, rmr_bytes_str("x"), &n), RMR_OK);
        assert_int_equal(rmr_tls_holds(p.s.t), 2);
        if (how == 1) {
            (void)rmr_tls_read_eof(p.s.t);
            assert_int_equal(rmr_tls_holds(p.s.t), 1); /* to be peeked at */
        } else if (how == 2) {
            (void)rmr_tls_shutdown(p.s.t);
            (void)rmr_tls_read_eof(p.s.t);
            assert_int_equal(rmr_tls_holds(p.s.t), 0);
        } else if (how == 3) {
            assert_int_equal(rmr_tls_consume(p.s.t, 6), RMR_OK);
            assert_int_equal(rmr_tls_read(p.s.t, rmr_bytes_str("nonsense"), &n),
                             RMR_E_TLS_PROTOCOL);
            assert_int_equal(rmr_tls_holds(p.s.t), 0);
        }
        pair_free(&p); /* looks whether any is in use */
    }
}

static void trimming_keeps_what_is_in_use_and_what_was_asked(void **state)
{
    (void)state;
    pair_init(&p, &(pair_config){.pool = 4});
    uint8_t *b[4];
    for (int i = 0; i < 4; i++)
        b[i] = rmri_tls_pool_take(p.pool, i < 2);
    assert_null(rmri_tls_pool_take(p.pool, false));
    for (int i = 0; i < 3; i++)
        rmri_tls_pool_give(p.pool, b[i], 0, i < 2);
    rmr_tls_pool_trim(p.pool, 1);
    rmr_tls_pool_stats st = rmr_tls_pool_stats_get(p.pool);
    assert_int_equal(st.max, 4);
    assert_int_equal(st.allocated, 2);
    assert_int_equal(st.in_use, 1);
    assert_int_equal(st.in_use_input, 0);
    assert_int_equal(st.refused, 1);
    rmri_tls_pool_give(p.pool, b[3], 0, false);
    pair_free(&p);
}

/* Only as much of a buffer is wiped as was written to; all of that. */
static void what_lay_in_a_buffer_is_wiped(void **state)
{
    static const uint8_t secret[] = "a secret of twenty-four bytes";
    (void)state;
    for (int how = 0; how < 5; how++) {
        pair_open(&p, &(pair_config){.pool = 4}, 4096);
        rmr_tls_pool_trim(p.pool, 0);
        p.a.secret = secret;
        p.a.secret_len = sizeof secret;
        rmr_buf place;
        size_t n;
        if (how == 0) {      /* came, and is read */
            p.s.deaf = true; /* pair_pump() would write over it */
            pair_send(&p, &p.c, secret, sizeof secret, 4096);
            assert_int_equal(pair_pump(&p, 4096), RMR_OK);
            assert_int_equal(rmr_tls_consume(p.s.t, sizeof secret), RMR_OK);
        } else if (how == 1) { /* waits to be sent, for ever */
            assert_int_equal(
                rmr_tls_send(p.s.t, rmr_bytes_of(secret, sizeof secret), &n),
                RMR_OK);
        } else { /* was put far behind, and ... */
            assert_int_equal(rmr_tls_reserve(p.s.t, &place), RMR_OK);
            memcpy(place.ptr + 9000, secret, sizeof secret);
        }
        if (how == 2) /* ... goes */
            assert_int_equal(rmr_tls_commit(p.s.t, 9000 + sizeof secret),
                             RMR_OK);
        if (how < 4) /* ... is forgotten */
            assert_int_equal(pair_pump(&p, 4096), RMR_OK);
        else /* ... the connection ends */
            (void)rmr_tls_read_eof(p.s.t);
        rmr_tls_pool_trim(p.pool, 0);
        pair_free(&p);
        assert_int_equal(p.a.leaks, 0);
    }
}

static size_t dirty_after_a_byte(void)
{
    size_t n;
    rmr_buf place;
    rmr_tls_pool_trim(p.pool, 0);
    assert_int_equal(rmr_tls_reserve(p.s.t, &place), RMR_OK);
    assert_int_equal(rmr_tls_commit(p.s.t, 0), RMR_OK);
    assert_int_equal(p.pool->dirty, 0);
    assert_int_equal(rmr_tls_send(p.s.t, rmr_bytes_str("x"), &n), RMR_OK);
    assert_int_equal(pair_pump(&p, 4096), RMR_OK);
    return p.pool->dirty;
}

static void a_short_record_leaves_little_to_wipe(void **state)
{
    (void)state;
    pair_open(&p, &(pair_config){.pool = 4}, 4096);
    assert_in_range(dirty_after_a_byte(), 1, 100);
    pair_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffers_may_be_taken_away_at_every_idle_point),
        cmocka_unit_test(every_suite_lives_with_it),
        cmocka_unit_test(a_buffer_is_held_only_while_something_is_in_it),
        cmocka_unit_test(an_idle_server_costs_less_than_five_kilobytes),
        cmocka_unit_test(two_buffers_serve_many_connections),
        cmocka_unit_test(a_starved_connection_says_so_and_can_go_on_later),
        cmocka_unit_test(a_dead_connection_does_not_starve),
        cmocka_unit_test(a_close_waits_for_a_buffer),
        cmocka_unit_test(a_client_is_not_made_without_a_buffer_for_its_hello),
        cmocka_unit_test(buffers_come_back_whatever_happens),
        cmocka_unit_test(trimming_keeps_what_is_in_use_and_what_was_asked),
        cmocka_unit_test(what_lay_in_a_buffer_is_wiped),
        cmocka_unit_test(a_short_record_leaves_little_to_wipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
