/* How often strangers may begin handshakes, and make the server write lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "crd_internal.h"
#include "crd_rig.h"
#include "server.h"

static rig r;
static rig_client cl;

static rmr_addr ip(const char *text)
{
    rmr_addr a;
    assert_int_equal(rmr_addr_parse_ip(rmr_bytes_str(text), &a), RMR_OK);
    a.port = 40000;
    return a;
}

/* ---- the table ----------------------------------------------------------- */

static crd_limit table;
static rmr_dur wait;

static void set_table(uint32_t per_sec, uint32_t burst)
{
    static const rmr_hash_key key;
    memset(&table, 0, sizeof table);
    rmri_crd_limit_init(&table, &key, per_sec, burst);
}

static bool take(rmr_time now, const char *from)
{
    rmr_addr a = ip(from);
    return rmri_crd_limit_take(&table, now, &a, &wait);
}

static void a_bucket_is_emptied_and_fills_again(void **s)
{
    (void)s;
    set_table(2, 3);
    for (int i = 0; i < 3; i++)
        assert_true(take(RMR_SEC, "192.0.2.1"));
    assert_false(take(RMR_SEC, "192.0.2.1"));
    assert_int_equal(wait, RMR_SEC / 2);
    assert_false(take(RMR_SEC + 499 * RMR_MS, "192.0.2.1"));
    assert_int_equal(wait, RMR_MS);
    assert_true(take(RMR_SEC + 500 * RMR_MS, "192.0.2.1"));
    assert_false(take(RMR_SEC + 500 * RMR_MS, "192.0.2.1"));
    /* A long rest gives no more than the burst. */
    for (int i = 0; i < 3; i++)
        assert_true(take(100 * RMR_SEC, "192.0.2.1"));
    assert_false(take(100 * RMR_SEC, "192.0.2.1"));
}

static void buckets_are_of_addresses_and_networks(void **s)
{
    (void)s;
    set_table(1, 1);
    assert_true(take(0, "192.0.2.1"));
    assert_false(take(0, "192.0.2.1"));
    assert_true(take(0, "192.0.2.2"));
    assert_true(take(0, "2001:db8:0:1::1"));
    assert_false(take(0, "2001:db8:0:1:ffff::2"));
    assert_true(take(0, "2001:db8:0:2::1"));
    assert_true(take(0, "c000:201::")); /* the bytes of 192.0.2.1 */
}

static void no_rate_is_no_limit(void **s)
{
    (void)s;
    set_table(0, 0);
    for (int i = 0; i < 100000; i++)
        assert_true(take(0, "192.0.2.1"));
}

/* Whoever has a million networks: others are let in all the same, and those
 * that owe most are remembered longest. */
static void many_networks_take_nothing_from_others(void **s)
{
    rmr_addr a = ip("2001:db8::1");
    (void)s;
    set_table(1, 4);
    for (int i = 0; i < 4; i++)
        assert_true(take(0, "192.0.2.1"));
    for (uint32_t i = 0; i < 1000000; i++) {
        memcpy(a.ip + 4, &i, sizeof i);
        (void)rmri_crd_limit_take(&table, 0, &a, &wait);
    }
    assert_false(take(0, "192.0.2.1"));
    for (int i = 0; i < 4; i++)
        assert_true(take(0, "198.51.100.7"));
    assert_false(take(0, "198.51.100.7"));
}

/* ---- handshakes ---------------------------------------------------------- */

static void serve(uint32_t per_sec, uint32_t burst)
{
    static rmr_prefix proxy;
    rmr_coord_config cfg;
    rig_config(&cfg);
    (void)rmr_prefix_parse(rmr_bytes_str("10.0.0.0/8"), &proxy);
    cfg.handshake_rate = per_sec;
    cfg.handshake_burst = burst;
    cfg.proxies = &proxy;
    cfg.n_proxies = 1;
    rig_init(&r, &cfg);
}

static bool join(const char *from)
{
    rmr_addr a = ip(from);
    bool ok = rig_join_from(&cl, &r, 1, 138, &a);
    cl.c->got[cl.c->n_got] = 0;
    return ok;
}

