/* Ten thousand peers: what they cost in memory, by the README's own numbers,
 * and in work, counted.  Over the null ciphers: ten thousand handshakes. */
#include "wg_fixture.h"

#include <stdio.h>
#include <stdlib.h>

enum { MANY = 10000 };

/* ---- what the README says ------------------------------------------------ */

/* The number in the row of the README that begins with `| what |`. */
static size_t stated(const char *what)
{
    FILE *f = fopen(REMORA_VECTORS "/../../wgcore/README.md", "r");
    char line[512], want[80];
    size_t n = 0;
    assert_non_null(f);
    snprintf(want, sizeof want, "| %s | ", what);
    while (fgets(line, sizeof line, f))
        if (!strncmp(line, want, strlen(want)))
            n = strtoul(line + strlen(want), NULL, 10);
    fclose(f);
    if (!n)
        print_error("the README says nothing of: %s\n", what);
    assert_true(n > 0);
    return n;
}

/* ---- a hub and its peers ------------------------------------------------- */

typedef struct hub {
    wgf_side s;
    rmr_time now;
    size_t max;
    rmr_wg_peer peer[MANY];
    uint32_t index[MANY]; /* of the key of peer i */
} hub;

static void spoke_key(uint32_t i, uint8_t priv[32])
{
    memset(priv, 0x33, 32);
    rmr_store_be32(priv + 4, i);
    rmr_key_clamp(priv);
}

static void add_peer(hub *h, uint32_t i)
{
    rmr_wg_peer_config pc;
    uint8_t priv[32];
    rmr_wg_peer_config_init(&pc, sizeof pc);
    spoke_key(i, priv);
    rmr_x25519_public(pc.public_key, priv);
    pc.user = i;
    assert_int_equal(rmr_wg_peer_add(h->s.wg, h->now, &pc, &h->peer[i]),
                     RMR_OK);
}

static void allow(hub *h, uint32_t i)
{
    rmr_prefix x = {{100, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i},
                    RMR_AF_INET,
                    32};
    assert_int_equal(rmr_wg_peer_set_allowed_ips(h->s.wg, h->peer[i], &x, 1),
                     RMR_OK);
}

static hub *hub_open(void)
{
    hub *h = (hub *)calloc(1, sizeof *h);
    rmr_wg_config cfg;
    rmr_wg_callbacks cb;
    assert_non_null(h);
    h->now = WGF_T0;
    wgf_side_keys(&h->s, 5, "hub");
    rmr_env env = wgf_env(&h->s);
    wgf_config(&h->s, &cfg, &cb);
    cfg.max_peers = MANY;
    cfg.load_per_second = UINT32_MAX;
    assert_int_equal(rmr_wg_new(&h->s.wg, &env, &cfg, h->now), RMR_OK);
    h->s.wg->jitter_max = 0;
    return h;
}

static void hub_close(hub *h)
{
    wgf_side_close(&h->s);
    free(h);
}

/* Peer i begins a handshake; the hub ends with a key that may send. */
static void shake(hub *h, uint32_t i)
{
    wgf_side s;
    uint8_t d[WGF_BUF];
    rmr_wg_pkt_info info;
    size_t n;
    memset(&s, 0, sizeof s);
    test_rng_seed(&s.rng.base, 100 + i);
    spoke_key(i, s.priv);
    s.at = wgf_endpoint("spoke");
    wgf_side_open(&s, h->now);
    s.wg->stamp_unix_ns = WGF_WALL + (h->now - WGF_T0);
    s.peer = wgf_add(&s, h->now, h->s.pub, NULL, &h->s.at);
    assert_int_equal(rmr_wg_peer_set_keepalive(s.wg, h->now, s.peer, 25),
                     RMR_OK);
    for (int k = 0; k < 2; k++) { /* initiation, keepalive */
        assert_int_equal(
            rmr_wg_write_pkt(s.wg, h->now, rmr_buf_of(d, WGF_BUF), &n, &info),
            RMR_OK);
        assert_int_equal(n, k ? 32 : 148);
        assert_int_equal(
            rmr_wg_read_pkt(h->s.wg, h->now, &s.at, rmr_buf_of(d, n)), RMR_OK);
        if (k)
            break;
        assert_int_equal(rmr_wg_write_pkt(h->s.wg, h->now,
                                          rmr_buf_of(d, WGF_BUF), &n, &info),
                         RMR_OK);
        assert_int_equal(n, 92);
        h->index[i] = rmr_load_le32(d + 4);
        assert_int_equal(
            rmr_wg_read_pkt(s.wg, h->now, &h->s.at, rmr_buf_of(d, n)), RMR_OK);
    }
    wgf_side_close(&s);
}

/* ---- memory -------------------------------------------------------------- */

static size_t bytes(const hub *h)
{
    rmr_wg_stats st;
    rmr_wg_get_stats(h->s.wg, &st);
    assert_int_equal(st.memory_bytes, h->s.alloc.live_bytes);
    return st.memory_bytes;
}

