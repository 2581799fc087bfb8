#include "pol_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

json_t *pol_vectors(const char *name)
{
    char path[512];
    json_error_t err;
    snprintf(path, sizeof path, "%s/coord/%s", REMORA_VECTORS, name);
    json_t *doc = json_load_file(path, 0, &err);
    if (!doc)
        fail_msg("%s: line %d: %s", path, err.line, err.text);
    return doc;
}

static rmr_bytes text_of(const json_t *o, const char *key)
{
    return rmr_bytes_str(json_string_value(json_object_get(o, key)));
}

static uint64_t user_id(const pol_world *w, const char *name)
{
    size_t i;
    json_t *u;
    json_array_foreach(json_object_get(w->doc, "users"), i, u)
    {
        if (name &&
            strcmp(json_string_value(json_object_get(u, "name")), name) == 0)
            return (uint64_t)json_integer_value(json_object_get(u, "id"));
    }
    return 0;
}

static const json_t *node_of(const pol_world *w, const char *name)
{
    size_t i;
    json_t *n;
    json_array_foreach(json_object_get(w->doc, "nodes"), i, n)
    {
        if (strcmp(json_string_value(json_object_get(n, "name")), name) == 0)
            return n;
    }
    fail_msg("no node %s", name);
    return NULL;
}

uint64_t pol_world_id(const pol_world *w, const char *node)
{
    return (uint64_t)json_integer_value(
        json_object_get(node_of(w, node), "id"));
}

static size_t add_routes(const json_t *list, bool exit, rmr_prefix *out,
                         size_t n)
{
    size_t i;
    json_t *r;
    json_array_foreach(list, i, r)
    {
        rmr_prefix p;
        assert_int_equal(
            rmr_prefix_parse(rmr_bytes_str(json_string_value(r)), &p), RMR_OK);
        if (exit == (p.bits == 0))
            out[n++] = p;
    }
    return n;
}

void pol_put(pol_world *w, const json_t *node, bool exit)
{
    rmr_bytes tags[8];
    rmr_prefix routes[8];
    size_t i;
    json_t *v;
    rmr_pol_node n;
    memset(&n, 0, sizeof n);
    n.id = (uint64_t)json_integer_value(json_object_get(node, "id"));
    n.own = (void *)(uintptr_t)n.id;
    n.user_id = user_id(w, json_string_value(json_object_get(node, "user")));
    json_array_foreach(json_object_get(node, "ips"), i, v)
    {
        rmr_addr a;
        rmr_bytes ip = rmr_bytes_str(json_string_value(v));
        assert_int_equal(rmr_addr_parse_ip(ip, &a), RMR_OK);
        *(a.family == RMR_AF_INET ? &n.v4 : &n.v6) = a;
    }
    json_array_foreach(json_object_get(node, "tags"), i, v)
    {
        tags[n.n_tags++] = rmr_bytes_str(json_string_value(v));
    }
    n.tags = tags;
    n.n_routes =
        add_routes(json_object_get(node, "approved"), false, routes, 0);
    if (exit)
        n.n_routes = add_routes(json_object_get(node, "announced"), true,
                                routes, n.n_routes);
    n.routes = routes;
    assert_int_equal(rmr_pol_net_put_node(w->net, &n), RMR_OK);
}

void pol_put_text(pol_world *w, const char *node)
{
    json_t *n = json_loads(node, 0, NULL);
    assert_non_null(n);
    pol_put(w, n, true);
    json_decref(n);
}

void pol_world_new(pol_world *w, bool exit)
{
    size_t i;
    json_t *v;
    w->doc = pol_vectors("policy-cases.json");
    memset(&w->heap, 0, sizeof w->heap);
    w->alloc = test_alloc_table(&w->heap);
    assert_int_equal(rmr_pol_net_new(&w->net, &w->alloc), RMR_OK);
    json_array_foreach(json_object_get(w->doc, "users"), i, v)
    {
        rmr_pol_user u;
        memset(&u, 0, sizeof u);
        u.id = (uint64_t)json_integer_value(json_object_get(v, "id"));
        u.name = text_of(v, "name");
        u.email = text_of(v, "email");
        assert_int_equal(rmr_pol_net_put_user(w->net, &u), RMR_OK);
    }
    json_array_foreach(json_object_get(w->doc, "nodes"), i, v)
    {
        pol_put(w, v, exit);
    }
}

void pol_world_free(pol_world *w)
{
    rmr_pol_net_free(w->net);
    json_decref(w->doc);
    assert_int_equal(w->heap.live_bytes, 0);
}

void pol_world_set(pol_world *w, const char *policy)
{
    rmr_pol_why why;
    rmr_pol *pol;
    if (rmr_pol_parse(&pol, &w->alloc, rmr_bytes_str(policy), &why))
        fail_msg("%s\n%u:%u: %s", policy, why.line, why.column, why.text);
    assert_int_equal(rmr_pol_net_set(w->net, pol), RMR_OK);
}

/* ---- answers ------------------------------------------------------------- */

static json_t *finish(rmr_jw *w, uint8_t *buf)
{
    size_t len;
    assert_int_equal(rmr_jw_end(w, &len), RMR_OK);
    json_t *out = json_loadb((const char *)buf, len, 0, NULL);
    assert_non_null(out);
    free(buf);
    return out;
}

