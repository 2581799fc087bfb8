/* The responder: where an answer comes from, its bytes, and resolvers that
 * answer, refuse, cut off, lie or say nothing. */
#include <remora/magicdns.h>

#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { A = 1, NS = 2, SOA = 6, PTR = 12, HINFO = 13, TXT = 16, AAAA = 28 };
enum { AXFR = 252, ANY = 255 };
enum { OK = 0, FORMERR = 1, SERVFAIL = 2, NXDOMAIN = 3, NOTIMP = 4 };

typedef struct rig {
    test_alloc mem;
    test_rng rng;
    rmr_md *md;
    rmr_time now;
    unsigned answers;
    uint64_t client;
    uint8_t msg[70000];
    size_t len;
} rig;

static rmr_addr ip(const char *text)
{
    rmr_addr a;
    assert_int_equal(rmr_addr_parse_ip(rmr_bytes_str(text), &a), RMR_OK);
    return a;
}

static bool find_name(void *user, const char *name, rmr_md_host *out)
{
    (void)user;
    if (strcmp(name, "n1.tail.example") == 0) {
        out->addrs[0] = ip("100.64.0.1");
    } else if (strcmp(name, "six.tail.example") == 0) {
        out->addrs[0] = ip("fd7a:115c:a1e0::6");
    } else if (strcmp(name, "up.tail.example") == 0) {
        out->addrs[0] = ip("100.64.0.3");
        out->with_subdomains = true;
    } else {
        return false;
    }
    out->n_addrs = 1;
    return true;
}

static bool find_addr(void *user, const rmr_addr *a, char name[RMR_MD_NAME_MAX])
{
    rmr_addr n1 = ip("100.64.0.1"), six = ip("fd7a:115c:a1e0::6");
    (void)user;
    if (rmr_addr_ip_eq(a, &n1))
        (void)snprintf(name, RMR_MD_NAME_MAX, "n1.tail.example");
    else if (rmr_addr_ip_eq(a, &six))
        (void)snprintf(name, RMR_MD_NAME_MAX, "six.tail.example");
    else
        return false;
    return true;
}

static void on_answer(void *user, uint64_t client, rmr_bytes msg)
{
    rig *r = user;
    r->answers++;
    r->client = client;
    assert_true(msg.len >= 12 && msg.len <= sizeof r->msg);
    memcpy(r->msg, msg.ptr, msg.len);
    r->len = msg.len;
    assert_int_equal(rmr_md_ask(r->md, r->now, 1, false, msg), RMR_E_REENTRANT);
}

static rmr_err set_table(rig *r, bool proxied, bool with_resolvers)
{
    rmr_addr corp = ip("10.1.1.1"), deep[2] = {ip("10.2.2.2"), ip("10.2.2.3")};
    rmr_addr all = ip("192.0.2.53"), sys = ip("192.0.2.99");
    rmr_md_record records[3] = {{"Extra.Tail.Example.", ip("10.9.9.9")},
                                {"extra.tail.example", ip("2001:db8::9")},
                                {"other.example", ip("10.9.9.8")}};
    rmr_md_route routes[4] = {{"corp.example.", &corp, 1, false},
                              {"Deep.corp.example", deep, 2, false},
                              {"own.example", NULL, 0, true},
                              {"not a name", &corp, 1, false}};
    rmr_md_table t = {.proxied = proxied,
                      .suffix = "tail.example",
                      .records = records,
                      .n_records = 3,
                      .routes = routes,
                      .n_routes = 4,
                      .resolvers = &all,
                      .n_resolvers = with_resolvers ? 1 : 0,
                      .system = &sys,
                      .n_system = 1};
    return rmr_md_set(r->md, &t);
}

static rmr_err make(rig *r)
{
    rmr_env env = test_env(&r->mem, &r->rng, NULL);
    rmr_md_callbacks cb = {r, find_name, find_addr, on_answer};
    return rmr_md_new(&r->md, &env, &cb);
}

static rig *begin(bool proxied, bool with_resolvers)
{
    rig *r = calloc(1, sizeof *r);
    assert_non_null(r);
    test_rng_seed(&r->rng, 7);
    r->now = RMR_SEC;
    assert_int_equal(make(r), RMR_OK);
    assert_int_equal(set_table(r, proxied, with_resolvers), RMR_OK);
    return r;
}

