/* TIME-WAIT entries, packet by packet: who may take their place, and when. */
#include "ns_feed.h"

#include <tcp_internal.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "support.h"

typedef struct world {
    test_alloc alloc;
    test_rng rng;
    rmr_ns *ns;
    rmr_time now;
    rmr_ns_sock sock;
    int closed;
    uint32_t snd_nxt; /* of the connection that is over */
    uint8_t out[1280];
    size_t out_len;
} world;

static rmr_addr me, you;

static void on_closed(void *user, void *tag, rmr_ns_sock s, rmr_err why)
{
    world *w = user;
    (void)tag;
    assert_int_equal(s.id, w->sock.id);
    assert_int_equal(why, RMR_OK);
    w->closed++;
}

static bool take(world *w)
{
    w->out_len = pkt_take(w->ns, w->now, w->out, sizeof w->out);
    return w->out_len != 0;
}

static void feed(world *w, uint8_t flags, uint32_t seq, uint32_t ack)
{
    uint8_t p[200];
    size_t n = pkt_tcp(p, &you, &me, flags, seq, ack);
    (void)rmr_ns_read_pkt(w->ns, w->now, rmr_bytes_of(p, n));
}

static void expect(world *w, uint8_t flags, uint32_t ack)
{
    assert_true(take(w));
    assert_int_equal(w->out[33], flags);
    assert_int_equal(rmr_load_be32(w->out + 28), ack);
}

static rmr_err dial(world *w)
{
    return rmr_ns_tcp_connect(w->ns, w->now, &me, &you, w, &w->sock);
}

static uint32_t in_time_wait(world *w)
{
    rmr_ns_stats st;
    rmr_ns_get_stats(w->ns, &st);
    return st.time_wait;
}

/* One connection that we dialled, and closed first; its peer ends at 1002. */
static int setup(void **state)
{
    world *w = calloc(1, sizeof *w);
    rmr_ns_config cfg;
    rmr_ns_callbacks cb = {0};
    me = rmr_addr_v4(10, 0, 0, 1, 5000);
    you = rmr_addr_v4(10, 0, 0, 2, 80);
    test_rng_seed(&w->rng, 4);
    rmr_env env = test_env(&w->alloc, &w->rng, NULL);
    w->now = 70 * RMR_SEC;
    cb.struct_size = sizeof cb;
    cb.user = w;
    cb.on_closed = on_closed;
    rmr_ns_config_init(&cfg, sizeof cfg);
    cfg.callbacks = &cb;
    cfg.max_sockets = 2;
    assert_int_equal(rmr_ns_new(&w->ns, &env, &cfg, w->now), RMR_OK);
    assert_int_equal(rmr_ns_addr_add(w->ns, &me), RMR_OK);
    assert_int_equal(dial(w), RMR_OK);
    expect(w, PKT_SYN, 0);
    uint32_t iss = rmr_load_be32(w->out + 24);
    feed(w, PKT_SYN | PKT_ACK, 1000, iss + 1);
    expect(w, PKT_ACK, 1001);
    assert_int_equal(rmr_ns_tcp_shutdown(w->ns, w->now, w->sock), RMR_OK);
    expect(w, PKT_FIN | PKT_ACK, 1001);
    feed(w, PKT_FIN | PKT_ACK, 1001, iss + 2);
    expect(w, PKT_ACK, 1002);
    assert_int_equal(w->closed, 1);
    assert_int_equal(in_time_wait(w), 1);
    w->snd_nxt = iss + 2;
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    return pkt_end(w, w->ns, &w->alloc);
}

