/* The port mapper against scripted gateways of each kind, and hostile ones. */
#include "portmap_internal.h"

#include <remora/cursor.h>

#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

typedef struct gw { /* a gateway, and the host before it */
    test_alloc alloc;
    test_rng rng;
    rmr_env env;
    rmr_portmap *pm;
    rmr_time now;
    rmr_addr addr, own, pub;
    bool pmp, pcp, upnp, silent_http;
    uint16_t pmp_result;
    uint8_t pcp_result;
    uint32_t epoch, life;
    uint16_t ext;     /* the port that it gives */
    unsigned deleted; /* mappings taken back */
    unsigned http, adds;
    const char *location, *description;
    int errors[4];       /* of the first SOAP adds; 0: none */
    const char *address; /* GetExternalIPAddress */
    char request[4096], dialled[64];
    size_t request_len;
    bool streaming;
    size_t probed, mapped, unmapped;
    rmr_portmap_services found;
} gw;

static const char igd2[] =
    "<?xml version=\"1.0\"?><!-- > a -- comment --><root xmlns=\"u\">"
    "<device><deviceType>urn:x:device:InternetGatewayDevice:2</deviceType>"
    "<serviceList><service>"
    "<serviceType>urn:schemas-upnp-org:service:WANIPConnection:1"
    "</serviceType><controlURL>/ctl/one</controlURL></service>"
    "<s:service a='>'><serviceType> "
    "urn:schemas-upnp-org:service:WANIPConnection:2\n</serviceType>"
    "<controlURL>two?a=1&amp;b=2</controlURL></s:service>"
    "<service><serviceType>urn:x:WANPPPConnection:1</serviceType>"
    "<controlURL>/no</controlURL></service></serviceList></device></root>";
static const char igd1[] =
    "<root><service><serviceType>urn:schemas-upnp-org:service:"
    "WANPPPConnection:1</serviceType><controlURL>/ppp</controlURL></service>"
    "</root>";

static void on_probed(void *user, rmr_portmap_services found)
{
    gw *g = user;
    g->probed++;
    g->found = found;
}

static void on_mapping(void *user, const rmr_addr *a)
{
    gw *g = user;
    if (a)
        g->mapped++;
    else
        g->unmapped++;
    assert_int_equal(rmr_portmap_handle_deadline(g->pm, g->now),
                     RMR_E_REENTRANT);
}

static void init(gw *g)
{
    memset(g, 0, sizeof *g);
    test_rng_seed(&g->rng, 3);
    g->env = test_env(&g->alloc, &g->rng, NULL);
    g->now = 1000 * RMR_SEC;
    g->addr = rmr_addr_v4(192, 168, 1, 1, 0);
    g->own = rmr_addr_v4(192, 168, 1, 20, 0);
    g->pub = rmr_addr_v4(198, 51, 100, 7, 0);
    g->epoch = 100;
    g->life = 7200;
    g->ext = 5555;
    g->location = "http://192.168.1.1:5000/desc/igd.xml";
    g->description = igd2;
    g->address = "198.51.100.9";
    rmr_portmap_callbacks cb = {sizeof cb, g, on_probed, on_mapping};
    assert_int_equal(rmr_portmap_new(&g->pm, &g->env, &cb), RMR_OK);
    assert_int_equal(
        rmr_portmap_set_network(g->pm, g->now, &g->addr, &g->own, 41641),
        RMR_OK);
}

static void wipe(gw *g)
{
    rmr_portmap_free(g->pm);
    assert_int_equal(g->alloc.live_blocks, 0);
}

static rmr_err reply(gw *g, const void *p, size_t n, uint16_t port)
{
    rmr_addr from = g->addr;
    uint8_t *exact = malloc(n ? n : 1);
    from.port = port;
    assert_non_null(exact);
    memcpy(exact, p, n);
    rmr_err e =
        rmr_portmap_read_pkt(g->pm, g->now, &from, rmr_bytes_of(exact, n));
    free(exact);
    return e;
}

