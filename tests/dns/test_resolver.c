/* The stub resolver against name servers made of tables, on a virtual clock. */
#include "dns_rig.h"

#include <remora/cursor.h>

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

typedef struct ask { /* a query as a server sees it */
    rmr_addr to;
    uint16_t id, type;
    bool edns;
    rmri_dns_name name;
    uint8_t msg[RMR_DNS_MAX_QUERY];
    size_t len, question_end;
} ask;

static const char *const server_texts[] = {"192.0.2.53:53", "[2001:db8::53]:53",
                                           "192.0.2.54:5353"};

static rmr_err make(rig *r, uint32_t tries, uint32_t max)
{
    rmr_dns_config cfg = {max, 0, tries, {r, rig_on_answer}, false};
    return rmr_dns_new(&r->d, &r->env, &cfg);
}

static rmr_err use_servers(rig *r, size_t n, const char *hosts,
                           const char *search)
{
    rmr_addr servers[3];
    for (size_t i = 0; i < n; i++)
        assert_int_equal(
            rmr_addr_parse(rmr_bytes_str(server_texts[i]), &servers[i]),
            RMR_OK);
    return rmr_dns_set_servers(r->d, servers, n, rmr_bytes_str(hosts),
                               rmr_bytes_str(search));
}

static void begin(rig *r, size_t n_servers)
{
    rig_prepare(r);
    assert_int_equal(make(r, 0, 0), RMR_OK);
    assert_int_equal(use_servers(r, n_servers, "", ""), RMR_OK);
}

/* The next query that goes out; false: none. */
static bool next(rig *r, ask *a)
{
    memset(a, 0, sizeof *a);
    assert_int_equal(rmr_dns_write_pkt(r->d, r->now,
                                       rmr_buf_of(a->msg, sizeof a->msg),
                                       &a->len, &a->to),
                     RMR_OK);
    if (a->len == 0)
        return false;
    size_t at = 12;
    assert_true(
        rmri_dns_read_name(rmr_bytes_of(a->msg, a->len), &at, &a->name));
    a->id = rmr_load_be16(a->msg);
    a->type = rmr_load_be16(a->msg + at);
    a->question_end = at + 4;
    a->edns = a->len > a->question_end;
    return true;
}

static void expect_ask(rig *r, ask *a, uint16_t type, size_t server)
{
    char text[RMR_ADDR_TEXT_MAX];
    assert_true(next(r, a));
    assert_int_equal(a->type, type);
    assert_string_equal(rmr_addr_text(&a->to, text), server_texts[server]);
}

static void expect_silence(rig *r)
{
    ask a;
    assert_false(next(r, &a));
}

static size_t build(const ask *a, unsigned flags, const char *const *ips,
                    uint8_t *dst)
{
    memcpy(dst, a->msg, a->question_end);
    rmr_store_be16(dst + 2, (uint16_t)flags);
    rmr_store_be16(dst + 10, 0);
    size_t n = 0, len = a->question_end;
    for (; ips && ips[n]; n++) {
        rmr_addr ip;
        assert_int_equal(rmr_addr_parse_ip(rmr_bytes_str(ips[n]), &ip), RMR_OK);
        size_t ip_len = rmr_addr_ip_len(&ip);
        rmr_store_be16(dst + len, 0xc00c);
        rmr_store_be16(dst + len + 2, ip_len == 4 ? RMRI_DNS_A : RMRI_DNS_AAAA);
        rmr_store_be16(dst + len + 4, 1);
        rmr_store_be32(dst + len + 6, 60);
        rmr_store_be16(dst + len + 10, (uint16_t)ip_len);
        memcpy(dst + len + 12, ip.ip, ip_len);
        len += 12 + ip_len;
    }
    rmr_store_be16(dst + 6, (uint16_t)n);
    return len;
}

/* ips: up to two, NULL for fewer. */
static rmr_err answer(rig *r, const ask *a, unsigned flags, const char *ip1,
                      const char *ip2)
{
    uint8_t msg[1024];
    const char *ips[3] = {ip1, ip2, NULL};
    size_t len = build(a, flags, ips, msg);
    return rmr_dns_read_pkt(r->d, r->now, &a->to, rmr_bytes_of(msg, len));
}

