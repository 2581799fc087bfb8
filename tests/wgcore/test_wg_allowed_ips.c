#include "wg_fixture.h"

#include <stdlib.h>

#define PEERS 256

typedef struct table {
    test_alloc mem;
    rmr_alloc alloc;
    wg_ips ips;
    wg_peer peer[PEERS];
    char name[PEERS][32];
    size_t n;
} table;

static table *table_new(void)
{
    table *t = (table *)calloc(1, sizeof *t);
    assert_non_null(t);
    t->alloc = test_alloc_table(&t->mem);
    t->ips.alloc = &t->alloc;
    return t;
}

static void table_free(table *t)
{
    for (size_t i = 0; i < PEERS; i++)
        rmri_wg_ips_remove_peer(&t->ips, &t->peer[i]);
    assert_null(t->ips.root[0]);
    assert_null(t->ips.root[1]);
    rmri_wg_ips_unreserve(&t->ips);
    assert_int_equal(t->mem.live_blocks, 0);
    free(t);
}

static wg_peer *named(table *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++)
        if (!strcmp(t->name[i], name))
            return &t->peer[i];
    assert_true(t->n < PEERS && strlen(name) < 32);
    strcpy(t->name[t->n], name);
    return &t->peer[t->n++];
}

static void insert(table *t, wg_peer *p, const rmr_prefix *x)
{
    assert_int_equal(rmri_wg_ips_reserve(&t->ips, 1), RMR_OK);
    rmri_wg_ips_insert(&t->ips, p, x);
    rmri_wg_ips_unreserve(&t->ips);
}

static wg_peer *find(table *t, const rmr_addr *a)
{
    wg_peer *p = rmri_wg_ips_find(&t->ips, a->family, a->ip);
    /* The short cut for sources never differs. */
    for (size_t i = 0; i < t->n; i++)
        assert_int_equal(
            rmri_wg_ips_owns(&t->ips, &t->peer[i], a->family, a->ip),
            p == &t->peer[i]);
    return p;
}

static size_t count(const wg_peer *p)
{
    size_t n = 0;
    for (const wg_node *x = p->prefixes; x; x = x->owner_next)
        n++;
    return n;
}

static void op(table *t, tv *o)
{
    const char *what = tv_get_str(o, "op");
    const char *name = tv_get_str(o, "peer");
    if (!strcmp(what, "lookup")) {
        rmr_addr a;
        assert_int_equal(
            rmr_addr_parse_ip(rmr_bytes_str(tv_get_str(o, "addr")), &a),
            RMR_OK);
        wg_peer *want = *name ? named(t, name) : NULL;
        assert_ptr_equal(find(t, &a), want);
    } else if (!strcmp(what, "insert")) {
        rmr_prefix x;
        assert_int_equal(
            rmr_prefix_parse(rmr_bytes_str(tv_get_str(o, "prefix")), &x),
            RMR_OK);
        assert_true(rmri_wg_prefix_ok(&x));
        insert(t, named(t, name), &x);
    } else if (!strcmp(what, "remove_peer")) {
        rmri_wg_ips_remove_peer(&t->ips, named(t, name));
    } else {
        assert_string_equal(what, "count");
        assert_int_equal(count(named(t, name)), tv_get_int(o, "n"));
    }
}

static void every_operation_of_the_vector_is_met(void **state)
{
    (void)state;
    tv *root = tv_load("wireguard-allowedips.json");
    tv *list = tv_get(root, "sequences");
    size_t n = 0;
    for (size_t i = 0; i < tv_len(list); i++) {
        table *t = table_new();
        tv *ops = tv_get(tv_at(list, i), "ops");
        for (size_t k = 0; k < tv_len(ops); k++, n++)
            op(t, tv_at(ops, k));
        table_free(t);
    }
    assert_int_equal(n, 1171);
    tv_free(root);
}

/* ---- the model: a list, searched in full ------------------------------- */

typedef struct entry {
    rmr_prefix x;
    wg_peer *p;
} entry;