static void end(rig *r)
{
    rmr_md_free(r->md);
    assert_int_equal(r->mem.live_blocks, 0);
    free(r);
}

/* ---- messages ---------------------------------------------------------- */

static size_t put_name(uint8_t *at, const char *text)
{
    size_t n = 0;
    while (*text) {
        size_t len = strcspn(text, ".");
        at[n++] = (uint8_t)len;
        memcpy(at + n, text, len);
        n += len;
        text += len + (text[len] == '.');
    }
    at[n++] = 0;
    return n;
}

static size_t put_query(uint8_t *at, const char *name, uint16_t type,
                        uint16_t edns)
{
    static const uint8_t head[] = {0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
    memcpy(at, head, sizeof head);
    size_t n = sizeof head + put_name(at + sizeof head, name);
    at[n++] = (uint8_t)(type >> 8);
    at[n++] = (uint8_t)type;
    at[n++] = 0;
    at[n++] = 1;
    if (edns) {
        const uint8_t opt[] = {
            0, 0, 41, (uint8_t)(edns >> 8), (uint8_t)edns, 0, 0, 0, 0, 0, 0};
        at[11] = 1;
        memcpy(at + n, opt, sizeof opt);
        n += sizeof opt;
    }
    return n;
}

static rmr_err ask_as(rig *r, const char *name, uint16_t type, uint16_t edns,
                      bool tcp)
{
    uint8_t q[600];
    r->len = 0;
    return rmr_md_ask(r->md, r->now, 42, tcp,
                      rmr_bytes_of(q, put_query(q, name, type, edns)));
}

static void ask(rig *r, const char *name, uint16_t type)
{
    assert_int_equal(ask_as(r, name, type, 0, false), RMR_OK);
}

static int rcode(const rig *r)
{
    return r->len ? r->msg[3] & 15 : -1;
}

/* The address or name that the answer has, as text; "": no record. */
static const char *data_of(const rig *r)
{
    static char text[300];
    size_t at = 12;
    text[0] = 0;
    if (r->msg[7] == 0)
        return text;
    while (r->msg[at])
        at += 1u + r->msg[at];
    at += 5;
    assert_int_equal(r->msg[at], 0xc0);
    assert_int_equal(r->msg[at + 1], 12);
    int type = r->msg[at + 3];
    assert_int_equal(r->msg[at + 8] << 8 | r->msg[at + 9], 600);
    size_t len = r->msg[at + 11];
    assert_int_equal(at + 12 + len, r->len);
    if (type != PTR) {
        rmr_addr a =
            rmr_addr_from_bytes(rmr_bytes_of(r->msg + at + 12, len), 0);
        return rmr_addr_ip_text(&a, text);
    }
    size_t n = 0;
    for (at += 12; r->msg[at]; at += 1u + r->msg[at])
        n += (size_t)snprintf(text + n, sizeof text - n, "%.*s.", r->msg[at],
                              (const char *)r->msg + at + 1);
    return text;
}

/* ---- the order --------------------------------------------------------- */

typedef struct row {
    const char *name;
    int type;
    int rcode;        /* -1: a resolver is asked */
    const char *want; /* data, or the resolver   */
} row;

static void check_rows(rig *r, const row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        rmr_md_out out;
        char text[RMR_ADDR_TEXT_MAX];
        ask(r, rows[i].name, (uint16_t)rows[i].type);
        if (rcode(r) != rows[i].rcode)
            fail_msg("%s %d: rcode %d", rows[i].name, rows[i].type, rcode(r));
        if (rows[i].rcode >= 0) {
            if (strcmp(data_of(r), rows[i].want) != 0)
                fail_msg("%s %d: %s", rows[i].name, rows[i].type, data_of(r));
            assert_false(rmr_md_next(r->md, r->now, &out));
            continue;
        }
        assert_true(rmr_md_next(r->md, r->now, &out));
        assert_false(out.tcp);
        assert_string_equal(rmr_addr_text(&out.to, text), rows[i].want);
        rmr_md_forget(r->md, 42);
        assert_int_equal(rmr_md_next_deadline(r->md), RMR_TIME_NEVER);
    }
}

