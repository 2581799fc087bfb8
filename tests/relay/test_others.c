/* The relay and others: who is asked for admission, and the mesh. */
#include "rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static rig r, r2;
static rig_client a, b;

/* ---- admission by URL -------------------------------------------------- */

static void start_asking(bool fail_closed)
{
    rmr_relay_config cfg;
    rig_init(&r);
    rig_config(&r, &cfg);
    cfg.verify_url = "http://127.0.0.1:8080/verify";
    cfg.verify_fail_closed = fail_closed;
    assert_int_equal(rig_new(&r, &cfg), RMR_OK);
}

static const char yes[] = "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n"
                          "{\"Allow\":true}";

static void a_client_waits_for_its_admission(void **st)
{
    (void)st;
    start_asking(false);
    rig_client_open(&r, &a, 1, false);
    assert_false(a.up);
    rig_stream *s = rig_dialled(&r);
    assert_non_null(s);
    assert_int_equal(s->to.port, 8080);
    rig_answer_dial(&r, s, RMR_OK);
    const char *got = rig_out(s);
    assert_memory_equal(got, "POST /verify HTTP/1.1\r\n", 23);
    assert_non_null(strstr(got, "\r\nHost: 127.0.0.1:8080\r\n"));
    assert_null(strstr(got, "Content-Type"));
    assert_non_null(strstr(got, "{\"NodePublic\":\"nodekey:"));
    assert_non_null(strstr(got, "\",\"Source\":\"192.0.2.77\"}"));
    rig_say(&r, s, yes);
    rig_client_run(&a);
    assert_true(a.up);
    rig_client_free(&a);
    rig_end(&r);
}

/* ---- admission by the host ---------------------------------------------- */

static uint8_t known[32];
static int n_asked;

static bool may_enter(void *user, const uint8_t key[32], const rmr_addr *from)
{
    char ip[RMR_ADDR_TEXT_MAX];
    assert_ptr_equal(user, &r);
    assert_string_equal(rmr_addr_ip_text(from, ip), "192.0.2.77");
    n_asked++;
    return memcmp(key, known, sizeof known) == 0;
}

static void start_with_host(const char *url)
{
    rmr_relay_config cfg;
    rig_client probe;
    rig_init(&r);
    rig_config(&r, &cfg);
    cfg.verify_url = url;
    r.cb.may_enter = may_enter;
    n_asked = 0;
    assert_int_equal(rig_new(&r, &cfg), RMR_OK);
    memset(known, 0, sizeof known);
    rig_client_open(&r, &probe, 1, false); /* for its key */
    assert_false(probe.up);
    memcpy(known, probe.key, sizeof known);
    rig_client_free(&probe);
}

static const char *metrics(void)
{
    static char text[RMR_RELAY_METRICS_MAX + 1];
    size_t len = 0;
    assert_int_equal(
        rmr_relay_metrics(r.relay, rmr_buf_of(text, sizeof text - 1), &len),
        RMR_OK);
    text[len] = '\0';
    return text;
}

static void the_host_says_who_may_enter(void **st)
{
    (void)st;
    start_with_host(NULL);
    rig_client_open(&r, &a, 1, false);
    assert_true(a.up);
    rig_client_open(&r, &b, 2, false);
    assert_false(b.up);
    assert_true(b.s->closed);
    assert_int_equal(n_asked, 3);
    assert_non_null(
        strstr(metrics(), "verifications{result=\"admitted\"} 1\n"));
    assert_non_null(strstr(metrics(), "verifications{result=\"refused\"} 2\n"));
    rig_client_free(&a);
    rig_client_free(&b);
    rig_end(&r);
}

/* Its node was removed, say. */
static void who_may_no_longer_is_sent_away_within_a_minute(void **st)
{
    (void)st;
    start_with_host(NULL);
    rig_client_open(&r, &a, 1, false);
    rig_run(&r, 90 * RMR_SEC);
    rig_client_run(&a);
    assert_false(a.s->closed);
    memset(known, 0, sizeof known);
    rig_run(&r, 60 * RMR_SEC);
    assert_true(a.s->closed);
    assert_non_null(strstr(metrics(), "verifications{result=\"refused\"} 2\n"));
    rig_client_free(&a);
    rig_end(&r);
}

