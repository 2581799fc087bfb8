/* Forwarding as a host does it: a stack takes the flows of a client to foreign
 * addresses, and a proxy carries each to a server behind another stack. */
#include <remora/netstack.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support.h"

enum { CLIENT, FRONT, BACK, SERVER, N_HOSTS };

struct world;

typedef struct end { /* a socket of the client or the server */
    rmr_ns_sock sock;
    int open, n_closed;
    rmr_err why;
    rmr_ns_error error;
    char got[256];
    size_t len;
    bool eof;
    rmr_addr from, to;
} end;

typedef struct pair { /* of a client's flow and the proxy's own connection */
    struct world *w;
    rmr_ns_flow flow;
    rmr_ns_sock front, back;
    uint8_t protocol;
    bool used, accepted, dialled, front_shut, back_shut;
} pair;

typedef struct host {
    struct world *w;
    rmr_ns *ns;
    test_alloc alloc;
    test_rng rng;
} host;

typedef struct world {
    host h[N_HOSTS];
    rmr_time now;
    pair pairs[8];
    end client, server;
    int flows, gone;
    bool no_dial; /* requests are left unanswered */
    bool cut;     /* the wire to the server takes nothing */
} world;

static rmr_addr server_addr(uint16_t port)
{
    return rmr_addr_v4(10, 9, 9, 9, port);
}

/* ---- the proxy -------------------------------------------------------- */

static void proxy_flow(void *user, rmr_ns_flow flow, uint8_t protocol,
                       const rmr_addr *from, const rmr_addr *to)
{
    world *w = ((host *)user)->w;
    rmr_ns *front = w->h[FRONT].ns, *back = w->h[BACK].ns;
    pair *p = w->pairs;
    (void)from;
    w->flows++;
    while (p->used)
        p++;
    assert_true(p < w->pairs + 8);
    memset(p, 0, sizeof *p);
    p->w = w;
    p->used = true;
    p->flow = flow;
    p->protocol = protocol;
    assert_int_equal(rmr_ns_flow_set_tag(front, flow, p), RMR_OK);
    if (w->no_dial)
        return;
    if (protocol == RMR_NS_TCP) {
        assert_int_equal(
            rmr_ns_tcp_connect(back, w->now, NULL, to, p, &p->back), RMR_OK);
        p->dialled = true;
        return;
    }
    assert_int_equal(rmr_ns_udp_connect(back, NULL, to, p, &p->back), RMR_OK);
    p->dialled = true;
    assert_int_equal(rmr_ns_flow_accept(front, w->now, flow, p, &p->front),
                     RMR_OK);
    p->accepted = true;
}

static void proxy_gone(void *user, void *tag, rmr_ns_flow flow)
{
    world *w = ((host *)user)->w;
    pair *p = tag;
    assert_true(p->used && p->flow.id == flow.id);
    w->gone++;
    if (p->dialled)
        assert_int_equal(rmr_ns_abort(w->h[BACK].ns, w->now, p->back), RMR_OK);
    p->used = false;
}

static void back_connected(void *user, void *tag, rmr_ns_sock sock)
{
    world *w = ((host *)user)->w;
    pair *p = tag;
    (void)sock;
    assert_int_equal(
        rmr_ns_flow_accept(w->h[FRONT].ns, w->now, p->flow, p, &p->front),
        RMR_OK);
    p->accepted = true;
}

static void back_closed(void *user, void *tag, rmr_ns_sock sock, rmr_err why)
{
    world *w = ((host *)user)->w;
    pair *p = tag;
    (void)sock;
    p->dialled = false;
    if (!p->accepted) {
        assert_int_equal(
            rmr_ns_flow_refuse(w->h[FRONT].ns, w->now, p->flow, why), RMR_OK);
        p->used = false;
    } else if (why != RMR_OK && p->front.id) {
        (void)rmr_ns_abort(w->h[FRONT].ns, w->now, p->front);
        p->used = false;
    } else if (!p->front.id) {
        p->used = false;
    } else if (!p->front_shut) { /* OK is also the end of the stream */
        p->front_shut = true;
        (void)rmr_ns_tcp_shutdown(w->h[FRONT].ns, w->now, p->front);
    }
}