static void names_are_answered_in_their_order(void **state)
{
    static const row rows[] = {
        /* nodes: one family, others are empty, some kinds are refused */
        {"n1.tail.example", A, OK, "100.64.0.1"},
        {"N1.Tail.Example", A, OK, "100.64.0.1"},
        {"n1.tail.example", AAAA, OK, ""},
        {"n1.tail.example", ANY, OK, "100.64.0.1"},
        {"n1.tail.example", TXT, OK, ""},
        {"n1.tail.example", PTR, OK, ""},
        {"n1.tail.example", NS, NOTIMP, ""},
        {"n1.tail.example", SOA, NOTIMP, ""},
        {"n1.tail.example", AXFR, NOTIMP, ""},
        {"n1.tail.example", HINFO, NOTIMP, ""},
        {"six.tail.example", AAAA, OK, "fd7a:115c:a1e0::6"},
        {"six.tail.example", A, OK, ""},
        /* extra records, of any zone */
        {"extra.tail.example", A, OK, "10.9.9.9"},
        {"extra.tail.example", AAAA, OK, "2001:db8::9"},
        {"other.example", A, OK, "10.9.9.8"},
        /* below a node that allows it */
        {"x.up.tail.example", A, OK, "100.64.0.3"},
        {"y.x.up.tail.example", A, OK, "100.64.0.3"},
        {"x.n1.tail.example", A, NXDOMAIN, ""},
        /* 4via6 */
        {"10-1-2-3-via-7.tail.example", AAAA, OK,
         "fd7a:115c:a1e0:b1a:0:7:a01:203"},
        {"10-1-2-3-via-7.tail.example", A, OK, ""},
        {"10-1-2-3-via-4294967295.tail.example", AAAA, OK,
         "fd7a:115c:a1e0:b1a:ffff:ffff:a01:203"},
        {"10-1-2-3-via-4294967296.tail.example", AAAA, NXDOMAIN, ""},
        {"10-1-2-256-via-7.tail.example", AAAA, NXDOMAIN, ""},
        {"10-1-2-03-via-7.tail.example", AAAA, NXDOMAIN, ""},
        {"10-1-2-3-via-.tail.example", AAAA, NXDOMAIN, ""},
        {"10-1-2-via-7.tail.example", AAAA, NXDOMAIN, ""},
        {"10-1-2-3-via-7.x.tail.example", AAAA, NXDOMAIN, ""},
        /* quad-100 */
        {"magicdns.localhost-tailscale-daemon", A, OK, "100.100.100.100"},
        {"magicdns.localhost-tailscale-daemon", AAAA, OK, "fd7a:115c:a1e0::53"},
        {"100.100.100.100.in-addr.arpa", PTR, OK,
         "magicdns.localhost-tailscale-daemon."},
        /* reverse */
        {"1.0.64.100.in-addr.arpa", PTR, OK, "n1.tail.example."},
        {"6.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.e.1.a.c.5.1.1.a.7.d.f."
         "ip6.arpa",
         PTR, OK, "six.tail.example."},
        {"9.0.64.100.in-addr.arpa", PTR, NXDOMAIN, ""},
        {"1.0.127.100.in-addr.arpa", PTR, NXDOMAIN, ""},
        {"64.100.in-addr.arpa", NS, NXDOMAIN, ""},
        {"7.0.e.1.a.c.5.1.1.a.7.d.f.ip6.arpa", PTR, NXDOMAIN, ""},
        {"1.0.128.100.in-addr.arpa", PTR, -1, "192.0.2.53:53"},
        {"1.0.63.100.in-addr.arpa", PTR, -1, "192.0.2.53:53"},
        {"100.in-addr.arpa", PTR, -1, "192.0.2.53:53"},
        /* zones of our own */
        {"nobody.tail.example", A, NXDOMAIN, ""},
        {"tail.example", A, NXDOMAIN, ""},
        {"a.own.example", A, NXDOMAIN, ""},
        {"own.example", TXT, NXDOMAIN, ""},
        {"x.onion", A, NXDOMAIN, ""},
        {"onion", A, NXDOMAIN, ""},
        /* routes by the longest suffix, on label boundaries */
        {"host.corp.example", A, -1, "10.1.1.1:53"},
        {"Corp.Example", A, -1, "10.1.1.1:53"},
        {"host.deep.corp.example", A, -1, "10.2.2.2:53"},
        {"xdeep.corp.example", A, -1, "10.1.1.1:53"},
        {"xcorp.example", A, -1, "192.0.2.53:53"},
        {"xtail.example", A, -1, "192.0.2.53:53"},
        {"www.example.org", TXT, -1, "192.0.2.53:53"},
    };
    (void)state;
    rig *r = begin(true, true);
    check_rows(r, rows, sizeof rows / sizeof rows[0]);
    end(r);
}