static rmr_prefix masked(rmr_prefix x)
{
    for (unsigned i = x.bits; i < 128; i++)
        x.ip[i / 8] &= (uint8_t) ~(0x80u >> i % 8);
    return x;
}

static wg_peer *slow_find(const entry *e, size_t n, const rmr_addr *a)
{
    const entry *best = NULL;
    for (size_t i = 0; i < n; i++)
        if (e[i].p && e[i].x.family == a->family) {
            rmr_prefix at = {{0}, a->family, e[i].x.bits};
            memcpy(at.ip, a->ip, 16);
            at = masked(at);
            if (rmr_prefix_eq(&at, &e[i].x) &&
                (!best || e[i].x.bits > best->x.bits))
                best = &e[i];
        }
    return best ? best->p : NULL;
}

/* Few distinct bits, so that prefixes nest and meet. */
static void random_ip(test_rng *g, uint8_t family, uint8_t ip[16])
{
    memset(ip, 0, 16);
    for (size_t i = 0; i < (family == RMR_AF_INET ? 4 : 16); i++)
        ip[i] = (uint8_t)(test_rng_u64(g) & 0x81);
}

static void random_programs_agree_with_a_list(void **state)
{
    (void)state;
    static entry e[4000];
    for (uint64_t seed = 1; seed <= 10; seed++) {
        table *t = table_new();
        test_rng g;
        size_t n = 0;
        test_rng_seed(&g, seed);
        t->n = 20;
        for (int i = 0; i < 1500; i++) {
            uint64_t x = test_rng_u64(&g);
            uint8_t family = x & 1 ? RMR_AF_INET : RMR_AF_INET6;
            wg_peer *p = &t->peer[(x >> 8) % t->n];
            if (x >> 32 & 31) {
                rmr_prefix pf = {{0}, family, 0};
                pf.bits =
                    (uint8_t)((x >> 40) % (family == RMR_AF_INET ? 33 : 129));
                random_ip(&g, family, pf.ip);
                insert(t, p, &pf);
                pf = masked(pf);
                for (size_t k = 0; k < n; k++)
                    if (rmr_prefix_eq(&e[k].x, &pf))
                        e[k].p = NULL;
                e[n].x = pf;
                e[n++].p = p;
            } else {
                rmri_wg_ips_remove_peer(&t->ips, p);
                for (size_t k = 0; k < n; k++)
                    if (e[k].p == p)
                        e[k].p = NULL;
            }
            for (int k = 0; k < 5; k++) {
                rmr_addr a;
                memset(&a, 0, sizeof a);
                a.family = k & 1 ? RMR_AF_INET : RMR_AF_INET6;
                random_ip(&g, a.family, a.ip);
                assert_ptr_equal(find(t, &a), slow_find(e, n, &a));
            }
        }
        table_free(t);
    }
}

static void sixty_five_thousand_prefixes_come_and_go(void **state)
{
    (void)state;
    table *t = table_new();
    t->n = 2;
    for (uint32_t i = 0; i < 65000; i++) {
        rmr_prefix x = {{10, (uint8_t)(i >> 8), (uint8_t)i}, RMR_AF_INET, 24};
        insert(t, &t->peer[i & 1], &x);
    }
    assert_int_equal(count(&t->peer[0]), 32500);
    rmr_addr a = rmr_addr_v4(10, 1, 1, 9, 0);
    assert_ptr_equal(find(t, &a), &t->peer[1]);
    rmri_wg_ips_remove_peer(&t->ips, &t->peer[1]);
    assert_null(find(t, &a));
    /* Inner nodes without use are gone: one fewer than leaves. */
    assert_int_equal(t->mem.live_blocks, 2 * 32500 - 1);
    table_free(t);
}

/* ---- through the public functions -------------------------------------- */