/* ---- without a server -------------------------------------------------- */

static void literals_localhost_and_hosts_are_answered_at_once(void **state)
{
    (void)state;
    rig r;
    begin(&r, 0);
    assert_int_equal(use_servers(&r, 0, "10.0.0.1 box\nfd7a::1 box", ""),
                     RMR_OK);
    rig_query(&r, 1, "192.0.2.7");
    rig_query(&r, 2, "2001:db8::7");
    rig_query(&r, 3, "localhost");
    rig_query(&r, 4, "a.LOCALHOST.");
    rig_query(&r, 5, "Box");
    rig_query(&r, 6, "x.invalid");
    rig_query(&r, 7, "x.onion");
    rig_expect_log(&r, "1 ok 192.0.2.7\n2 ok 2001:db8::7\n"
                       "3 ok 127.0.0.1 ::1\n4 ok 127.0.0.1 ::1\n"
                       "5 ok 10.0.0.1 fd7a::1\n6 not found\n7 not found\n");
    assert_true(rmr_dns_is_idle(r.d));
    assert_true(rmr_dns_next_deadline(r.d) == RMR_TIME_NEVER);
    rig_end(&r);
}

static void other_names_need_a_server(void **state)
{
    (void)state;
    rig r;
    begin(&r, 0);
    assert_int_equal(rmr_dns_query(r.d, r.now, 1, "a.example"),
                     RMR_E_UNREACHABLE);
    assert_int_equal(rmr_dns_query(r.d, r.now, 1, "not a name"), RMR_E_INVAL);
    assert_int_equal(rmr_dns_query(r.d, r.now, 1, ""), RMR_E_INVAL);
    assert_true(rmr_dns_is_idle(r.d));
    rig_end(&r);
}

/* ---- with one --------------------------------------------------------- */

static void both_families_are_asked_at_once_and_answered_in_turn(void **state)
{
    (void)state;
    rig r;
    ask a, aaaa;
    begin(&r, 1);
    rig_query(&r, 9, "Relay.Example");
    assert_false(rmr_dns_is_idle(r.d));
    expect_ask(&r, &a, RMRI_DNS_A, 0);
    expect_ask(&r, &aaaa, RMRI_DNS_AAAA, 0);
    expect_silence(&r);
    assert_true(a.edns);
    assert_int_equal(answer(&r, &a, OK, "192.0.2.1", "192.0.2.2"), RMR_OK);
    rig_expect_log(&r, "");
    assert_int_equal(answer(&r, &aaaa, OK, "2001:db8::1", NULL), RMR_OK);
    rig_expect_log(&r, "9 ok 2001:db8::1 192.0.2.1 192.0.2.2\n");
    assert_true(rmr_dns_is_idle(r.d));
    assert_true(rmr_dns_next_deadline(r.d) == RMR_TIME_NEVER);
    rig_end(&r);
}

static void one_family_is_enough_after_half_a_second(void **state)
{
    (void)state;
    rig r;
    ask a, aaaa;
    begin(&r, 1);
    rig_query(&r, 9, "a.example");
    expect_ask(&r, &a, RMRI_DNS_A, 0);
    expect_ask(&r, &aaaa, RMRI_DNS_AAAA, 0);
    assert_int_equal(answer(&r, &a, OK, "192.0.2.1", NULL), RMR_OK);
    rig_pass(&r, 499 * RMR_MS);
    rig_expect_log(&r, "");
    rig_pass(&r, 1 * RMR_MS);
    rig_expect_log(&r, "9 ok 192.0.2.1\n");
    /* The other answer is late. */
    assert_int_equal(answer(&r, &aaaa, OK, "2001:db8::1", NULL), RMR_E_UNKNOWN);
    rig_end(&r);
}