/* Who is refused by the host is not asked for; who is not is. */
static void a_url_is_asked_behind_the_host(void **st)
{
    (void)st;
    start_with_host("http://127.0.0.1:8080/verify");
    assert_null(rig_dialled(&r));
    rig_client_open(&r, &a, 1, false);
    assert_false(a.up);
    rig_answer_dial(&r, rig_dialled(&r), RMR_E_REFUSED);
    rig_client_run(&a);
    assert_true(a.up);
    rig_client_free(&a);
    rig_end(&r);
}

/* ---- answers of a URL ---------------------------------------------------- */

static void answers_other_than_yes_refuse(void **st)
{
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"Allow\":false}",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue",
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n[true]",
        "HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"Allow\":[true]}",
        "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"Allow\":\"yes\"",
        "HTTP/1.1 403 No\r\nContent-Length: 14\r\n\r\n{\"Allow\":true}",
        "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
    };
    (void)st;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        start_asking(false);
        rig_client_open(&r, &a, 1, false);
        size_t before = a.s->out_len;
        rig_stream *s = rig_dialled(&r);
        rig_answer_dial(&r, s, RMR_OK);
        rig_say(&r, s, answers[i]);
        rig_client_run(&a);
        assert_false(a.up);
        assert_true(a.s->closed);
        assert_int_equal(a.s->out_len, before); /* without a word */
        rig_client_free(&a);
        rig_end(&r);
    }
}

static void a_url_that_is_away_does_as_configured(void **st)
{
    (void)st;
    for (int closed = 0; closed < 2; closed++) {
        start_asking(closed == 1);
        rig_client_open(&r, &a, 1, false);
        rig_answer_dial(&r, rig_dialled(&r), RMR_E_REFUSED);
        rig_client_run(&a);
        assert_int_equal(a.up, closed == 0);
        assert_int_equal(a.s->closed, closed == 1);
        assert_int_equal(r.trouble, 1);
        rig_client_free(&a);
        rig_end(&r);
    }
}

static void a_url_that_says_nothing_has_5_seconds(void **st)
{
    (void)st;
    for (int closed = 0; closed < 2; closed++) {
        start_asking(closed == 1);
        rig_client_open(&r, &a, 1, false);
        rig_answer_dial(&r, rig_dialled(&r), RMR_OK);
        rig_run(&r, 4900 * RMR_MS);
        rig_client_run(&a);
        assert_false(a.up || a.s->closed);
        rig_run(&r, 200 * RMR_MS);
        rig_client_run(&a);
        assert_int_equal(a.up, closed == 0);
        assert_int_equal(a.s->closed, closed == 1);
        rig_client_free(&a);
        rig_end(&r);
    }
}

static void one_connection_serves_several_questions(void **st)
{
    (void)st;
    start_asking(false);
    rig_client_open(&r, &a, 1, false);
    rig_stream *s = rig_dialled(&r);
    rig_answer_dial(&r, s, RMR_OK);
    rig_say(&r, s, yes);
    rig_drop_out(s);
    rig_client_open(&r, &b, 2, false);
    assert_null(rig_dialled(&r));
    assert_non_null(strstr(rig_out(s), "POST /verify"));
    /* It dies instead of answering: asked once more, on another. */
    rig_reset(&r, s);
    s = rig_dialled(&r);
    assert_non_null(s);
    rig_answer_dial(&r, s, RMR_OK);
    rig_say(&r, s, yes);
    rig_client_run(&b);
    assert_true(b.up);
    rig_client_free(&a);
    rig_client_free(&b);
    rig_end(&r);
}

static void one_that_leaves_while_it_waits_is_forgotten(void **st)
{
    (void)st;
    start_asking(false);
    rig_client_open(&r, &a, 1, false);
    rig_stream *s = rig_dialled(&r);
    rig_answer_dial(&r, s, RMR_OK);
    rig_eof(&r, a.s);
    rig_say(&r, s, yes); /* nobody's answer */
    rig_client_open(&r, &b, 2, false);
    rig_say(&r, s, yes);
    rig_client_run(&b);
    assert_true(b.up);
    rig_client_free(&a);
    rig_client_free(&b);
    rig_end(&r);
}

