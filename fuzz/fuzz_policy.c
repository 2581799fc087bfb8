/* A policy against a small tailnet.  Any text is refused with a reason or taken;
 * one that is taken answers for every node, in JSON that reads back, the same
 * before and after a change that was taken back; sees is symmetric and agrees
 * with the list of peers.  The first byte fails an allocation. */
#include <remora/hash.h>
#include <remora/policy.h>

#include <stdlib.h>
#include <string.h>

#include "need.h"
#include "support.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NODES = 6, ROOM = 1 << 18 };

static rmr_err put_node(rmr_pol_net *net, uint8_t i)
{
    static const rmr_bytes tags[] = {{(const uint8_t *)"tag:server", 10},
                                     {(const uint8_t *)"tag:router", 10}};
    rmr_prefix routes[3] = {{{192, 168, 8}, RMR_AF_INET, 24},
                            {{0}, RMR_AF_INET, 0},
                            {{0}, RMR_AF_INET6, 0}};
    rmr_pol_node n;
    memset(&n, 0, sizeof n);
    n.id = i;
    n.user_id = 1 + i % 2u;
    n.v4 = rmr_addr_v4(100, 64, 0, i, 0);
    n.v6.family = RMR_AF_INET6;
    memcpy(n.v6.ip, "\xfd\x7a\x11\x5c\xa1\xe0", 6);
    n.v6.ip[15] = i;
    n.tags = tags;
    n.n_tags = i > 4 ? i - 4u : 0;
    n.routes = routes;
    n.n_routes = i == 6 ? 3 : i == 3;
    return rmr_pol_net_put_node(net, &n);
}

static rmr_err fill(rmr_pol_net *net)
{
    rmr_pol_user u[2];
    memset(u, 0, sizeof u);
    u[0].id = 1;
    u[0].name = rmr_bytes_str("alice");
    u[1].id = 2;
    u[1].name = rmr_bytes_str("bob");
    u[1].email = rmr_bytes_str("bob@example.test");
    rmr_err err = rmr_pol_net_put_user(net, &u[0]);
    if (!err)
        err = rmr_pol_net_put_user(net, &u[1]);
    for (uint8_t i = 1; i <= NODES && !err; i++)
        err = put_node(net, i);
    return err;
}

/* ---- answers ---------------------------------------------------------------- */

static rmr_err ignore(void *user, rmr_json_kind kind, rmr_bytes text)
{
    (void)user;
    (void)kind;
    (void)text;
    return RMR_OK;
}

static void check_json(const uint8_t *text, size_t len)
{
    rmr_json j;
    uint8_t *scratch = malloc(len + 1);
    need(scratch != NULL);
    rmr_json_init(&j, rmr_buf_of(scratch, len + 1), ignore, NULL);
    rmr_err err = rmr_json_feed(&j, rmr_bytes_of(text, len));
    if (!err)
        err = rmr_json_end(&j);
    /* Capabilities may nest deeper here than where they came from. */
    need(!err || err == RMR_E_TOOBIG);
    free(scratch);
}

static uint64_t sum_of(const uint8_t *p, size_t n)
{
    static const rmr_hash_key key;
    return rmr_siphash(&key, p, n);
}

typedef struct answers {
    uint64_t filter[NODES], ssh[NODES];
    uint32_t peers[NODES];
} answers;

static bool note_peer(void *user, uint64_t id)
{
    uint32_t *peers = user;
    need(id >= 1 && id <= NODES && *peers >> id == 0); /* rising */
    *peers |= (uint32_t)1 << id;
    return true;
}

static bool note_attr(void *user, rmr_bytes name)
{
    *(size_t *)user += name.len;
    return true;
}

static void end(rmr_jw *w, uint64_t *sum)
{
    size_t len;
    rmr_err err = rmr_jw_end(w, &len);
    need(!err || err == RMR_E_BUFSIZE);
    if (err)
        return;
    check_json(w->base, len);
    *sum = sum_of(w->base, len);
}