static void no_address_and_no_name_are_not_found(void **state)
{
    (void)state;
    rig r;
    ask a, aaaa;
    begin(&r, 2);
    for (unsigned flags = OK; flags <= NXDOMAIN; flags += NXDOMAIN - OK) {
        rig_query(&r, 9, "a.example");
        expect_ask(&r, &a, RMRI_DNS_A, 0);
        expect_ask(&r, &aaaa, RMRI_DNS_AAAA, 0);
        assert_int_equal(answer(&r, &aaaa, flags, NULL, NULL), RMR_OK);
        assert_int_equal(answer(&r, &a, flags, NULL, NULL), RMR_OK);
        rig_expect_log(&r, "9 not found\n");
    }
    rig_end(&r);
}

static void a_cut_answer_gives_what_there_is_or_is_refused(void **state)
{
    (void)state;
    rig r;
    ask a, aaaa;
    begin(&r, 1);
    rig_query(&r, 9, "a.example");
    expect_ask(&r, &a, RMRI_DNS_A, 0);
    expect_ask(&r, &aaaa, RMRI_DNS_AAAA, 0);
    assert_int_equal(answer(&r, &a, CUT, "192.0.2.1", NULL), RMR_OK);
    assert_int_equal(answer(&r, &aaaa, CUT, NULL, NULL), RMR_OK);
    rig_expect_log(&r, "9 ok 192.0.2.1\n");
    rig_query(&r, 8, "a.example");
    expect_ask(&r, &a, RMRI_DNS_A, 0);
    expect_ask(&r, &aaaa, RMRI_DNS_AAAA, 0);
    assert_int_equal(answer(&r, &a, CUT, NULL, NULL), RMR_OK);
    assert_int_equal(answer(&r, &aaaa, OK, NULL, NULL), RMR_OK);
    rig_expect_log(&r, "8 refused\n");
    rig_end(&r);
}

static void no_more_than_sixteen_addresses_come(void **state)
{
    (void)state;
    rig r;
    ask a, aaaa;
    uint8_t msg[2048];
    const char *v4[21], *v6[11];
    for (int i = 0; i < 20; i++)
        v4[i] = "192.0.2.1";
    for (int i = 0; i < 10; i++)
        v6[i] = "::2";
    v4[20] = v6[10] = NULL;
    begin(&r, 1);
    rig_query(&r, 9, "a.example");
    expect_ask(&r, &a, RMRI_DNS_A, 0);
    expect_ask(&r, &aaaa, RMRI_DNS_AAAA, 0);
    size_t len = build(&a, OK, v4, msg);
    assert_int_equal(
        rmr_dns_read_pkt(r.d, r.now, &a.to, rmr_bytes_of(msg, len)), RMR_OK);
    len = build(&aaaa, OK, v6, msg);
    assert_int_equal(
        rmr_dns_read_pkt(r.d, r.now, &a.to, rmr_bytes_of(msg, len)), RMR_OK);
    size_t n = 0;
    for (const char *p = r.log; *p; p++)
        n += *p == ' ';
    assert_int_equal(n, 1 + 16);
    assert_non_null(strstr(r.log, "9 ok ::2 192.0.2.1 ::2 192.0.2.1"));
    rig_end(&r);
}

/* ---- servers ---------------------------------------------------------- */

static void silent_servers_are_rotated_until_the_tries_end(void **state)
{
    (void)state;
    static const size_t order[] = {0, 1, 2, 0};
    rig r;
    ask a;
    begin(&r, 3);
    rig_query(&r, 9, "a.example");
    for (int try = 0; try < 4; try++) {
        expect_ask(&r, &a, RMRI_DNS_A, order[try]);
        expect_ask(&r, &a, RMRI_DNS_AAAA, order[try]);
        assert_true(rmr_dns_next_deadline(r.d) == r.now + 2 * RMR_SEC);
        rig_pass(&r, 2 * RMR_SEC - 1);
        expect_silence(&r);
        rig_expect_log(&r, "");
        rig_pass(&r, 1);
    }
    rig_expect_log(&r, "9 timeout\n");
    assert_true(rmr_dns_is_idle(r.d));
    rmr_dns_stats s;
    rmr_dns_get_stats(r.d, &s);
    assert_int_equal(s.timeouts, 8);
    assert_int_equal(s.sent, 8);
    /* The next query begins with another server than the dead one. */
    rig_query(&r, 10, "b.example");
    expect_ask(&r, &a, RMRI_DNS_A, 1);
    rig_end(&r);
}