static bool said(const char *text)
{
    return strstr((const char *)cl.c->got, text) != NULL;
}

static void handshakes_of_an_address_are_limited(void **s)
{
    (void)s;
    serve(1, 2);
    for (int i = 0; i < 2; i++) {
        assert_true(join("192.0.2.1"));
        rig_part(&cl);
    }
    assert_false(join("192.0.2.1"));
    assert_true(said("HTTP/1.1 429 Too Many Requests\r\n"));
    assert_true(said("\r\nRetry-After: 1\r\n"));
    rig_leave(&r, cl.c, true);
    assert_int_equal(server_stats(r.coord).handshakes, 2);
    assert_int_equal(server_stats(r.coord).limited, 1);
    assert_true(join("192.0.2.2"));
    rig_part(&cl);
    rig_wait(&r, RMR_SEC);
    assert_true(join("192.0.2.1"));
    rig_part(&cl);
    assert_int_equal(server_stats(r.coord).limited, 1);
    rig_free(&r);
}

/* What is no handshake costs nothing, and takes nothing. */
static void other_requests_are_not(void **s)
{
    rmr_addr a = ip("192.0.2.1");
    (void)s;
    serve(1, 1);
    rig_conn *c = rig_open_from(&r, 0, &a);
    for (int i = 0; i < 10; i++) {
        rig_text(&r, c, "GET /key?v=138 HTTP/1.1\r\nHost: h\r\n\r\n");
        c->got[c->n_got] = 0;
        assert_non_null(strstr((const char *)c->got, "HTTP/1.1 200 OK\r\n"));
        rig_take(c, c->n_got);
    }
    rig_text(&r, c,
             "POST /ts2021 HTTP/1.1\r\nHost: h\r\n"
             "Content-Length: 0\r\n\r\n");
    rig_leave(&r, c, true);
    assert_true(join("192.0.2.1"));
    rig_part(&cl);
    rig_free(&r);
}

/* The same handshake as the rig's, in the name of somebody. */
static void upgrade_for(rig_conn *c, const char *client, bool by_websocket)
{
    char text[RMR_BASE64_LEN(RMR_TS_INIT_LEN) + 1], head[640];
    uint8_t hello[RMR_TS_INIT_LEN] = {0, 138, RMR_TS_INITIATION, 0,
                                      RMR_NOISE_MSG1_LEN};
    rmr_base64(text, hello, sizeof hello);
    (void)snprintf(
        head, sizeof head,
        by_websocket
            ? "GET /ts2021?X-Tailscale-Handshake=%s HTTP/1.1\r\nHost: h\r\n"
              "Connection: upgrade\r\nUpgrade: websocket\r\n"
              "Sec-WebSocket-Version: 13\r\n"
              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
              "Sec-WebSocket-Protocol: tailscale-control-protocol\r\n"
              "X-Forwarded-For: %s\r\n\r\n"
            : "POST /ts2021 HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\n"
              "Content-Length: 0\r\nUpgrade: tailscale-control-protocol\r\n"
              "X-Tailscale-Handshake: %s\r\nX-Forwarded-For: %s\r\n\r\n",
        text, client);
    rig_text(&r, c, head);
    c->got[c->n_got] = 0;
}

static unsigned status_by(const char *remote, const char *client, bool ws)
{
    rmr_addr a = ip(remote);
    unsigned status = 0;
    rig_conn *c = rig_open_from(&r, 0, &a);
    upgrade_for(c, client, ws);
    assert_int_equal(sscanf((const char *)c->got, "HTTP/1.1 %3u", &status), 1);
    rig_leave(&r, c, true);
    return status;
}