static void answer_pmp(gw *g, rmr_bytes d)
{
    uint8_t out[16] = {0, (uint8_t)(0x80 | d.ptr[1])};
    rmr_wr w = rmr_wr_of(rmr_buf_of(out, sizeof out));
    rmr_wr_be16(&w, out[1]);
    rmr_wr_be16(&w, g->pmp_result);
    rmr_wr_be32(&w, g->epoch);
    if (d.ptr[1] == 0) {
        assert_int_equal(d.len, 2);
        rmr_wr_bytes(&w, g->pub.ip, 4);
    } else {
        assert_int_equal(d.len, 12);
        rmr_wr_bytes(&w, d.ptr + 4, 2);
        if (rmr_load_be32(d.ptr + 8) == 0)
            g->deleted++;
        rmr_wr_be16(&w, g->ext);
        rmr_wr_be32(&w, rmr_load_be32(d.ptr + 8) ? g->life : 0);
    }
    (void)reply(g, out, w.len, 5351);
}

static void answer_pcp(gw *g, rmr_bytes d)
{
    uint8_t out[60] = {2, (uint8_t)(0x80 | d.ptr[1]), 0, g->pcp_result};
    bool map = d.ptr[1] == 1;
    assert_int_equal(d.len, map ? 60 : 24);
    assert_memory_equal(d.ptr + 20, g->own.ip, 4);
    memcpy(out + 24, d.ptr + 24, map ? 20 : 0);
    out[4] = (uint8_t)(g->life >> 24);
    out[5] = (uint8_t)(g->life >> 16);
    out[6] = (uint8_t)(g->life >> 8);
    out[7] = (uint8_t)g->life;
    out[11] = (uint8_t)g->epoch;
    out[42] = (uint8_t)(g->ext >> 8);
    out[43] = (uint8_t)g->ext;
    out[54] = out[55] = 0xff;
    memcpy(out + 56, g->pub.ip, 4);
    if (map && rmr_load_be32(d.ptr + 4) == 0) {
        g->deleted++;
        return;
    }
    (void)reply(g, out, map ? 60 : 24, 5351);
}

static rmr_err answer_ssdp(gw *g)
{
    char text[512];
    int n = snprintf(text, sizeof text,
                     "HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:"
                     "InternetGatewayDevice:1\r\nLocation:  %s\r\n\r\n",
                     g->location);
    return reply(g, text, (size_t)n, 1900);
}

static void datagrams(gw *g)
{
    uint8_t buf[RMR_PORTMAP_PKT_MAX];
    size_t len;
    rmr_addr to;
    for (;;) {
        assert_int_equal(rmr_portmap_write_pkt(g->pm, g->now,
                                               rmr_buf_of(buf, sizeof buf),
                                               &len, &to),
                         RMR_OK);
        if (len == 0)
            return;
        rmr_bytes d = rmr_bytes_of(buf, len);
        if (to.port == 5351) {
            assert_true(rmr_addr_ip_eq(&to, &g->addr));
            if (buf[0] == 0 && g->pmp)
                answer_pmp(g, d);
            else if (buf[0] == 2 && g->pcp)
                answer_pcp(g, d);
        } else {
            assert_int_equal(to.port, 1900);
            if (g->upnp)
                (void)answer_ssdp(g);
        }
    }
}

static void respond(gw *g)
{
    char body[2048], text[4096];
    int status = 200;
    if (strncmp(g->request, "GET ", 4) == 0) {
        snprintf(body, sizeof body, "%s", g->description);
    } else if (strstr(g->request, "GetExternalIPAddress")) {
        snprintf(body, sizeof body,
                 "<r><NewExternalIPAddress>%s</NewExternalIPAddress></r>",
                 g->address);
    } else if (strstr(g->request, "DeletePortMapping")) {
        g->deleted++;
        snprintf(body, sizeof body, "<ok></ok>");
    } else {
        int error = g->adds < 4 ? g->errors[g->adds] : 0;
        g->adds++;
        status = error ? 500 : 200;
        snprintf(body, sizeof body,
                 error ? "<e><errorCode>%d</errorCode></e>"
                       : "<r><u>%d</u></r>",
                 error);
    }
    int n = snprintf(text, sizeof text,
                     "HTTP/1.1 %d X\r\nContent-Length: %u\r\n\r\n%s", status,
                     (unsigned)strlen(body), body);
    g->streaming = false;
    for (int i = 0; i < n; i++) /* byte by byte: the last one ends it */
        assert_int_equal(
            rmr_portmap_read(g->pm, g->now, rmr_bytes_of(text + i, 1)), RMR_OK);
}