static void a_query_that_can_not_be_sent_times_out_too(void **state)
{
    (void)state;
    rig r;
    begin(&r, 1);
    rig_query(&r, 9, "a.example");
    for (int try = 0; try < 4; try++)
        rig_pass(&r, 2 * RMR_SEC);
    rig_expect_log(&r, "9 timeout\n");
    rig_end(&r);
}

static void a_long_sleep_costs_one_try_not_all(void **state)
{
    (void)state;
    rig r;
    ask a;
    begin(&r, 1);
    rig_query(&r, 9, "a.example");
    expect_ask(&r, &a, RMRI_DNS_A, 0);
    rig_pass(&r, 3600 * RMR_SEC);
    rig_expect_log(&r, "");
    expect_ask(&r, &a, RMRI_DNS_A, 0);
    rig_end(&r);
}

static void
a_failing_server_hands_on_at_once_and_all_failing_is_refused(void **state)
{
    (void)state;
    rig r;
    ask a, aaaa;
    begin(&r, 2);
    rig_query(&r, 9, "a.example");
    expect_ask(&r, &a, RMRI_DNS_A, 0);
    expect_ask(&r, &aaaa, RMRI_DNS_AAAA, 0);
    assert_int_equal(answer(&r, &a, SERVFAIL, NULL, NULL), RMR_OK);
    assert_int_equal(answer(&r, &aaaa, REFUSED, NULL, NULL), RMR_OK);
    expect_ask(&r, &a, RMRI_DNS_A, 1);
    expect_ask(&r, &aaaa, RMRI_DNS_AAAA, 1);
    assert_int_equal(answer(&r, &a, SERVFAIL, NULL, NULL), RMR_OK);
    assert_int_equal(answer(&r, &aaaa, SERVFAIL, NULL, NULL), RMR_OK);
    rig_expect_log(&r, "9 refused\n");
    expect_silence(&r);
    rig_end(&r);
}

static void a_broken_answer_is_a_failure_of_its_server(void **state)
{
    (void)state;
    rig r;
    ask a, aaaa;
    uint8_t msg[1024];
    begin(&r, 1);
    rig_query(&r, 9, "a.example");
    expect_ask(&r, &a, RMRI_DNS_A, 0);
    expect_ask(&r, &aaaa, RMRI_DNS_AAAA, 0);
    size_t len = build(&a, OK, (const char *[]){"192.0.2.1", NULL}, msg);
    assert_int_equal(
        rmr_dns_read_pkt(r.d, r.now, &a.to, rmr_bytes_of(msg, len - 1)),
        RMR_OK);
    assert_int_equal(answer(&r, &aaaa, OK, NULL, NULL), RMR_OK);
    rig_expect_log(&r, "9 malformed\n");
    rmr_dns_stats s;
    rmr_dns_get_stats(r.d, &s);
    assert_int_equal(s.failures, 1);
    rig_end(&r);
}

static void a_server_without_edns_is_asked_without(void **state)
{
    (void)state;
    rig r;
    ask a, again;
    begin(&r, 2);
    rig_query(&r, 9, "a.example");
    expect_ask(&r, &a, RMRI_DNS_A, 0);
    /* Without a question, as some do it. */
    uint8_t bare[12] = {0, 0, 0x81, 0x81};
    rmr_store_be16(bare, a.id);
    assert_int_equal(
        rmr_dns_read_pkt(r.d, r.now, &a.to, rmr_bytes_of(bare, 12)), RMR_OK);
    expect_ask(&r, &again, RMRI_DNS_A, 0);
    assert_false(again.edns);
    /* And when that is refused too, the next one is asked, with EDNS. */
    assert_int_equal(answer(&r, &again, FORMERR, NULL, NULL), RMR_OK);
    expect_ask(&r, &again, RMRI_DNS_A, 1);
    assert_true(again.edns);
    rig_end(&r);
}