static void front_closed(void *user, void *tag, rmr_ns_sock sock, rmr_err why)
{
    world *w = ((host *)user)->w;
    pair *p = tag;
    (void)sock;
    p->front.id = 0;
    if (p->dialled && (why != RMR_OK || p->protocol == RMR_NS_UDP)) {
        (void)rmr_ns_abort(w->h[BACK].ns, w->now, p->back);
        p->dialled = false;
    }
    if (!p->dialled) {
        p->used = false;
    } else if (!p->back_shut) {
        p->back_shut = true;
        (void)rmr_ns_tcp_shutdown(w->h[BACK].ns, w->now, p->back);
    }
}

static void front_datagram(void *user, void *tag, rmr_ns_sock sock,
                           const rmr_addr *from, const rmr_addr *to,
                           rmr_bytes data)
{
    world *w = ((host *)user)->w;
    pair *p = tag;
    (void)from;
    (void)to;
    assert_int_equal(sock.id, p->front.id);
    assert_int_equal(
        rmr_ns_udp_send(w->h[BACK].ns, w->now, p->back, NULL, NULL, data),
        RMR_OK);
}

static void back_datagram(void *user, void *tag, rmr_ns_sock sock,
                          const rmr_addr *from, const rmr_addr *to,
                          rmr_bytes data)
{
    world *w = ((host *)user)->w;
    pair *p = tag;
    (void)sock;
    (void)from;
    (void)to;
    assert_int_equal(
        rmr_ns_udp_send(w->h[FRONT].ns, w->now, p->front, NULL, NULL, data),
        RMR_OK);
}

static void front_echo(void *user, const rmr_addr *from, const rmr_addr *to,
                       uint16_t id, uint16_t seq, rmr_bytes payload)
{
    world *w = ((host *)user)->w;
    assert_int_equal(
        rmr_ns_echo_reply(w->h[FRONT].ns, w->now, to, from, id, seq, payload),
        RMR_OK);
}

/* One direction: bytes, then the end. */
static void relay(world *w, rmr_ns *from, rmr_ns_sock in, rmr_ns *to,
                  rmr_ns_sock out, bool *shut)
{
    rmr_bytes view;
    bool eof;
    size_t taken;
    while (rmr_ns_tcp_peek(from, in, &view, &eof) == RMR_OK) {
        if (eof && !*shut) {
            *shut = true;
            (void)rmr_ns_tcp_shutdown(to, w->now, out);
        }
        if (view.len == 0 ||
            rmr_ns_tcp_send(to, w->now, out, view, &taken) != RMR_OK ||
            taken == 0)
            return;
        (void)rmr_ns_tcp_consume(from, w->now, in, taken);
    }
}

static void relay_all(world *w)
{
    for (pair *p = w->pairs; p < w->pairs + 8; p++) {
        if (!p->used || !p->accepted || p->protocol != RMR_NS_TCP ||
            !p->dialled || !p->front.id)
            continue;
        rmr_ns *front = w->h[FRONT].ns, *back = w->h[BACK].ns;
        relay(w, front, p->front, back, p->back, &p->back_shut);
        relay(w, back, p->back, front, p->front, &p->front_shut);
    }
}

/* ---- client and server ------------------------------------------------ */

static void end_connected(void *user, void *tag, rmr_ns_sock sock)
{
    (void)user;
    (void)sock;
    ((end *)tag)->open++;
}

static void end_closed(void *user, void *tag, rmr_ns_sock sock, rmr_err why)
{
    (void)user;
    (void)sock;
    end *e = tag;
    e->n_closed++;
    e->why = why;
    e->eof |= why == RMR_OK; /* all was read */
}

static void end_error(void *user, void *tag, rmr_ns_sock sock,
                      const rmr_ns_error *error)
{
    (void)user;
    (void)sock;
    if (tag)
        ((end *)tag)->error = *error;
}

static void end_datagram(void *user, void *tag, rmr_ns_sock sock,
                         const rmr_addr *from, const rmr_addr *to,
                         rmr_bytes data)
{
    end *e = tag;
    (void)user;
    (void)sock;
    assert_true(e->len + data.len <= sizeof e->got);
    memcpy(e->got + e->len, data.ptr, data.len);
    e->len += data.len;
    e->from = *from;
    e->to = *to;
}

static void end_pong(void *user, const rmr_addr *from, uint16_t id,
                     uint16_t seq, rmr_bytes payload)
{
    end *e = &((host *)user)->w->client;
    e->from = *from;
    e->len = payload.len;
    assert_int_equal(id, 3);
    assert_int_equal(seq, 4);
}

