/* The filter hook: what it sees, what its verdicts do, and fragments. */
#include "ns_feed.h"

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
    rmr_ns_verdict in, out;
    int asked_in, asked_out, dgrams, closed, errors, flows;
    size_t len;
    rmr_err why;
    rmr_ns_error error;
    rmr_ns_view view;
    uint8_t packet[1400];
    uint8_t w_out[1280];
    size_t out_len;
    rmr_ns_sock udp, conn;
} world;

static rmr_addr you, me, you6, me6;

static rmr_ns_verdict on_filter(void *user, const rmr_ns_view *view)
{
    world *w = user;
    w->view = *view;
    assert_true(view->packet.len <= sizeof w->packet);
    memcpy(w->packet, view->packet.ptr, view->packet.len);
    if (view->dir == RMR_NS_IN) {
        w->asked_in++;
        return w->in;
    }
    w->asked_out++;
    return w->out;
}

static void on_datagram(void *user, void *tag, rmr_ns_sock s,
                        const rmr_addr *from, const rmr_addr *to,
                        rmr_bytes data)
{
    world *w = user;
    (void)tag;
    (void)s;
    (void)from;
    (void)to;
    w->dgrams++;
    w->len = data.len;
}

static void on_closed(void *user, void *tag, rmr_ns_sock s, rmr_err why)
{
    world *w = user;
    (void)tag;
    (void)s;
    w->closed++;
    w->why = why;
}

static void on_error(void *user, void *tag, rmr_ns_sock s,
                     const rmr_ns_error *error)
{
    world *w = user;
    assert_ptr_equal(tag, w);
    assert_int_equal(s.id, w->udp.id);
    w->errors++;
    w->error = *error;
}

static void on_flow(void *user, rmr_ns_flow flow, uint8_t protocol,
                    const rmr_addr *from, const rmr_addr *to)
{
    (void)flow;
    (void)protocol;
    (void)from;
    (void)to;
    ((world *)user)->flows++;
}

static int setup(void **state)
{
    world *w = calloc(1, sizeof *w);
    rmr_ns_config cfg;
    rmr_ns_callbacks cb = {0};
    me = rmr_addr_v4(10, 0, 0, 1, 53);
    you = rmr_addr_v4(10, 0, 0, 2, 5000);
    (void)rmr_addr_parse(rmr_bytes_str("[fd00::1]:53"), &me6);
    (void)rmr_addr_parse(rmr_bytes_str("[fd00::2]:5000"), &you6);
    test_rng_seed(&w->rng, 4);
    rmr_env env = test_env(&w->alloc, &w->rng, NULL);
    w->now = 70 * RMR_SEC;
    cb.struct_size = sizeof cb;
    cb.user = w;
    cb.on_filter = on_filter;
    cb.on_datagram = on_datagram;
    cb.on_closed = on_closed;
    cb.on_error = on_error;
    cb.on_flow = on_flow;
    rmr_ns_config_init(&cfg, sizeof cfg);
    cfg.callbacks = &cb;
    cfg.forward = true;
    assert_int_equal(rmr_ns_new(&w->ns, &env, &cfg, w->now), RMR_OK);
    assert_int_equal(rmr_ns_addr_add(w->ns, &me), RMR_OK);
    assert_int_equal(rmr_ns_addr_add(w->ns, &me6), RMR_OK);
    rmr_addr any = {0};
    any.port = 53;
    assert_int_equal(rmr_ns_udp_bind(w->ns, &any, w, &w->udp), RMR_OK);
    assert_int_equal(rmr_ns_tcp_listen(w->ns, &any, w, &w->conn), RMR_OK);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    return pkt_end(w, w->ns, &w->alloc);
}

static rmr_err feed(world *w, const uint8_t *p, size_t n)
{
    return pkt_feed(w->ns, w->now, p, n);
}

static bool take(world *w)
{
    w->out_len = pkt_take(w->ns, w->now, w->w_out, sizeof w->w_out);
    return w->out_len != 0;
}