static void a_late_answer_of_an_earlier_server_counts(void **state)
{
    (void)state;
    rig r;
    ask a, aaaa, later;
    begin(&r, 2);
    rig_query(&r, 9, "a.example");
    expect_ask(&r, &a, RMRI_DNS_A, 0);
    expect_ask(&r, &aaaa, RMRI_DNS_AAAA, 0);
    rig_pass(&r, 2 * RMR_SEC);
    expect_ask(&r, &later, RMRI_DNS_A, 1);
    assert_int_equal(later.id, a.id);
    assert_int_equal(answer(&r, &a, OK, "192.0.2.1", NULL), RMR_OK);
    assert_int_equal(answer(&r, &aaaa, OK, NULL, NULL), RMR_OK);
    rig_expect_log(&r, "9 ok 192.0.2.1\n");
    rig_end(&r);
}

static void new_servers_are_asked_for_open_queries(void **state)
{
    (void)state;
    rig r;
    ask a, aaaa;
    begin(&r, 2);
    rig_query(&r, 9, "a.example");
    expect_ask(&r, &a, RMRI_DNS_A, 0);
    expect_ask(&r, &aaaa, RMRI_DNS_AAAA, 0);
    rmr_time deadline = rmr_dns_next_deadline(r.d);
    rmr_addr other = rmr_addr_v4(198, 51, 100, 1, 0); /* port 0: 53 */
    assert_int_equal(rmr_dns_set_servers(r.d, &other, 1, rmr_bytes_str(""),
                                         rmr_bytes_str("")),
                     RMR_OK);
    assert_true(rmr_dns_next_deadline(r.d) == deadline);
    /* The old ones have nothing to say any more. */
    assert_int_equal(answer(&r, &a, OK, "192.0.2.1", NULL), RMR_E_UNKNOWN);
    assert_true(next(&r, &a));
    assert_int_equal(a.to.port, 53);
    assert_int_equal(a.to.ip[0], 198);
    assert_true(next(&r, &aaaa));
    assert_int_equal(answer(&r, &aaaa, OK, "::7", NULL), RMR_OK);
    assert_int_equal(answer(&r, &a, OK, NULL, NULL), RMR_OK);
    rig_expect_log(&r, "9 ok ::7\n");
    rig_end(&r);
}

static void without_servers_open_queries_end(void **state)
{
    (void)state;
    rig r;
    begin(&r, 2);
    rig_query(&r, 9, "a.example");
    assert_int_equal(use_servers(&r, 0, "", ""), RMR_OK);
    expect_silence(&r);
    rig_pass(&r, 2 * RMR_SEC);
    rig_expect_log(&r, "9 timeout\n");
    rig_end(&r);
}

/* ---- what an answer must match ----------------------------------------- */