/* RFC 6191; a call that fails leaves the entry as it was. */
static void a_dial_takes_its_place_after_a_second_or_not_at_all(void **state)
{
    world *w = *state;
    rmr_ns_sock more[2];
    assert_int_equal(dial(w), RMR_E_INUSE);
    w->now += 2 * RMR_SEC;
    for (int i = 0; i < 2; i++)
        assert_int_equal(rmr_ns_udp_bind(w->ns, NULL, w, &more[i]), RMR_OK);
    assert_int_equal(dial(w), RMR_E_FULL);
    assert_int_equal(in_time_wait(w), 1);
    for (int i = 0; i < 2; i++)
        assert_int_equal(rmr_ns_close(w->ns, w->now, more[i]), RMR_OK);
    assert_int_equal(dial(w), RMR_OK);
    assert_int_equal(in_time_wait(w), 0);
    expect(w, PKT_SYN, 0);
    uint32_t iss = rmr_load_be32(w->out + 24);
    assert_true(seq_gt(iss, w->snd_nxt + 65535));
    feed(w, PKT_SYN | PKT_ACK, 5000, iss + 1); /* it is found */
    expect(w, PKT_ACK, 5001);
    assert_int_equal(rmr_ns_abort(w->ns, w->now, w->sock), RMR_OK);
    expect(w, PKT_RST | PKT_ACK, 5001);
    assert_int_equal(w->ns->flows.used, 0);
    assert_int_equal(rmr_ns_next_deadline(w->ns), RMR_TIME_NEVER);
}

/* A SYN that nobody waits for may come from anybody. */
static void a_syn_takes_its_place_only_where_somebody_listens(void **state)
{
    world *w = *state;
    rmr_ns_sock l;
    feed(w, PKT_SYN, 2000000, 0);
    expect(w, PKT_ACK, 1002);
    assert_int_equal(in_time_wait(w), 1);
    assert_int_equal(rmr_ns_tcp_listen(w->ns, &me, w, &l), RMR_OK);
    feed(w, PKT_SYN, 2000000, 0);
    expect(w, PKT_SYN | PKT_ACK, 2000001);
    assert_true(seq_gt(rmr_load_be32(w->out + 24), w->snd_nxt + 65535));
    assert_int_equal(in_time_wait(w), 0);
}

/* Of a SYN that makes no entry nothing is known of our numbers later: a cookie
 * can't be above those of the connection that is over. */
static void a_syn_without_room_leaves_it_alone(void **state)
{
    world *w = *state;
    rmr_ns_sock l;
    rmr_ns_stats st;
    assert_int_equal(rmr_ns_tcp_listen(w->ns, &me, w, &l), RMR_OK);
    assert_int_equal(rmr_ns_tcp_set_backlog(w->ns, l, 0, 1), RMR_OK);
    feed(w, PKT_SYN, 2000000, 0);
    assert_false(take(w)); /* the peer repeats it */
    assert_int_equal(in_time_wait(w), 1);
    rmr_ns_get_stats(w->ns, &st);
    assert_int_equal(st.tcp_cookies_sent, 0);
    assert_int_equal(st.discard_full, 1);
    feed(w, PKT_SYN | PKT_FIN, 2000000, 0); /* no request at all */
    assert_false(take(w));
    assert_int_equal(in_time_wait(w), 1);
    assert_int_equal(rmr_ns_tcp_set_backlog(w->ns, l, 1, 1), RMR_OK);
    w->alloc.fail_at = w->alloc.calls + 1;
    feed(w, PKT_SYN, 2000000, 0);
    assert_false(take(w));
    assert_int_equal(in_time_wait(w), 1);
    w->alloc.fail_at = 0;
    feed(w, PKT_SYN, 2000000, 0);
    expect(w, PKT_SYN | PKT_ACK, 2000001);
    assert_true(seq_gt(rmr_load_be32(w->out + 24), w->snd_nxt + 65535));
    assert_int_equal(in_time_wait(w), 0);
    assert_int_equal(w->ns->flows.used, 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_dial_takes_its_place_after_a_second_or_not_at_all),
        T(a_syn_takes_its_place_only_where_somebody_listens),
        T(a_syn_without_room_leaves_it_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