/* Clients that log in and leave must not take all askers for good. */
static void questions_of_clients_that_left_end_as_well(void **st)
{
    enum { ASKERS = 8 };
    rig_stream *s[ASKERS];
    (void)st;
    start_asking(true);
    for (int i = 0; i < ASKERS; i++) {
        rig_client_open(&r, &a, 1, false);
        s[i] = rig_dialled(&r);
        assert_non_null(s[i]);
        rig_answer_dial(&r, s[i], RMR_OK);
        rig_eof(&r, a.s);
        rig_client_free(&a);
    }
    rig_run(&r, 5100 * RMR_MS); /* the URL says nothing to any of them */
    rig_client_open(&r, &b, 2, false);
    rig_stream *next = rig_dialled(&r);
    assert_non_null(next);
    rig_answer_dial(&r, next, RMR_OK);
    rig_say(&r, next, yes);
    rig_client_run(&b);
    assert_true(b.up);
    rig_client_free(&b);
    rig_end(&r);
}

/* Its head came: what happens to the body makes no yes of it. */
static void a_status_counts_whatever_becomes_of_the_body(void **st)
{
    static const char *const heads[] = {
        "HTTP/1.1 403 No\r\nContent-Length: 5000\r\n\r\n<html>",
        "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{\"Allow\":true}",
        "HTTP/1.1 403 No\r\nContent-Length: 100\r\n\r\n<html>",
        "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\nzz",
        "HTTP/1.1 200 OK\r\n\r\n{\"Allow\":",
    };
    (void)st;
    for (size_t i = 0; i < 2 * sizeof heads / sizeof *heads; i++) {
        start_asking(false);
        rig_client_open(&r, &a, 1, false);
        rig_stream *s = rig_dialled(&r);
        rig_answer_dial(&r, s, RMR_OK);
        rig_say(&r, s, heads[i / 2]);
        if (i % 2 == 0 && !s->closed)
            rig_reset(&r, s);
        else
            rig_run(&r, 5100 * RMR_MS);
        rig_client_run(&a);
        assert_false(a.up);
        assert_true(a.s->closed);
        rig_client_free(&a);
        rig_end(&r);
    }
}

/* ... and is not the next one's. */
static void a_status_is_forgotten_with_its_question(void **st)
{
    (void)st;
    start_asking(false);
    rig_client_open(&r, &a, 1, false);
    rig_stream *s = rig_dialled(&r);
    rig_answer_dial(&r, s, RMR_OK);
    rig_say(&r, s, yes);
    rig_eof(&r, s);
    rig_client_open(&r, &b, 2, false);
    rig_answer_dial(&r, rig_dialled(&r), RMR_E_REFUSED);
    rig_client_run(&b);
    assert_true(b.up); /* as configured */
    rig_client_free(&a);
    rig_client_free(&b);
    rig_end(&r);
}

/* A crowd must not be a way past a URL that says no: one who was never asked
 * for, because the URL was busy with others, is not admitted. */
static void a_crowd_is_no_way_past_the_url(void **st)
{
    enum { ASKERS = 8 };
    static rig_client crowd[ASKERS];
    static const char no[] = "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n";
    rig_stream *s[ASKERS];
    (void)st;
    start_asking(false);
    for (uint8_t i = 0; i < ASKERS; i++) {
        rig_client_open(&r, &crowd[i], (uint8_t)(i + 10), false);
        s[i] = rig_dialled(&r);
        rig_answer_dial(&r, s[i], RMR_OK);
    }
    rig_client_open(&r, &a, 1, false);
    rig_client_open(&r, &b, 2, false);
    rig_run(&r, 4 * RMR_SEC);
    rig_say(&r, s[0], no); /* a is asked for now, and has its 5 s */
    rig_run(&r, 1100 * RMR_MS);
    rig_client_run(&b);
    assert_false(b.up);
    assert_true(b.s->closed);
    assert_false(a.s->closed);
    rig_say(&r, s[0], no);
    rig_client_run(&a);
    assert_true(a.s->closed && !a.up);
    for (int i = 0; i < ASKERS; i++)
        rig_client_free(&crowd[i]);
    rig_client_free(&a);
    rig_client_free(&b);
    rig_end(&r);
}

