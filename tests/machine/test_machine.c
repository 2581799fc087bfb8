/* The kit: fairness of the queue, links and their proxy, against a script. */
#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <remora/machine.h>
#include <stdio.h>
#include <string.h>

typedef struct rig {
    test_alloc alloc;
    test_rng rng;
    rmr_env env;
    rmr_mc *mc;
    rmr_mc_link *link;
    rmr_time now;
    uint8_t scratch[RMR_IO_SCRATCH_MIN];
    int opened, closed, stirred;
    rmr_err why, read_err;
    char text[128], got[512], say[64];
    size_t got_len;
} rig;

static void on_stir(void *user)
{
    ((rig *)user)->stirred++;
}

static void l_opened(void *owner, rmr_time now)
{
    (void)now;
    ((rig *)owner)->opened++;
}

static void l_closed(void *owner, rmr_time now, rmr_err why, const char *text)
{
    rig *r = owner;
    (void)now;
    r->closed++;
    r->why = why;
    snprintf(r->text, sizeof r->text, "%s", text);
}

static rmr_err l_read(void *owner, rmr_time now, rmr_buf data)
{
    rig *r = owner;
    (void)now;
    memcpy(r->got + r->got_len, data.ptr, data.len);
    r->got_len += data.len;
    return r->read_err;
}

static rmr_err l_write(void *owner, rmr_time now, rmr_buf dst, size_t *len)
{
    rig *r = owner;
    (void)now;
    *len = strlen(r->say);
    memcpy(dst.ptr, r->say, *len);
    r->say[0] = 0;
    return RMR_OK;
}

static const rmr_mc_link_ops layer = {
    .opened = l_opened, .closed = l_closed, .read = l_read, .write = l_write};

static rmr_err rig_new(rig *r, const rmr_mc_proxy *proxy)
{
    rmr_mc_config cfg;
    r->env = test_env(&r->alloc, &r->rng, NULL);
    rmr_mc_config_init(&cfg, sizeof cfg);
    cfg.user = r;
    cfg.on_stir = on_stir;
    if (proxy)
        cfg.proxy = *proxy;
    rmr_err err = rmr_mc_new(&r->mc, &r->env, &cfg);
    if (err != RMR_OK)
        return err;
    r->link = rmr_mc_link_new(r->mc, &layer, r);
    return r->link ? RMR_OK : RMR_E_NOMEM;
}

static void rig_start(rig *r, const rmr_mc_proxy *proxy)
{
    memset(r, 0, sizeof *r);
    test_rng_seed(&r->rng, 1);
    r->now = RMR_SEC;
    assert_int_equal(rig_new(r, proxy), RMR_OK);
}

static void rig_end(rig *r)
{
    rmr_mc_link_free(r->link);
    rmr_mc_free(r->mc);
    r->link = NULL;
    r->mc = NULL;
    assert_int_equal(r->alloc.live_blocks, 0);
}

static rmr_io_op next(rig *r)
{
    rmr_io_op op = {0};
    rmr_mc_pump(r->mc, r->now);
    if (!rmr_mc_next_op(r->mc, r->now,
                        rmr_buf_of(r->scratch, sizeof r->scratch), &op))
        op.kind = RMR_IO_NONE;
    return op;
}

static void give(rig *r, rmr_io_event_kind kind, uint64_t id, const char *data)
{
    uint8_t copy[512];
    rmr_io_event ev = {0};
    ev.kind = kind;
    ev.id = id;
    if (data) {
        memcpy(copy, data, strlen(data));
        ev.data = rmr_buf_of(copy, strlen(data));
    }
    ev.err = kind == RMR_IO_FAILED ? RMR_E_REFUSED : RMR_OK;
    rmr_mc_event(r->mc, r->now, &ev);
}

static rmr_dial dial_to(const char *host)
{
    rmr_dial d = {0};
    snprintf(d.host, sizeof d.host, "%s", host);
    d.port = 8080;
    return d;
}

/* Dials and lets the first CONNECT open; its operation. */
static rmr_io_op open_link(rig *r, const char *host)
{
    rmr_dial d = dial_to(host);
    rmr_mc_link_dial(r->link, r->now, &d);
    rmr_io_op op = next(r);
    assert_int_equal(op.kind, RMR_IO_CONNECT);
    give(r, RMR_IO_OPENED, op.id, NULL);
    return op;
}

static const rmr_mc_proxy proxy = {
    .host = "10.0.0.1",
    .port = 3128,
    .authorization = "user:pass",
    .no_proxy =
        "direct.example, .corp.example,*.star.example 10.1.0.0/16\tfd00::1",
};

/* The link's next operation that sends; its bytes as text. */
static const char *sent(rig *r)
{
    for (int i = 0; i < 4; i++) {
        rmr_io_op op = next(r);
        if (op.kind != RMR_IO_STREAM_SEND)
            continue;
        r->scratch[op.data.len] = 0;
        return (const char *)r->scratch;
    }
    return "";
}

static void a_link_reaches_a_literal_host_directly(void **st)
{
    rig r;
    (void)st;
    rig_start(&r, NULL);
    rmr_io_op op = open_link(&r, "192.0.2.7");
    assert_int_equal(op.addr.port, 8080);
    assert_int_equal(op.addr.ip[0], 192);
    assert_int_equal(r.opened, 1);
    strcpy(r.say, "hello");
    rmr_mc_link_output(r.link);
    assert_string_equal(sent(&r), "hello");
    give(&r, RMR_IO_BYTES, op.id, "world");
    assert_memory_equal(r.got, "world", 5);
    give(&r, RMR_IO_EOF, op.id, NULL);
    assert_int_equal(r.closed, 1);
    assert_int_equal(r.why, RMR_OK);
    rig_end(&r);
}

