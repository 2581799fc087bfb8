#include "dns_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "node_dns.h"

static const rmr_prefix subnet = {
    .family = RMR_AF_INET, .bits = 24, .ip = {10, 9, 0, 0}};

static void on_connected(void *user, void *tag, rmr_node_conn c)
{
    dns_pair *d = user;
    (void)tag;
    (void)c;
    d->seen.connected++;
}

static void on_closed(void *user, void *tag, rmr_node_conn c, rmr_err why)
{
    dns_pair *d = user;
    (void)tag;
    (void)c;
    d->seen.closed++;
    d->seen.why = why;
}

void dp_on_resolved(void *user, rmr_err err, const rmr_addr *addrs, size_t n)
{
    dns_pair *d = user;
    d->seen.answers++;
    d->seen.err = err;
    d->seen.n = n;
    if (n)
        d->seen.addr = addrs[0];
}

void dp_start(dns_pair *d)
{
    memset(&d->seen, 0, sizeof d->seen);
    pair_init(&d->p, 5);
    d->p.udp = true;
    for (int i = 0; i < 2; i++) {
        rmr_node_config cfg;
        rmr_node_callbacks cb = {0};
        cb.struct_size = sizeof cb;
        cb.user = d;
        cb.on_connected = on_connected;
        cb.on_closed = on_closed;
        rmr_node_config_init(&cfg, sizeof cfg);
        cfg.callbacks = &cb;
        if (i == 0) {
            d->forwards[0].local = rmr_addr_v4(127, 0, 0, 1, DP_DNS_PORT);
            d->forwards[0].port = 53;
            snprintf(d->forwards[0].peer, RMR_HOST_MAX, "100.100.100.100");
            d->forwards[1].local = rmr_addr_v4(127, 0, 0, 1, DP_FORWARD_PORT);
            d->forwards[1].port = DP_SERVE_PORT;
            snprintf(d->forwards[1].peer, RMR_HOST_MAX, "db.corp.example");
            cfg.forwards = d->forwards;
            cfg.n_forwards = 2;
            cfg.socks5 = rmr_addr_v4(127, 0, 0, 1, DP_SOCKS_PORT);
        } else {
            cfg.advertise_routes = &subnet;
            cfg.n_advertise_routes = 1;
            d->serve.port = DP_SERVE_PORT;
            d->serve.target = rmr_addr_v4(127, 0, 0, 1, 7000);
            cfg.serves = &d->serve;
            cfg.n_serves = 1;
        }
        pair_start(&d->p, i, &cfg);
    }
    pair_feed_netmaps(&d->p);
    pair_run(&d->p, 3 * RMR_SEC, NULL, NULL);
}

void dp_stop(dns_pair *d)
{
    pair_free(&d->p);
    for (int i = 0; i < 2; i++)
        assert_int_equal(d->p.node[i].alloc.live_blocks, 0);
}

void dp_set_routes(dns_pair *d)
{
    rmr_addr out = rmr_addr_v4(192, 0, 2, 53, 0);
    rmr_addr in = rmr_addr_v4(100, 64, 0, 2, 0);
    rmr_md_route routes[2] = {{"corp.example", &out, 1, false},
                              {"deep.example", &in, 1, false}};
    rmr_md_record record = {"db.record.example", in};
    rmr_md_table t = {.proxied = true,
                      .suffix = "ex.com",
                      .records = &record,
                      .n_records = 1,
                      .routes = routes,
                      .n_routes = 2};
    assert_int_equal(rmr_md_set(d->p.node[0].n->dns->md, &t), RMR_OK);
}

bool dp_is_answered(void *user)
{
    const dns_pair *d = user;
    return d->seen.answers > 0;
}

void dp_expect_addr(const dns_pair *d, uint8_t last)
{
    rmr_addr want = rmr_addr_v4(100, 64, 0, last, 0);
    assert_int_equal(d->seen.err, RMR_OK);
    assert_int_equal(d->seen.n, 1);
    assert_true(rmr_addr_ip_eq(&d->seen.addr, &want));
}

void dp_set_prefs(dns_pair *d, uint32_t given, bool on, const char *exit)
{
    rmr_node_prefs v;
    rmr_node_prefs_init(&v, sizeof v);
    v.given = given;
    v.accept_dns = v.accept_routes = on;
    v.exit_node = exit;
    assert_int_equal(rmr_node_set_prefs(d->p.node[0].n, d->p.now, &v), RMR_OK);
    pair_drain(&d->p, 0);
}

void dp_begin(dns_pair *d, const char *name, uint64_t *id)
{
    d->seen.answers = 0;
    d->seen.n = 0;
    assert_int_equal(
        rmr_node_resolve(d->p.node[0].n, d->p.now, name, dp_on_resolved, d, id),
        RMR_OK);
    pair_drain(&d->p, 0);
}

void dp_resolve(dns_pair *d, const char *name)
{
    uint64_t id;
    dp_begin(d, name, &id);
    pair_run(&d->p, 20 * RMR_SEC, dp_is_answered, d);
    assert_int_equal(d->seen.answers, 1);
}