static void others_questions_are_passed_to_the_system(void **state)
{
    static const char *const hidden[] = {".secret.example", "only.example", ".",
                                         "", "no name"};
    static const row rows[] = {
        {"n1.tail.example", A, -1, "192.0.2.99:53"},
        {"host.corp.example", TXT, -1, "192.0.2.99:53"},
        {"a.own.example", A, -1, "192.0.2.99:53"},
        {"x.onion", A, NXDOMAIN, ""},
        {"X.Secret.example", A, 5, ""},
        {"secret.example", A, -1, "192.0.2.99:53"},
        {"xsecret.example", A, -1, "192.0.2.99:53"},
        {"ONLY.example", A, 5, ""},
        {"x.only.example", A, -1, "192.0.2.99:53"},
    };
    (void)state;
    rig *r = begin(true, true);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rmr_md_out out;
        uint8_t q[300];
        char text[RMR_ADDR_TEXT_MAX];
        size_t n = put_query(q, rows[i].name, (uint16_t)rows[i].type, 0);
        r->len = 0;
        assert_int_equal(
            rmr_md_pass(r->md, r->now, 42, hidden, 5, rmr_bytes_of(q, n)),
            RMR_OK);
        if (rcode(r) != rows[i].rcode)
            fail_msg("%s: rcode %d", rows[i].name, rcode(r));
        bool any = rmr_md_next(r->md, r->now, &out);
        assert_int_equal(any, rows[i].rcode < 0);
        if (any)
            assert_string_equal(rmr_addr_text(&out.to, text), rows[i].want);
    }
    assert_int_equal(
        rmr_md_pass(r->md, r->now, 42, NULL, 0, rmr_bytes_of("short", 5)),
        RMR_E_MALFORMED);
    end(r);
}

static void without_magicdns_nodes_are_known_but_zones_are_not(void **state)
{
    static const row rows[] = {
        {"n1.tail.example", A, OK, "100.64.0.1"},
        {"nobody.tail.example", A, -1, "192.0.2.99:53"},
        {"9.0.64.100.in-addr.arpa", PTR, -1, "192.0.2.99:53"},
        {"1.0.64.100.in-addr.arpa", PTR, OK, "n1.tail.example."},
        {"a.own.example", A, NXDOMAIN, ""},
        {"www.example.org", A, -1, "192.0.2.99:53"},
    };
    (void)state;
    rig *r = begin(false, false);
    check_rows(r, rows, sizeof rows / sizeof rows[0]);
    end(r);
}

static void a_name_can_be_looked_at(void **state)
{
    (void)state;
    rig *r = begin(true, true);
    assert_int_equal(rmr_md_look(r->md, "n1.tail.example."), RMR_MD_OWN);
    assert_int_equal(rmr_md_look(r->md, "no.tail.example"), RMR_MD_NOWHERE);
    assert_int_equal(rmr_md_look(r->md, "a.onion"), RMR_MD_NOWHERE);
    assert_int_equal(rmr_md_look(r->md, "a b"), RMR_MD_NOWHERE);
    assert_int_equal(rmr_md_look(r->md, "a.corp.example"), RMR_MD_ROUTE);
    assert_int_equal(rmr_md_look(r->md, "example.org"), RMR_MD_RESOLVERS);
    assert_int_equal(set_table(r, true, false), RMR_OK);
    assert_int_equal(rmr_md_look(r->md, "example.org"), RMR_MD_SYSTEM);
    end(r);
}

/* ---- bytes ------------------------------------------------------------- */

static void an_answer_byte_by_byte(void **state)
{
    static const uint8_t want[] = {
        0xab, 0xcd, 0x85, 0x80, 0,    1,    0,    1,   0, 0,    0,   1,
        2,    'N',  '1',  4,    't',  'a',  'i',  'l', 7, 'e',  'x', 'a',
        'm',  'p',  'l',  'e',  0,    0,    1,    0,   1, 0xc0, 12,  0,
        1,    0,    1,    0,    0,    0x02, 0x58, 0,   4, 100,  64,  0,
        1,    0,    0,    41,   0x0f, 0xff, 0,    0,   0, 0,    0,   0};
    (void)state;
    rig *r = begin(true, true);
    assert_int_equal(ask_as(r, "N1.tail.example", A, 1232, false), RMR_OK);
    assert_int_equal(r->len, sizeof want);
    assert_memory_equal(r->msg, want, sizeof want);
    assert_int_equal(r->client, 42);
    end(r);
}