static void the_next_address_is_tried_when_one_fails(void **st)
{
    rig r;
    (void)st;
    rig_start(&r, NULL);
    rmr_dial d = dial_to("host.example");
    d.addrs[0] = rmr_addr_v4(192, 0, 2, 1, 0);
    d.addrs[1] = rmr_addr_v4(192, 0, 2, 2, 0);
    d.n_addrs = 2;
    rmr_mc_link_dial(r.link, r.now, &d);
    for (uint8_t i = 1; i <= 2; i++) {
        rmr_io_op op = next(&r);
        assert_int_equal(op.kind, RMR_IO_CONNECT);
        assert_int_equal(op.addr.ip[3], i);
        assert_int_equal(r.closed, 0);
        give(&r, RMR_IO_FAILED, op.id, NULL);
    }
    assert_int_equal(r.closed, 1);
    assert_int_equal(r.why, RMR_E_REFUSED);
    rig_end(&r);
}

/* ---- two families ------------------------------------------------------- */

static rmr_dial dial_both(void)
{
    rmr_dial d = dial_to("host.example");
    d.addrs[0] = rmr_addr_v4(192, 0, 2, 1, 0);
    d.addrs[0].family = RMR_AF_INET6;
    d.addrs[1] = rmr_addr_v4(192, 0, 2, 2, 0);
    d.n_addrs = 2;
    return d;
}

/* The next CONNECT must be to that family; its id. */
static uint64_t connects(rig *r, uint8_t family)
{
    rmr_io_op op = next(r);
    assert_int_equal(op.kind, RMR_IO_CONNECT);
    assert_int_equal(op.addr.family, family);
    assert_int_equal(op.addr.port, 8080);
    assert_int_equal(next(r).kind, RMR_IO_NONE);
    return op.id;
}

static uint64_t connects_one(rig *r)
{
    rmr_io_op op = next(r);
    assert_int_equal(op.kind, RMR_IO_CONNECT);
    return op.id;
}

static void pass(rig *r, rmr_dur t)
{
    r->now += t;
    rmr_mc_handle_deadline(r->mc, r->now);
    assert_true(rmr_mc_next_deadline(r->mc) > r->now);
}

static void a_family_that_leads_nowhere_costs_a_fifth_of_a_second(void **st)
{
    rig r;
    (void)st;
    for (int winner = 0; winner < 2; winner++) {
        rig_start(&r, NULL);
        rmr_dial d = dial_both();
        rmr_mc_link_dial(r.link, r.now, &d);
        uint64_t id[2] = {connects(&r, RMR_AF_INET6), 0};
        assert_true(rmr_mc_next_deadline(r.mc) == r.now + 200 * RMR_MS);
        pass(&r, 199 * RMR_MS);
        assert_int_equal(next(&r).kind, RMR_IO_NONE);
        pass(&r, RMR_MS);
        id[1] = connects(&r, RMR_AF_INET);
        give(&r, RMR_IO_OPENED, id[winner], NULL);
        assert_int_equal(r.opened, 1);
        /* The other one is given up; what it still says is of no meaning. */
        bool aborted = false;
        rmr_io_op op;
        while ((op = next(&r)).kind != RMR_IO_NONE)
            aborted |= op.kind == RMR_IO_ABORT && op.id == id[!winner];
        assert_true(aborted);
        give(&r, RMR_IO_FAILED, id[!winner], NULL);
        give(&r, RMR_IO_BYTES, id[winner], "hi");
        assert_memory_equal(r.got, "hi", 2);
        assert_int_equal(r.closed, 0);
        assert_true(rmr_mc_next_deadline(r.mc) == RMR_TIME_NEVER);
        rig_end(&r);
    }
}

static void the_second_family_does_not_wait_for_one_that_failed(void **st)
{
    rig r;
    (void)st;
    rig_start(&r, NULL);
    rmr_dial d = dial_both();
    rmr_mc_link_dial(r.link, r.now, &d);
    give(&r, RMR_IO_FAILED, connects(&r, RMR_AF_INET6), NULL);
    assert_int_equal(r.closed, 0);
    uint64_t id = connects(&r, RMR_AF_INET);
    assert_true(rmr_mc_next_deadline(r.mc) == r.now + 10 * RMR_SEC);
    give(&r, RMR_IO_FAILED, id, NULL);
    assert_int_equal(r.closed, 1);
    assert_int_equal(r.why, RMR_E_REFUSED);
    assert_true(rmr_mc_next_deadline(r.mc) == RMR_TIME_NEVER);
    rig_end(&r);
}

static void one_that_opens_in_time_keeps_the_other_from_beginning(void **st)
{
    rig r;
    (void)st;
    rig_start(&r, NULL);
    rmr_dial d = dial_both();
    rmr_mc_link_dial(r.link, r.now, &d);
    give(&r, RMR_IO_OPENED, connects(&r, RMR_AF_INET6), NULL);
    pass(&r, RMR_SEC);
    for (int i = 0; i < 4; i++)
        assert_int_not_equal(next(&r).kind, RMR_IO_CONNECT);
    rig_end(&r);
}

