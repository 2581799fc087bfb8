#include "nc_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

rmr_addr nc_addr(const char *text)
{
    rmr_addr a;
    if (rmr_addr_parse(rmr_bytes_str(text), &a) != RMR_OK)
        assert_int_equal(rmr_addr_parse_ip(rmr_bytes_str(text), &a), RMR_OK);
    return a;
}

static void on_done(void *user, const rmr_netcheck_report *r)
{
    nc_lab *l = user;
    if (!r) {
        l->stopped++;
        return;
    }
    l->done++;
    l->last = *r;
    /* Pump functions are refused in here. */
    assert_int_equal(rmr_netcheck_handle_deadline(l->nc, l->now),
                     RMR_E_REENTRANT);
}

void nc_lab_init(nc_lab *l)
{
    memset(l, 0, sizeof *l);
    test_rng_seed(&l->rng, 7);
    l->env = test_env(&l->alloc, &l->rng, NULL);
    l->now = 1000 * RMR_SEC;
    l->how.have_v4 = true;
    l->how.no_https = l->how.no_icmp = l->how.no_portal = true;
    l->mapped = nc_addr("198.51.100.7:41641");
    l->mapped6 = nc_addr("[2001:db8:7::7]:41641");
    for (size_t i = 0; i < NC_MAX_REGIONS; i++)
        l->latency[i] = l->latency6[i] = NEVER_ANSWERS;
    rmr_netcheck_callbacks cb = {sizeof cb, l, on_done};
    rmr_netcheck_config cfg;
    rmr_netcheck_config_init(&cfg, sizeof cfg);
    cfg.callbacks = &cb;
    assert_int_equal(rmr_netcheck_new(&l->nc, &l->env, &cfg), RMR_OK);
}

void nc_lab_map(nc_lab *l, size_t n_regions, size_t nodes)
{
    rmr_netcheck_region regions[NC_MAX_REGIONS];
    rmr_netcheck_node node[NC_MAX_REGIONS][8];
    char names[NC_MAX_REGIONS][8][8];
    bool changed;
    memset(regions, 0, sizeof regions);
    memset(node, 0, sizeof node);
    for (size_t r = 0; r < n_regions; r++) {
        regions[r].id = (uint16_t)(r + 1);
        regions[r].nodes = node[r];
        regions[r].n_nodes = nodes;
        for (size_t k = 0; k < nodes; k++) {
            rmr_netcheck_node *n = &node[r][k];
            snprintf(names[r][k], sizeof names[r][k], "%u%c", (unsigned)r + 1,
                     (char)('a' + (char)k));
            n->name = names[r][k];
            n->v4 = rmr_addr_v4(10, 0, (uint8_t)(r + 1), (uint8_t)k, 0);
            n->v6 = nc_addr("2001:db8::");
            n->v6.ip[13] = (uint8_t)(r + 1);
            n->v6.ip[15] = (uint8_t)k;
            n->can_port80 = true;
        }
    }
    assert_int_equal(
        rmr_netcheck_set_map(l->nc, l->now, regions, n_regions, &changed),
        RMR_OK);
    assert_true(changed);
}

void nc_lab_wipe(nc_lab *l)
{
    rmr_netcheck_free(l->nc);
    assert_int_equal(l->alloc.live_blocks, 0);
}

static rmr_dur latency_of(const nc_lab *l, const nc_sent *s)
{
    const rmr_dur *all = s->family == 4 ? l->latency : l->latency6;
    return s->region < NC_MAX_REGIONS ? all[s->region] : NEVER_ANSWERS;
}

void nc_lab_drain(nc_lab *l)
{
    uint8_t buf[64];
    size_t len;
    rmr_addr to;
    for (;;) {
        assert_int_equal(rmr_netcheck_write_pkt(l->nc, l->now,
                                                rmr_buf_of(buf, sizeof buf),
                                                &len, &to),
                         RMR_OK);
        if (len == 0)
            return;
        assert_true(l->n_sent < NC_MAX_SENT);
        nc_sent *s = &l->sent[l->n_sent++];
        memset(s, 0, sizeof *s);
        s->at = l->now;
        s->to = to;
        s->family = to.family;
        s->region = to.ip[to.family == RMR_AF_INET ? 2 : 13];
        s->node = to.ip[to.family == RMR_AF_INET ? 3 : 15];
        assert_int_equal(
            rmr_stun_parse_request(rmr_bytes_of(buf, len), s->txid), RMR_OK);
        s->answer_at = rmr_time_add(l->now, latency_of(l, s));
        if (l->send_error[to.family == RMR_AF_INET ? 0 : 1]) {
            rmr_netcheck_send_failed(l->nc, &to);
            s->answer_at = RMR_TIME_NEVER;
        }
    }
}

rmr_err nc_lab_answer(nc_lab *l, size_t i)
{
    uint8_t buf[RMR_STUN_RESPONSE_MAX];
    size_t len;
    const nc_sent *s = &l->sent[i];
    rmr_addr a = s->family == 4 ? l->mapped : l->mapped6;
    if (l->varies)
        a.port = (uint16_t)(a.port + s->region);
    assert_int_equal(
        rmr_stun_build_response(rmr_buf_of(buf, sizeof buf), &len, s->txid, &a),
        RMR_OK);
    return rmr_netcheck_read_pkt(l->nc, l->now, rmr_bytes_of(buf, len));
}

static rmr_time next_answer(const nc_lab *l, size_t *which)
{
    rmr_time t = RMR_TIME_NEVER;
    for (size_t i = 0; i < l->n_sent; i++) {
        if (l->sent[i].answer_at < t) {
            t = l->sent[i].answer_at;
            *which = i;
        }
    }
    return t;
}

void nc_lab_go(nc_lab *l, rmr_time until)
{
    while (rmr_netcheck_is_running(l->nc)) {
        size_t which = 0;
        rmr_time due = rmr_netcheck_next_deadline(l->nc);
        rmr_time answer = next_answer(l, &which);
        rmr_time t = rmr_time_min(due, answer);
        if (l->fine && t > l->now + RMR_MS)
            t = l->now + RMR_MS;
        if (t > until) {
            l->now = until;
            return;
        }
        l->now = t;
        if (t == answer) {
            l->sent[which].answer_at = RMR_TIME_NEVER;
            (void)nc_lab_answer(l, which);
        } else {
            assert_int_equal(rmr_netcheck_handle_deadline(l->nc, t), RMR_OK);
            assert_true(rmr_netcheck_next_deadline(l->nc) > t);
        }
        nc_lab_drain(l);
    }
}

void nc_lab_start(nc_lab *l)
{
    l->n_sent = 0;
    assert_int_equal(rmr_netcheck_start(l->nc, l->now, &l->how), RMR_OK);
    nc_lab_drain(l);
}

rmr_dur nc_lab_run(nc_lab *l)
{
    rmr_time from = l->now;
    size_t done = l->done;
    nc_lab_start(l);
    nc_lab_go(l, l->now + 6 * RMR_SEC);
    assert_int_equal(l->done, done + 1);
    return l->now - from;
}

size_t nc_lab_count(const nc_lab *l, uint16_t region, uint8_t family)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n_sent; i++)
        n += l->sent[i].region == region && l->sent[i].family == family;
    return n;
}