static void raw(rig *r, const char *bytes, size_t n, rmr_err want)
{
    r->len = 0;
    assert_int_equal(
        rmr_md_ask(r->md, r->now, 1, false, rmr_bytes_of(bytes, n)), want);
}

static void what_is_no_question_is_answered_so_or_not_at_all(void **state)
{
    (void)state;
    rig *r = begin(true, true);
    uint8_t q[600];
    size_t n = put_query(q, "n1.tail.example", A, 1232);
    for (size_t i = 0; i < n; i++) { /* cut off anywhere */
        r->len = 0;
        rmr_err e = rmr_md_ask(r->md, r->now, 1, false, rmr_bytes_of(q, i));
        assert_int_equal(e, i < 12 ? RMR_E_MALFORMED : RMR_OK);
        assert_int_equal(rcode(r), i < 12 ? -1 : FORMERR);
    }
    q[2] |= 0x80; /* an answer */
    raw(r, (char *)q, n, RMR_E_MALFORMED);
    assert_int_equal(r->len, 0);
    q[2] = 0x29; /* an update */
    raw(r, (char *)q, n, RMR_OK);
    assert_int_equal(rcode(r), NOTIMP);
    q[2] = 1;
    q[5] = 2; /* two questions */
    raw(r, (char *)q, n, RMR_OK);
    assert_int_equal(rcode(r), FORMERR);
    q[5] = 1;
    q[n - 5] = 1; /* EDNS of a later version: BADVERS, in two parts */
    raw(r, (char *)q, n, RMR_OK);
    assert_int_equal(rcode(r), OK);
    assert_int_equal(r->msg[7], 0);
    assert_int_equal(r->msg[r->len - 6], 1);
    q[n - 5] = 0;
    q[n - 12] = 3; /* class CHAOS */
    raw(r, (char *)q, n, RMR_OK);
    assert_int_equal(rcode(r), NOTIMP);
    /* a name that points to itself, and one into the head */
    raw(r, "\0\1\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1", 18, RMR_OK);
    assert_int_equal(rcode(r), FORMERR);
    raw(r, "\0\1\1\0\0\1\0\0\0\0\0\0\xc0\x08\0\1\0\1", 18, RMR_OK);
    assert_int_equal(rcode(r), FORMERR);
    /* dots within labels and bytes that no host name has are no node's */
    raw(r, "\0\1\1\0\0\1\0\0\0\0\0\0\x0fn1.tail.example\0\0\1\0\1", 33, RMR_OK);
    assert_int_equal(rcode(r), -1);
    end(r);
}

/* ---- resolvers --------------------------------------------------------- */

/* The question as an answer of `size` bytes. */
static size_t reply_of(const rmr_md_out *out, uint8_t *dst, uint8_t code,
                       bool cut, size_t size)
{
    memcpy(dst, out->msg.ptr, out->msg.len);
    memset(dst + out->msg.len, 0,
           size > out->msg.len ? size - out->msg.len : 0);
    dst[2] = (uint8_t)(0x81 | (cut ? 2 : 0));
    dst[3] = (uint8_t)(0x80 | code);
    return size > out->msg.len ? size : out->msg.len;
}

static rmr_err reply(rig *r, const rmr_md_out *out, uint8_t code, bool cut,
                     size_t size)
{
    static uint8_t m[70000];
    size_t n = reply_of(out, m, code, cut, size);
    return rmr_md_read(r->md, r->now, &out->to, out->tcp, rmr_buf_of(m, n));
}