static void an_answer_must_match_id_question_and_server(void **state)
{
    (void)state;
    rig r;
    ask a, wrong;
    begin(&r, 2);
    rig_query(&r, 9, "a.example");
    expect_ask(&r, &a, RMRI_DNS_A, 0);
    wrong = a;
    wrong.msg[1] ^= 1;
    assert_int_equal(answer(&r, &wrong, OK, "6.6.6.6", NULL), RMR_E_UNKNOWN);
    wrong = a;
    wrong.msg[13] = 'b';
    assert_int_equal(answer(&r, &wrong, OK, "6.6.6.6", NULL), RMR_E_UNKNOWN);
    wrong = a;
    wrong.msg[wrong.question_end - 3] = RMRI_DNS_AAAA;
    assert_int_equal(answer(&r, &wrong, OK, "6.6.6.6", NULL), RMR_E_UNKNOWN);
    wrong = a;
    wrong.to.port = 54;
    assert_int_equal(answer(&r, &wrong, OK, "6.6.6.6", NULL), RMR_E_UNKNOWN);
    /* A server that we have, but did not ask. */
    wrong = a;
    assert_int_equal(rmr_addr_parse(rmr_bytes_str(server_texts[1]), &wrong.to),
                     RMR_OK);
    assert_int_equal(answer(&r, &wrong, OK, "6.6.6.6", NULL), RMR_E_UNKNOWN);
    /* Our own query, reflected; and an answer without a question. */
    assert_int_equal(
        rmr_dns_read_pkt(r.d, r.now, &a.to, rmr_bytes_of(a.msg, a.len)),
        RMR_E_MALFORMED);
    uint8_t bare[12] = {0, 0, 0x81, 0x80};
    rmr_store_be16(bare, a.id);
    assert_int_equal(
        rmr_dns_read_pkt(r.d, r.now, &a.to, rmr_bytes_of(bare, 12)),
        RMR_E_UNKNOWN);
    rig_expect_log(&r, "");
    rmr_dns_stats s;
    rmr_dns_get_stats(r.d, &s);
    assert_int_equal(s.ignored_unknown, 6);
    assert_int_equal(s.ignored_malformed, 1);
    assert_int_equal(s.received, 0);
    /* The question in another case is the same question. */
    wrong = a;
    wrong.msg[13] = 'A';
    assert_int_equal(answer(&r, &wrong, OK, "192.0.2.1", NULL), RMR_OK);
    rig_end(&r);
}

static void ids_are_random_and_differ(void **state)
{
    (void)state;
    rig r;
    ask a, b, c;
    begin(&r, 1);
    rig_query(&r, 1, "a.example");
    rig_query(&r, 2, "a.example");
    expect_ask(&r, &a, RMRI_DNS_A, 0);
    expect_ask(&r, &b, RMRI_DNS_AAAA, 0);
    expect_ask(&r, &c, RMRI_DNS_A, 0);
    assert_true(a.id != b.id && b.id != c.id && a.id != c.id);
    rig_end(&r);
}

/* ---- search domains --------------------------------------------------- */

static void fail_both(rig *r, const char *name)
{
    ask a, aaaa;
    rmri_dns_name want;
    assert_int_equal(
        rmri_dns_name_of(rmr_bytes_str(name), rmr_bytes_str(""), &want),
        RMR_OK);
    expect_ask(r, &a, RMRI_DNS_A, 0);
    expect_ask(r, &aaaa, RMRI_DNS_AAAA, 0);
    assert_true(rmri_dns_name_eq(&a.name, &want));
    assert_true(rmri_dns_name_eq(&aaaa.name, &want));
    assert_int_equal(answer(r, &a, NXDOMAIN, NULL, NULL), RMR_OK);
    assert_int_equal(answer(r, &aaaa, NXDOMAIN, NULL, NULL), RMR_OK);
}

static void single_labels_get_the_search_domains_in_order(void **state)
{
    (void)state;
    rig r;
    begin(&r, 1);
    assert_int_equal(
        use_servers(&r, 1, "", " one.example  bad..name two.example."), RMR_OK);
    rig_query(&r, 9, "box");
    fail_both(&r, "box.one.example");
    fail_both(&r, "box.two.example");
    rig_expect_log(&r, "");
    fail_both(&r, "box");
    rig_expect_log(&r, "9 not found\n");
    rig_query(&r, 8, "box.");
    fail_both(&r, "box");
    rig_query(&r, 7, "box.other");
    fail_both(&r, "box.other");
    rig_expect_log(&r, "8 not found\n7 not found\n");
    rig_end(&r);
}

static void a_failure_on_the_way_is_told_when_nothing_is_found(void **state)
{
    (void)state;
    rig r;
    ask a, aaaa;
    begin(&r, 1);
    assert_int_equal(use_servers(&r, 1, "", "one.example"), RMR_OK);
    rig_query(&r, 9, "box");
    expect_ask(&r, &a, RMRI_DNS_A, 0);
    expect_ask(&r, &aaaa, RMRI_DNS_AAAA, 0);
    assert_int_equal(answer(&r, &a, SERVFAIL, NULL, NULL), RMR_OK);
    assert_int_equal(answer(&r, &aaaa, SERVFAIL, NULL, NULL), RMR_OK);
    fail_both(&r, "box");
    rig_expect_log(&r, "9 refused\n");
    rig_end(&r);
}