static void it_sees_addresses_ports_flags_and_types(void **state)
{
    world *w = *state;
    uint8_t p[200];
    size_t n = pkt_udp(p, &you, &me, "hello", 5);
    assert_int_equal(feed(w, p, n + 9), RMR_OK); /* padding isn't shown */
    assert_int_equal(w->asked_in, 1);
    assert_int_equal(w->view.protocol, RMR_NS_UDP);
    assert_true(rmr_addr_eq(&w->view.from, &you));
    assert_true(rmr_addr_eq(&w->view.to, &me));
    assert_int_equal(w->view.packet.len, n);
    assert_memory_equal(w->packet, p, n);
    n = pkt_tcp(p, &you6, &me6, PKT_SYN, 1, 0);
    rmri_ns_ip_set_tos(p, 0xb9);
    assert_int_equal(feed(w, p, n), RMR_OK);
    assert_int_equal(w->view.protocol, RMR_NS_TCP);
    assert_int_equal(w->view.tcp_flags, PKT_SYN);
    assert_int_equal(w->view.tos, 0xb9);
    assert_true(rmr_addr_eq(&w->view.from, &you6));
    assert_true(take(w)); /* the SYN-ACK, seen on its way out */
    assert_int_equal(w->asked_out, 1);
    assert_int_equal(w->view.dir, RMR_NS_OUT);
    assert_int_equal(w->view.tcp_flags, PKT_SYN | PKT_ACK);
    assert_true(rmr_addr_eq(&w->view.to, &you6));
    n = pkt_icmp(p, &you6, &me6, 128, 0, 1, "x", 1);
    assert_int_equal(feed(w, p, n), RMR_OK);
    assert_int_equal(w->view.icmp_type, 128);
    assert_int_equal(w->view.protocol, RMR_NS_ICMP6);
    assert_int_equal(w->view.from.port, 0);
    assert_true(take(w));
    assert_int_equal(w->view.icmp_type, 129);
    /* What goes to ourselves doesn't leave. */
    int asked = w->asked_in + w->asked_out;
    assert_int_equal(rmr_ns_udp_send(w->ns, w->now, w->udp, NULL, &me,
                                     rmr_bytes_str("self")),
                     RMR_OK);
    assert_false(take(w));
    assert_int_equal(w->dgrams, 2);
    assert_int_equal(w->asked_in + w->asked_out, asked);
}

static void what_is_dropped_makes_no_state(void **state)
{
    world *w = *state;
    uint8_t p[200];
    rmr_addr far = rmr_addr_v4(8, 8, 8, 8, 443);
    w->in = RMR_NS_DROP;
    assert_int_equal(feed(w, p, pkt_tcp(p, &you, &me, PKT_SYN, 1, 0)),
                     RMR_E_DENIED);
    assert_int_equal(feed(w, p, pkt_tcp(p, &you, &far, PKT_SYN, 1, 0)),
                     RMR_E_DENIED);
    assert_int_equal(feed(w, p, pkt_udp(p, &you, &far, "x", 1)), RMR_E_DENIED);
    assert_int_equal(feed(w, p, pkt_udp(p, &you, &me, "x", 1)), RMR_E_DENIED);
    assert_int_equal(feed(w, p, pkt_icmp(p, &you, &me, 8, 0, 1, "x", 1)),
                     RMR_E_DENIED);
    assert_int_equal(w->ns->flows.used, 0);
    assert_int_equal(w->flows + w->dgrams, 0);
    assert_int_equal(pkt_stats(w->ns).discard_filtered, 5);
    assert_false(take(w));
    w->in = RMR_NS_ACCEPT;
    assert_int_equal(feed(w, p, pkt_udp(p, &you, &far, "x", 1)), RMR_OK);
    assert_int_equal(w->flows, 1);
}

static void what_is_rejected_is_told(void **state)
{
    world *w = *state;
    uint8_t p[200];
    w->in = RMR_NS_REJECT;
    (void)feed(w, p, pkt_tcp(p, &you, &me, PKT_SYN, 41, 0));
    assert_true(take(w));
    assert_int_equal(w->w_out[20 + 13], PKT_RST | PKT_ACK);
    assert_int_equal(rmr_load_be32(w->w_out + 28), 42);
    (void)feed(w, p, pkt_tcp(p, &you6, &me6, PKT_ACK, 41, 77));
    assert_true(take(w));
    assert_int_equal(w->w_out[40 + 13], PKT_RST);
    assert_int_equal(rmr_load_be32(w->w_out + 44), 77);
    (void)feed(w, p, pkt_tcp(p, &you, &me, PKT_RST, 41, 0));
    assert_false(take(w));
    size_t n = pkt_tcp(p, &you, &me, PKT_SYN, 41, 0);
    p[30] ^= 1; /* damaged: no answer */
    (void)feed(w, p, n);
    assert_false(take(w));
    n = pkt_udp(p, &you, &me, "x", 1);
    assert_int_equal(feed(w, p, n), RMR_E_DENIED);
    assert_true(take(w));
    assert_int_equal(w->w_out[20], 3);
    assert_int_equal(w->w_out[21], 13);
    assert_memory_equal(w->w_out + 28, p, n);
    (void)feed(w, p, pkt_udp(p, &you6, &me6, "x", 1));
    assert_true(take(w));
    assert_int_equal(w->w_out[40], 1);
    assert_int_equal(w->w_out[41], 1);
    (void)feed(w, p, pkt_icmp(p, &you, &me, 3, 3, 0, p, 28));
    assert_false(take(w)); /* never about an error */
    w->in = RMR_NS_NO_ROUTE;
    (void)feed(w, p, pkt_tcp(p, &you, &me, PKT_SYN, 41, 0));
    assert_true(take(w));
    assert_int_equal(w->w_out[20], 3);
    assert_int_equal(w->w_out[21], 1);
    assert_int_equal(w->ns->flows.used, 0);
}