static void a_family_that_is_off_is_not_tried(void **st)
{
    rig r;
    (void)st;
    for (int v6 = 0; v6 < 2; v6++) {
        rig_start(&r, NULL);
        rmr_dial d = dial_both();
        d.no_v4 = v6;
        d.no_v6 = !v6;
        rmr_mc_link_dial(r.link, r.now, &d);
        uint64_t id = connects(&r, v6 ? RMR_AF_INET6 : RMR_AF_INET);
        assert_true(rmr_mc_next_deadline(r.mc) == r.now + 10 * RMR_SEC);
        give(&r, RMR_IO_FAILED, id, NULL);
        assert_int_equal(r.closed, 1);
        rig_end(&r);
    }
    rig_start(&r, NULL);
    rmr_dial d = dial_both();
    d.no_v4 = d.no_v6 = true;
    rmr_mc_link_dial(r.link, r.now, &d);
    assert_int_equal(r.why, RMR_E_UNREACHABLE);
    rig_end(&r);
}

/* ---- a literal of one family, and the name for the other ------------------ */

/* The host's name is known from hosts(5) as 192.0.2.7 and 2001:db8::7, or has
 * to be asked for. */
static void names(rig *r, bool known)
{
    static const char hosts[] =
        "192.0.2.7 host.example\n2001:db8::7 host.example\n";
    rmr_addr server = rmr_addr_v4(192, 0, 2, 53, 53);
    rmr_io_links links = {0};
    rmr_io_event ev = {0};
    links.name_servers = &server;
    links.n_name_servers = 1;
    if (known)
        links.hosts = rmr_bytes_str(hosts);
    ev.kind = RMR_IO_LINKS;
    ev.links = &links;
    rmr_mc_event(r->mc, r->now, &ev);
}

static rmr_dial dial_one(uint8_t family)
{
    rmr_dial d = dial_to("host.example");
    d.addrs[0] = rmr_addr_v4(203, 0, 113, 1, 0);
    d.addrs[0].family = family;
    d.n_addrs = 1;
    return d;
}

static void a_family_without_a_literal_is_reached_by_name(void **st)
{
    static const uint8_t families[2] = {RMR_AF_INET, RMR_AF_INET6};
    rig r;
    (void)st;
    for (int i = 0; i < 4; i++) {
        uint8_t given = families[i & 1], other = families[!(i & 1)];
        rig_start(&r, NULL);
        names(&r, true);
        rmr_dial d = dial_one(given);
        rmr_mc_link_dial(r.link, r.now, &d);
        uint64_t id = connects(&r, given);
        if (i & 2) { /* refused, so that nothing is waited for */
            give(&r, RMR_IO_FAILED, id, NULL);
        } else {
            assert_true(rmr_mc_next_deadline(r.mc) == r.now + 200 * RMR_MS);
            pass(&r, 199 * RMR_MS);
            assert_int_equal(next(&r).kind, RMR_IO_NONE);
            pass(&r, RMR_MS);
        }
        assert_int_equal(r.closed, 0);
        rmr_io_op op = next(&r);
        assert_int_equal(op.kind, RMR_IO_CONNECT);
        assert_int_equal(op.addr.family, other);
        assert_int_equal(op.addr.port, 8080);
        assert_int_equal(op.addr.ip[other == RMR_AF_INET ? 3 : 15], 7);
        give(&r, RMR_IO_OPENED, op.id, NULL);
        assert_int_equal(r.opened, 1);
        assert_int_equal(r.closed, 0);
        rig_end(&r);
    }
}

static void a_literal_that_opens_in_time_asks_for_no_name(void **st)
{
    rig r;
    (void)st;
    rig_start(&r, NULL);
    names(&r, false);
    rmr_dial d = dial_one(RMR_AF_INET);
    rmr_mc_link_dial(r.link, r.now, &d);
    give(&r, RMR_IO_OPENED, connects(&r, RMR_AF_INET), NULL);
    pass(&r, RMR_SEC);
    for (int i = 0; i < 4; i++)
        assert_int_not_equal(next(&r).kind, RMR_IO_UDP_OPEN);
    rig_end(&r);
}

static void a_family_that_is_off_is_not_reached_by_name_either(void **st)
{
    rig r;
    (void)st;
    rig_start(&r, NULL);
    names(&r, true);
    rmr_dial d = dial_one(RMR_AF_INET6);
    d.no_v4 = true;
    rmr_mc_link_dial(r.link, r.now, &d);
    give(&r, RMR_IO_FAILED, connects(&r, RMR_AF_INET6), NULL);
    assert_int_equal(r.closed, 1);
    assert_int_equal(r.why, RMR_E_REFUSED);
    rig_end(&r);
}

/* It begins behind the fifth of a second; its end costs the dial nothing. */
static void a_name_that_nobody_knows_leaves_the_literal_alone(void **st)
{
    rig r;
    (void)st;
    for (int late = 0; late < 2; late++) {
        rig_start(&r, NULL); /* and nobody can be asked */
        rmr_dial d = dial_one(RMR_AF_INET);
        rmr_mc_link_dial(r.link, r.now, &d);
        uint64_t id = connects(&r, RMR_AF_INET);
        if (late)
            pass(&r, 200 * RMR_MS);
        assert_int_equal(next(&r).kind, RMR_IO_NONE);
        give(&r, RMR_IO_FAILED, id, NULL);
        assert_int_equal(r.closed, 1);
        assert_int_equal(r.why, RMR_E_REFUSED);
        rig_end(&r);
    }
}

static void a_name_server_that_is_silent_costs_one_connects_time(void **st)
{
    rig r;
    (void)st;
    rig_start(&r, NULL);
    names(&r, false);
    rmr_dial d = dial_one(RMR_AF_INET);
    rmr_time began = r.now;
    rmr_mc_link_dial(r.link, r.now, &d);
    give(&r, RMR_IO_FAILED, connects(&r, RMR_AF_INET), NULL);
    while (!r.closed) {
        while (next(&r).kind != RMR_IO_NONE)
            continue;
        r.now = rmr_mc_next_deadline(r.mc);
        assert_true(r.now <= began + 1500 * RMR_MS);
        rmr_mc_handle_deadline(r.mc, r.now);
    }
    assert_true(r.now == began + 1500 * RMR_MS);
    assert_int_equal(r.why, RMR_E_REFUSED);
    rig_end(&r);
}