/* Where it says nothing at all, those who wait are as those who are asked. */
static void a_crowd_at_a_dead_url_is_admitted_as_configured(void **st)
{
    enum { ASKERS = 8 };
    static rig_client crowd[ASKERS];
    (void)st;
    start_asking(false);
    for (uint8_t i = 0; i < ASKERS; i++) {
        rig_client_open(&r, &crowd[i], (uint8_t)(i + 10), false);
        rig_answer_dial(&r, rig_dialled(&r), RMR_OK);
    }
    rig_client_open(&r, &a, 1, false);
    rig_run(&r, 5100 * RMR_MS);
    rig_client_run(&a);
    assert_true(a.up);
    for (int i = 0; i < ASKERS; i++)
        rig_client_free(&crowd[i]);
    rig_client_free(&a);
    rig_end(&r);
}

/* ---- the mesh ---------------------------------------------------------- */

static const uint8_t mesh_key[32] = {1, 2, 3};

typedef struct wire { /* one of r's dialled streams, and its end at r2 */
    rig_stream *out, *in;
    size_t out_seen, in_seen;
} wire;

static void start_mesh(rig *at, uint8_t key, bool dials)
{
    static uint8_t private_key[32];
    rmr_relay_config cfg;
    rmr_dial dial;
    assert_int_equal(rmr_relay_mesh_dial("http://127.0.0.1:3340", &dial),
                     RMR_OK);
    rig_init(at);
    test_rng_seed(&at->rng, key);
    rig_config(at, &cfg);
    memset(private_key, key, sizeof private_key);
    cfg.private_key = private_key;
    cfg.mesh_key = mesh_key;
    cfg.mesh = &dial;
    cfg.n_mesh = dials ? 1 : 0;
    assert_int_equal(rig_new(at, &cfg), RMR_OK);
}

static void wire_open(wire *w, rig *to)
{
    memset(w, 0, sizeof *w);
    w->out = rig_dialled(&r);
    assert_non_null(w->out);
    w->in = rig_connect(to, 3340);
    rig_answer_dial(&r, w->out, RMR_OK);
}

static void wire_run(wire *w, rig *to)
{
    for (int i = 0; i < 20; i++) {
        size_t n = w->out->out_len - w->out_seen;
        if (n > 0)
            rig_give(to, w->in, w->out->out + w->out_seen, n);
        w->out_seen += n;
        size_t m = w->in->out_len - w->in_seen;
        if (m > 0)
            rig_give(&r, w->out, w->in->out + w->in_seen, m);
        w->in_seen += m;
        if (n + m == 0)
            return;
    }
}

static void packets_cross_the_mesh(void **st)
{
    wire w;
    (void)st;
    start_mesh(&r, 11, true);
    start_mesh(&r2, 22, false);
    wire_open(&w, &r2);
    wire_run(&w, &r2);
    rig_client_open(&r, &a, 1, false);
    rig_client_open(&r2, &b, 2, false);
    assert_true(a.up && b.up);
    wire_run(&w, &r2); /* b's presence */
    rig_client_send(&a, b.key, "over", 4);
    wire_run(&w, &r2);
    rig_client_run(&b);
    assert_int_equal(b.n_got, 1);
    assert_memory_equal(b.got, "over", 4);
    assert_memory_equal(b.from, a.key, 32);
    /* It leaves there: here, nobody knows it. */
    rig_eof(&r2, b.s);
    wire_run(&w, &r2);
    rig_client_send(&a, b.key,
                    "TS\xf0\x9f\x92\xac 0123456789012345678901234567"
                    "8901234567890123456789012345678901234567890",
                    70);
    assert_int_equal(a.n_gone, 1);
    assert_int_equal(a.gone_reason, 1);
    rig_client_free(&a);
    rig_client_free(&b);
    rig_end(&r);
    rig_end(&r2);
}

