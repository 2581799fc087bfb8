/* What the coordination server says to one client, and to a hostile one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zstd.h>

#include <remora/text.h>

#include "crd_say.h"

static rig r;
static rig_client a, b;
static char key_text[RMR_COORD_KEY_TEXT];

static void set_up(void)
{
    rmr_coord_config cfg;
    rig_config(&cfg);
    rig_init(&r, &cfg);
}

/* ---- HTTP/1.1 ------------------------------------------------------------ */

static const char *http(const char *request)
{
    static char answer[4096];
    rig_conn *c = rig_open(&r);
    rig_text(&r, c, request);
    size_t n = c->n_got < sizeof answer - 1 ? c->n_got : sizeof answer - 1;
    memcpy(answer, c->got, n);
    answer[n] = '\0';
    rig_leave(&r, c, true);
    return answer;
}

static void the_key_is_told(void **s)
{
    (void)s;
    set_up();
    const char *t = http("GET /key?v=138 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_non_null(strstr(t, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(t, "\"publicKey\":\"mkey:"));
    assert_non_null(strstr(http("GET /key HTTP/1.1\r\nHost: h\r\n\r\n"),
                           "HTTP/1.1 400 Bad Request\r\n"));
    assert_non_null(strstr(http("GET /key?v=38 HTTP/1.1\r\nHost: h\r\n\r\n"),
                           "Content-Length: 0\r\n"));
    assert_non_null(strstr(http("GET /health HTTP/1.1\r\nHost: h\r\n\r\n"),
                           "{\"status\":\"pass\"}"));
    rig_free(&r);
}

static void upgrades_that_are_none_are_told_why(void **s)
{
    static const struct {
        const char *headers, *says;
    } t[] = {
        {"", "missing next protocol"},
        {"Connection: upgrade\r\nUpgrade: other\r\n", "unknown next protocol"},
        {"Connection: upgrade\r\nUpgrade: tailscale-control-protocol\r\n",
         "missing Tailscale handshake header"},
        {"Connection: upgrade\r\nUpgrade: tailscale-control-protocol\r\n"
         "X-Tailscale-Handshake: !!\r\n",
         "invalid tailscale handshake header"},
        {"Connection: upgrade\r\nUpgrade: tailscale-control-protocol\r\n"
         "X-Tailscale-Handshake: AAAA\r\n",
         "this is no handshake initiation"},
    };
    (void)s;
    set_up();
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        char request[512], raw[4096];
        rig_conn *c = rig_open(&r);
        (void)snprintf(request, sizeof request,
                       "POST /ts2021 HTTP/1.1\r\nHost: h\r\n%s"
                       "Content-Length: 0\r\n\r\n",
                       t[i].headers);
        rig_text(&r, c, request);
        size_t n = c->n_got;
        for (size_t k = 0; k < n; k++) /* the frame has a NUL in its head */
            raw[k] = c->got[k] ? (char)c->got[k] : '.';
        raw[n] = '\0';
        if (!strstr(raw, t[i].says))
            fail_msg("%s: %s", t[i].says, raw);
        rig_leave(&r, c, true);
    }
    assert_int_equal(server_stats(r.coord).bad_handshakes, 1);
    assert_int_equal(server_stats(r.coord).handshakes, 0);
    rig_free(&r);
}