static void http(gw *g)
{
    rmr_dial dial;
    char text[RMR_ADDR_TEXT_MAX];
    size_t len;
    if (rmr_portmap_wants_close(g->pm))
        g->streaming = false;
    if (rmr_portmap_wants_stream(g->pm, g->now, &dial)) {
        g->http++;
        assert_false(dial.tls);
        assert_true(rmr_addr_ip_eq(&dial.addrs[0], &g->addr));
        snprintf(g->dialled, sizeof g->dialled, "%s:%u",
                 rmr_addr_ip_text(&dial.addrs[0], text), dial.port);
        g->request_len = 0;
        assert_int_equal(rmr_portmap_stream_opened(g->pm, g->now), RMR_OK);
        g->streaming = true;
    }
    if (!g->streaming)
        return;
    for (;;) {
        assert_int_equal(
            rmr_portmap_write(g->pm, g->now,
                              rmr_buf_of(g->request + g->request_len, 100),
                              &len),
            RMR_OK);
        g->request_len += len;
        if (len == 0)
            break;
    }
    g->request[g->request_len] = '\0';
    if (!g->silent_http)
        respond(g);
}

static void go(gw *g, rmr_dur d)
{
    rmr_time until = g->now + d;
    for (;;) {
        for (int i = 0; i < 20; i++) {
            datagrams(g);
            http(g);
        }
        rmr_time due = rmr_portmap_next_deadline(g->pm);
        if (due > until) {
            g->now = until;
            return;
        }
        g->now = due > g->now ? due : g->now;
        assert_int_equal(rmr_portmap_handle_deadline(g->pm, g->now), RMR_OK);
        assert_true(rmr_portmap_next_deadline(g->pm) > g->now);
    }
}

static void mapping_is(gw *g, rmr_portmap_kind kind, const char *want)
{
    rmr_addr a;
    rmr_portmap_kind k = RMR_PORTMAP_NONE;
    char text[RMR_ADDR_TEXT_MAX];
    if (!want) {
        assert_false(rmr_portmap_get_mapping(g->pm, &a, &k));
        return;
    }
    assert_true(rmr_portmap_get_mapping(g->pm, &a, &k));
    assert_string_equal(rmr_addr_text(&a, text), want);
    assert_int_equal(k, kind);
}

static void want(gw *g)
{
    assert_int_equal(rmr_portmap_want(g->pm, g->now, true), RMR_OK);
}

/* ---- probing -------------------------------------------------------------- */

static void a_probe_finds_what_is_there(void **state)
{
    (void)state;
    for (int k = 0; k < 8; k++) {
        gw g;
        init(&g);
        g.pmp = k & 1;
        g.pcp = k & 2;
        g.upnp = k & 4;
        rmr_portmap_probe(g.pm, g.now);
        assert_true(rmr_portmap_wants_socket(g.pm));
        rmr_time began = g.now;
        go(&g, 250 * RMR_MS);
        assert_int_equal(g.probed, 1);
        assert_true(g.found.pmp == g.pmp && g.found.pcp == g.pcp);
        assert_int_equal(g.found.upnp, g.upnp);
        assert_true(rmr_portmap_is_idle(g.pm) && g.now == began + 250 * RMR_MS);
        /* What was seen is not asked for again for ten minutes. */
        rmr_portmap_stats a, b;
        rmr_portmap_get_stats(g.pm, &a);
        g.now += 500 * RMR_SEC;
        rmr_portmap_probe(g.pm, g.now);
        go(&g, RMR_SEC);
        rmr_portmap_get_stats(g.pm, &b);
        assert_int_equal(g.probed, 2);
        assert_int_equal(b.pkts_out - a.pkts_out,
                         !g.pmp + !g.pcp + (g.upnp ? 0 : 3));
        g.now += 100 * RMR_SEC;
        rmr_portmap_probe(g.pm, g.now);
        go(&g, RMR_SEC);
        rmr_portmap_get_stats(g.pm, &a);
        assert_int_equal(a.pkts_out - b.pkts_out, 5);
        wipe(&g);
    }
}