static void an_answer_goes_to_who_asked_with_its_id(void **state)
{
    (void)state;
    rig *r = begin(true, true);
    rmr_md_out out;
    ask(r, "Www.example.org", A);
    assert_true(rmr_md_next(r->md, r->now, &out));
    assert_memory_equal(out.msg.ptr + 13, "Www", 3);
    uint8_t again[300];
    assert_int_equal(reply_of(&out, again, 0, false, sizeof again), 300);
    assert_int_equal(reply(r, &out, 0, false, 300), RMR_OK);
    assert_int_equal(r->answers, 1);
    assert_int_equal(r->client, 42);
    assert_int_equal(r->len, 300);
    assert_memory_equal(r->msg, "\xab\xcd", 2);
    /* it is over, and the same again is nobody's */
    assert_int_equal(rmr_md_read(r->md, r->now, &out.to, false,
                                 rmr_buf_of(again, sizeof again)),
                     RMR_E_UNKNOWN);
    assert_int_equal(r->answers, 1);
    end(r);
}

static void lies_are_ignored(void **state)
{
    (void)state;
    rig *r = begin(true, true);
    rmr_md_out out;
    uint8_t m[600];
    ask(r, "www.example.org", A);
    assert_true(rmr_md_next(r->md, r->now, &out));
    size_t n = reply_of(&out, m, 0, false, 0);
    rmr_addr from = out.to;
    from.port = 54;
    rmr_buf b = rmr_buf_of(m, n);
    assert_int_equal(rmr_md_read(r->md, 2, &from, false, b), RMR_E_UNKNOWN);
    assert_int_equal(rmr_md_read(r->md, 2, &out.to, true, b), RMR_E_UNKNOWN);
    m[0] ^= 1;
    assert_int_equal(rmr_md_read(r->md, 2, &out.to, false, b), RMR_E_UNKNOWN);
    m[0] ^= 1;
    m[14] ^= 1; /* another name */
    assert_int_equal(rmr_md_read(r->md, 2, &out.to, false, b), RMR_E_UNKNOWN);
    m[14] ^= 1;
    m[n - 3] = AAAA;
    assert_int_equal(rmr_md_read(r->md, 2, &out.to, false, b), RMR_E_UNKNOWN);
    m[n - 3] = A;
    assert_int_equal(rmr_md_read(r->md, 2, &out.to, false, rmr_buf_of(m, 11)),
                     RMR_E_MALFORMED);
    assert_int_equal(r->answers, 0);
    assert_int_equal(rmr_md_read(r->md, 2, &out.to, false, b), RMR_OK);
    assert_int_equal(r->answers, 1);
    end(r);
}

static void silence_asks_the_next_and_ends_as_a_failure(void **state)
{
    (void)state;
    rig *r = begin(true, true);
    rmr_md_out out;
    char text[RMR_ADDR_TEXT_MAX];
    static const char *const turns[] = {"10.2.2.2:53", "10.2.2.3:53",
                                        "10.2.2.2:53", "10.2.2.3:53"};
    rmr_time begun = r->now;
    ask(r, "a.deep.corp.example", A);
    for (int i = 0; i < 4; i++) {
        assert_true(rmr_md_next(r->md, r->now, &out));
        assert_string_equal(rmr_addr_text(&out.to, text), turns[i]);
        assert_false(rmr_md_next(r->md, r->now, &out));
        rmr_time at = rmr_md_next_deadline(r->md);
        assert_true(at > r->now);
        assert_int_equal(rmr_md_handle_deadline(r->md, at - 1), RMR_OK);
        assert_int_equal(r->answers, 0);
        r->now = at;
        assert_int_equal(rmr_md_handle_deadline(r->md, at), RMR_OK);
    }
    assert_int_equal(r->answers, 1);
    assert_int_equal(rcode(r), SERVFAIL);
    assert_int_equal(r->now - begun, 6 * RMR_SEC);
    assert_int_equal(rmr_md_next_deadline(r->md), RMR_TIME_NEVER);
    end(r);
}

static void a_refusal_asks_the_next_and_the_last_one_counts(void **state)
{
    (void)state;
    rig *r = begin(true, true);
    rmr_md_out out;
    ask(r, "a.deep.corp.example", A);
    assert_true(rmr_md_next(r->md, r->now, &out));
    assert_int_equal(reply(r, &out, 5, false, 0), RMR_OK);
    assert_int_equal(r->answers, 0);
    assert_true(rmr_md_next(r->md, r->now, &out));
    assert_int_equal(out.to.ip[3], 3);
    assert_int_equal(reply(r, &out, 5, false, 0), RMR_OK);
    assert_int_equal(rcode(r), 5);
    end(r);
}