static void a_mesh_connection_that_breaks_is_made_again(void **st)
{
    wire w;
    (void)st;
    start_mesh(&r, 11, true);
    start_mesh(&r2, 22, false);
    wire_open(&w, &r2);
    wire_run(&w, &r2);
    rig_client_open(&r2, &b, 2, false);
    wire_run(&w, &r2);
    rig_client_open(&r, &a, 1, false);
    rig_reset(&r2, w.in);
    rig_reset(&r, w.out);
    assert_int_equal(r.trouble, 1);
    rig_client_send(&a, b.key, "lost", 4);
    rig_run(&r, 5 * RMR_SEC);
    wire_open(&w, &r2);
    wire_run(&w, &r2);
    rig_client_send(&a, b.key, "found", 5);
    wire_run(&w, &r2);
    rig_client_run(&b);
    assert_int_equal(b.n_got, 1);
    assert_memory_equal(b.got, "found", 5);
    rig_client_free(&a);
    rig_client_free(&b);
    rig_end(&r);
    rig_end(&r2);
}

/* Who did not prove its key in the login claims no other. */
static void a_stranger_in_the_mesh_claims_nothing(void **st)
{
    static const uint8_t magic[8] = {'D',  'E',  'R',  'P',
                                     0xf0, 0x9f, 0x94, 0x91};
    uint8_t hello[5 + 40] = {RMR_DERP_SERVER_KEY, 0, 0, 0, 40};
    uint8_t present[5 + 51] = {RMR_DERP_PEER_PRESENT, 0, 0, 0, 51};
    (void)st;
    start_mesh(&r, 11, true);
    rig_client_open(&r, &a, 1, false);
    memcpy(hello + 5, magic, 8);
    memcpy(hello + 13, a.key, 32); /* some public key */
    memset(present + 5, 77, 32);
    rig_stream *s = rig_dialled(&r);
    rig_answer_dial(&r, s, RMR_OK);
    rig_say(&r, s,
            "HTTP/1.1 101 Switching Protocols\r\n"
            "Connection: Upgrade\r\nUpgrade: DERP\r\n\r\n");
    rig_give(&r, s, hello, sizeof hello);
    rig_give(&r, s, present, sizeof present);
    assert_false(s->closed);
    rig_client_send(&a, present + 5,
                    "TS\xf0\x9f\x92\xac 0123456789012345678901234567"
                    "8901234567890123456789012345678901234567890",
                    70);
    assert_int_equal(a.n_gone, 1);
    rig_client_free(&a);
    rig_end(&r);
}

/* The time of each try, when none succeeds. */
static void times_of_tries(uint8_t seed, rmr_time at[], int n)
{
    start_mesh(&r, seed, true);
    for (int i = 0; i < n; i++) {
        rig_stream *s = rig_dialled(&r);
        for (int left = 1000; !s && left > 0; left--) {
            rig_run(&r, 10 * RMR_MS);
            s = rig_dialled(&r);
        }
        assert_non_null(s);
        at[i] = r.now;
        rig_answer_dial(&r, s, RMR_E_REFUSED);
        memset(s, 0, sizeof *s); /* the rig has few */
    }
    assert_int_equal(r.trouble, 1); /* said once */
    rig_end(&r);
}

/* Relays that lost the same one must not all come back at the same time. */
static void a_relay_that_stays_away_is_tried_ever_less_often(void **st)
{
    enum { TRIES = 60 };
    rmr_time one[TRIES], other[TRIES];
    int differ = 0;
    (void)st;
    times_of_tries(11, one, TRIES);
    times_of_tries(12, other, TRIES);
    for (int i = 1; i < TRIES; i++) {
        rmr_dur gap = one[i] - one[i - 1];
        rmr_dur mean = (rmr_dur)i * (rmr_dur)i * 10 * RMR_MS;
        if (mean > 5 * RMR_SEC)
            mean = 5 * RMR_SEC;
        assert_true(gap + 20 * RMR_MS >= mean / 2);
        assert_true(gap <= mean + mean / 2 + 20 * RMR_MS);
        differ += gap != other[i] - other[i - 1];
    }
    assert_true(differ > TRIES / 2);
}

static void a_relay_that_meets_itself_lets_go(void **st)
{
    wire w;
    (void)st;
    start_mesh(&r, 11, true);
    wire_open(&w, &r);
    wire_run(&w, &r);
    assert_true(w.out->closed);
    rig_run(&r, 60 * RMR_SEC);
    assert_null(rig_dialled(&r));
    assert_int_equal(r.trouble, 0);
    rig_end(&r);
}