static void without_a_private_gateway_nothing_is_asked(void **state)
{
    (void)state;
    static const uint8_t bad[][4] = {
        {198, 51, 100, 1}, {127, 0, 0, 1}, {100, 64, 0, 1}, {8, 8, 8, 8}};
    gw g;
    init(&g);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rmr_addr a = rmr_addr_v4(bad[i][0], bad[i][1], bad[i][2], bad[i][3], 0);
        (void)rmr_portmap_set_network(g.pm, g.now, &a, &g.own, 41641);
        rmr_portmap_probe(g.pm, g.now);
        want(&g);
        go(&g, RMR_SEC);
        assert_false(rmr_portmap_wants_socket(g.pm));
    }
    (void)rmr_portmap_set_network(g.pm, g.now, NULL, &g.own, 41641);
    go(&g, RMR_SEC);
    rmr_portmap_stats st;
    rmr_portmap_get_stats(g.pm, &st);
    assert_int_equal(st.pkts_out, 0);
    assert_int_equal(g.probed, 4);
    wipe(&g);
}

/* ---- NAT-PMP and PCP ------------------------------------------------------ */

static void nat_pmp_maps_renews_and_takes_back(void **state)
{
    (void)state;
    gw g;
    init(&g);
    g.pmp = true;
    want(&g);
    go(&g, RMR_SEC);
    mapping_is(&g, RMR_PORTMAP_NATPMP, "198.51.100.7:5555");
    assert_int_equal(g.mapped, 1);
    go(&g, 3600 * RMR_SEC);
    rmr_portmap_stats st;
    rmr_portmap_get_stats(g.pm, &st);
    assert_true(st.made == 1 && st.renewed == 1 && g.mapped == 1);
    g.ext = 6666; /* another port at the next renewal */
    go(&g, 3600 * RMR_SEC);
    mapping_is(&g, RMR_PORTMAP_NATPMP, "198.51.100.7:6666");
    assert_int_equal(g.mapped, 2);
    assert_int_equal(rmr_portmap_want(g.pm, g.now, false), RMR_OK);
    mapping_is(&g, 0, NULL);
    go(&g, RMR_SEC);
    assert_int_equal(g.deleted, 1);
    assert_true(rmr_portmap_is_idle(g.pm));
    assert_int_equal(rmr_portmap_next_deadline(g.pm), RMR_TIME_NEVER);
    wipe(&g);
}

static void a_mapping_that_is_not_renewed_ends(void **state)
{
    (void)state;
    gw g;
    init(&g);
    g.pmp = true;
    g.life = 600;
    want(&g);
    go(&g, RMR_SEC);
    rmr_time made = g.now - RMR_SEC;
    g.pmp = false;
    go(&g, made + 599 * RMR_SEC - g.now);
    mapping_is(&g, RMR_PORTMAP_NATPMP, "198.51.100.7:5555");
    go(&g, 2 * RMR_SEC);
    mapping_is(&g, 0, NULL);
    assert_int_equal(g.unmapped, 1);
    /* It tried to keep it, but not without end. */
    rmr_portmap_stats st;
    rmr_portmap_get_stats(g.pm, &st);
    assert_true(st.pkts_out > 10 && st.pkts_out < 80);
    g.pmp = true;
    want(&g);
    go(&g, RMR_SEC);
    mapping_is(&g, RMR_PORTMAP_NATPMP, "198.51.100.7:5555");
    wipe(&g);
}

static void pcp_maps_when_it_alone_was_seen(void **state)
{
    (void)state;
    gw g;
    init(&g);
    g.pcp = true;
    rmr_portmap_probe(g.pm, g.now);
    go(&g, RMR_SEC);
    want(&g);
    go(&g, RMR_SEC);
    mapping_is(&g, RMR_PORTMAP_PCP, "198.51.100.7:5555");
    uint8_t nonce[NONCE_LEN];
    memcpy(nonce, g.pm->map.nonce, NONCE_LEN);
    go(&g, 3600 * RMR_SEC);
    assert_int_equal(g.pm->stats.renewed, 1);
    assert_memory_equal(nonce, g.pm->map.nonce, NONCE_LEN);
    (void)rmr_portmap_want(g.pm, g.now, false);
    go(&g, RMR_SEC);
    assert_int_equal(g.deleted, 1);
    wipe(&g);
}