static void a_cut_answer_is_asked_by_tcp_for_who_came_so(void **state)
{
    (void)state;
    rig *r = begin(true, true);
    rmr_md_out out;
    ask(r, "www.example.org", TXT); /* by UDP: the client comes again */
    assert_true(rmr_md_next(r->md, r->now, &out));
    assert_int_equal(reply(r, &out, 0, true, 0), RMR_OK);
    assert_int_equal(r->answers, 1);
    assert_true(r->msg[2] & 2);
    assert_int_equal(ask_as(r, "www.example.org", TXT, 0, true), RMR_OK);
    assert_true(rmr_md_next(r->md, r->now, &out));
    assert_int_equal(reply(r, &out, 0, true, 0), RMR_OK);
    assert_int_equal(r->answers, 1);
    assert_true(rmr_md_next(r->md, r->now, &out));
    assert_true(out.tcp);
    assert_int_equal(reply(r, &out, 0, false, 60000), RMR_OK);
    assert_int_equal(r->answers, 2);
    assert_int_equal(r->len, 60000);
    end(r);
}

static void a_stream_that_fails_asks_the_next(void **state)
{
    (void)state;
    rig *r = begin(true, true);
    rmr_md_out out;
    assert_int_equal(ask_as(r, "a.deep.corp.example", A, 0, true), RMR_OK);
    assert_true(rmr_md_next(r->md, r->now, &out));
    assert_int_equal(reply(r, &out, 0, true, 0), RMR_OK);
    assert_true(rmr_md_next(r->md, r->now, &out));
    assert_true(out.tcp);
    rmr_md_failed(r->md, r->now, out.id + 1); /* nobody's */
    assert_false(rmr_md_next(r->md, r->now, &out));
    rmr_md_failed(r->md, r->now, out.id);
    assert_true(rmr_md_next(r->md, r->now, &out));
    assert_false(out.tcp);
    assert_int_equal(out.to.ip[3], 3);
    end(r);
}

static void a_resolver_that_speaks_http_is_asked_so(void **state)
{
    (void)state;
    rig *r = begin(true, true);
    rmr_md_out out;
    rmr_addr two[2] = {ip("10.2.2.2"), ip("10.2.2.3")};
    rmr_addr http[2] = {ip("10.2.2.9"), ip("10.2.2.3")};
    two[1].port = http[1].port = 40000;
    rmr_md_table t = {
        .resolvers = two, .n_resolvers = 2, .http = http, .n_http = 2};
    assert_int_equal(rmr_md_set(r->md, &t), RMR_OK);
    ask(r, "www.example.org", A);
    assert_true(rmr_md_next(r->md, r->now, &out));
    assert_false(out.tcp || out.http);
    rmr_md_failed(r->md, r->now, out.id);
    rmr_md_allow_streams(r->md, false); /* the host has no room: it waits */
    assert_false(rmr_md_next(r->md, r->now, &out));
    ask(r, "www.example.net", A); /* others don't */
    assert_true(rmr_md_next(r->md, r->now, &out));
    assert_false(out.tcp);
    rmr_md_forget(r->md, 42);
    ask(r, "www.example.org", A);
    assert_true(rmr_md_next(r->md, r->now, &out));
    rmr_md_failed(r->md, r->now, out.id);
    assert_false(rmr_md_next(r->md, r->now, &out));
    rmr_md_allow_streams(r->md, true);
    assert_true(rmr_md_next(r->md, r->now, &out));
    assert_true(out.tcp && out.http);
    assert_int_equal(out.to.port, 40000);
    assert_true(rmr_md_next_deadline(r->md) == r->now + 5 * RMR_SEC);
    /* By a datagram it is nobody's; cut off it is taken as it is. */
    rmr_md_out lie = out;
    lie.tcp = false;
    assert_int_equal(reply(r, &lie, 0, false, 0), RMR_E_UNKNOWN);
    assert_int_equal(reply(r, &out, 0, false, 600), RMR_OK);
    assert_int_equal(r->answers, 1);
    assert_true(r->msg[2] & 2); /* 512 bytes are what the client takes */
    end(r);
}