/* ---- fragments in ----------------------------------------------------- */

static uint8_t whole[3100];
static size_t whole_len;

static void make_whole(const rmr_addr *from, const rmr_addr *to)
{
    static uint8_t data[2500];
    whole_len = pkt_udp(whole, from, to, data, sizeof data);
}

static rmr_err piece(world *w, const rmr_addr *from, const rmr_addr *to,
                     uint32_t id, size_t off, size_t len)
{
    uint8_t p[2000];
    ns_tuple t = {0};
    size_t from_hl = ns_ip_header_len(from->family);
    bool more = from_hl + off + len < whole_len;
    t.local = rmri_ns_ip_of(from);
    t.remote = rmri_ns_ip_of(to);
    t.family = from->family;
    t.proto = 17;
    size_t hl = rmri_ns_ip_write_piece(p, &t, id, off, len, more);
    memcpy(p + hl, whole + from_hl + off, len);
    return feed(w, p, hl + len);
}

static void later_fragments_follow_the_first(void **state)
{
    world *w = *state;
    const rmr_addr *pairs[2][2] = {{&you, &me}, {&you6, &me6}};
    for (int i = 0; i < 2; i++) {
        const rmr_addr *from = pairs[i][0], *to = pairs[i][1];
        make_whole(from, to);
        w->in = RMR_NS_ACCEPT;
        w->asked_in = w->dgrams = 0;
        assert_int_equal(piece(w, from, to, 1, 1000, 1000), RMR_OK);
        assert_int_equal(w->asked_in, 0);
        assert_int_equal(piece(w, from, to, 1, 0, 1000), RMR_OK);
        assert_int_equal(w->asked_in, 1);
        assert_int_equal(w->view.protocol, RMR_NS_UDP);
        assert_true(rmr_addr_eq(&w->view.from, from));
        assert_true(rmr_addr_eq(&w->view.to, to));
        w->in = RMR_NS_DROP; /* too late: its verdict was given */
        assert_int_equal(piece(w, from, to, 1, 0, 1000), RMR_OK);
        assert_int_equal(piece(w, from, to, 1, 2000, 508), RMR_OK);
        assert_int_equal(w->asked_in, 1);
        assert_int_equal(w->dgrams, 1);
        assert_int_equal(w->len, 2500);
        /* Denied: nothing of it is kept, whatever comes before or after. */
        assert_int_equal(piece(w, from, to, 2, 1000, 1000), RMR_OK);
        assert_int_equal(piece(w, from, to, 2, 0, 1000), RMR_E_DENIED);
        assert_int_equal(w->ns->frags.bytes, 0);
        w->in = RMR_NS_ACCEPT;
        assert_int_equal(piece(w, from, to, 2, 1000, 1000), RMR_E_DENIED);
        assert_int_equal(piece(w, from, to, 2, 2000, 508), RMR_E_DENIED);
        assert_int_equal(piece(w, from, to, 2, 0, 1000), RMR_E_DENIED);
        assert_int_equal(w->ns->frags.bytes, 0);
        assert_int_equal(w->dgrams, 1);
        assert_int_equal(w->asked_in, 2);
        assert_false(take(w));
        /* And forgotten in time, without a word. */
        w->now += 60 * RMR_SEC;
        assert_int_equal(rmr_ns_handle_deadline(w->ns, w->now), RMR_OK);
        assert_false(take(w));
        assert_int_equal(rmr_ns_next_deadline(w->ns), RMR_TIME_NEVER);
    }
}