static void an_epoch_that_goes_back_makes_anew(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        gw g;
        init(&g);
        g.pmp = k == 0;
        g.pcp = k == 1;
        rmr_portmap_probe(g.pm, g.now);
        go(&g, RMR_SEC);
        want(&g);
        go(&g, RMR_SEC);
        assert_int_equal(g.mapped, 1);
        g.now += 700 * RMR_SEC;
        g.epoch = 5;
        rmr_portmap_probe(g.pm, g.now);
        go(&g, RMR_SEC);
        assert_int_equal(g.unmapped, 1);
        assert_int_equal(g.mapped, 2);
        wipe(&g);
    }
}

/* Each change of the mapping makes the host measure its network anew and tell
 * control: a router that is mad or bad must not have that done all the time. */
static void a_restless_gateway_is_not_followed_at_its_pace(void **state)
{
    (void)state;
    gw g;
    init(&g);
    g.pmp = true;
    g.epoch = 1000000;
    want(&g);
    go(&g, RMR_SEC);
    assert_int_equal(g.mapped, 1);
    for (int i = 0; i < 1000; i++) { /* 10 s of falling epochs */
        uint8_t out[12] = {0, 128};
        g.epoch--;
        out[5] = (uint8_t)(g.epoch >> 16);
        out[6] = (uint8_t)(g.epoch >> 8);
        out[7] = (uint8_t)g.epoch;
        memcpy(out + 8, g.pub.ip, 4);
        (void)reply(&g, out, sizeof out, 5351);
        go(&g, 10 * RMR_MS);
    }
    assert_in_range(g.mapped, 2, 4);
    /* A second's lifetime, and another port each time. */
    g.life = 1;
    size_t mapped = g.mapped;
    for (int i = 0; i < 600; i++) {
        g.ext++;
        go(&g, 100 * RMR_MS);
    }
    assert_in_range(g.mapped - mapped, 1, 8);
    wipe(&g);
}

static void what_changed_drops_the_mapping(void **state)
{
    (void)state;
    gw g;
    rmr_addr other = rmr_addr_v4(192, 168, 1, 21, 0);
    init(&g);
    g.pmp = true;
    want(&g);
    go(&g, RMR_SEC);
    (void)rmr_portmap_set_network(g.pm, g.now, &g.addr, &g.own, 41641);
    assert_int_equal(g.unmapped, 0);
    (void)rmr_portmap_set_network(g.pm, g.now, &g.addr, &g.own, 41642);
    assert_int_equal(g.unmapped, 1);
    want(&g);
    go(&g, RMR_SEC);
    assert_int_equal(g.deleted, 1); /* the old port's */
    assert_int_equal(g.mapped, 2);
    g.own = other;
    (void)rmr_portmap_set_network(g.pm, g.now, &g.addr, &other, 41642);
    assert_int_equal(g.unmapped, 2);
    go(&g, RMR_SEC);
    assert_int_equal(g.deleted, 1); /* there is nobody to ask */
    wipe(&g);
}

static void replies_of_others_change_nothing(void **state)
{
    (void)state;
    gw g;
    init(&g);
    want(&g);
    datagrams(&g);
    uint8_t map[16] = {0, 0x81, 0, 0, 0, 0, 0, 9, 0xa2, 0xa9, 1, 1, 0, 0, 9, 9};
    uint8_t addr[12] = {0, 0x80, 0, 0, 0, 0, 0, 9, 198, 51, 100, 7};
    rmr_addr evil = rmr_addr_v4(192, 168, 1, 66, 5351);
    assert_int_equal(
        rmr_portmap_read_pkt(g.pm, g.now, &evil, rmr_bytes_of(map, sizeof map)),
        RMR_E_UNKNOWN);
    assert_int_equal(reply(&g, map, sizeof map, 1234), RMR_E_UNKNOWN);
    for (size_t n = 0; n < sizeof map; n++)
        assert_int_equal(reply(&g, map, n, 5351), RMR_E_MALFORMED);
    for (size_t n = 0; n < sizeof addr; n++)
        assert_int_equal(reply(&g, addr, n, 5351), RMR_E_MALFORMED);
    map[9] ^= 1; /* another internal port */
    assert_int_equal(reply(&g, map, sizeof map, 5351), RMR_E_UNKNOWN);
    map[9] ^= 1;
    map[10] = map[11] = 0; /* no external port */
    assert_int_equal(reply(&g, map, sizeof map, 5351), RMR_E_MALFORMED);
    static const uint8_t no[][4] = {{0}, {127, 0, 0, 1}, {224, 0, 0, 1}};
    for (size_t i = 0; i < 3; i++) {
        memcpy(addr + 8, no[i], 4);
        assert_int_equal(reply(&g, addr, sizeof addr, 5351), RMR_E_MALFORMED);
    }
    mapping_is(&g, 0, NULL);
    assert_true(g.pm->stats.dropped > 30);
    wipe(&g);
}