static void a_question_ends_with_its_dial(void **st)
{
    rig r;
    (void)st;
    for (int how = 0; how < 3; how++) {
        rig_start(&r, NULL);
        names(&r, false);
        rmr_dial d = dial_one(RMR_AF_INET);
        d.timeout = RMR_SEC;
        rmr_mc_link_dial(r.link, r.now, &d);
        uint64_t id = connects(&r, RMR_AF_INET);
        pass(&r, 200 * RMR_MS);
        assert_int_equal(next(&r).kind, RMR_IO_UDP_OPEN);
        if (how == 0)
            give(&r, RMR_IO_OPENED, id, NULL);
        else if (how == 1)
            rmr_mc_link_close(r.link, r.now);
        else
            for (r.now += RMR_SEC; rmr_mc_next_deadline(r.mc) <= r.now;)
                rmr_mc_handle_deadline(r.mc, r.now);
        assert_int_equal(r.opened, how == 0);
        assert_int_equal(r.closed, how == 2);
        while (next(&r).kind != RMR_IO_NONE)
            continue;
        assert_true(rmr_mc_next_deadline(r.mc) == RMR_TIME_NEVER);
        rig_end(&r);
    }
}

/* Three addresses: at once, at once, and 300 ms later, each with its port. */
static rmr_dial_plan three_ways(void)
{
    rmr_dial_plan plan = {.n = 3};
    for (size_t i = 0; i < 3; i++) {
        rmr_dial_try *t = &plan.tries[i];
        t->addr.family = RMR_AF_INET;
        t->addr.ip[0] = (uint8_t)(i + 1);
        t->addr.port = 8080;
        t->timeout = 7 * RMR_SEC;
    }
    plan.tries[2].delay = 300 * RMR_MS;
    return plan;
}

static void the_ways_of_a_plan_go_side_by_side(void **st)
{
    rig r;
    (void)st;
    for (int winner = 0; winner < 3; winner++) {
        rig_start(&r, NULL);
        rmr_dial_plan plan = three_ways();
        rmr_dial d = dial_both();
        d.plan = &plan;
        rmr_mc_link_dial(r.link, r.now, &d);
        memset(&plan, 0xee, sizeof plan); /* it was lent */
        uint64_t id[3];
        for (int i = 0; i < 2; i++) {
            rmr_io_op op = next(&r);
            assert_int_equal(op.kind, RMR_IO_CONNECT);
            assert_int_equal(op.addr.ip[0], i + 1);
            assert_int_equal(op.addr.port, 8080);
            assert_true(op.timeout == 7 * RMR_SEC);
            id[i] = op.id;
        }
        assert_int_equal(next(&r).kind, RMR_IO_NONE);
        assert_true(rmr_mc_next_deadline(r.mc) == r.now + 300 * RMR_MS);
        if (winner == 2)
            pass(&r, 300 * RMR_MS);
        id[2] = winner == 2 ? connects(&r, RMR_AF_INET) : 0;
        give(&r, RMR_IO_OPENED, id[winner], NULL);
        assert_int_equal(r.opened, 1);
        int aborted = 0;
        rmr_io_op op;
        while ((op = next(&r)).kind != RMR_IO_NONE)
            aborted += op.kind == RMR_IO_ABORT;
        assert_int_equal(aborted, winner == 2 ? 2 : 1);
        assert_true(rmr_mc_next_deadline(r.mc) == RMR_TIME_NEVER);
        rig_end(&r);
    }
}

static void a_plan_that_leads_nowhere_ends_the_dial(void **st)
{
    rig r;
    (void)st;
    rig_start(&r, NULL);
    rmr_dial_plan plan = three_ways();
    rmr_dial d = dial_both();
    d.plan = &plan;
    rmr_mc_link_dial(r.link, r.now, &d);
    uint64_t first = connects_one(&r), second = connects_one(&r);
    give(&r, RMR_IO_FAILED, first, NULL);
    assert_int_equal(next(&r).kind, RMR_IO_NONE); /* one is still tried */
    give(&r, RMR_IO_FAILED, second, NULL);
    give(&r, RMR_IO_FAILED, connects_one(&r), NULL); /* before its time */
    assert_int_equal(r.closed, 1);
    assert_int_equal(r.why, RMR_E_REFUSED);
    assert_true(rmr_mc_next_deadline(r.mc) == RMR_TIME_NEVER);
    rig_end(&r);
}

static void both_families_end_with_the_dial(void **st)
{
    rig r;
    (void)st;
    for (int how = 0; how < 2; how++) {
        rig_start(&r, NULL);
        rmr_dial d = dial_both();
        d.timeout = RMR_SEC;
        rmr_mc_link_dial(r.link, r.now, &d);
        connects(&r, RMR_AF_INET6);
        pass(&r, 200 * RMR_MS);
        connects(&r, RMR_AF_INET);
        if (how)
            rmr_mc_link_close(r.link, r.now);
        else
            pass(&r, 800 * RMR_MS);
        assert_int_equal(r.closed, !how);
        for (int i = 0; i < 2; i++)
            assert_int_equal(next(&r).kind, RMR_IO_ABORT);
        rig_end(&r);
    }
}