/* A verdict is for the bytes that it was given for. */
static void
a_first_fragment_that_was_not_kept_is_asked_about_again(void **state)
{
    world *w = *state;
    const rmr_addr *pairs[2][2] = {{&you, &me}, {&you6, &me6}};
    for (int i = 0; i < 2; i++) {
        const rmr_addr *from = pairs[i][0], *to = pairs[i][1];
        make_whole(from, to);
        w->in = RMR_NS_ACCEPT;
        w->asked_in = 0;
        assert_int_equal(piece(w, from, to, 1, 1000, 1000), RMR_OK);
        w->alloc.fail_at = w->alloc.calls + 2; /* behind its header's copy */
        assert_int_equal(piece(w, from, to, 1, 0, 1000), RMR_E_NOMEM);
        assert_int_equal(w->asked_in, 1);
        assert_int_equal(piece(w, from, to, 1, 2000, 508), RMR_OK);
        w->in = RMR_NS_DROP;
        assert_int_equal(piece(w, from, to, 1, 0, 1000), RMR_E_DENIED);
        assert_int_equal(w->asked_in, 2);
        assert_int_equal(w->dgrams, 0);
    }
}

static void a_rejected_first_fragment_is_told_once(void **state)
{
    world *w = *state;
    make_whole(&you, &me);
    w->in = RMR_NS_REJECT;
    assert_int_equal(piece(w, &you, &me, 1, 0, 1000), RMR_E_DENIED);
    assert_int_equal(piece(w, &you, &me, 1, 1000, 1000), RMR_E_DENIED);
    assert_true(take(w));
    assert_int_equal(w->w_out[20], 3);
    assert_int_equal(w->w_out[21], 13);
    assert_false(take(w));
}

/* A datagram behind a destination header whose option is unknown and asks for
 * an answer; with `frag` behind a fragment header too. */
static size_t with_option(uint8_t *p, const uint8_t *frag)
{
    static const uint8_t opt[8] = {17, 0, 0x80, 4, 0, 0, 0, 0};
    uint8_t u[100];
    size_t n = pkt_udp(u, &you6, &me6, "hello", 5) - 40, at = 48;
    memcpy(p + 40, opt, 8);
    if (frag) {
        p[40] = 44;
        memcpy(p + 48, frag, 8);
        at += 8;
    }
    memcpy(p + at, u + 40, n);
    return pkt_ip(p, &you6, &me6, 60, at - 40 + n);
}

static void
a_parameter_problem_is_told_only_where_the_filter_says_yes(void **state)
{
    world *w = *state;
    uint8_t p[200];
    size_t n = with_option(p, NULL);
    assert_int_equal(feed(w, p, n), RMR_E_MALFORMED);
    assert_int_equal(w->asked_in, 1);
    assert_int_equal(w->view.protocol, RMR_NS_UDP);
    assert_true(rmr_addr_eq(&w->view.from, &you6));
    assert_true(rmr_addr_eq(&w->view.to, &me6));
    assert_true(take(w));
    assert_int_equal(w->w_out[40], 4);
    assert_int_equal(w->w_out[41], 2);
    w->in = RMR_NS_DROP;
    assert_int_equal(feed(w, p, n), RMR_E_DENIED);
    assert_false(take(w));
    assert_int_equal(w->asked_in, 2);
    assert_int_equal(pkt_stats(w->ns).discard_filtered, 1);
    assert_int_equal(pkt_stats(w->ns).discard_malformed, 1);
    w->in = RMR_NS_REJECT;
    assert_int_equal(feed(w, p, n), RMR_E_DENIED);
    assert_true(take(w));
    assert_int_equal(w->w_out[40], 1);
    assert_int_equal(w->w_out[41], 1);
    assert_false(take(w));
}

/* It has no ports: nobody can be asked about it. */
static void a_later_fragment_is_never_told_of_a_problem(void **state)
{
    static const uint8_t later[8] = {17, 0, 0, 9, 0, 0, 0, 1};
    static const uint8_t first[8] = {17, 0, 0, 1, 0, 0, 0, 1};
    world *w = *state;
    uint8_t p[200];
    assert_int_equal(feed(w, p, with_option(p, later)), RMR_E_MALFORMED);
    assert_int_equal(w->asked_in, 0);
    assert_false(take(w));
    assert_int_equal(feed(w, p, with_option(p, first)), RMR_E_MALFORMED);
    assert_int_equal(w->asked_in, 1);
    assert_int_equal(w->view.from.port, 5000);
    assert_true(take(w));
}

/* ---- out -------------------------------------------------------------- */

static void dial(world *w, const rmr_addr *to)
{
    assert_int_equal(rmr_ns_tcp_connect(w->ns, w->now, NULL, to, w, &w->conn),
                     RMR_OK);
}