static void a_pcp_reply_needs_our_nonce(void **state)
{
    (void)state;
    gw g;
    uint8_t out[60] = {2, 0x81};
    init(&g);
    g.pcp = true;
    rmr_portmap_probe(g.pm, g.now);
    go(&g, RMR_SEC);
    want(&g);
    out[7] = out[43] = 9;
    out[36] = 17;
    out[40] = 41641 >> 8;
    out[41] = 41641 & 0xff;
    out[54] = out[55] = 0xff;
    out[56] = 198;
    assert_int_equal(reply(&g, out, 60, 5351), RMR_E_UNKNOWN);
    out[3] = 2; /* a refusal that was not for us */
    assert_int_equal(reply(&g, out, 60, 5351), RMR_OK);
    assert_int_equal(g.pm->stage, PM_ASK_PCP);
    memcpy(out + 24, g.pm->nonce, NONCE_LEN);
    out[3] = 0;
    for (size_t n = 2; n < 60; n++)
        assert_int_not_equal(reply(&g, out, n, 5351), RMR_OK);
    assert_int_equal(reply(&g, out, 60, 5351), RMR_OK);
    mapping_is(&g, RMR_PORTMAP_PCP, "198.0.0.0:9");
    wipe(&g);
}

/* ---- UPnP ----------------------------------------------------------------- */

static void upnp_maps_renews_and_takes_back(void **state)
{
    (void)state;
    gw g;
    char want_text[64];
    init(&g);
    g.upnp = true;
    want(&g);
    go(&g, RMR_SEC);
    assert_int_equal(g.http, 3);
    assert_string_equal(g.dialled, "192.168.1.1:5000");
    snprintf(want_text, sizeof want_text, "198.51.100.9:%u",
             g.pm->map.ext.port);
    mapping_is(&g, RMR_PORTMAP_UPNP, want_text);
    assert_true(g.pm->map.ext.port >= 1024);
    /* The better service, at its URL beside the description. */
    assert_string_equal(g.pm->u->control.path, "/desc/two?a=1&b=2");
    assert_non_null(strstr(g.request, "WANIPConnection:2#GetExternalIP"));
    go(&g, 3600 * RMR_SEC);
    assert_int_equal(g.pm->stats.renewed, 1);
    mapping_is(&g, RMR_PORTMAP_UPNP, want_text);
    (void)rmr_portmap_want(g.pm, g.now, false);
    go(&g, RMR_SEC);
    assert_int_equal(g.deleted, 1);
    assert_true(rmr_portmap_is_idle(g.pm));
    wipe(&g);
}

static void a_refusal_of_nat_pmp_leads_to_upnp_at_once(void **state)
{
    (void)state;
    gw g;
    init(&g);
    g.pmp = g.upnp = true;
    g.pmp_result = 2;
    g.description = igd1;
    want(&g);
    go(&g, 60 * RMR_MS);
    assert_int_equal(g.mapped, 1);
    assert_string_equal(g.pm->u->control.path, "/ppp");
    wipe(&g);
}

static void refusals_of_upnp_are_worked_around(void **state)
{
    (void)state;
    static const struct {
        int errors[4];
        unsigned adds;
        bool works;
    } table[] = {{{0}, 1, true},
                 {{725}, 2, true},
                 {{402}, 2, true},
                 {{402, 402}, 2, false},
                 {{718, 718, 718}, 4, true},
                 {{401, 725, 718}, 4, true},
                 {{401, 401}, 2, false},
                 {{606}, 1, false}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        gw g;
        init(&g);
        g.upnp = true;
        memcpy(g.errors, table[i].errors, sizeof g.errors);
        want(&g);
        go(&g, RMR_SEC);
        assert_int_equal(g.adds, table[i].adds);
        assert_int_equal(g.mapped, table[i].works);
        assert_true(table[i].works || rmr_portmap_is_idle(g.pm));
        wipe(&g);
    }
}