static size_t each(size_t before, size_t after, size_t n)
{
    assert_true(after > before);
    return (after - before + n - 1) / n;
}

static void memory_is_what_the_readme_says(void **state)
{
    (void)state;
    hub *h = hub_open();
    size_t aead = h->s.wg->own_aead.self ? 1 : 0;
    assert_int_equal(aead, 0); /* the null cipher's needs none */
    size_t empty = bytes(h), was = 0, idle = stated("an idle peer");
    assert_true(empty <= stated("a tunnel"));
    for (uint32_t i = 0; i < MANY; i++) {
        add_peer(h, i);
        if (i < 1000)
            continue;
        /* At every number, also where a table has just grown. */
        was = each(empty, bytes(h), i + 1);
        if (was > idle)
            print_error("%u peers: %zu bytes each\n", i + 1, was);
        assert_true(was <= idle);
    }
    size_t before = bytes(h), prefix = stated("an allowed prefix");
    for (uint32_t i = 0; i < MANY; i++)
        allow(h, i);
    assert_true(each(before, bytes(h), MANY) <= prefix);
    before = bytes(h);
    size_t session = stated("a session");
    for (uint32_t i = 0; i < MANY; i++) {
        shake(h, i);
        if (i >= 1000)
            assert_true(each(before, bytes(h), i + 1) <= session);
    }
    for (uint32_t i = 0; i < MANY; i++) /* and for each next key */
        rmr_wg_peer_expire(h->s.wg, h->now, h->peer[i]);
    h->now += 6 * RMR_SEC;
    for (uint32_t i = 0; i < MANY; i++)
        shake(h, i);
    assert_true(each(before, bytes(h), MANY) <= 2 * session);
    /* All erased: what an idle peer costs, and tables that do not shrink. */
    h->now += 600 * RMR_SEC;
    assert_int_equal(rmr_wg_handle_deadline(h->s.wg, h->now), RMR_OK);
    assert_true(each(empty, bytes(h), MANY) <= idle + prefix + 2 * 32);
    hub_close(h);
}

static void what_waits_for_a_key_has_its_price_and_bound(void **state)
{
    (void)state;
    hub *h = hub_open();
    uint8_t p[1280] = {0};
    for (uint32_t i = 0; i < MANY; i++)
        add_peer(h, i);
    size_t before = bytes(h);
    for (uint32_t i = 0; i < MANY; i++) /* nobody of them answers */
        for (int k = 0; k < 3; k++)
            (void)rmr_wg_send(h->s.wg, h->now, h->peer[i],
                              rmr_bytes_of(p, sizeof p));
    assert_true(h->s.wg->staged_bytes <= 4u << 20);
    assert_true(h->s.wg->staged_bytes > (4u << 20) - 1280);
    assert_true(h->s.wg->stats.staged_dropped > 20000);
    size_t staged = h->s.wg->staged_bytes / 1280 * (1280 + 16);
    size_t out = each(before + staged, bytes(h), MANY);
    assert_true(out <= stated("a handshake that is out"));
    hub_close(h);
}

/* ---- work ---------------------------------------------------------------- */

static size_t n_eq;

static bool counting_eq(const void *user, uint64_t value, const void *key,
                        size_t len)
{
    n_eq++;
    return rmri_wg_pub_eq(user, value, key, len);
}

/* How far entries of the table lie from their homes: the probes of a look-up
 * that finds. */
static void probes(const rmr_hash *t, size_t *sum, size_t *most)
{
    *sum = *most = 0;
    for (uint32_t i = 0; i < t->cap; i++) {
        if (!t->tab[i].tag)
            continue;
        size_t far = 1 + ((i - t->tab[i].home) & (t->cap - 1));
        *sum += far;
        if (far > *most)
            *most = far;
    }
}

static size_t depth_of(const wg_node *n)
{
    if (!n)
        return 0;
    size_t a = depth_of(n->child[0]), b = depth_of(n->child[1]);
    return 1 + (a > b ? a : b);
}