static void what_may_not_leave_is_dropped_or_told_to_its_socket(void **state)
{
    world *w = *state;
    rmr_addr to = you;
    w->out = RMR_NS_DROP;
    dial(w, &to);
    assert_false(take(w));
    assert_int_equal(w->closed, 0);
    w->now += RMR_SEC;
    w->out = RMR_NS_REJECT;
    assert_int_equal(rmr_ns_handle_deadline(w->ns, w->now), RMR_OK);
    assert_false(take(w)); /* the SYN again */
    assert_int_equal(w->closed, 1);
    assert_int_equal(w->why, RMR_E_REFUSED);
    assert_int_equal(w->ns->flows.used, 0);

    w->out = RMR_NS_ACCEPT; /* an open one */
    dial(w, &to);
    assert_true(take(w));
    rmr_addr from = me;
    from.port = rmr_load_be16(w->w_out + 20);
    uint8_t p[200];
    size_t n = pkt_tcp(p, &you, &from, PKT_SYN | PKT_ACK, 1,
                       rmr_load_be32(w->w_out + 24) + 1);
    assert_int_equal(feed(w, p, n), RMR_OK);
    w->out = RMR_NS_REJECT;
    assert_false(take(w));
    assert_int_equal(w->closed, 2);
    assert_int_equal(w->why, RMR_E_RESET);
    assert_int_equal(w->ns->flows.used, 0);

    assert_int_equal(
        rmr_ns_udp_send(w->ns, w->now, w->udp, NULL, &you, rmr_bytes_str("x")),
        RMR_OK);
    assert_false(take(w));
    assert_int_equal(w->errors, 1);
    assert_int_equal(w->error.why, RMR_E_DENIED);
    assert_int_equal(w->error.type, 3);
    assert_int_equal(w->error.code, 13);
    assert_true(rmr_addr_eq(&w->error.to, &you));
    w->out = RMR_NS_NO_ROUTE;
    assert_int_equal(
        rmr_ns_udp_send(w->ns, w->now, w->udp, NULL, &you6, rmr_bytes_str("x")),
        RMR_OK);
    dial(w, &you6);
    assert_false(take(w));
    assert_int_equal(w->errors, 2);
    assert_int_equal(w->error.why, RMR_E_UNREACHABLE);
    assert_int_equal(w->error.type, 1);
    assert_int_equal(w->error.code, 3);
    assert_int_equal(w->closed, 3);
    assert_int_equal(w->why, RMR_E_UNREACHABLE);
    w->out = RMR_NS_REJECT;
    /* Our own half-open ones, too. */
    assert_int_equal(feed(w, p, pkt_tcp(p, &you, &me, PKT_SYN, 1, 0)), RMR_OK);
    assert_int_equal(w->ns->flows.used, 1);
    assert_false(take(w));
    assert_int_equal(w->ns->flows.used, 0);
}

static void pieces_that_leave_follow_the_first(void **state)
{
    world *w = *state;
    static const uint8_t big[4000];
    const rmr_addr *to[2] = {&you, &you6};
    for (int i = 0; i < 2; i++) {
        w->out = RMR_NS_ACCEPT;
        w->asked_out = w->errors = 0;
        for (int k = 0; k < 2; k++) {
            assert_int_equal(rmr_ns_udp_send(w->ns, w->now, w->udp, NULL, to[i],
                                             rmr_bytes_of(big, sizeof big)),
                             RMR_OK);
            int n = 0;
            while (take(w)) {
                assert_true(rmr_addr_eq(&w->view.to, to[i]));
                n++;
            }
            assert_int_equal(n, k ? 0 : 4);
            assert_int_equal(w->asked_out, k + 1);
            assert_int_equal(w->errors, k);
            w->out = RMR_NS_REJECT;
        }
    }
    assert_int_equal(pkt_stats(w->ns).discard_filtered, 8);
    assert_int_equal(pkt_stats(w->ns).buffer_bytes, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(it_sees_addresses_ports_flags_and_types),
        T(what_is_dropped_makes_no_state),
        T(what_is_rejected_is_told),
        T(later_fragments_follow_the_first),
        T(a_first_fragment_that_was_not_kept_is_asked_about_again),
        T(a_rejected_first_fragment_is_told_once),
        T(a_parameter_problem_is_told_only_where_the_filter_says_yes),
        T(a_later_fragment_is_never_told_of_a_problem),
        T(what_may_not_leave_is_dropped_or_told_to_its_socket),
        T(pieces_that_leave_follow_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