static void addresses_that_cannot_be_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"0.0.0.0", "127.0.0.1", "",
                                      "x",       "239.1.1.1", "2001:db8::1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        gw g;
        init(&g);
        g.upnp = true;
        g.address = bad[i];
        want(&g);
        go(&g, RMR_SEC);
        assert_int_equal(g.http, 3);
        mapping_is(&g, 0, NULL);
        wipe(&g);
    }
}

static void no_one_but_the_gateway_is_dialled(void **state)
{
    (void)state;
    static const char *const bad[] = {"http://192.168.1.2:5000/d.xml",
                                      "http://router.example/d.xml",
                                      "https://192.168.1.1/d.xml",
                                      "http://198.51.100.1/d.xml",
                                      "http://127.0.0.1/d.xml",
                                      "http://192.168.1.1@10.0.0.1/",
                                      "ftp://192.168.1.1/",
                                      "",
                                      "http://[::1]/"};
    static const char *const urls[] = {"http://192.168.1.2/ctl",
                                       "http://198.51.100.1/ctl",
                                       "https://192.168.1.1/ctl", ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        gw g;
        init(&g);
        g.location = bad[i];
        rmr_portmap_probe(g.pm, g.now);
        assert_int_equal(answer_ssdp(&g), RMR_E_MALFORMED);
        g.location = "http://192.168.1.1:5000/d.xml";
        rmr_addr evil = rmr_addr_v4(192, 168, 1, 66, 1900);
        rmr_addr right = g.addr;
        g.addr = evil;
        assert_int_equal(answer_ssdp(&g), RMR_E_UNKNOWN);
        g.addr = right;
        assert_int_equal(answer_ssdp(&g), RMR_OK);
        wipe(&g);
    }
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        gw g;
        char text[512];
        init(&g);
        g.upnp = true;
        snprintf(text, sizeof text,
                 "<service><serviceType>urn:schemas-upnp-org:service:"
                 "WANIPConnection:1</serviceType><controlURL>%s</controlURL>"
                 "</service>",
                 urls[i]);
        g.description = text;
        want(&g);
        go(&g, RMR_SEC);
        assert_int_equal(g.http, 1);
        mapping_is(&g, 0, NULL);
        wipe(&g);
    }
}

static void ssdp_is_heard_only_when_asked_and_bounded(void **state)
{
    (void)state;
    gw g;
    char url[64];
    init(&g);
    assert_int_equal(answer_ssdp(&g), RMR_E_UNKNOWN);
    rmr_portmap_probe(g.pm, g.now);
    g.alloc.fail_at = g.alloc.calls + 1;
    assert_int_equal(answer_ssdp(&g), RMR_E_NOMEM);
    assert_null(g.pm->u);
    g.alloc.fail_at = 0;
    for (int i = 0; i < 10; i++) {
        snprintf(url, sizeof url, "http://192.168.1.1/%d", i);
        g.location = url;
        assert_int_equal(answer_ssdp(&g), RMR_OK);
        assert_int_equal(answer_ssdp(&g), RMR_OK);
    }
    assert_int_equal(g.pm->u->n_at, LOCATIONS);
    static const char *const bad[] = {
        "HTTP/1.1 200 OK\r\nLocation: http://192.168.1.1/\r\n\r\n",
        "NOTIFY * HTTP/1.1\r\nLocation: http://192.168.1.1/\r\n"
        "NT: urn:x:device:InternetGatewayDevice:1\r\n\r\n",
        "HTTP/1.1 404 OK\r\nLocation: http://192.168.1.1/\r\n"
        "ST: urn:x:device:InternetGatewayDevice:1\r\n\r\n",
        "HTTP/1.1 200", ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(reply(&g, bad[i], strlen(bad[i]), 1900),
                         RMR_E_MALFORMED);
    wipe(&g);
}

static void a_silent_web_server_is_given_up(void **state)
{
    (void)state;
    gw g;
    init(&g);
    g.upnp = g.silent_http = true;
    want(&g);
    go(&g, 5 * RMR_SEC);
    assert_true(rmr_portmap_is_idle(g.pm));
    assert_false(g.streaming); /* it was asked to close */
    assert_int_equal(g.pm->stats.http_failed, 1);
    g.silent_http = false;
    want(&g);
    go(&g, 5 * RMR_SEC);
    assert_int_equal(g.mapped, 1);
    wipe(&g);
}

static void bad_answers_end_the_exchange(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "garbage\r\n\r\n", "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n", ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        gw g;
        rmr_dial dial;
        init(&g);
        g.upnp = true;
        want(&g);
        g.now += 250 * RMR_MS;
        datagrams(&g);
        (void)rmr_portmap_handle_deadline(g.pm, g.now);
        datagrams(&g);
        g.now += 50 * RMR_MS;
        (void)rmr_portmap_handle_deadline(g.pm, g.now);
        assert_true(rmr_portmap_wants_stream(g.pm, g.now, &dial));
        assert_int_equal(rmr_portmap_stream_opened(g.pm, g.now), RMR_OK);
        assert_int_equal(rmr_portmap_read(g.pm, g.now, rmr_bytes_str(bad[i])),
                         RMR_OK);
        if (rmr_portmap_wants_close(g.pm))
            assert_int_equal(rmr_portmap_read(g.pm, g.now, rmr_bytes_str("x")),
                             RMR_E_STATE);
        else
            rmr_portmap_stream_closed(g.pm, g.now, RMR_OK);
        assert_true(rmr_portmap_is_idle(g.pm));
        wipe(&g);
    }
}