/* ---- the rest of the contract ------------------------------------------ */

static void a_cancelled_query_is_never_answered(void **state)
{
    (void)state;
    rig r;
    ask a;
    begin(&r, 1);
    rig_query(&r, 9, "a.example");
    rig_query(&r, 10, "b.example");
    expect_ask(&r, &a, RMRI_DNS_A, 0);
    rmr_dns_cancel(r.d, 9);
    rmr_dns_cancel(r.d, 77);
    assert_int_equal(answer(&r, &a, OK, "192.0.2.1", NULL), RMR_E_UNKNOWN);
    rig_expect_log(&r, "");
    rmr_dns_cancel(r.d, 10);
    assert_true(rmr_dns_is_idle(r.d));
    expect_silence(&r);
    rig_end(&r);
}

static void callbacks_may_ask_but_not_pump(void **state)
{
    (void)state;
    rig r;
    ask a, aaaa;
    begin(&r, 1);
    r.ask_again = 10;
    r.pump_inside = true;
    rig_query(&r, 9, "a.example");
    expect_ask(&r, &a, RMRI_DNS_A, 0);
    expect_ask(&r, &aaaa, RMRI_DNS_AAAA, 0);
    assert_int_equal(answer(&r, &a, NXDOMAIN, NULL, NULL), RMR_OK);
    assert_int_equal(answer(&r, &aaaa, NXDOMAIN, NULL, NULL), RMR_OK);
    rig_expect_log(&r, "9 not found\n");
    expect_ask(&r, &a, RMRI_DNS_A, 0);
    rig_end(&r);
}

static void there_are_no_more_queries_than_the_config_allows(void **state)
{
    (void)state;
    rig r;
    rig_prepare(&r);
    assert_int_equal(make(&r, 0, 2), RMR_OK);
    assert_int_equal(use_servers(&r, 1, "", ""), RMR_OK);
    rig_query(&r, 1, "a.example");
    rig_query(&r, 2, "b.example");
    assert_int_equal(rmr_dns_query(r.d, r.now, 3, "c.example"), RMR_E_FULL);
    rig_query(&r, 4, "10.0.0.1"); /* needs no place */
    rig_expect_log(&r, "4 ok 10.0.0.1\n");
    rmr_dns_cancel(r.d, 1);
    rig_query(&r, 5, "c.example");
    rig_end(&r);
}

static void a_small_buffer_loses_nothing(void **state)
{
    (void)state;
    rig r;
    ask a;
    uint8_t dst[RMR_DNS_MAX_QUERY];
    size_t len = 9;
    begin(&r, 1);
    rig_query(&r, 1, "a.example");
    assert_int_equal(rmr_dns_write_pkt(r.d, r.now,
                                       rmr_buf_of(dst, sizeof dst - 1), &len,
                                       &a.to),
                     RMR_E_BUFSIZE);
    assert_int_equal(len, 0);
    expect_ask(&r, &a, RMRI_DNS_A, 0);
    rig_end(&r);
}

static void a_clock_that_goes_back_or_ends_is_no_trouble(void **state)
{
    (void)state;
    rig r;
    ask a;
    begin(&r, 1);
    rig_query(&r, 1, "a.example");
    rmr_time deadline = rmr_dns_next_deadline(r.d);
    r.now -= 10 * RMR_SEC;
    expect_ask(&r, &a, RMRI_DNS_A, 0);
    assert_true(rmr_dns_next_deadline(r.d) == deadline);
    assert_int_equal(rmr_dns_handle_deadline(r.d, RMR_TIME_NEVER), RMR_OK);
    rig_query(&r, 2, "b.example");
    assert_int_equal(rmr_dns_handle_deadline(r.d, RMR_TIME_NEVER), RMR_OK);
    rig_end(&r);
}