enum { ROOM = 1 << 20 };

json_t *pol_filter(pol_world *w, const char *node)
{
    rmr_jw jw;
    uint8_t *buf = malloc(ROOM);
    rmr_jw_init(&jw, rmr_buf_of(buf, ROOM));
    if (node)
        assert_int_equal(
            rmr_pol_write_filter(w->net, pol_world_id(w, node), &jw), RMR_OK);
    else
        assert_int_equal(rmr_pol_write_rules(w->net, &jw), RMR_OK);
    return finish(&jw, buf);
}

json_t *pol_ssh_of(pol_world *w, const char *node)
{
    rmr_jw jw;
    uint8_t *buf = malloc(ROOM);
    rmr_jw_init(&jw, rmr_buf_of(buf, ROOM));
    assert_int_equal(rmr_pol_write_ssh(w->net, pol_world_id(w, node),
                                       rmr_bytes_str("http://127.0.0.1:18080"),
                                       &jw),
                     RMR_OK);
    return finish(&jw, buf);
}

typedef struct peers {
    pol_world *w;
    uint64_t viewer, last;
    json_t *out;
} peers;

/* In the order of addresses, as the vectors have them. */
static void add_allowed(const peers *p, const json_t *node, uint64_t id,
                        json_t *out)
{
    static const char *const lists[] = {"0.0.0.0/0", "192.168.8.0/24",
                                        "192.168.20.0/24", "::/0"};
    (void)node;
    for (size_t i = 0; i < 4; i++) {
        rmr_prefix r;
        rmr_pol_route may;
        assert_int_equal(rmr_prefix_parse(rmr_bytes_str(lists[i]), &r), RMR_OK);
        if (rmr_pol_may_route(p->w->net, p->viewer, id, &r, &may))
            continue;
        if (may != RMR_POL_ROUTE_NO)
            json_array_append_new(out, json_string(lists[i]));
    }
}

static bool on_peer(void *user, uint64_t id)
{
    peers *p = user;
    size_t i;
    json_t *n;
    assert_true(id > p->last);
    p->last = id;
    json_array_foreach(json_object_get(p->w->doc, "nodes"), i, n)
    {
        bool sees = false;
        if ((uint64_t)json_integer_value(json_object_get(n, "id")) != id)
            continue;
        assert_int_equal(rmr_pol_sees(p->w->net, p->viewer, id, &sees), RMR_OK);
        assert_true(sees);
        json_t *routes = json_array();
        add_allowed(p, n, id, routes);
        json_object_set_new(
            p->out, json_string_value(json_object_get(n, "name")), routes);
    }
    return true;
}

static void expect_unseen(const peers *p)
{
    size_t i;
    json_t *n;
    json_array_foreach(json_object_get(p->w->doc, "nodes"), i, n)
    {
        const char *name = json_string_value(json_object_get(n, "name"));
        uint64_t id = pol_world_id(p->w, name);
        bool sees = true;
        if (json_object_get(p->out, name))
            continue;
        assert_int_equal(rmr_pol_sees(p->w->net, p->viewer, id, &sees), RMR_OK);
        assert_false(sees);
    }
}

json_t *pol_peers(pol_world *w, const char *node)
{
    peers p = {w, pol_world_id(w, node), 0, json_object()};
    assert_int_equal(rmr_pol_each_peer(w->net, p.viewer, on_peer, &p), RMR_OK);
    expect_unseen(&p);
    return p.out;
}

void pol_expect(const char *what, json_t *got, const json_t *want)
{
    if (!json_equal(got, want)) {
        char *a = json_dumps(got, JSON_COMPACT | JSON_ENCODE_ANY);
        char *b = json_dumps(want, JSON_COMPACT | JSON_ENCODE_ANY);
        fail_msg("%s:\n got %s\nwant %s", what, a, b);
    }
    json_decref(got);
}

void pol_expect_text(const char *what, json_t *got, const char *want)
{
    json_t *w = json_loads(want, JSON_DECODE_ANY, NULL);
    assert_non_null(w);
    pol_expect(what, got, w);
    json_decref(w);
}

size_t pol_filter_text(rmr_pol_net *net, uint64_t id, char *buf, size_t cap)
{
    rmr_jw w;
    size_t len = 0;
    rmr_jw_init(&w, rmr_buf_of(buf, cap - 1));
    assert_int_equal(rmr_pol_write_filter(net, id, &w), RMR_OK);
    assert_int_equal(rmr_jw_end(&w, &len), RMR_OK);
    buf[len] = '\0';
    return len;
}

bool pol_note_peer(void *user, uint64_t id)
{
    *(uint32_t *)user |= (uint32_t)1 << id;
    return true;
}

static bool note_own(void *user, void *own)
{
    return pol_note_peer(user, (uintptr_t)own);
}

uint32_t pol_peer_bits(rmr_pol_net *net, uint64_t id)
{
    uint32_t out = 0, walked = 0;
    assert_int_equal(rmr_pol_each_peer(net, id, pol_note_peer, &out), RMR_OK);
    assert_int_equal(rmr_pol_walk_peers(net, id, note_own, &walked), RMR_OK);
    assert_int_equal(walked, out);
    return out;
}