/* ---- memory and randomness ------------------------------------------------ */

static void lack_of_memory_and_randomness_is_told(void **state)
{
    (void)state;
    gw g;
    rmr_portmap *none;
    rmr_dial dial;
    init(&g);
    g.alloc.fail_at = g.alloc.calls + 1;
    assert_int_equal(rmr_portmap_new(&none, &g.env, NULL), RMR_E_NOMEM);
    g.rng.fail_at = g.rng.calls + 1;
    assert_int_equal(rmr_portmap_want(g.pm, g.now, true), RMR_E_RNG);
    assert_true(rmr_portmap_is_idle(g.pm));
    g.rng.fail_at = 0;
    g.upnp = true;
    want(&g);
    g.now += 250 * RMR_MS;
    datagrams(&g);
    (void)rmr_portmap_handle_deadline(g.pm, g.now);
    datagrams(&g);
    g.now += 50 * RMR_MS;
    (void)rmr_portmap_handle_deadline(g.pm, g.now);
    assert_true(rmr_portmap_wants_stream(g.pm, g.now, &dial));
    g.alloc.fail_at = g.alloc.calls + 1;
    assert_int_equal(rmr_portmap_stream_opened(g.pm, g.now), RMR_E_NOMEM);
    assert_true(rmr_portmap_is_idle(g.pm));
    wipe(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_probe_finds_what_is_there),
        cmocka_unit_test(without_a_private_gateway_nothing_is_asked),
        cmocka_unit_test(nat_pmp_maps_renews_and_takes_back),
        cmocka_unit_test(a_mapping_that_is_not_renewed_ends),
        cmocka_unit_test(pcp_maps_when_it_alone_was_seen),
        cmocka_unit_test(an_epoch_that_goes_back_makes_anew),
        cmocka_unit_test(a_restless_gateway_is_not_followed_at_its_pace),
        cmocka_unit_test(what_changed_drops_the_mapping),
        cmocka_unit_test(replies_of_others_change_nothing),
        cmocka_unit_test(a_pcp_reply_needs_our_nonce),
        cmocka_unit_test(upnp_maps_renews_and_takes_back),
        cmocka_unit_test(a_refusal_of_nat_pmp_leads_to_upnp_at_once),
        cmocka_unit_test(refusals_of_upnp_are_worked_around),
        cmocka_unit_test(addresses_that_cannot_be_are_refused),
        cmocka_unit_test(no_one_but_the_gateway_is_dialled),
        cmocka_unit_test(ssdp_is_heard_only_when_asked_and_bounded),
        cmocka_unit_test(a_silent_web_server_is_given_up),
        cmocka_unit_test(bad_answers_end_the_exchange),
        cmocka_unit_test(lack_of_memory_and_randomness_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