static void server_accept(void *user, void *tag, rmr_ns_sock listener,
                          rmr_ns_sock sock, const rmr_addr *remote)
{
    host *h = user;
    end *e = tag;
    (void)listener;
    e->sock = sock;
    e->open++;
    e->from = *remote;
    assert_int_equal(rmr_ns_set_tag(h->ns, sock, e), RMR_OK);
}

static void end_read(world *w, rmr_ns *ns, end *e)
{
    rmr_bytes view;
    bool eof;
    while (rmr_ns_tcp_peek(ns, e->sock, &view, &eof) == RMR_OK) {
        e->eof |= eof;
        if (view.len == 0)
            return;
        assert_true(e->len + view.len <= sizeof e->got);
        memcpy(e->got + e->len, view.ptr, view.len);
        e->len += view.len;
        (void)rmr_ns_tcp_consume(ns, w->now, e->sock, view.len);
    }
}

/* ---- the world -------------------------------------------------------- */

static void host_init(world *w, int i, rmr_addr ip, rmr_ns_callbacks *cb)
{
    host *h = &w->h[i];
    rmr_ns_config cfg;
    h->w = w;
    test_rng_seed(&h->rng, 50 + (uint64_t)i);
    rmr_env env = test_env(&h->alloc, &h->rng, NULL);
    cb->struct_size = sizeof *cb;
    cb->user = h;
    rmr_ns_config_init(&cfg, sizeof cfg);
    cfg.callbacks = cb;
    cfg.forward = i == FRONT;
    assert_int_equal(rmr_ns_new(&h->ns, &env, &cfg, w->now), RMR_OK);
    assert_int_equal(rmr_ns_addr_add(h->ns, &ip), RMR_OK);
}

static int setup(void **state)
{
    world *w = calloc(1, sizeof *w);
    rmr_ns_callbacks ends = {0}, front = {0}, back = {0};
    w->now = 100 * RMR_SEC;
    ends.on_connected = end_connected;
    ends.on_closed = end_closed;
    ends.on_error = end_error;
    ends.on_datagram = end_datagram;
    ends.on_pong = end_pong;
    ends.on_accept = server_accept;
    front.on_flow = proxy_flow;
    front.on_flow_gone = proxy_gone;
    front.on_closed = front_closed;
    front.on_datagram = front_datagram;
    front.on_echo = front_echo;
    back.on_connected = back_connected;
    back.on_closed = back_closed;
    back.on_datagram = back_datagram;
    host_init(w, CLIENT, rmr_addr_v4(100, 64, 0, 2, 0), &ends);
    host_init(w, FRONT, rmr_addr_v4(100, 64, 0, 1, 0), &front);
    host_init(w, BACK, rmr_addr_v4(10, 9, 9, 1, 0), &back);
    host_init(w, SERVER, server_addr(0), &ends);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    for (int i = 0; i < N_HOSTS; i++) {
        rmr_ns_free(w->h[i].ns);
        assert_int_equal(w->h[i].alloc.live_blocks, 0);
    }
    free(w);
    return 0;
}

static bool move(world *w, int from)
{
    uint8_t buf[1280];
    size_t len;
    int to = from ^ 1;
    bool any = false;
    for (;;) {
        assert_int_equal(rmr_ns_write_pkt(w->h[from].ns, w->now,
                                          rmr_buf_of(buf, sizeof buf), &len),
                         RMR_OK);
        if (!len)
            return any;
        any = true;
        if (!(w->cut && from == BACK))
            (void)rmr_ns_read_pkt(w->h[to].ns, w->now, rmr_bytes_of(buf, len));
    }
}

static void settle(world *w)
{
    for (int round = 0; round < 200; round++) {
        bool any = false;
        for (int i = 0; i < N_HOSTS; i++) {
            any |= move(w, i);
            relay_all(w);
        }
        end_read(w, w->h[CLIENT].ns, &w->client);
        end_read(w, w->h[SERVER].ns, &w->server);
        if (!any)
            return;
    }
    fail_msg("no rest");
}

static void run(world *w, rmr_dur d)
{
    rmr_time until = w->now + d;
    for (;;) {
        settle(w);
        rmr_time t = RMR_TIME_NEVER;
        for (int i = 0; i < N_HOSTS; i++)
            t = rmr_time_min(t, rmr_ns_next_deadline(w->h[i].ns));
        if (t > until)
            break;
        if (t > w->now)
            w->now = t;
        for (int i = 0; i < N_HOSTS; i++) {
            rmr_ns *ns = w->h[i].ns;
            if (rmr_ns_next_deadline(ns) > w->now)
                continue;
            assert_int_equal(rmr_ns_handle_deadline(ns, w->now), RMR_OK);
            assert_true(rmr_ns_next_deadline(ns) > w->now);
        }
    }
    w->now = until;
}