static void an_answer_is_cut_to_what_the_client_takes(void **state)
{
    static const struct {
        uint16_t edns;
        size_t fits;
    } rows[] = {{0, 512}, {100, 512}, {1232, 1232}, {65535, 4095}};
    (void)state;
    rig *r = begin(true, true);
    for (size_t i = 0; i < 4; i++) {
        for (size_t over = 0; over < 2; over++) {
            rmr_md_out out;
            assert_int_equal(
                ask_as(r, "www.example.org", A, rows[i].edns, false), RMR_OK);
            assert_true(rmr_md_next(r->md, r->now, &out));
            assert_int_equal(reply(r, &out, 0, false, rows[i].fits + over),
                             RMR_OK);
            assert_int_equal(r->msg[2] & 2, over ? 2 : 0);
            assert_true(over ? r->len < 100 : r->len == rows[i].fits);
            assert_memory_equal(r->msg, "\xab\xcd", 2);
        }
    }
    end(r);
}

static void open_questions_are_bounded(void **state)
{
    (void)state;
    rig *r = begin(true, true);
    rmr_md_stats st;
    for (int i = 0; i < RMR_MD_MAX_OPEN; i++)
        ask(r, "www.example.org", A);
    assert_int_equal(r->answers, 0);
    ask(r, "www.example.org", A);
    assert_int_equal(rcode(r), SERVFAIL);
    ask(r, "n1.tail.example", A); /* ours are answered all the same */
    assert_int_equal(rcode(r), OK);
    rmr_md_get_stats(r->md, &st);
    assert_int_equal(st.full, 1);
    rmr_md_forget(r->md, 42);
    ask(r, "www.example.org", A);
    assert_int_equal(r->len, 0);
    end(r);
}

static void nobody_to_ask_is_a_failure(void **state)
{
    (void)state;
    rig *r = begin(true, true);
    rmr_md_table none = {0};
    assert_int_equal(rmr_md_set(r->md, &none), RMR_OK);
    ask(r, "www.example.org", A);
    assert_int_equal(rcode(r), SERVFAIL);
    end(r);
}

static void without_memory_nothing_breaks(void **state)
{
    (void)state;
    for (size_t at = 1;; at++) {
        rig *r = calloc(1, sizeof *r);
        assert_non_null(r);
        test_rng_seed(&r->rng, 7);
        r->mem.fail_at = at;
        rmr_err e = make(r);
        if (e == RMR_OK) {
            e = set_table(r, true, true);
            ask(r, "n1.tail.example", A); /* with the table or without */
            assert_int_equal(rcode(r), OK);
            ask(r, "a.corp.example", A);
            rmr_md_out out;
            bool asked = rmr_md_next(r->md, r->now, &out);
            assert_int_equal(asked, rcode(r) == -1);
            assert_true(asked || rcode(r) == SERVFAIL);
            if (e == RMR_OK && asked) {
                end(r);
                return;
            }
        } else {
            assert_int_equal(e, RMR_E_NOMEM);
        }
        end(r);
    }
}

static void without_randomness_nothing_is_asked(void **state)
{
    (void)state;
    rig *r = begin(true, true);
    r->rng.fail_at = r->rng.calls + 1;
    ask(r, "www.example.org", A);
    assert_int_equal(rcode(r), SERVFAIL);
    end(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_answered_in_their_order),
        cmocka_unit_test(others_questions_are_passed_to_the_system),
        cmocka_unit_test(without_magicdns_nodes_are_known_but_zones_are_not),
        cmocka_unit_test(a_name_can_be_looked_at),
        cmocka_unit_test(an_answer_byte_by_byte),
        cmocka_unit_test(what_is_no_question_is_answered_so_or_not_at_all),
        cmocka_unit_test(an_answer_goes_to_who_asked_with_its_id),
        cmocka_unit_test(lies_are_ignored),
        cmocka_unit_test(silence_asks_the_next_and_ends_as_a_failure),
        cmocka_unit_test(a_refusal_asks_the_next_and_the_last_one_counts),
        cmocka_unit_test(a_cut_answer_is_asked_by_tcp_for_who_came_so),
        cmocka_unit_test(a_resolver_that_speaks_http_is_asked_so),
        cmocka_unit_test(a_stream_that_fails_asks_the_next),
        cmocka_unit_test(an_answer_is_cut_to_what_the_client_takes),
        cmocka_unit_test(open_questions_are_bounded),
        cmocka_unit_test(nobody_to_ask_is_a_failure),
        cmocka_unit_test(without_memory_nothing_breaks),
        cmocka_unit_test(without_randomness_nothing_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