static void a_dial_ends_at_its_timeout(void **st)
{
    rig r;
    (void)st;
    rig_start(&r, NULL);
    rmr_dial d = dial_to("192.0.2.1");
    d.timeout = 3 * RMR_SEC;
    rmr_mc_link_dial(r.link, r.now, &d);
    assert_int_equal(rmr_mc_next_deadline(r.mc), r.now + 3 * RMR_SEC);
    r.now += 3 * RMR_SEC;
    rmr_mc_handle_deadline(r.mc, r.now);
    assert_int_equal(r.why, RMR_E_TIMEOUT);
    assert_true(rmr_mc_next_deadline(r.mc) == RMR_TIME_NEVER);
    rig_end(&r);
}

static void a_proxy_is_asked_for_the_host_and_then_out_of_the_way(void **st)
{
    static const char want[] = "CONNECT relay.example:8080 HTTP/1.1\r\n"
                               "Host: relay.example:8080\r\n"
                               "Proxy-Authorization: Basic dXNlcjpwYXNz\r\n"
                               "\r\n";
    rig r;
    (void)st;
    rig_start(&r, &proxy);
    rmr_io_op op = open_link(&r, "relay.example");
    assert_int_equal(op.addr.ip[0], 10);
    assert_int_equal(op.addr.port, 3128);
    assert_int_equal(r.opened, 0);
    strcpy(r.say, "too early");
    assert_string_equal(sent(&r), want);
    give(&r, RMR_IO_SENT, op.id, NULL);
    give(&r, RMR_IO_BYTES, op.id, "HTTP/1.1 200 Connection established\r\n");
    assert_int_equal(r.opened, 0);
    /* What follows the head is the host's. */
    give(&r, RMR_IO_BYTES, op.id, "Via: x\r\n\r\nearly bytes");
    assert_int_equal(r.opened, 1);
    assert_int_equal(r.got_len, 11);
    assert_memory_equal(r.got, "early bytes", 11);
    assert_string_equal(sent(&r), "too early");
    rig_end(&r);
}

static void the_answer_of_a_proxy_may_come_byte_by_byte(void **st)
{
    static const char answer[] = "HTTP/1.0 299 ok\nA: b\n\nX";
    rig r;
    (void)st;
    rig_start(&r, &proxy);
    rmr_io_op op = open_link(&r, "2001:db8::1");
    assert_non_null(
        strstr(sent(&r), "CONNECT [2001:db8::1]:8080 HTTP/1.1\r\n"));
    for (size_t i = 0; answer[i]; i++) {
        char one[2] = {answer[i], 0};
        assert_int_equal(r.opened, i >= sizeof answer - 2);
        give(&r, RMR_IO_BYTES, op.id, one);
    }
    assert_int_equal(r.opened, 1);
    assert_memory_equal(r.got, "X", 1);
    rig_end(&r);
}

static void refusals_of_a_proxy_end_the_dial(void **st)
{
    static const struct {
        const char *answer;
        rmr_err why;
    } cases[] = {
        {"HTTP/1.1 407 Who are you\r\n\r\n", RMR_E_DENIED},
        {"HTTP/1.1 403 No\r\n\r\n", RMR_E_REFUSED},
        {"HTTP/1.1 502 Bad gateway\r\n\r\n", RMR_E_REFUSED},
        {"SSH-2.0 hello\r\n\r\n", RMR_E_MALFORMED},
        {"\n\n", RMR_E_MALFORMED},
        {NULL, RMR_E_REFUSED}, /* it just closes */
    };
    (void)st;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig r;
        rig_start(&r, &proxy);
        rmr_io_op op = open_link(&r, "relay.example");
        if (cases[i].answer)
            give(&r, RMR_IO_BYTES, op.id, cases[i].answer);
        else
            give(&r, RMR_IO_EOF, op.id, NULL);
        assert_int_equal(r.opened, 0);
        assert_int_equal(r.closed, 1);
        assert_int_equal(r.why, cases[i].why);
        assert_null(strstr(r.text, "user"));
        rig_end(&r);
    }
}

static void an_endless_answer_of_a_proxy_is_cut(void **st)
{
    rig r;
    (void)st;
    rig_start(&r, &proxy);
    rmr_io_op op = open_link(&r, "relay.example");
    for (int i = 0; i < 8192 / 16; i++) {
        assert_int_equal(r.closed, 0);
        give(&r, RMR_IO_BYTES, op.id, "0123456789abcdef");
    }
    give(&r, RMR_IO_BYTES, op.id, "0");
    assert_int_equal(r.closed, 1);
    assert_int_equal(r.why, RMR_E_TOOBIG);
    rig_end(&r);
}

static void hosts_of_the_list_go_without_the_proxy(void **st)
{
    static const struct {
        const char *host;
        bool direct;
    } cases[] = {
        {"direct.example", true},
        {"DIRECT.Example", true},
        {"sub.direct.example", true},
        {"indirect.example", false},
        {"corp.example", true},
        {"a.b.corp.example", true},
        {"a.star.example", true},
        {"example", false},
        {"10.1.2.3", true},
        {"10.2.0.1", false},
        {"fd00::1", true},
        {"fd00::2", false},
    };
    (void)st;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig r;
        rig_start(&r, &proxy);
        rmr_dial d = dial_to(cases[i].host);
        rmr_mc_link_dial(r.link, r.now, &d);
        rmr_io_op op = next(&r);
        /* Direct names are resolved; there is no name server here. */
        bool by_proxy = op.kind == RMR_IO_CONNECT && op.addr.port == 3128;
        assert_int_equal(by_proxy, !cases[i].direct);
        rig_end(&r);
    }
}

