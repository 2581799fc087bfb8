#include "wg_fixture.h"

#include <stdlib.h>

static bool feed(wg_replay *r, uint64_t counter)
{
    if (!rmri_wg_replay_ok(r, counter))
        return false;
    rmri_wg_replay_mark(r, counter);
    return true;
}

static size_t rows(wg_replay *r, tv *list)
{
    for (size_t i = 0; i < tv_len(list); i++)
        assert_int_equal(feed(r, tv_u64(tv_get(tv_at(list, i), "counter"))),
                         tv_bool(tv_get(tv_at(list, i), "accept")));
    return tv_len(list);
}

/* All of a range is accepted, or none; it runs down where from is greater. */
static size_t range(wg_replay *r, tv *v)
{
    bool want = tv_bool(tv_get(v, "accept_all"));
    uint64_t from = tv_u64(tv_get(v, "from")), to = tv_u64(tv_get(v, "to"));
    size_t n = 1;
    for (uint64_t c = from;; c += from < to ? 1 : UINT64_MAX, n++) {
        assert_int_equal(feed(r, c), want);
        if (c == to)
            return n;
    }
}

static void every_decision_of_the_vector_is_met(void **state)
{
    (void)state;
    tv *root = tv_load("wireguard-replay.json");
    tv *list = tv_get(root, "sequences");
    size_t n = 0;
    assert_int_equal(tv_get_int(root, "window"), WG_REPLAY_WINDOW);
    assert_true(tv_u64(tv_get(root, "reject_after_messages")) ==
                WG_REJECT_AFTER_MESSAGES);
    assert_int_equal(tv_len(list), 21);
    for (size_t i = 0; i < tv_len(list); i++) {
        wg_replay r;
        memset(&r, 0, sizeof r);
        tv *one = tv_opt(tv_at(list, i), "rows");
        tv *many = tv_opt(tv_at(list, i), "ranges");
        assert_true(one || many);
        if (one)
            n += rows(&r, one);
        for (size_t k = 0; many && k < tv_len(many); k++)
            n += range(&r, tv_at(many, k));
    }
    assert_true(n > 100000);
    tv_free(root);
}

/* ---- the same decisions through the tunnel, in arrays ------------------- */

typedef struct tube { /* keepalives with the counters of the vector */
    wgf f;
    wg_key *key;
    test_rng g;
    rmr_wg_in in[300];
    uint8_t d[300][RMR_WG_OVERHEAD];
    bool want[300];
    size_t n, limit;
} tube;

static void flush(tube *p)
{
    assert_int_equal(rmr_wg_read_pkts(p->f.b.wg, p->f.now, p->in, p->n),
                     RMR_OK);
    for (size_t i = 0; i < p->n; i++)
        assert_int_equal(p->in[i].err, p->want[i] ? RMR_OK : RMR_E_REPLAY);
    p->n = 0;
    p->limit = 1 + (size_t)(test_rng_u64(&p->g) % 300);
}

static void put(tube *p, uint64_t counter, bool want)
{
    uint8_t *d = p->d[p->n];
    rmr_store_le32(d, WG_DATA);
    rmr_store_le32(d + 4, p->key->ix.id);
    rmr_store_le64(d + 8, counter);
    p->in[p->n].from = &p->f.a.at;
    p->in[p->n].datagram = rmr_buf_of(d, RMR_WG_OVERHEAD);
    p->in[p->n].ecn = 0;
    p->want[p->n++] = want;
    if (p->n == p->limit)
        flush(p);
}

static size_t put_range(tube *p, tv *v)
{
    bool want = tv_bool(tv_get(v, "accept_all"));
    uint64_t from = tv_u64(tv_get(v, "from")), to = tv_u64(tv_get(v, "to"));
    size_t n = 1;
    for (uint64_t c = from;; c += from < to ? 1 : UINT64_MAX, n++) {
        put(p, c, want);
        if (c == to)
            return n;
    }
}

static void every_decision_is_met_in_arrays_of_any_size(void **state)
{
    (void)state;
    tv *root = tv_load("wireguard-replay.json");
    tv *list = tv_get(root, "sequences");
    tube *p = (tube *)calloc(1, sizeof *p);
    size_t n = 0;
    assert_non_null(p);
    wgf_open(&p->f);
    wgf_handshake(&p->f);
    test_rng_seed(&p->g, 6);
    p->limit = 1;
    p->f.b.wg->aead = wgf_open_aead();
    p->key = wgf_state(&p->f.b)->current;
    for (size_t i = 0; i < tv_len(list); i++) {
        tv *one = tv_opt(tv_at(list, i), "rows");
        tv *many = tv_opt(tv_at(list, i), "ranges");
        memset(&p->key->replay, 0, sizeof p->key->replay);
        for (size_t k = 0; one && k < tv_len(one); k++, n++) {
            tv *row = tv_at(one, k);
            put(p, tv_u64(tv_get(row, "counter")),
                tv_bool(tv_get(row, "accept")));
        }
        for (size_t k = 0; many && k < tv_len(many); k++)
            n += put_range(p, tv_at(many, k));
        flush(p);
    }
    assert_true(n > 100000);
    wgf_close(&p->f);
    free(p);
    tv_free(root);
}

/* The model: a set of all that was accepted. */
#define SPAN 60000

static void random_programs_agree_with_a_set(void **state)
{
    (void)state;
    static bool seen[SPAN];
    for (uint64_t seed = 1; seed <= 20; seed++) {
        test_rng g;
        wg_replay r;
        uint64_t last = 0, at = 0;
        test_rng_seed(&g, seed);
        memset(&r, 0, sizeof r);
        memset(seen, 0, sizeof seen);
        for (int i = 0; i < 20000; i++) {
            uint64_t x = test_rng_u64(&g);
            switch (x % 8) {
            case 0: /* far ahead */
                at = last + (x >> 8) % 300;
                break;
            case 1: /* at the far edge of the window */
                at = last - 8128 + (x >> 8) % 4 - 2;
                break;
            case 2:
                at = last - (x >> 8) % 9000;
                break;
            default:
                at = last + 1;
                break;
            }
            if (at >= SPAN)
                continue;
            bool want =
                (at > last || last - at <= WG_REPLAY_WINDOW) && !seen[at];
            assert_int_equal(feed(&r, at), want);
            if (want) {
                seen[at] = true;
                last = at > last ? at : last;
            }
        }
    }
}

static void a_look_changes_nothing(void **state)
{
    (void)state;
    wg_replay r, before;
    memset(&r, 0, sizeof r);
    feed(&r, 5);
    before = r;
    for (uint64_t c = 0; c < 20000; c += 7)
        (void)rmri_wg_replay_ok(&r, c);
    assert_memory_equal(&r, &before, sizeof r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_decision_of_the_vector_is_met),
        cmocka_unit_test(every_decision_is_met_in_arrays_of_any_size),
        cmocka_unit_test(random_programs_agree_with_a_set),
        cmocka_unit_test(a_look_changes_nothing),
    };
    return cmocka_run_group_tests(tests, wgf_group_setup, NULL);
}