static rmr_err ask(rmr_pol_net *net, uint8_t *room, answers *out)
{
    rmr_jw w;
    size_t attrs = 0;
    memset(out, 0, sizeof *out);
    for (uint8_t i = 0; i < NODES; i++) {
        rmr_jw_init(&w, rmr_buf_of(room, ROOM));
        rmr_err err = rmr_pol_write_filter(net, i + 1u, &w);
        if (err)
            return err;
        end(&w, &out->filter[i]);
        rmr_jw_init(&w, rmr_buf_of(room, ROOM));
        err = rmr_pol_write_ssh(net, i + 1u, rmr_bytes_str("http://x"), &w);
        need(!err);
        end(&w, &out->ssh[i]);
        err = rmr_pol_each_peer(net, i + 1u, note_peer, &out->peers[i]);
        if (!err)
            err = rmr_pol_each_attr(net, i + 1u, note_attr, &attrs);
        if (err)
            return err;
    }
    return RMR_OK;
}

static void check_pairs(rmr_pol_net *net, const answers *a)
{
    const rmr_prefix route = {{192, 168, 8}, RMR_AF_INET, 24};
    for (uint8_t i = 1; i <= NODES; i++) {
        for (uint8_t k = 1; k <= NODES; k++) {
            bool sees = false;
            rmr_pol_route may;
            need(!rmr_pol_sees(net, i, k, &sees));
            need(sees == (a->peers[i - 1] >> k & 1));
            need(sees == (a->peers[k - 1] >> i & 1));
            if (k == 6)
                need(!rmr_pol_may_route(net, i, k, &route, &may));
        }
        bool approves;
        need(!rmr_pol_approves(net, i, &route, &approves));
        rmr_pol_node_may_tag(net, i, rmr_bytes_str("tag:server"));
    }
}

static void check_net(rmr_pol_net *net)
{
    answers before, after;
    uint8_t *room = malloc(ROOM);
    need(room != NULL);
    rmr_jw w;
    rmr_jw_init(&w, rmr_buf_of(room, ROOM));
    uint64_t sum = 0;
    need(!rmr_pol_write_rules(net, &w));
    end(&w, &sum);
    need(!ask(net, room, &before));
    check_pairs(net, &before);
    for (uint8_t i = 1; i <= NODES; i++) {
        need(!rmr_pol_net_del_node(net, i));
        need(!put_node(net, i));
    }
    need(!ask(net, room, &after));
    need(memcmp(&before, &after, sizeof after) == 0);
    free(room);
}

static void run(rmr_bytes doc, size_t fail_at)
{
    test_alloc ta;
    memset(&ta, 0, sizeof ta);
    rmr_alloc a = test_alloc_table(&ta);
    rmr_pol_net *net;
    rmr_pol *pol = NULL;
    rmr_pol_why why;
    need(!rmr_pol_net_new(&net, &a));
    need(!fill(net));
    ta.fail_at = fail_at ? ta.calls + fail_at : 0;
    rmr_err err = rmr_pol_parse(&pol, &a, doc, &why);
    if (err && err != RMR_E_NOMEM)
        need(why.text[0] && memchr(why.text, 0, sizeof why.text) &&
             why.line <= doc.len + 1 && why.column <= doc.len + 1);
    need((err == RMR_OK) == (pol != NULL));
    if (!err) {
        err = rmr_pol_net_check(net, pol, &why);
        need(!err || err == RMR_E_NOMEM || err == RMR_E_MALFORMED);
        err = rmr_pol_net_set(net, pol);
        if (err)
            rmr_pol_free(pol);
    }
    need(err != RMR_E_NOMEM || fail_at);
    if (fail_at) {
        answers out;
        uint8_t *room = malloc(ROOM);
        need(room != NULL);
        err = ask(net, room, &out);
        need(!err || err == RMR_E_NOMEM);
        free(room);
        ta.fail_at = 0;
    }
    check_net(net);
    rmr_pol_net_free(net);
    need(ta.live_bytes == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    rmr_bytes doc = rmr_bytes_of(data + 1, size - 1);
    run(doc, 0);
    if (data[0] != ' ')
        run(doc, data[0]);
    return 0;
}