static void no_proxy_of_a_star_means_all(void **st)
{
    rmr_mc_proxy all = proxy;
    rig r;
    (void)st;
    all.no_proxy = "*";
    rig_start(&r, &all);
    assert_int_equal(open_link(&r, "10.9.9.9").addr.port, 8080);
    rig_end(&r);
}

static void a_host_with_a_line_end_sends_no_header(void **st)
{
    rig r;
    (void)st;
    rig_start(&r, &proxy);
    open_link(&r, "a\r\nX: y");
    assert_string_equal(sent(&r), "");
    rig_end(&r);
}

static void a_proxy_without_a_port_is_refused(void **st)
{
    rmr_mc_proxy bad = proxy;
    rig r = {0};
    (void)st;
    bad.port = 0;
    test_rng_seed(&r.rng, 1);
    assert_int_equal(rig_new(&r, &bad), RMR_E_INVAL);
    assert_int_equal(r.alloc.live_blocks, 0);
}

/* ---- objects ----------------------------------------------------------- */

typedef struct talker {
    rmr_mc_io *io;
    int said;
} talker;

static size_t talk(void *owner, rmr_time now, rmr_buf scratch)
{
    talker *t = owner;
    (void)now;
    t->said++;
    scratch.ptr[0] = 'x';
    return 1;
}

static const rmr_mc_io_ops talk_ops = {.produce = talk};

/* One that always has something does not starve the others. */
static void streams_take_turns(void **st)
{
    talker t[3] = {{0}};
    rig r;
    (void)st;
    rig_start(&r, NULL);
    for (size_t i = 0; i < 3; i++) {
        t[i].io = rmr_mc_adopt(r.mc, RMR_IO_ADAPTER_ID + i, &talk_ops, &t[i]);
        rmr_mc_io_output(t[i].io);
    }
    assert_int_equal(rmr_mc_objects(r.mc), 3);
    for (int i = 0; i < 30; i++) {
        rmr_io_op op = next(&r);
        assert_int_equal(op.kind, RMR_IO_STREAM_SEND);
        give(&r, RMR_IO_SENT, op.id, NULL);
    }
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(t[i].said, 10);
    for (size_t i = 0; i < 3; i++)
        rmr_mc_io_close(t[i].io);
    for (int i = 0; i < 3; i++)
        assert_int_equal(next(&r).kind, RMR_IO_CLOSE);
    assert_int_equal(rmr_mc_objects(r.mc), 0);
    rig_end(&r);
}

typedef struct asked {
    int answers;
    rmr_err err;
    rmr_addr first;
} asked;

static void answered(void *user, rmr_time now, rmr_err err,
                     const rmr_addr *addrs, size_t n)
{
    asked *a = user;
    (void)now;
    a->answers++;
    a->err = err;
    if (n > 0)
        a->first = addrs[0];
}

static void names_are_resolved_without_a_stream(void **st)
{
    rmr_io_links links = {0};
    rmr_io_event ev = {0};
    asked a = {0};
    uint64_t id = 0;
    rig r;
    (void)st;
    rig_start(&r, NULL);
    links.hosts = rmr_bytes_str("192.0.2.7 relay.example\n");
    ev.kind = RMR_IO_LINKS;
    ev.links = &links;
    rmr_mc_event(r.mc, r.now, &ev);
    assert_int_equal(
        rmr_mc_resolve(r.mc, r.now, "relay.example", answered, &a, &id),
        RMR_OK);
    assert_int_equal(a.answers, 1);
    assert_int_equal(a.err, RMR_OK);
    assert_int_equal(a.first.ip[3], 7);
    /* Nobody can be asked for this one: an error, or an answer that says so;
     * and nothing stays behind. */
    if (rmr_mc_resolve(r.mc, r.now, "other.example", answered, &a, &id) ==
            RMR_OK &&
        a.answers == 1)
        rmr_mc_resolve_cancel(r.mc, id);
    rmr_mc_resolve_cancel(r.mc, id); /* gone */
    r.alloc.fail_at = r.alloc.calls + 1;
    assert_int_equal(
        rmr_mc_resolve(r.mc, r.now, "relay.example", answered, &a, &id),
        RMR_E_NOMEM);
    rig_end(&r);
}

static void a_question_that_was_cancelled_has_no_answer(void **st)
{
    rmr_addr server = rmr_addr_v4(192, 0, 2, 53, 53);
    rmr_io_links links = {0};
    rmr_io_event ev = {0};
    asked a = {0};
    uint64_t id = 0;
    rig r;
    (void)st;
    rig_start(&r, NULL);
    links.name_servers = &server;
    links.n_name_servers = 1;
    ev.kind = RMR_IO_LINKS;
    ev.links = &links;
    rmr_mc_event(r.mc, r.now, &ev);
    assert_int_equal(
        rmr_mc_resolve(r.mc, r.now, "relay.example", answered, &a, &id),
        RMR_OK);
    rmr_mc_resolve_cancel(r.mc, id);
    assert_int_equal(
        rmr_mc_resolve(r.mc, r.now, "relay.example", answered, &a, &id),
        RMR_OK);
    while (rmr_mc_next_deadline(r.mc) != RMR_TIME_NEVER) {
        r.now = rmr_mc_next_deadline(r.mc);
        while (next(&r).kind != RMR_IO_NONE)
            ;
        rmr_mc_handle_deadline(r.mc, r.now);
    }
    assert_int_equal(a.answers, 1);
    assert_int_equal(a.err, RMR_E_TIMEOUT);
    assert_int_equal(
        rmr_mc_resolve(r.mc, r.now, "relay.example", answered, &a, &id),
        RMR_OK);
    rig_end(&r); /* open questions are freed with the kit */
}