static void each_failing_allocation_is_told_and_leaks_nothing(void **state)
{
    (void)state;
    size_t seen[2] = {0, 0};
    for (size_t fail = 1; fail < 10; fail++) {
        rig r;
        rig_prepare(&r);
        r.mem.fail_at = fail;
        rmr_err e = make(&r, 0, 0);
        if (e == RMR_OK) {
            e = use_servers(&r, 1, "10.0.0.1 box", "");
            if (e == RMR_OK)
                e = rmr_dns_query(r.d, r.now, 1, "a.example");
            if (e != RMR_OK) { /* it can be tried again */
                assert_int_equal(e, RMR_E_NOMEM);
                assert_int_equal(use_servers(&r, 1, "10.0.0.1 box", ""),
                                 RMR_OK);
                rig_query(&r, 1, "a.example");
            }
        }
        seen[e == RMR_OK]++;
        assert_int_equal(e == RMR_OK, r.mem.failed == 0);
        rig_end(&r);
    }
    assert_int_equal(seen[0], 3);
}

static void without_randomness_nothing_is_asked(void **state)
{
    (void)state;
    rig r;
    begin(&r, 1);
    r.rng.fail_at = r.rng.calls + 1;
    assert_int_equal(rmr_dns_query(r.d, r.now, 1, "a.example"), RMR_E_RNG);
    assert_true(rmr_dns_is_idle(r.d));
    rig_query(&r, 1, "a.example");
    rig_end(&r);
}

static void a_resolver_needs_a_callback(void **state)
{
    (void)state;
    rig r;
    rig_prepare(&r);
    rmr_dns_config cfg = {0};
    assert_int_equal(rmr_dns_new(&r.d, &r.env, &cfg), RMR_E_INVAL);
    assert_null(r.d);
    rmr_dns_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(literals_localhost_and_hosts_are_answered_at_once),
        cmocka_unit_test(other_names_need_a_server),
        cmocka_unit_test(both_families_are_asked_at_once_and_answered_in_turn),
        cmocka_unit_test(one_family_is_enough_after_half_a_second),
        cmocka_unit_test(no_address_and_no_name_are_not_found),
        cmocka_unit_test(a_cut_answer_gives_what_there_is_or_is_refused),
        cmocka_unit_test(no_more_than_sixteen_addresses_come),
        cmocka_unit_test(silent_servers_are_rotated_until_the_tries_end),
        cmocka_unit_test(a_query_that_can_not_be_sent_times_out_too),
        cmocka_unit_test(a_long_sleep_costs_one_try_not_all),
        cmocka_unit_test(
            a_failing_server_hands_on_at_once_and_all_failing_is_refused),
        cmocka_unit_test(a_broken_answer_is_a_failure_of_its_server),
        cmocka_unit_test(a_server_without_edns_is_asked_without),
        cmocka_unit_test(a_late_answer_of_an_earlier_server_counts),
        cmocka_unit_test(new_servers_are_asked_for_open_queries),
        cmocka_unit_test(without_servers_open_queries_end),
        cmocka_unit_test(an_answer_must_match_id_question_and_server),
        cmocka_unit_test(ids_are_random_and_differ),
        cmocka_unit_test(single_labels_get_the_search_domains_in_order),
        cmocka_unit_test(a_failure_on_the_way_is_told_when_nothing_is_found),
        cmocka_unit_test(a_cancelled_query_is_never_answered),
        cmocka_unit_test(callbacks_may_ask_but_not_pump),
        cmocka_unit_test(there_are_no_more_queries_than_the_config_allows),
        cmocka_unit_test(a_small_buffer_loses_nothing),
        cmocka_unit_test(a_clock_that_goes_back_or_ends_is_no_trouble),
        cmocka_unit_test(each_failing_allocation_is_told_and_leaks_nothing),
        cmocka_unit_test(without_randomness_nothing_is_asked),
        cmocka_unit_test(a_resolver_needs_a_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