static void places_to_mesh_with_are_names_ports_and_urls(void **st)
{
    rmr_dial d;
    (void)st;
    assert_int_equal(rmr_relay_mesh_dial("derp1b.example.com", &d), RMR_OK);
    assert_string_equal(d.host, "derp1b.example.com");
    assert_true(d.tls && d.port == 443);
    assert_int_equal(rmr_relay_mesh_dial("derp1b.example.com:8443", &d),
                     RMR_OK);
    assert_true(d.tls && d.port == 8443);
    assert_int_equal(rmr_relay_mesh_dial("http://10.0.0.1:3340", &d), RMR_OK);
    assert_true(!d.tls && d.port == 3340);
    assert_int_not_equal(rmr_relay_mesh_dial("", &d), RMR_OK);
    assert_int_not_equal(rmr_relay_mesh_dial("a b", &d), RMR_OK);
    assert_int_not_equal(rmr_relay_mesh_dial("ftp://a", &d), RMR_OK);
}

/* ---- WebSocket --------------------------------------------------------- */

#define WS                                                                     \
    "GET /derp HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"                 \
    "Upgrade: websocket\r\nSec-WebSocket-Protocol: derp\r\n"

static void a_websocket_gets_its_greeting_in_a_frame(void **st)
{
    (void)st;
    rig_start(&r);
    rig_stream *s = rig_connect(&r, 3340);
    rig_say(&r, s,
            WS "Sec-WebSocket-Version: 13\r\n"
               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    const char *got = rig_out(s);
    assert_non_null(strstr(got, "HTTP/1.1 101 "));
    assert_non_null(strstr(got, "Sec-WebSocket-Accept: "
                                "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    assert_non_null(strstr(got, "Sec-WebSocket-Protocol: derp\r\n"));
    const uint8_t *f = (const uint8_t *)strstr(got, "\r\n\r\n") + 4;
    assert_int_equal(f[0], 0x82); /* one binary message, unmasked */
    assert_int_equal(f[1], 45);
    assert_int_equal(f[2], RMR_DERP_SERVER_KEY);
    /* A text message is refused with 1003. */
    static const uint8_t text[] = {0x81, 0x82, 0, 0, 0, 0, 'h', 'i'};
    static const uint8_t close_1003[] = {0x03, 0xeb};
    rig_drop_out(s);
    rig_give(&r, s, text, sizeof text);
    assert_true(s->out_len >= 4);
    assert_int_equal(s->out[0], 0x88);
    assert_memory_equal(s->out + 2, close_1003, 2);
    assert_true(s->closed);
    rig_end(&r);
}

static void a_websocket_without_its_key_is_refused(void **st)
{
    (void)st;
    rig_start(&r);
    rig_stream *s = rig_connect(&r, 3340);
    rig_say(&r, s, WS "Sec-WebSocket-Version: 13\r\n\r\n");
    assert_non_null(strstr(rig_out(s), "HTTP/1.1 400 "));
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T cmocka_unit_test
        T(a_client_waits_for_its_admission),
        T(the_host_says_who_may_enter),
        T(who_may_no_longer_is_sent_away_within_a_minute),
        T(a_url_is_asked_behind_the_host),
        T(answers_other_than_yes_refuse),
        T(a_url_that_is_away_does_as_configured),
        T(a_url_that_says_nothing_has_5_seconds),
        T(one_connection_serves_several_questions),
        T(one_that_leaves_while_it_waits_is_forgotten),
        T(questions_of_clients_that_left_end_as_well),
        T(a_status_counts_whatever_becomes_of_the_body),
        T(a_status_is_forgotten_with_its_question),
        T(a_crowd_is_no_way_past_the_url),
        T(a_crowd_at_a_dead_url_is_admitted_as_configured),
        T(packets_cross_the_mesh),
        T(a_mesh_connection_that_breaks_is_made_again),
        T(a_stranger_in_the_mesh_claims_nothing),
        T(a_relay_that_stays_away_is_tried_ever_less_often),
        T(a_relay_that_meets_itself_lets_go),
        T(places_to_mesh_with_are_names_ports_and_urls),
        T(a_websocket_gets_its_greeting_in_a_frame),
        T(a_websocket_without_its_key_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