static void look_ups_do_not_grow_with_the_number_of_peers(void **state)
{
    (void)state;
    hub *h = hub_open();
    uint8_t priv[32], pub[32], pkt[40] = {0x45};
    h->s.wg->by_pub.eq = counting_eq;
    size_t next = 100;
    for (uint32_t i = 0; i < MANY; i++) {
        add_peer(h, i);
        allow(h, i);
        if (i + 1 != next)
            continue;
        next *= 10;
        size_t sum, most;
        probes(&h->s.wg->by_pub, &sum, &most);
        assert_true(sum <= 3 * (size_t)(i + 1)); /* 2.5 when 3/4 are used */
        assert_true(most <= 100);
        /* By key: one comparison of keys a look-up. */
        n_eq = 0;
        for (uint32_t k = 0; k <= i; k++) {
            spoke_key(k, priv);
            rmr_x25519_public(pub, priv);
            assert_int_equal(rmr_wg_peer_find(h->s.wg, pub).id, h->peer[k].id);
        }
        assert_true(n_eq <= i + 1 + 2);
    }
    /* By address: a path is no longer than the address. */
    assert_true(depth_of(h->s.wg->ips.root[0]) <= 33);
    for (uint32_t i = 0; i < MANY; i++) {
        pkt[16] = 100;
        pkt[17] = (uint8_t)(i >> 16);
        pkt[18] = (uint8_t)(i >> 8);
        pkt[19] = (uint8_t)i;
        assert_int_equal(rmr_wg_route(h->s.wg, rmr_bytes_of(pkt, 40)).id,
                         h->peer[i].id);
    }
    /* By index: one place, whatever the table's size. */
    for (uint32_t i = 0; i < MANY; i++)
        shake(h, i);
    const wg_indices *t = &h->s.wg->indices;
    assert_int_equal(t->used, MANY);
    assert_true(t->used <= t->cap / 2);
    for (uint32_t i = 0; i < MANY; i++) {
        const wg_index *ix = t->tab[h->index[i] & (t->cap - 1)];
        assert_ptr_equal(ix, rmri_wg_index_find(h->s.wg, h->index[i]));
        assert_int_equal(ix->peer->id, h->peer[i].id);
        assert_null(rmri_wg_index_find(h->s.wg, h->index[i] ^ 0x80000000u));
    }
    hub_close(h);
}

/* Each change of the heap takes a number, so the numbers count them. */
static uint64_t heap_moves(const hub *h)
{
    return h->s.wg->timers.seq;
}

static void deadlines_cost_a_change_of_the_heap_and_not_one_a_packet(void **s)
{
    (void)s;
    enum { N = 64 };
    hub *h = hub_open();
    rmr_wg_out out[N];
    rmr_wg_in in[N];
    static uint8_t buf[N][256];
    rmr_wg_endpoint from = wgf_endpoint("spoke");
    for (uint32_t i = 0; i < MANY; i++) {
        add_peer(h, i);
        allow(h, i);
    }
    uint64_t before = heap_moves(h);
    for (uint32_t i = 0; i < MANY; i++)
        shake(h, i);
    /* A handshake and its confirmation: a few deadlines. */
    assert_true(heap_moves(h) - before <= 4 * MANY);
    assert_int_equal(h->s.wg->timers.len, MANY); /* one entry a peer */
    const wg_peer *p = rmri_wg_peer_of(h->s.wg, h->peer[7]);
    uint64_t counter = 1;
    for (int round = 0; round < 10; round++) {
        for (size_t i = 0; i < N; i++) { /* 64 packets come, 64 go */
            uint8_t *d = buf[i];
            memset(d, 0, sizeof buf[i]);
            rmr_store_le32(d, WG_DATA);
            rmr_store_le32(d + 4, p->current->ix.id);
            rmr_store_le64(d + 8, counter++);
            d[16] = 0x45;
            d[19] = 40;
            d[28] = 100;
            d[31] = 7;
            in[i].from = &from;
            in[i].datagram = rmr_buf_of(d, 16 + 48 + 16);
            in[i].ecn = 0;
        }
        before = heap_moves(h);
        assert_int_equal(rmr_wg_read_pkts(h->s.wg, h->now, in, N), RMR_OK);
        for (size_t i = 0; i < N; i++)
            assert_int_equal(in[i].err, RMR_OK);
        assert_true(heap_moves(h) - before <= 1);
        for (size_t i = 0; i < N; i++) {
            out[i].peer = h->peer[7];
            out[i].pkt = rmr_pkt_of(rmr_buf_of(buf[i], 256), 16);
            memset(rmr_pkt_put(&out[i].pkt, 60), 0, 60);
        }
        before = heap_moves(h);
        assert_int_equal(rmr_wg_seal_n(h->s.wg, h->now, out, N), RMR_OK);
        assert_int_equal(out[N - 1].err, RMR_OK);
        assert_true(heap_moves(h) - before <= 1);
        h->now += RMR_MS;
    }
    /* One peer is due: the others' deadlines are not looked at. */
    before = heap_moves(h);
    h->now = rmr_wg_next_deadline(h->s.wg);
    assert_int_equal(rmr_wg_handle_deadline(h->s.wg, h->now), RMR_OK);
    assert_true(heap_moves(h) - before <= 2);
    assert_true(rmr_wg_next_deadline(h->s.wg) > h->now);
    hub_close(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_what_the_readme_says),
        cmocka_unit_test(what_waits_for_a_key_has_its_price_and_bound),
        cmocka_unit_test(look_ups_do_not_grow_with_the_number_of_peers),
        cmocka_unit_test(
            deadlines_cost_a_change_of_the_heap_and_not_one_a_packet),
    };
    return cmocka_run_group_tests(tests, wgf_group_setup, NULL);
}