static rmr_ns_stats stats(world *w, int i)
{
    rmr_ns_stats s;
    rmr_ns_get_stats(w->h[i].ns, &s);
    return s;
}

/* Every request was answered, and nothing of it is left. */
static void expect_clean(world *w)
{
    for (int i = 0; i < N_HOSTS; i++) {
        rmr_ns_stats s = stats(w, i);
        assert_int_equal(s.flows, 0);
        assert_int_equal(s.udp_flows, 0);
        assert_int_equal(s.buffer_bytes, 0);
    }
    assert_int_equal(stats(w, FRONT).sockets, 0);
    assert_int_equal(stats(w, BACK).sockets, 0);
    for (int i = 0; i < 8; i++)
        assert_false(w->pairs[i].used);
}

static void dial(world *w, uint16_t port)
{
    rmr_addr to = server_addr(port);
    assert_int_equal(rmr_ns_tcp_connect(w->h[CLIENT].ns, w->now, NULL, &to,
                                        &w->client, &w->client.sock),
                     RMR_OK);
}

static void serve(world *w)
{
    rmr_addr at = server_addr(443);
    rmr_ns_sock l;
    assert_int_equal(rmr_ns_tcp_listen(w->h[SERVER].ns, &at, &w->server, &l),
                     RMR_OK);
}

static void say(world *w, int host_of, end *e, const char *text)
{
    size_t taken;
    assert_int_equal(rmr_ns_tcp_send(w->h[host_of].ns, w->now, e->sock,
                                     rmr_bytes_str(text), &taken),
                     RMR_OK);
    assert_int_equal(taken, strlen(text));
    settle(w);
}

static void expect_text(const end *e, const char *text)
{
    assert_int_equal(e->len, strlen(text));
    assert_memory_equal(e->got, text, e->len);
}

/* ---- TCP -------------------------------------------------------------- */

static void a_flow_is_carried_and_its_half_closes_pass_each_way(void **state)
{
    world *w = *state;
    serve(w);
    for (int who = 0; who < 2; who++) { /* the one that closes first */
        memset(&w->client, 0, sizeof w->client);
        memset(&w->server, 0, sizeof w->server);
        dial(w, 443);
        settle(w);
        assert_int_equal(w->flows, who + 1);
        assert_int_equal(w->client.open, 1);
        assert_int_equal(w->server.open, 1);
        say(w, CLIENT, &w->client, "question");
        expect_text(&w->server, "question");
        end *first = who ? &w->server : &w->client;
        end *second = who ? &w->client : &w->server;
        int first_at = who ? SERVER : CLIENT, second_at = who ? CLIENT : SERVER;
        assert_int_equal(
            rmr_ns_tcp_shutdown(w->h[first_at].ns, w->now, first->sock),
            RMR_OK);
        settle(w);
        assert_true(second->eof);
        assert_false(first->eof);
        first->len = 0;
        say(w, second_at, second, "answer after the end");
        expect_text(first, "answer after the end");
        assert_int_equal(
            rmr_ns_tcp_shutdown(w->h[second_at].ns, w->now, second->sock),
            RMR_OK);
        settle(w);
        assert_true(first->eof);
        assert_int_equal(w->client.n_closed, 1);
        assert_int_equal(w->server.n_closed, 1);
        assert_int_equal(w->client.why, RMR_OK);
        assert_int_equal(w->server.why, RMR_OK);
        run(w, RMR_SEC);
        expect_clean(w);
    }
}

static void a_refused_backend_is_refused_at_the_client(void **state)
{
    world *w = *state;
    dial(w, 444);
    settle(w);
    assert_int_equal(w->client.n_closed, 1);
    assert_int_equal(w->client.why, RMR_E_REFUSED);
    expect_clean(w);
}

static void a_reset_passes_each_way(void **state)
{
    world *w = *state;
    serve(w);
    for (int who = 0; who < 2; who++) {
        memset(&w->client, 0, sizeof w->client);
        memset(&w->server, 0, sizeof w->server);
        dial(w, 443);
        settle(w);
        end *first = who ? &w->server : &w->client;
        end *second = who ? &w->client : &w->server;
        assert_int_equal(
            rmr_ns_abort(w->h[who ? SERVER : CLIENT].ns, w->now, first->sock),
            RMR_OK);
        settle(w);
        assert_int_equal(second->n_closed, 1);
        assert_int_equal(second->why, RMR_E_RESET);
        expect_clean(w);
    }
}