/* ---- a name server that cuts its answers off --------------------------- */

/* The next operation of that kind; sockets open meanwhile. */
static rmr_io_op next_of(rig *r, rmr_io_op_kind kind)
{
    for (;;) {
        rmr_io_op op = next(r);
        if (op.kind == RMR_IO_UDP_OPEN)
            give(r, RMR_IO_OPENED, op.id, NULL);
        if (op.kind == kind || op.kind == RMR_IO_NONE)
            return op;
    }
}

static void give_bytes(rig *r, rmr_io_event_kind kind, uint64_t id,
                       const rmr_addr *from, const uint8_t *p, size_t len)
{
    uint8_t copy[256];
    rmr_io_event ev = {0};
    memcpy(copy, p, len);
    ev.kind = kind;
    ev.id = id;
    if (from)
        ev.addr = *from;
    ev.data = rmr_buf_of(copy, len);
    rmr_mc_event(r->mc, r->now, &ev);
}

/* A question as its answer, with one address or none; the length. */
static size_t answer_to(rmr_bytes question, bool is_cut, uint8_t last,
                        uint8_t *dst)
{
    static const uint8_t record[] = {0xc0, 12, 0, 1, 0,   1, 0, 0,
                                     0,    60, 0, 4, 192, 0, 2};
    size_t len = question.len - 11; /* without EDNS */
    memcpy(dst, question.ptr, len);
    dst[2] = is_cut ? 0x83 : 0x81;
    dst[3] = 0x80;
    dst[11] = 0;
    if (last) {
        dst[7] = 1;
        memcpy(dst + len, record, sizeof record);
        len += sizeof record;
        dst[len++] = last;
    }
    return len;
}

/* Asks; the A is cut off and the AAAA empty; the CONNECT that comes of it. */
static rmr_io_op cut_off(rig *r, asked *a, uint8_t last)
{
    rmr_addr server = rmr_addr_v4(192, 0, 2, 53, 53);
    rmr_io_links links = {0};
    rmr_io_event ev = {0};
    uint64_t id;
    links.name_servers = &server;
    links.n_name_servers = 1;
    ev.kind = RMR_IO_LINKS;
    ev.links = &links;
    rmr_mc_event(r->mc, r->now, &ev);
    assert_int_equal(
        rmr_mc_resolve(r->mc, r->now, "relay.example", answered, a, &id),
        RMR_OK);
    for (int i = 0; i < 2; i++) {
        uint8_t msg[256];
        rmr_io_op op = next_of(r, RMR_IO_UDP_SEND);
        assert_int_equal(op.kind, RMR_IO_UDP_SEND);
        bool is_a = op.data.ptr[op.data.len - 11 - 3] == 1;
        size_t len = answer_to(op.data, is_a, is_a ? last : 0, msg);
        give_bytes(r, RMR_IO_DATAGRAMS, op.id, &server, msg, len);
    }
    assert_int_equal(a->answers, 0);
    rmr_io_op op = next_of(r, RMR_IO_CONNECT);
    assert_int_equal(op.kind, RMR_IO_CONNECT);
    assert_true(rmr_addr_eq(&op.addr, &server));
    return op;
}

static void behind_a_cut_answer_the_kit_asks_by_tcp(void **st)
{
    asked a = {0};
    uint8_t msg[258];
    rig r;
    (void)st;
    rig_start(&r, NULL);
    rmr_io_op op = cut_off(&r, &a, 1);
    give(&r, RMR_IO_OPENED, op.id, NULL);
    op = next_of(&r, RMR_IO_STREAM_SEND);
    assert_int_equal(op.kind, RMR_IO_STREAM_SEND);
    assert_int_equal(op.data.ptr[0] << 8 | op.data.ptr[1], op.data.len - 2);
    size_t len = answer_to(rmr_bytes_of(op.data.ptr + 2, op.data.len - 2),
                           false, 9, msg + 2);
    msg[0] = 0;
    msg[1] = (uint8_t)len;
    for (size_t i = 0; i < len + 2; i++) {
        assert_int_equal(a.answers, 0);
        give_bytes(&r, RMR_IO_BYTES, op.id, NULL, msg + i, 1);
    }
    assert_int_equal(a.answers, 1);
    assert_int_equal(a.err, RMR_OK);
    assert_int_equal(a.first.ip[3], 9);
    uint64_t stream = op.id;
    bool closed = false;
    while ((op = next(&r)).kind != RMR_IO_NONE)
        closed = closed || (op.kind == RMR_IO_CLOSE && op.id == stream);
    assert_true(closed);
    rig_end(&r);
}

static void where_tcp_fails_the_cut_answer_is_taken(void **st)
{
    static const rmr_io_event_kind ends[] = {RMR_IO_FAILED, RMR_IO_EOF};
    (void)st;
    for (size_t i = 0; i < 3; i++) {
        asked a = {0};
        rig r;
        rig_start(&r, NULL);
        rmr_io_op op = cut_off(&r, &a, 1);
        if (i == 1)
            give(&r, RMR_IO_OPENED, op.id, NULL);
        if (i < 2) {
            give(&r, ends[i], op.id, NULL);
        } else { /* silence */
            r.now = rmr_mc_next_deadline(r.mc);
            rmr_mc_handle_deadline(r.mc, r.now);
        }
        assert_int_equal(a.answers, 1);
        assert_int_equal(a.first.ip[3], 1);
        rig_end(&r);
    }
}