static void behind_a_proxy_clients_are_limited(void **s)
{
    (void)s;
    for (int ws = 0; ws < 2; ws++) {
        serve(1, 1);
        assert_int_equal(status_by("10.0.0.1", "192.0.2.1", ws), 101);
        assert_int_equal(status_by("10.0.0.1", "192.0.2.1", ws), 429);
        assert_int_equal(status_by("10.0.0.1", "192.0.2.2", ws), 101);
        /* Others may say what they like. */
        assert_int_equal(status_by("203.0.113.5", "192.0.2.3", ws), 101);
        assert_int_equal(status_by("203.0.113.5", "192.0.2.4", ws), 429);
        assert_int_equal(server_stats(r.coord).limited, 2);
        rig_free(&r);
    }
}

static void by_default_many_come_at_once(void **s)
{
    rmr_coord_config cfg;
    (void)s;
    rmr_coord_config_init(&cfg, sizeof cfg);
    assert_int_equal(cfg.handshake_rate, 100);
    assert_int_equal(cfg.handshake_burst, 8192);
    /* The server starts anew, and 2,000 nodes behind one NAT come back, each
     * four times at once; they are not kept out by who fills the table. */
    set_table(cfg.handshake_rate, cfg.handshake_burst);
    rmr_addr other = ip("2001:db8::1");
    for (uint32_t i = 0; i < 4 * 2000; i++) {
        assert_true(take(RMR_SEC, "192.0.2.1"));
        memcpy(other.ip + 4, &i, sizeof i);
        (void)rmri_crd_limit_take(&table, RMR_SEC, &other, &wait);
    }
    /* And with all of it used, a hundred a second. */
    while (take(RMR_SEC, "192.0.2.1"))
        ;
    for (int i = 0; i < 100; i++)
        assert_true(take(2 * RMR_SEC, "192.0.2.1"));
    assert_false(take(2 * RMR_SEC, "192.0.2.1"));
}

/* ---- lines --------------------------------------------------------------- */

static size_t lines_with(const char *text)
{
    size_t n = 0;
    for (const char *p = r.log.text; (p = strstr(p, text)) != NULL; p++)
        n++;
    return n;
}

static void bad_handshake(void)
{
    rmr_addr a = ip("192.0.2.1");
    rig_conn *c = rig_open_from(&r, 0, &a);
    upgrade_for(c, "198.51.100.7", false);
    rig_leave(&r, c, true);
}

static void refused_handshakes_do_not_fill_the_log(void **s)
{
    (void)s;
    serve(0, 0);
    r.log.len = 0;
    for (int i = 0; i < 500; i++)
        bad_handshake();
    assert_int_equal(lines_with("a handshake from 192.0.2.1 is refused"), 60);
    assert_int_equal(lines_with("left out"), 0);
    rig_wait(&r, 2 * RMR_SEC);
    bad_handshake();
    assert_int_equal(lines_with("refused handshakes: 440 lines were left out"),
                     1);
    assert_int_equal(lines_with("a handshake from 192.0.2.1 is refused"), 61);
    bad_handshake();
    assert_int_equal(lines_with("left out"), 1);
    rig_free(&r);
}

static void so_do_not_guesses_of_keys(void **s)
{
    rmr_addr a = ip("192.0.2.1");
    (void)s;
    serve(0, 0);
    for (int i = 0; i < 100; i++) {
        rig_conn *c = rig_open_from(&r, 0, &a);
        rig_text(&r, c,
                 "GET /api/v1/node HTTP/1.1\r\nHost: h\r\n"
                 "Authorization: Bearer hskey-api-x\r\n\r\n");
        rig_leave(&r, c, true);
    }
    assert_int_equal(lines_with("an API key from 192.0.2.1 is rejected"), 60);
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bucket_is_emptied_and_fills_again),
        cmocka_unit_test(buckets_are_of_addresses_and_networks),
        cmocka_unit_test(no_rate_is_no_limit),
        cmocka_unit_test(many_networks_take_nothing_from_others),
        cmocka_unit_test(handshakes_of_an_address_are_limited),
        cmocka_unit_test(other_requests_are_not),
        cmocka_unit_test(behind_a_proxy_clients_are_limited),
        cmocka_unit_test(by_default_many_come_at_once),
        cmocka_unit_test(refused_handshakes_do_not_fill_the_log),
        cmocka_unit_test(so_do_not_guesses_of_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