static void replacing_a_set_is_whole_or_not_at_all(void **state)
{
    (void)state;
    wgf f;
    wgf_open(&f);
    uint8_t pkt[40];
    wgf_packet(&f, &f.a, pkt, 40);
    rmr_bytes ip = rmr_bytes_of(pkt, 40);
    assert_int_equal(rmr_wg_route(f.a.wg, ip).id, f.a.peer.id);
    rmr_prefix set[3] = {{{10, 0, 0, 0}, RMR_AF_INET, 24},
                         {{0}, RMR_AF_INET6, 0},
                         {{10, 0, 0, 2}, RMR_AF_INET, 33}};
    assert_int_equal(rmr_wg_peer_set_allowed_ips(f.a.wg, f.a.peer, set, 3),
                     RMR_E_INVAL);
    assert_int_equal(count(wgf_state(&f.a)), 1);
    for (size_t n = 1;; n++) {
        size_t blocks = f.a.alloc.live_blocks;
        f.a.alloc.fail_at = f.a.alloc.calls + n;
        rmr_err e = rmr_wg_peer_set_allowed_ips(f.a.wg, f.a.peer, set, 2);
        f.a.alloc.fail_at = 0;
        if (!e)
            break;
        assert_int_equal(e, RMR_E_NOMEM);
        assert_int_equal(f.a.alloc.live_blocks, blocks);
        assert_int_equal(count(wgf_state(&f.a)), 1);
        assert_int_equal(rmr_wg_route(f.a.wg, ip).id, f.a.peer.id);
    }
    assert_int_equal(count(wgf_state(&f.a)), 2);
    assert_int_equal(rmr_wg_peer_set_allowed_ips(f.a.wg, f.a.peer, NULL, 0),
                     RMR_OK);
    assert_int_equal(rmr_wg_route(f.a.wg, ip).id, 0);
    wgf_close(&f);
}

static void a_prefix_moves_from_peer_to_peer(void **state)
{
    (void)state;
    wgf f;
    wgf_open(&f);
    uint8_t pub[32] = {9}, pkt[40];
    rmr_wg_peer third = wgf_add(&f.b, f.now, pub, NULL, NULL);
    wgf_allow(&f.b, third, "10.0.0.1/32 10.0.0.77/8");
    wgf_packet(&f, &f.b, pkt, 40);
    assert_int_equal(rmr_wg_route(f.b.wg, rmr_bytes_of(pkt, 40)).id, third.id);
    /* So A's packets are no longer its own. */
    wgf_send(&f, &f.a, 40);
    wgf_exchange(&f);
    assert_int_equal(f.b.n_packets, 0);
    assert_int_equal(f.b.wg->stats.discard_source, 1);
    assert_int_equal(rmr_wg_peer_remove(f.b.wg, f.now, third), RMR_OK);
    assert_int_equal(rmr_wg_route(f.b.wg, rmr_bytes_of(pkt, 40)).id, 0);
    wgf_close(&f);
}

static void routes_need_a_whole_ip_header(void **state)
{
    (void)state;
    wgf f;
    wgf_open(&f);
    wgf_allow(&f.a, f.a.peer, "0.0.0.0/0 ::/0");
    uint8_t p[40] = {0x45};
    for (size_t n = 0; n <= 40; n++) {
        p[0] = 0x45;
        assert_int_equal(rmr_wg_route(f.a.wg, rmr_bytes_of(p, n)).id != 0,
                         n >= 20);
        p[0] = 0x60;
        assert_int_equal(rmr_wg_route(f.a.wg, rmr_bytes_of(p, n)).id != 0,
                         n >= 40);
        p[0] = 0x50;
        assert_int_equal(rmr_wg_route(f.a.wg, rmr_bytes_of(p, n)).id, 0);
    }
    wgf_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_of_the_vector_is_met),
        cmocka_unit_test(random_programs_agree_with_a_list),
        cmocka_unit_test(sixty_five_thousand_prefixes_come_and_go),
        cmocka_unit_test(replacing_a_set_is_whole_or_not_at_all),
        cmocka_unit_test(a_prefix_moves_from_peer_to_peer),
        cmocka_unit_test(routes_need_a_whole_ip_header),
    };
    return cmocka_run_group_tests(tests, wgf_group_setup, NULL);
}