static void a_login_page_shows_the_id_alone(void **s)
{
    (void)s;
    set_up();
    const char *t = http("GET /register/hskey-authreq-0123456789abcdef01234567 "
                         "HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_non_null(strstr(t, "--auth-id hskey-authreq-0123456789abcdef"));
    t = http("GET /register/hskey-authreq-<script>alert(1)</scr "
             "HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_null(strstr(t, "script"));
    rig_free(&r);
}

/* ---- the handshake ------------------------------------------------------- */

static void a_client_that_is_too_old_is_told(void **s)
{
    (void)s;
    set_up();
    assert_false(rig_join(&a, &r, 1, 112));
    assert_non_null(strstr(a.refusal, "113"));
    assert_true(a.c->closed);
    rig_part(&a);
    assert_true(rig_join(&a, &r, 1, 113));
    rig_part(&a);
    rig_free(&r);
}

static void another_servers_key_is_told(void **s)
{
    (void)s;
    set_up();
    r.public_key[0] ^= 1;
    assert_false(rig_join(&a, &r, 1, 138));
    assert_non_null(strstr(a.refusal, "another server key"));
    rig_part(&a);
    rig_free(&r);
}

/* The initiation of another: what comes back can't be read, and nothing can be
 * said without the ephemeral key. */
static void a_replayed_handshake_gives_nothing(void **s)
{
    (void)s;
    char text[RMR_BASE64_LEN(RMR_TS_INIT_LEN) + 1], head[512];
    static const uint8_t junk[64] = {RMR_TS_RECORD, 0, 40};
    set_up();
    assert_true(rig_join(&a, &r, 1, 138));
    rig_conn *c = rig_open(&r);
    (void)snprintf(head, sizeof head,
                   "POST /ts2021 HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\n"
                   "Upgrade: tailscale-control-protocol\r\n"
                   "X-Tailscale-Handshake: %s\r\n\r\n",
                   rmr_base64(text, a.ts.hello, sizeof a.ts.hello));
    rig_text(&r, c, head);
    rig_send(&r, c, junk, sizeof junk);
    assert_true(c->closed);
    rig_leave(&r, c, true);
    rig_part(&a);
    rig_free(&r);
}

/* ---- registering --------------------------------------------------------- */

static void a_key_registers_once_or_more(void **s)
{
    char once[RMR_COORD_KEY_TEXT];
    (void)s;
    set_up();
    rmr_coord_key_wish wish = {.user = server_user(r.coord, "alice")};
    server_key(r.coord, &wish, once);
    assert_true(rig_join(&a, &r, 1, 138));
    rig_answer *x = rig_register(&a, KEY1, once, "");
    assert_int_equal(x->status, 200);
    assert_true(rig_says(x, "\"MachineAuthorized\":true"));
    assert_true(rig_says(x, "\"LoginName\":\"alice\""));
    /* The same machine with the same key: it was restarted. */
    x = rig_register(&a, KEY1, once, "");
    assert_true(rig_says(x, "\"MachineAuthorized\":true"));
    x = rig_register(&a, KEY1, NULL, "");
    assert_true(rig_says(x, "\"MachineAuthorized\":true"));
    /* Another machine */
    assert_true(rig_join(&b, &r, 2, 138));
    x = rig_register(&b, KEY2, once, "");
    assert_int_equal(x->status, 200);
    assert_true(rig_says(x, "\"Error\":\"authkey already used\""));
    x = rig_register(&b, KEY2, "nonsense", "");
    assert_true(rig_says(x, "\"Error\":\"invalid pre auth key\""));
    x = rig_register(&b, KEY1, NULL, "");
    assert_true(rig_says(x, "node exists with a different machine key"));
    assert_int_equal(server_stats(r.coord).nodes, 1);
    rig_part(&a);
    rig_part(&b);
    rig_free(&r);
}

static void another_key_of_a_machine_is_the_same_node(void **s)
{
    char key[RMR_COORD_KEY_TEXT];
    rmr_coord_node n;
    (void)s;
    set_up();
    server_user_key(r.coord, server_user(r.coord, "alice"), key);
    assert_true(rig_join(&a, &r, 1, 138));
    rig_register(&a, KEY1, key, "");
    assert_int_equal(rmr_coord_node_get(r.coord, 1, &n), RMR_OK);
    rmr_addr was = n.v4;
    rig_answer *x = rig_register(&a, KEY2, key, ",\"OldNodeKey\":\"" KEY1 "\"");
    assert_true(rig_says(x, "\"MachineAuthorized\":true"));
    assert_int_equal(server_stats(r.coord).nodes, 1);
    assert_int_equal(rmr_coord_node_get(r.coord, 1, &n), RMR_OK);
    assert_true(rmr_addr_eq(&n.v4, &was));
    assert_int_equal(n.node_key[31], 0x22);
    /* The key before is nobody's now. */
    x = rig_ask(&a, "/machine/map",
                "{\"Version\":138,\"NodeKey\":\"" KEY1 "\",\"Stream\":true}");
    assert_int_equal(x->status, 404);
    rig_part(&a);
    rig_free(&r);
}

static void a_logout_ends_the_key(void **s)
{
    char key[RMR_COORD_KEY_TEXT];
    rmr_coord_node n;
    (void)s;
    set_up();
    rmr_coord_key_wish wish = {.user = server_user(r.coord, "alice"),
                               .reusable = true};
    server_key(r.coord, &wish, key);
    wish.ephemeral = true;
    char ephemeral[RMR_COORD_KEY_TEXT];
    server_key(r.coord, &wish, ephemeral);
    assert_true(rig_join(&a, &r, 1, 138));
    assert_true(rig_join(&b, &r, 2, 138));
    rig_register(&a, KEY1, key, "");
    rig_register(&b, KEY2, ephemeral, "");
    const char *past = ",\"Expiry\":\"1970-01-01T00:02:03Z\"";
    rig_answer *x = rig_register(&a, KEY1, NULL, past);
    assert_true(rig_says(x, "\"NodeKeyExpired\":true"));
    assert_int_equal(rmr_coord_node_get(r.coord, 1, &n), RMR_OK);
    assert_true(n.expired);
    x = rig_register(&a, KEY1, NULL, "");
    assert_true(rig_says(x, "\"NodeKeyExpired\":true"));
    assert_true(rig_says(x, "\"MachineAuthorized\":false"));
    /* An ephemeral node goes at once. */
    (void)rig_register(&b, KEY2, NULL, past);
    assert_int_equal(rmr_coord_node_get(r.coord, 2, &n), RMR_E_NOTFOUND);
    rig_part(&a);
    rig_part(&b);
    rig_free(&r);
}

static void a_login_is_approved_while_the_client_waits(void **s)
{
    char more[256];
    uint64_t id;
    (void)s;
    set_up();
    uint64_t user = server_user(r.coord, "alice");
    assert_true(rig_join(&a, &r, 1, 138));
    rig_answer *x = rig_register(&a, KEY1, NULL, "");
    assert_true(rig_says(x,
                         "\"AuthURL\":\"http://127.0.0.1:8080/register/hskey-"
                         "authreq-"));
    (void)snprintf(more, sizeof more,
                   ",\"Followup\":\"http://127.0.0.1:8080/register/%s\"",
                   r.login);
    rig_answer *wait = rig_register(&a, KEY1, NULL, more);
    assert_int_equal(wait->status, 0); /* it is held */
    assert_int_equal(
        rmr_coord_login_approve(r.coord, "hskey-authreq-x", user, &id),
        RMR_E_NOTFOUND);
    assert_int_equal(rmr_coord_login_approve(r.coord, r.login, 99, &id),
                     RMR_E_NOTFOUND);
    assert_int_equal(rmr_coord_login_approve(r.coord, r.login, user, &id),
                     RMR_OK);
    rig_turn(&r);
    rig_pump(&a);
    assert_int_equal(wait->status, 200);
    assert_true(rig_says(wait, "\"MachineAuthorized\":true"));
    rig_part(&a);
    rig_free(&r);
}

static void a_login_that_nobody_approves_ends(void **s)
{
    char more[256], first[RMR_COORD_LOGIN_TEXT];
    (void)s;
    set_up();
    assert_true(rig_join(&a, &r, 1, 138));
    rig_register(&a, KEY1, NULL, "");
    memcpy(first, r.login, sizeof first);
    (void)snprintf(more, sizeof more, ",\"Followup\":\"http://h/register/%s\"",
                   first);
    rig_answer *wait = rig_register(&a, KEY1, NULL, more);
    rig_wait(&r, 16 * 60 * RMR_SEC);
    rig_pump(&a);
    assert_true(rig_says(wait, "not approved in time"));
    rig_answer *x = rig_register(&a, KEY1, NULL, more);
    assert_true(rig_says(x, "\"AuthURL\":\"http"));
    assert_string_not_equal(first, r.login);
    rig_part(&a);
    rig_free(&r);
}

static void logins_that_wait_are_bounded(void **s)
{
    rmr_coord_config cfg;
    (void)s;
    rig_config(&cfg);
    cfg.max_logins = 3;
    rig_init(&r, &cfg);
    assert_true(rig_join(&a, &r, 1, 138));
    for (int i = 0; i < 5; i++) {
        char key[96];
        (void)snprintf(key, sizeof key, "nodekey:" SIXTY_TWO "%02d", 30 + i);
        rig_answer *x = rig_register(&a, key, NULL, "");
        assert_true(
            rig_says(x, i < 3 ? "\"AuthURL\":\"http" : "too many logins wait"));
    }
    rig_part(&a);
    rig_free(&r);
}

/* ---- the map ------------------------------------------------------------- */

static void a_stream_tells_all_and_then_what_changes(void **s)
{
    char key[RMR_COORD_KEY_TEXT];
    (void)s;
    set_up();
    server_user_key(r.coord, server_user(r.coord, "alice"), key);
    rig_enter(&a, &r, 1, KEY1, key);
    rig_answer *x = rig_stream(&a, KEY1, false);
    const char *t = rig_frames(x);
    assert_non_null(strstr(t, "\"Node\":{\"ID\":1"));
    assert_non_null(strstr(t, "\"Name\":\"h.tail.test.\""));
    assert_non_null(strstr(t, "\"Addresses\":[\"100.64.0.1/32\",\"fd7a:115c:"
                              "a1e0::1/128\"]"));
    assert_non_null(strstr(t, "\"PacketFilters\":{\"base\":[{\"SrcIPs\":["));
    assert_null(strstr(t, "\"Peers\""));
    rig_enter(&b, &r, 2, KEY2, key);
    rig_pump(&a);
    t = rig_frames(x);
    assert_non_null(strstr(t, "\"PeersChanged\":[{\"ID\":2"));
    assert_non_null(strstr(t, "100.64.0.2"));
    /* An update is a patch; one that says nothing new is none. */
    const char *update =
        "{\"Version\":138,\"NodeKey\":\"" KEY2
        "\",\"OmitPeers\":true,\"Endpoints\":[\"1.2.3.4:5\"],\"DiscoKey\":"
        "\"discokey:" SIXTY_TWO "01\",\"Hostinfo\":{\"Hostname\":\"h\","
        "\"NetInfo\":{\"PreferredDERP\":7}}}";
    rig_answer *u = rig_ask(&b, "/machine/map", update);
    assert_int_equal(u->status, 200);
    assert_int_equal(u->len, 0);
    rig_pump(&a);
    t = rig_frames(x);
    assert_non_null(strstr(t, "\"PeersChangedPatch\":[{\"NodeID\":2,"
                              "\"DERPRegion\":7"));
    assert_non_null(strstr(t, "\"Endpoints\":[\"1.2.3.4:5\"]"));
    rig_ask(&b, "/machine/map", update);
    rig_pump(&a);
    assert_int_equal(x->len, 0);
    assert_int_equal(rmr_coord_node_remove(r.coord, 2), RMR_OK);
    rig_turn(&r);
    rig_pump(&a);
    assert_non_null(strstr(rig_frames(x), "\"PeersRemoved\":[2]"));
    rig_part(&a);
    rig_part(&b);
    rig_free(&r);
}

static void another_derp_map_reaches_open_streams(void **s)
{
    static const char old[] = "{\"Regions\":{\"1\":null}}";
    static const char map[] = "{\"Regions\":{\"2\":null}}";
    rmr_coord_config cfg;
    char key[RMR_COORD_KEY_TEXT];
    (void)s;
    rig_config(&cfg);
    cfg.derp_map = rmr_bytes_str(old);
    rig_init(&r, &cfg);
    server_user_key(r.coord, server_user(r.coord, "alice"), key);
    rig_enter(&a, &r, 1, KEY1, key);
    rig_answer *x = rig_stream(&a, KEY1, false);
    assert_non_null(strstr(rig_frames(x), "\"DERPMap\":{\"Regions\":{\"1\":"));
    /* The same, and none. */
    assert_int_equal(rmr_coord_set_derp_map(r.coord, rmr_bytes_str(old)),
                     RMR_OK);
    assert_int_equal(rmr_coord_set_derp_map(r.coord, rmr_bytes_str("[]")),
                     RMR_E_MALFORMED);
    assert_int_equal(rmr_coord_set_derp_map(r.coord, rmr_bytes_str("")),
                     RMR_E_MALFORMED);
    rig_turn(&r);
    rig_pump(&a);
    assert_int_equal(x->len, 0);
    assert_int_equal(rmr_coord_set_derp_map(r.coord, rmr_bytes_str(map)),
                     RMR_OK);
    rig_turn(&r);
    rig_pump(&a);
    const char *t = rig_frames(x);
    assert_non_null(strstr(t, "\"DERPMap\":{\"Regions\":{\"2\":null}}"));
    assert_null(strstr(t, "\"Node\""));
    assert_null(strstr(t, "\"Domain\""));
    rig_wait(&r, 30 * RMR_SEC);
    rig_pump(&a);
    assert_int_equal(x->len, 0); /* once */
    rig_part(&a);
    rig_free(&r);
}

static void another_dns_reaches_open_streams(void **s)
{
    static const rmr_coord_dns_record record = {"wiki.test", "A", "100.64.0.9"};
    static char many[17 * 1024];
    rmr_coord_config cfg;
    rmr_coord_dns dns;
    rmr_coord_dns_record long_one = {many, "A", "100.64.0.9"};
    char key[RMR_COORD_KEY_TEXT];
    (void)s;
    memset(&dns, 0, sizeof dns);
    rig_config(&cfg);
    cfg.dns = &dns;
    rig_init(&r, &cfg);
    server_user_key(r.coord, server_user(r.coord, "alice"), key);
    rig_enter(&a, &r, 1, KEY1, key);
    rig_answer *x = rig_stream(&a, KEY1, false);
    assert_null(strstr(rig_frames(x), "wiki.test"));
    /* The same, and one that is too long. */
    assert_int_equal(rmr_coord_set_dns(r.coord, &dns), RMR_OK);
    memset(many, 'a', sizeof many - 1);
    dns.records = &long_one;
    dns.n_records = 1;
    assert_int_equal(rmr_coord_set_dns(r.coord, &dns), RMR_E_TOOBIG);
    rig_turn(&r);
    rig_pump(&a);
    assert_int_equal(x->len, 0);
    dns.records = &record;
    assert_int_equal(rmr_coord_set_dns(r.coord, &dns), RMR_OK);
    rig_turn(&r);
    rig_pump(&a);
    assert_non_null(strstr(rig_frames(x), "\"ExtraRecords\":[{\"Name\":"
                                          "\"wiki.test\",\"Type\":\"A\","
                                          "\"Value\":\"100.64.0.9\"}]"));
    rig_part(&a);
    rig_free(&r);
}

static void node_keys_are_known(void **s)
{
    char key[RMR_COORD_KEY_TEXT];
    uint8_t own[RMR_KEY_LEN] = {0};
    (void)s;
    set_up();
    own[RMR_KEY_LEN - 1] = 0x11; /* KEY1 */
    assert_false(rmr_coord_has_node_key(r.coord, own));
    server_user_key(r.coord, server_user(r.coord, "alice"), key);
    rig_enter(&a, &r, 1, KEY1, key);
    assert_true(rmr_coord_has_node_key(r.coord, own));
    assert_int_equal(rmr_coord_node_remove(r.coord, 1), RMR_OK);
    assert_false(rmr_coord_has_node_key(r.coord, own));
    rig_part(&a);
    rig_free(&r);
}

static void a_silent_stream_is_kept_alive(void **s)
{
    char key[RMR_COORD_KEY_TEXT];
    (void)s;
    set_up();
    server_user_key(r.coord, server_user(r.coord, "alice"), key);
    rig_enter(&a, &r, 1, KEY1, key);
    rig_answer *x = rig_stream(&a, KEY1, false);
    (void)rig_frames(x);
    rig_wait(&r, 49 * RMR_SEC);
    rig_pump(&a);
    assert_int_equal(x->len, 0);
    rig_wait(&r, 11 * RMR_SEC);
    rig_pump(&a);
    assert_string_equal(rig_frames(x), "{\"KeepAlive\":true}\n");
    rig_wait(&r, 60 * RMR_SEC); /* and on */
    rig_pump(&a);
    assert_string_equal(rig_frames(x), "{\"KeepAlive\":true}\n");
    rig_part(&a);
    rig_free(&r);
}

static void a_keepalive_is_a_frame_of_zstd_where_that_is_asked_for(void **s)
{
    char key[RMR_COORD_KEY_TEXT], text[64];
    (void)s;
    set_up();
    server_user_key(r.coord, server_user(r.coord, "alice"), key);
    rig_enter(&a, &r, 1, KEY1, key);
    rig_answer *x = rig_ask(&a, "/machine/map",
                            "{\"Version\":138,\"Compress\":\"zstd\","
                            "\"NodeKey\":\"" KEY1 "\",\"Stream\":true}");
    x->len = 0;
    rig_wait(&r, 60 * RMR_SEC);
    rig_pump(&a);
    assert_true(x->len > 4);
    assert_int_equal(x->body[0], x->len - 4);
    size_t n = ZSTD_decompress(text, sizeof text, x->body + 4, x->len - 4);
    assert_false(ZSTD_isError(n));
    assert_int_equal(n, 18);
    assert_memory_equal(text, "{\"KeepAlive\":true}", n);
    rig_part(&a);
    rig_free(&r);
}

/* The name that a frame tells; how many frames there were. */
static size_t renamed(rig_answer *x, uint32_t number)
{
    char label[16];
    (void)snprintf(label, sizeof label, "n%u", number);
    assert_int_equal(rmr_coord_node_rename(r.coord, 2, label), RMR_OK);
    rig_turn(&r);
    rig_pump(&a);
    const char *t = rig_frames(x);
    size_t n = 0;
    for (const char *p = t; (p = strchr(p, '\n')); p++)
        n++;
    if (n)
        assert_non_null(strstr(t, label));
    return n;
}

static void many_changes_share_frames(void **s)
{
    char key[RMR_COORD_KEY_TEXT];
    size_t n = 0;
    (void)s;
    set_up();
    server_user_key(r.coord, server_user(r.coord, "alice"), key);
    rig_enter(&a, &r, 1, KEY1, key);
    rig_enter(&b, &r, 2, KEY2, key);
    rig_answer *x = rig_stream(&a, KEY1, false);
    (void)rig_frames(x);
    for (uint32_t i = 0; i < 50; i++)
        n += renamed(x, i);
    assert_int_equal(n, 7);            /* and the first one, which told all */
    rig_wait(&r, 199 * RMR_MS / 1000); /* one peer, and itself: 0.2 ms */
    rig_pump(&a);
    assert_int_equal(x->len, 0);
    rig_wait(&r, RMR_MS / 1000);
    rig_pump(&a);
    assert_non_null(strstr(rig_frames(x), "\"n49.tail.test.\"")); /* the last */
    /* What comes alone never waits, and a pause makes up for what went. */
    rig_wait(&r, RMR_SEC);
    for (uint32_t i = 50; i < 58; i++)
        assert_int_equal(renamed(x, i), 1);
    assert_int_equal(renamed(x, 58), 0);
    rig_wait(&r, 61 * RMR_SEC); /* the keep-alive goes on behind it */
    rig_pump(&a);
    const char *t = rig_frames(x);
    assert_non_null(strstr(t, "\"n58.tail.test.\""));
    assert_non_null(strstr(t, "{\"KeepAlive\":true}\n"));
    rig_part(&a);
    rig_part(&b);
    rig_free(&r);
}

/* What is large is not made for all in one turn; other requests go on. */
static void large_frames_wait_for_other_turns(void **s)
{
    static char map[1100 * 1024];
    char key[RMR_COORD_KEY_TEXT];
    rmr_coord_config cfg;
    (void)s;
    memset(map, ' ', sizeof map);
    map[0] = '{';
    map[sizeof map - 1] = '}';
    rig_config(&cfg);
    cfg.derp_map = rmr_bytes_of(map, sizeof map);
    rig_init(&r, &cfg);
    server_user_key(r.coord, server_user(r.coord, "alice"), key);
    rig_enter(&a, &r, 1, KEY1, key);
    rig_answer *x = rig_stream(&a, KEY1, true);
    assert_int_not_equal(x->len, 0);
    x->len = 0;
    rig_enter(&b, &r, 2, KEY2, key);
    rig_answer *y = rig_stream(&b, KEY2, true);
    rig_pump(&a);
    assert_int_equal(y->status, 200);
    assert_int_equal(x->len, 0);
    assert_int_equal(y->len, 0);
    rig_wait(&r, 1);
    rig_pump(&a);
    rig_pump(&b);
    assert_int_not_equal(x->len, 0);
    assert_int_not_equal(y->len, 0);
    rig_part(&a);
    rig_part(&b);
    rig_free(&r);
}

static void routes_are_served_when_approved(void **s)
{
    char key[RMR_COORD_KEY_TEXT];
    rmr_prefix net, bad;
    (void)s;
    set_up();
    assert_int_equal(rmr_coord_set_policy(r.coord, rmr_bytes_str("{}"), NULL),
                     RMR_OK);
    server_user_key(r.coord, server_user(r.coord, "alice"), key);
    rig_enter(&a, &r, 1, KEY1, key);
    rig_answer *x = rig_stream(&a, KEY1, false);
    rig_enter(&b, &r, 2, KEY2, key);
    rig_ask(&b, "/machine/map",
            "{\"Version\":138,\"NodeKey\":\"" KEY2
            "\",\"OmitPeers\":true,\"Hostinfo\":{\"Hostname\":\"h\","
            "\"RoutableIPs\":[\"10.1.0.0/16\",\"0.0.0.0/0\",\"::/0\"]}}");
    rig_pump(&a);
    const char *t = rig_frames(x);
    assert_non_null(strstr(t, "\"RoutableIPs\":[\"10.1.0.0/16\""));
    assert_null(strstr(t, "PrimaryRoutes"));
    assert_int_equal(rmr_prefix_parse(rmr_bytes_str("10.1.0.0/16"), &net),
                     RMR_OK);
    assert_int_equal(rmr_prefix_parse(rmr_bytes_str("10.1.0.1/16"), &bad),
                     RMR_OK);
    assert_int_equal(rmr_coord_node_approve(r.coord, 2, &bad, 1), RMR_E_INVAL);
    assert_int_equal(rmr_coord_node_approve(r.coord, 2, &net, 1), RMR_OK);
    rig_turn(&r);
    rig_pump(&a);
    t = rig_frames(x);
    assert_non_null(strstr(t, "\"AllowedIPs\":[\"100.64.0.2/32\","
                              "\"fd7a:115c:a1e0::2/128\",\"10.1.0.0/16\"]"));
    assert_non_null(strstr(t, "\"PrimaryRoutes\":[\"10.1.0.0/16\"]"));
    rmr_prefix exit_route;
    assert_int_equal(rmr_prefix_parse(rmr_bytes_str("::/0"), &exit_route),
                     RMR_OK);
    assert_int_equal(rmr_coord_node_approve(r.coord, 2, &exit_route, 1),
                     RMR_OK);
    rig_turn(&r);
    rig_pump(&a);
    t = rig_frames(x);
    assert_non_null(strstr(t, "\"::/0\",\"0.0.0.0/0\"]"));
    assert_null(strstr(t, "PrimaryRoutes"));
    rig_part(&a);
    rig_part(&b);
    rig_free(&r);
}

/* ---- hostile clients ----------------------------------------------------- */

static void requests_that_are_none_are_refused(void **s)
{
    static const struct {
        const char *path, *body;
        uint16_t status;
    } t[] = {
        {"/machine/register", "", 400},
        {"/machine/register", "[]", 400},
        {"/machine/register", "{", 400},
        {"/machine/register", "{\"Version\":112,\"NodeKey\":\"" KEY1 "\"}",
         400},
        {"/machine/register", "{\"Version\":138}", 400},
        {"/machine/register", "{\"Version\":138,\"NodeKey\":\"nodekey:1\"}",
         400},
        {"/machine/register",
         "{\"Version\":138,\"NodeKey\":\"mkey:" SIXTY_TWO "11\"}", 400},
        {"/machine/map", "{\"Version\":138,\"NodeKey\":\"" KEY1 "\"}", 404},
        {"/machine/map", "{\"Version\":-1,\"NodeKey\":\"" KEY1 "\"}", 400},
        {"/machine/whoami", "", 501},
        {"/machine/set-dns", "{}", 501},
        {"/machine/tka/init", "{}", 404},
        {"/", "", 404},
    };
    (void)s;
    set_up();
    assert_true(rig_join(&a, &r, 1, 138));
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        rig_answer *x = rig_ask(&a, t[i].path, t[i].body);
        if (x->status != t[i].status)
            fail_msg("%s %s: %u", t[i].path, t[i].body, x->status);
    }
    assert_int_equal(server_stats(r.coord).nodes, 0);
    rig_part(&a);
    rig_free(&r);
}

static void hostile_texts_are_carried_or_left_out(void **s)
{
    static const char *const hosts[] = {
        "\\u0000",     "a\\u0000b",      "<script>", "\\\"},{\\\"ID\\\":777",
        "../../etc",   "\\ud83d\\ude80", "-",        "",
        "A.B.C.local", "xn--80ak6aa92e"};
    char key[RMR_COORD_KEY_TEXT], body[1024];
    (void)s;
    set_up();
    server_user_key(r.coord, server_user(r.coord, "alice"), key);
    rig_enter(&a, &r, 1, KEY1, key);
    rig_answer *x = rig_stream(&a, KEY1, false);
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        assert_true(rig_join(&b, &r, (uint8_t)(10 + i), 138));
        (void)snprintf(body, sizeof body,
                       "{\"Version\":138,\"NodeKey\":\"nodekey:" SIXTY_TWO
                       "%02zu\",\"Auth\":{\"AuthKey\":\"%s\"},\"Hostinfo\":{"
                       "\"Hostname\":\"%s\",\"OS\":\"%s\",\"Services\":[{"
                       "\"Proto\":\"%s\",\"Port\":1}]}}",
                       50 + i, key, hosts[i], hosts[i], hosts[i]);
        rig_answer *y = rig_ask(&b, "/machine/register", body);
        assert_true(rig_says(y, "\"MachineAuthorized\":true"));
        rig_pump(&a);
        rig_part(&b);
        const char *t = rig_frames(x);
        assert_null(strstr(t, "{\"ID\":777"));
        assert_null(strstr(t, "u0000"));
    }
    rmr_coord_node n;
    uint64_t after = 0;
    while (rmr_coord_node_next(r.coord, after, &n) == RMR_OK) {
        for (const char *p = n.given_name; *p; p++)
            assert_true((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') ||
                        *p == '-');
        after = n.id;
    }
    rig_part(&a);
    rig_free(&r);
}

static void a_body_too_long_ends_the_request_alone(void **s)
{
    (void)s;
    set_up();
    static char big[300000];
    memset(big, ' ', sizeof big - 1);
    assert_true(rig_join(&a, &r, 1, 138));
    rig_answer *x = rig_ask(&a, "/machine/register", big);
    assert_int_equal(x->status, 0);
    assert_true(x->over && x->why == RMR_E_RESET);
    x = rig_register(&a, KEY1, NULL, "");
    assert_int_equal(x->status, 200);
    rig_part(&a);
    rig_free(&r);
}

static void damaged_records_end_the_connection(void **s)
{
    static const uint8_t junk[] = {RMR_TS_RECORD,
                                   0,
                                   20,
                                   1,
                                   2,
                                   3,
                                   4,
                                   5,
                                   6,
                                   7,
                                   8,
                                   9,
                                   10,
                                   11,
                                   12,
                                   13,
                                   14,
                                   15,
                                   16,
                                   17,
                                   18,
                                   19,
                                   20};
    (void)s;
    set_up();
    assert_true(rig_join(&a, &r, 1, 138));
    rig_send(&r, a.c, junk, sizeof junk);
    assert_true(a.c->closed);
    rig_part(&a);
    rig_free(&r);
}

static void half_open_connections_are_bounded_and_end(void **s)
{
    rmr_coord_config cfg;
    (void)s;
    rig_config(&cfg);
    cfg.max_connections = 20;
    rig_init(&r, &cfg);
    rig_conn *c[20];
    for (int i = 0; i < 20; i++) {
        c[i] = rig_open(&r);
        rig_text(&r, c[i], i & 1 ? "POST /ts2021 HTT" : "");
    }
    /* The oldest gives its place to the newest. */
    rig_conn *more = rig_open(&r);
    assert_true(c[0]->closed && !more->closed);
    assert_int_equal(server_stats(r.coord).displaced, 1);
    assert_int_equal(server_stats(r.coord).connections, 20);
    size_t each = r.heap.live_bytes;
    rig_wait(&r, 31 * RMR_SEC);
    assert_true(more->closed);
    for (int i = 0; i < 20; i++)
        assert_true(c[i]->closed);
    assert_int_equal(server_stats(r.coord).connections, 0);
    print_message("%zu bytes a half-open connection\n",
                  (each - r.heap.live_bytes) / 20);
    assert_true(rig_join(&a, &r, 1, 138));
    rig_part(&a);
    rig_free(&r);
}

static void a_connection_that_asks_for_nothing_ends(void **s)
{
    char key[RMR_COORD_KEY_TEXT];
    (void)s;
    set_up();
    server_user_key(r.coord, server_user(r.coord, "alice"), key);
    assert_true(rig_join(&a, &r, 2, 138));
    rig_pump(&a);
    rig_enter(&b, &r, 1, KEY1, key);
    (void)rig_stream(&b, KEY1, false);
    rig_wait(&r, 130 * RMR_SEC);
    assert_true(a.c->closed);
    assert_false(b.c->closed); /* its map stream is a request */
    rig_part(&a);
    rig_part(&b);
    rig_free(&r);
}

static size_t stream_of(rig_client *cl, uint8_t machine, const char *node_key)
{
    char text[512];
    size_t before = r.heap.live_bytes;
    assert_true(rig_join(cl, &r, machine, 138));
    (void)rig_register(cl, node_key, key_text, "");
    (void)snprintf(text, sizeof text,
                   "{\"Version\":138,\"Compress\":\"zstd\","
                   "\"NodeKey\":\"%s\",\"Stream\":true}",
                   node_key);
    (void)rig_ask(cl, "/machine/map", text);
    rig_wait(&r, RMR_SEC);
    return r.heap.live_bytes - before;
}

/* What remora/coord.h says, with its node and its map stream. */
static void a_connected_node_takes_less_than_14_kib(void **s)
{
    (void)s;
    set_up();
    server_user_key(r.coord, server_user(r.coord, "alice"), key_text);
    (void)stream_of(&a, 1, KEY1); /* and what all share */
    size_t took = stream_of(&b, 2, KEY2);
    if (took > 14 * 1024)
        fail_msg("%zu bytes", took);
    rig_part(&a);
    rig_part(&b);
    rig_free(&r);
}

static void every_allocation_may_fail(void **s)
{
    static const char host[] = ",\"Hostinfo\":{\"OS\":\"linux\","
                               "\"RoutableIPs\":[\"192.0.2.0/24\"]}";
    char key[RMR_COORD_KEY_TEXT];
    (void)s;
    for (size_t n = 1; n < 400; n++) {
        set_up();
        server_user_key(r.coord, server_user(r.coord, "alice"), key);
        r.heap.fail_at = r.heap.calls + n;
        bool on = rig_join(&a, &r, 1, 138);
        if (on) {
            rig_answer *x = rig_register(&a, KEY1, key, host);
            /* Who is told that it failed is no node. */
            if (rig_says(x, "no memory"))
                assert_int_equal(server_stats(r.coord).nodes, 0);
            if (!a.c->closed)
                (void)rig_ask(&a, "/machine/map",
                              "{\"Version\":138,\"Compress\":\"zstd\","
                              "\"NodeKey\":\"" KEY1 "\",\"Stream\":true}");
        }
        bool whole = r.heap.failed == 0;
        r.heap.fail_at = 0;
        rig_part(&a);
        /* It goes on for the next one. */
        assert_true(rig_join(&b, &r, 2, 138));
        rig_answer *x = rig_register(&b, KEY2, key, "");
        assert_true(rig_says(x, "\"MachineAuthorized\":true"));
        rig_part(&b);
        rig_free(&r);
        if (whole)
            return;
    }
    fail_msg("it takes more than 400 allocations");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_key_is_told),
        cmocka_unit_test(upgrades_that_are_none_are_told_why),
        cmocka_unit_test(a_login_page_shows_the_id_alone),
        cmocka_unit_test(a_client_that_is_too_old_is_told),
        cmocka_unit_test(another_servers_key_is_told),
        cmocka_unit_test(a_replayed_handshake_gives_nothing),
        cmocka_unit_test(a_key_registers_once_or_more),
        cmocka_unit_test(another_key_of_a_machine_is_the_same_node),
        cmocka_unit_test(a_logout_ends_the_key),
        cmocka_unit_test(a_login_is_approved_while_the_client_waits),
        cmocka_unit_test(a_login_that_nobody_approves_ends),
        cmocka_unit_test(logins_that_wait_are_bounded),
        cmocka_unit_test(a_stream_tells_all_and_then_what_changes),
        cmocka_unit_test(another_derp_map_reaches_open_streams),
        cmocka_unit_test(another_dns_reaches_open_streams),
        cmocka_unit_test(node_keys_are_known),
        cmocka_unit_test(a_silent_stream_is_kept_alive),
        cmocka_unit_test(
            a_keepalive_is_a_frame_of_zstd_where_that_is_asked_for),
        cmocka_unit_test(many_changes_share_frames),
        cmocka_unit_test(large_frames_wait_for_other_turns),
        cmocka_unit_test(routes_are_served_when_approved),
        cmocka_unit_test(requests_that_are_none_are_refused),
        cmocka_unit_test(hostile_texts_are_carried_or_left_out),
        cmocka_unit_test(a_body_too_long_ends_the_request_alone),
        cmocka_unit_test(damaged_records_end_the_connection),
        cmocka_unit_test(half_open_connections_are_bounded_and_end),
        cmocka_unit_test(a_connection_that_asks_for_nothing_ends),
        cmocka_unit_test(a_connected_node_takes_less_than_14_kib),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