static void a_stream_that_nobody_takes_is_reset(void **st)
{
    rmr_io_event ev = {0};
    rig r;
    (void)st;
    rig_start(&r, NULL);
    ev.kind = RMR_IO_ACCEPTED;
    ev.id = 77; /* a listener that is gone */
    ev.child = RMR_IO_ADAPTER_ID + 9;
    rmr_mc_event(r.mc, r.now, &ev);
    rmr_io_op op = next(&r);
    assert_int_equal(op.kind, RMR_IO_ABORT);
    assert_true(op.id == ev.child);
    rig_end(&r);
}

static void a_listener_has_room_for_all_that_is_refused(void **st)
{
    static const rmr_mc_io_ops none;
    rmr_addr at = rmr_addr_v4(127, 0, 0, 1, 80);
    rmr_io_op op;
    rig r;
    (void)st;
    rig_start(&r, NULL);
    rmr_mc_refuse(r.mc, RMR_IO_ADAPTER_ID + 1);
    r.alloc.fail_at = r.alloc.calls + 1;
    assert_null(rmr_mc_listen(r.mc, &at, NULL, &none, &r));
    r.alloc.fail_at = 0;
    rmr_mc_io *l = rmr_mc_listen(r.mc, &at, NULL, &none, &r);
    assert_non_null(l);
    for (uint64_t i = 2; i <= 512; i++)
        rmr_mc_refuse(r.mc, RMR_IO_ADAPTER_ID + i);
    for (uint64_t i = 512; i > 0; i--) {
        op = next(&r);
        assert_int_equal(op.kind, RMR_IO_ABORT);
        assert_true(op.id == RMR_IO_ADAPTER_ID + i);
    }
    op = next(&r);
    assert_int_equal(op.kind, RMR_IO_LISTEN);
    rmr_mc_io_close(l);
    rig_end(&r);
}

static void the_time_of_day_runs_on_from_the_last_word(void **st)
{
    rmr_io_event ev = {0};
    rig r;
    (void)st;
    rig_start(&r, NULL);
    ev.kind = RMR_IO_WALL;
    ev.wall_unix_ns = 1000 * RMR_SEC;
    rmr_mc_event(r.mc, r.now, &ev);
    assert_true(rmr_mc_wall(r.mc, r.now + 5 * RMR_SEC) == 1005 * RMR_SEC);
    rig_end(&r);
}

static void a_failing_allocation_leaves_nothing_behind(void **st)
{
    (void)st;
    for (size_t n = 1;; n++) {
        rig r = {0};
        test_rng_seed(&r.rng, 1);
        r.alloc.fail_at = n;
        rmr_err err = rig_new(&r, &proxy);
        bool failed = r.alloc.failed > 0;
        assert_int_equal(err, failed ? RMR_E_NOMEM : RMR_OK);
        rmr_mc_link_free(r.link);
        rmr_mc_free(r.mc);
        assert_int_equal(r.alloc.live_blocks, 0);
        if (!failed)
            break;
    }
}

static void a_failing_generator_makes_no_kit(void **st)
{
    rig r = {0};
    (void)st;
    test_rng_seed(&r.rng, 1);
    r.rng.fail_at = 1;
    assert_int_equal(rig_new(&r, &proxy), RMR_E_RNG);
    assert_int_equal(r.alloc.live_blocks, 0);
}

/* Freed memory is searched for the credentials. */
static void credentials_are_wiped(void **st)
{
    static const uint8_t secret[] = "dXNlcjpwYXNz";
    rig r;
    (void)st;
    rig_start(&r, &proxy);
    r.alloc.secret = secret;
    r.alloc.secret_len = sizeof secret - 1;
    rig_end(&r);
    assert_int_equal(r.alloc.leaks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T cmocka_unit_test
        T(a_link_reaches_a_literal_host_directly),
        T(the_next_address_is_tried_when_one_fails),
        T(a_family_that_leads_nowhere_costs_a_fifth_of_a_second),
        T(the_second_family_does_not_wait_for_one_that_failed),
        T(one_that_opens_in_time_keeps_the_other_from_beginning),
        T(a_family_without_a_literal_is_reached_by_name),
        T(a_literal_that_opens_in_time_asks_for_no_name),
        T(a_family_that_is_off_is_not_reached_by_name_either),
        T(a_name_that_nobody_knows_leaves_the_literal_alone),
        T(a_name_server_that_is_silent_costs_one_connects_time),
        T(a_question_ends_with_its_dial),
        T(a_family_that_is_off_is_not_tried),
        T(the_ways_of_a_plan_go_side_by_side),
        T(a_plan_that_leads_nowhere_ends_the_dial),
        T(both_families_end_with_the_dial),
        T(a_dial_ends_at_its_timeout),
        T(a_proxy_is_asked_for_the_host_and_then_out_of_the_way),
        T(the_answer_of_a_proxy_may_come_byte_by_byte),
        T(refusals_of_a_proxy_end_the_dial),
        T(an_endless_answer_of_a_proxy_is_cut),
        T(hosts_of_the_list_go_without_the_proxy),
        T(no_proxy_of_a_star_means_all),
        T(a_host_with_a_line_end_sends_no_header),
        T(a_proxy_without_a_port_is_refused),
        T(streams_take_turns),
        T(names_are_resolved_without_a_stream),
        T(a_question_that_was_cancelled_has_no_answer),
        T(behind_a_cut_answer_the_kit_asks_by_tcp),
        T(where_tcp_fails_the_cut_answer_is_taken),
        T(a_stream_that_nobody_takes_is_reset),
        T(a_listener_has_room_for_all_that_is_refused),
        T(the_time_of_day_runs_on_from_the_last_word),
        T(a_failing_allocation_leaves_nothing_behind),
        T(a_failing_generator_makes_no_kit),
        T(credentials_are_wiped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