static void a_client_that_gives_up_ends_the_dial(void **state)
{
    world *w = *state;
    w->cut = true; /* the server is dead: its dial would last 127 s */
    dial(w, 443);
    run(w, 2 * RMR_SEC);
    assert_int_equal(w->flows, 1);
    assert_int_equal(stats(w, FRONT).flows, 1);
    assert_int_equal(stats(w, BACK).sockets, 1);
    assert_int_equal(rmr_ns_abort(w->h[CLIENT].ns, w->now, w->client.sock),
                     RMR_OK);
    run(w, 30 * RMR_SEC);
    assert_int_equal(w->gone, 1);
    expect_clean(w);
}

static void a_request_that_nobody_answers_ends(void **state)
{
    world *w = *state;
    w->no_dial = true;
    dial(w, 443);
    run(w, 59 * RMR_SEC);
    assert_int_equal(w->flows, 1); /* the client's repeats are absorbed */
    assert_int_equal(w->gone, 0);
    run(w, 2 * RMR_SEC);
    assert_int_equal(w->gone, 1);
    assert_int_equal(stats(w, FRONT).flows, 0);
    (void)rmr_ns_abort(w->h[CLIENT].ns, w->now, w->client.sock);
    run(w, RMR_SEC);
    expect_clean(w);
}

/* ---- UDP, echo -------------------------------------------------------- */

static void udp_send(world *w, rmr_ns_sock s, const char *text)
{
    assert_int_equal(rmr_ns_udp_send(w->h[CLIENT].ns, w->now, s, NULL, NULL,
                                     rmr_bytes_str(text)),
                     RMR_OK);
    settle(w);
}

static void a_udp_flow_is_carried_until_it_falls_silent(void **state)
{
    static const struct {
        uint16_t port;
        rmr_dur idle;
    } cases[] = {{4000, 120 * RMR_SEC}, {53, 30 * RMR_SEC}};
    world *w = *state;
    for (int i = 0; i < 2; i++) {
        rmr_addr at = server_addr(cases[i].port);
        rmr_ns_sock there;
        memset(&w->client, 0, sizeof w->client);
        memset(&w->server, 0, sizeof w->server);
        assert_int_equal(
            rmr_ns_udp_bind(w->h[SERVER].ns, &at, &w->server, &there), RMR_OK);
        assert_int_equal(rmr_ns_udp_connect(w->h[CLIENT].ns, NULL, &at,
                                            &w->client, &w->client.sock),
                         RMR_OK);
        udp_send(w, w->client.sock, "ask");
        assert_int_equal(w->flows, i + 1);
        expect_text(&w->server, "ask");
        assert_int_equal(rmr_ns_udp_send(w->h[SERVER].ns, w->now, there, NULL,
                                         &w->server.from,
                                         rmr_bytes_str("told")),
                         RMR_OK);
        settle(w);
        expect_text(&w->client, "told");
        assert_true(rmr_addr_eq(&w->client.from, &at));
        run(w, cases[i].idle - RMR_SEC);
        udp_send(w, w->client.sock, "+");
        run(w, cases[i].idle - RMR_SEC);
        assert_int_equal(stats(w, FRONT).udp_flows, 1);
        assert_int_equal(w->flows, i + 1);
        run(w, RMR_SEC);
        expect_clean(w);
        assert_int_equal(rmr_ns_close(w->h[SERVER].ns, w->now, there), RMR_OK);
    }
}

static void an_echo_to_a_foreign_address_is_answered_by_the_host(void **state)
{
    world *w = *state;
    rmr_addr to = server_addr(0);
    assert_int_equal(
        rmr_ns_ping(w->h[CLIENT].ns, w->now, &to, 3, 4, rmr_bytes_str("hello")),
        RMR_OK);
    settle(w);
    assert_int_equal(w->client.len, 5);
    assert_true(rmr_addr_eq(&w->client.from, &to));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_flow_is_carried_and_its_half_closes_pass_each_way),
        T(a_refused_backend_is_refused_at_the_client),
        T(a_reset_passes_each_way),
        T(a_client_that_gives_up_ends_the_dial),
        T(a_request_that_nobody_answers_ends),
        T(a_udp_flow_is_carried_until_it_falls_silent),
        T(an_echo_to_a_foreign_address_is_answered_by_the_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
