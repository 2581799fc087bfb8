/* Disco messages by the vectors: sealed, opened, parsed, built, byte by byte as
 * Tailscale's do. */
#include <remora/disco.h>

#include "disco_internal.h"
#include "support.h"
#include "vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define MAX 2048

static void key_of(tv *root, const char *name, const char *part, uint8_t *dst)
{
    tv *k = tv_get(tv_get(root, "keys"), name);
    assert_int_equal(tv_get_hex(k, part, dst, RMR_KEY_LEN), RMR_KEY_LEN);
}

/* The message that a vector's fields describe. */
static void message_of(tv *root, tv *v, uint8_t type, rmr_disco_msg *m)
{
    memset(m, 0, sizeof *m);
    m->type = type;
    if (tv_opt(v, "txid"))
        tv_get_hex(v, "txid", m->txid, sizeof m->txid);
    if (tv_opt(v, "padding"))
        m->padding = (size_t)tv_get_int(v, "padding");
    if (tv_opt(v, "src"))
        assert_int_equal(
            rmr_addr_parse(rmr_bytes_str(tv_get_str(v, "src")), &m->src),
            RMR_OK);
    tv *key = tv_opt(v, "node_key");
    if (key && *tv_str(key)) {
        m->has_node_key = true;
        if (strlen(tv_str(key)) == 64)
            tv_hex(key, m->node_key, sizeof m->node_key);
        else
            key_of(root, tv_str(key), "public", m->node_key);
    }
    tv *eps = tv_opt(v, "endpoints");
    for (size_t i = 0; eps && i < tv_len(eps); i++)
        assert_int_equal(rmr_addr_parse(rmr_bytes_str(tv_str(tv_at(eps, i))),
                                        &m->candidates[m->n_candidates++]),
                         RMR_OK);
}

static void assert_same(const rmr_disco_msg *a, const rmr_disco_msg *b)
{
    assert_int_equal(a->type, b->type);
    assert_memory_equal(a->txid, b->txid, sizeof a->txid);
    assert_int_equal(a->has_node_key, b->has_node_key);
    assert_memory_equal(a->node_key, b->node_key, sizeof a->node_key);
    assert_true(rmr_addr_eq(&a->src, &b->src));
    assert_int_equal(a->n_candidates, b->n_candidates);
    for (size_t i = 0; i < a->n_candidates; i++)
        assert_true(rmr_addr_eq(&a->candidates[i], &b->candidates[i]));
    assert_int_equal(a->padding, b->padding);
}

static void check_open(rmr_bytes pkt, const uint8_t *shared,
                       const rmr_disco_msg *want)
{
    rmr_disco_msg got;
    uint8_t copy[MAX];
    assert_int_equal(rmr_disco_open(pkt, shared, &got), RMR_OK);
    assert_same(&got, want);
    memcpy(copy, pkt.ptr, pkt.len);
    assert_int_equal(
        rmr_disco_open_in_place(rmr_buf_of(copy, pkt.len), shared, &got),
        RMR_OK);
    assert_same(&got, want);
}

static void check_packet(tv *root, tv *v, size_t *known)
{
    uint8_t pkt[MAX], plain[MAX], out[MAX], shared[32], peer[32], own[32];
    uint8_t nonce[24], priv[32];
    size_t n = tv_get_hex(v, "packet", pkt, sizeof pkt), len;
    size_t plain_len = tv_get_hex(v, "plaintext", plain, sizeof plain);
    tv_get_hex(v, "nonce", nonce, sizeof nonce);
    key_of(root, tv_get_str(v, "from"), "private", priv);
    key_of(root, tv_get_str(v, "from"), "public", own);
    key_of(root, tv_get_str(v, "to"), "public", peer);
    assert_int_equal(rmr_box_shared(shared, priv, peer), RMR_OK);
    /* Who sent it, and that the receiver's key opens it. */
    uint8_t from[32], to_priv[32], to_shared[32];
    rmr_bytes d = rmr_bytes_of(pkt, n);
    assert_int_equal(rmr_disco_sender(d, from), RMR_OK);
    assert_memory_equal(from, own, 32);
    key_of(root, tv_get_str(v, "to"), "private", to_priv);
    assert_int_equal(rmr_box_shared(to_shared, to_priv, from), RMR_OK);
    assert_memory_equal(to_shared, shared, 32);
    rmr_disco_msg want;
    if (plain[0] > RMR_DISCO_CALL_ME_MAYBE) {
        memset(&want, 0, sizeof want);
        want.type = plain[0]; /* of a peer relay: known by its type alone */
        check_open(d, shared, &want);
        assert_int_equal(rmr_disco_seal(rmr_buf_of(out, sizeof out), &len, own,
                                        shared, nonce, &want),
                         RMR_E_INVAL);
        return;
    }
    (*known)++;
    message_of(root, v, plain[0], &want);
    check_open(d, shared, &want);
    assert_int_equal(rmri_disco_build(rmr_buf_of(out, sizeof out), &len, &want),
                     RMR_OK);
    assert_int_equal(len, plain_len);
    assert_memory_equal(out, plain, len);
    assert_int_equal(rmr_disco_seal(rmr_buf_of(out, sizeof out), &len, own,
                                    shared, nonce, &want),
                     RMR_OK);
    assert_int_equal(len, n);
    assert_memory_equal(out, pkt, n);
}

static void packets_open_and_seal_as_in_the_vectors(void **state)
{
    (void)state;
    tv *root = tv_load("disco.json");
    tv *list = tv_get(root, "packets");
    size_t known = 0;
    for (size_t i = 0; i < tv_len(list); i++)
        check_packet(root, tv_at(list, i), &known);
    assert_int_equal(known, 8);
    tv_free(root);
}

static void shared_keys_are_those_of_the_vectors(void **state)
{
    (void)state;
    tv *root = tv_load("disco.json");
    uint8_t a[32], b[32], want[32], got[32];
    key_of(root, "discoA", "private", a);
    key_of(root, "discoB", "public", b);
    tv_get_hex(tv_get(root, "keys"), "sharedAB", want, 32);
    assert_int_equal(rmr_box_shared(got, a, b), RMR_OK);
    assert_memory_equal(got, want, 32);
    tv_free(root);
}

static void a_wrapped_packet_is_found_inside(void **state)
{
    (void)state;
    tv *root = tv_load("disco.json");
    tv *list = tv_get(root, "geneve");
    uint8_t pkt[MAX], key[32], own[32];
    size_t n = tv_get_hex(tv_at(list, tv_len(list) - 1), "packet", pkt, MAX);
    rmr_disco_view v = rmr_disco_split(rmr_bytes_of(pkt, n), false);
    assert_int_equal(v.cls, RMR_DATAGRAM_DISCO);
    assert_true(v.geneve && v.control);
    assert_int_equal(rmr_disco_sender(v.payload, key), RMR_OK);
    key_of(root, "discoA", "public", own);
    assert_memory_equal(key, own, 32);
    /* The whole of it is no disco message. */
    assert_int_equal(rmr_disco_sender(rmr_bytes_of(pkt, n), key),
                     RMR_E_MALFORMED);
    tv_free(root);
}

static void plaintexts_parse_as_in_the_vectors(void **state)
{
    (void)state;
    tv *root = tv_load("disco.json");
    tv *list = tv_get(root, "payload_parse");
    for (size_t i = 0; i < tv_len(list); i++) {
        tv *v = tv_at(list, i);
        uint8_t plain[MAX], *copy;
        size_t n = tv_get_hex(v, "plaintext", plain, sizeof plain);
        copy = malloc(n ? n : 1);
        assert_non_null(copy);
        memcpy(copy, plain, n);
        rmr_disco_msg got, want;
        rmr_err e = rmri_disco_parse(rmr_bytes_of(copy, n), &got);
        if (n >= 2 && plain[0] > RMR_DISCO_CALL_ME_MAYBE) {
            assert_int_equal(e, RMR_OK); /* unknown: to be ignored */
            assert_int_equal(got.type, plain[0]);
        } else if (tv_opt(v, "error")) {
            assert_int_equal(e, RMR_E_MALFORMED);
            assert_int_equal(got.type, 0);
        } else {
            assert_int_equal(e, RMR_OK);
            tv *p = tv_get(v, "parsed");
            message_of(root, p, (uint8_t)tv_get_int(p, "type"), &want);
            assert_same(&got, &want);
        }
        free(copy);
    }
    tv_free(root);
}

static const uint8_t shared_key[32] = {1, 2, 3};
static const uint8_t public_key[32] = {4, 5, 6};
static const uint8_t some_nonce[24] = {7, 8, 9};

static size_t seal(uint8_t *dst, size_t cap, const rmr_disco_msg *m)
{
    size_t len;
    assert_int_equal(rmr_disco_seal(rmr_buf_of(dst, cap), &len, public_key,
                                    shared_key, some_nonce, m),
                     RMR_OK);
    return len;
}

static rmr_disco_msg ping(size_t padding)
{
    rmr_disco_msg m;
    memset(&m, 0, sizeof m);
    m.type = RMR_DISCO_PING;
    m.has_node_key = true;
    m.node_key[0] = 1;
    m.padding = padding;
    return m;
}

static void any_change_and_any_cut_is_refused(void **state)
{
    (void)state;
    uint8_t pkt[256];
    rmr_disco_msg m = ping(0), got;
    size_t n = seal(pkt, sizeof pkt, &m);
    assert_int_equal(n, 124);
    for (size_t i = 0; i < n; i++) {
        if (i >= 6 && i < 38)
            continue; /* the sender's key: it chooses `shared` */
        pkt[i] ^= 1;
        rmr_err e = rmr_disco_open(rmr_bytes_of(pkt, n), shared_key, &got);
        assert_int_equal(e, i < 6 ? RMR_E_MALFORMED : RMR_E_AUTH);
        assert_int_equal(got.type, 0);
        pkt[i] ^= 1;
    }
    for (size_t i = 0; i < n; i++) {
        uint8_t *cut = malloc(i ? i : 1);
        assert_non_null(cut);
        memcpy(cut, pkt, i);
        rmr_err e = rmr_disco_open(rmr_bytes_of(cut, i), shared_key, &got);
        assert_int_equal(e, i < 78 ? RMR_E_MALFORMED : RMR_E_AUTH);
        e = rmr_disco_open_in_place(rmr_buf_of(cut, i), shared_key, &got);
        assert_int_equal(e, i < 78 ? RMR_E_MALFORMED : RMR_E_AUTH);
        free(cut);
    }
    assert_int_equal(rmr_disco_open(rmr_bytes_of(pkt, n), shared_key, &got),
                     RMR_OK);
}

static void a_box_of_nothing_is_malformed(void **state)
{
    (void)state;
    uint8_t pkt[78] = {0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac};
    rmr_disco_msg got;
    memcpy(pkt + 38, some_nonce, 24);
    rmr_box_seal(pkt + 62, shared_key, some_nonce, rmr_bytes_of(NULL, 0));
    assert_int_equal(rmr_disco_open(rmr_bytes_of(pkt, 78), shared_key, &got),
                     RMR_E_MALFORMED);
}

static void the_longest_ping_opens_in_place_alone(void **state)
{
    (void)state;
    uint8_t *pkt = malloc(65600);
    assert_non_null(pkt);
    rmr_disco_msg m = ping(RMR_DISCO_MAX_PADDING), got;
    size_t n = seal(pkt, 65600, &m);
    assert_int_equal(n, 65467);
    assert_int_equal(rmr_disco_open(rmr_bytes_of(pkt, n), shared_key, &got),
                     RMR_E_TOOBIG);
    assert_int_equal(
        rmr_disco_open_in_place(rmr_buf_of(pkt, n), shared_key, &got), RMR_OK);
    assert_same(&got, &m);
    m = ping(RMR_DISCO_OPEN_MAX - 124);
    n = seal(pkt, 65600, &m);
    assert_int_equal(rmr_disco_open(rmr_bytes_of(pkt, n), shared_key, &got),
                     RMR_OK);
    free(pkt);
}

static void a_small_buffer_is_an_error_at_every_size(void **state)
{
    (void)state;
    rmr_disco_msg m = ping(3);
    for (size_t cap = 0; cap < 127; cap++) {
        uint8_t *dst = malloc(cap ? cap : 1);
        size_t len = 9;
        assert_non_null(dst);
        assert_int_equal(rmr_disco_seal(rmr_buf_of(dst, cap), &len, public_key,
                                        shared_key, some_nonce, &m),
                         RMR_E_BUFSIZE);
        assert_int_equal(len, 0);
        free(dst);
    }
}

static void what_cannot_be_said_is_refused(void **state)
{
    (void)state;
    uint8_t dst[MAX];
    size_t len;
    rmr_disco_msg m[6];
    memset(m, 0, sizeof m);
    m[0].type = 4;
    m[1].type = RMR_DISCO_PONG; /* no address */
    m[2].type = RMR_DISCO_CALL_ME_MAYBE;
    m[2].n_candidates = 1; /* of no family */
    m[3].type = RMR_DISCO_CALL_ME_MAYBE;
    m[3].n_candidates = RMR_DISCO_MAX_CANDIDATES + 1;
    m[4] = ping(RMR_DISCO_MAX_PADDING + 1);
    m[5] = ping(0);
    m[5].node_key[0] = 0; /* a key of zeros would be read as none */
    for (size_t i = 0; i < sizeof m / sizeof *m; i++)
        assert_int_equal(rmr_disco_seal(rmr_buf_of(dst, sizeof dst), &len,
                                        public_key, shared_key, some_nonce,
                                        &m[i]),
                         RMR_E_INVAL);
}

static void candidates_above_the_limit_are_left_out(void **state)
{
    (void)state;
    uint8_t plain[2 + 18 * 40];
    rmr_disco_msg m;
    memset(plain, 0, sizeof plain);
    plain[0] = RMR_DISCO_CALL_ME_MAYBE;
    for (size_t i = 0; i < 40; i++)
        plain[2 + 18 * i + 17] = (uint8_t)i;
    assert_int_equal(rmri_disco_parse(rmr_bytes_of(plain, sizeof plain), &m),
                     RMR_OK);
    assert_int_equal(m.n_candidates, RMR_DISCO_MAX_CANDIDATES);
    assert_int_equal(m.candidates[31].port, 31);
}

static void a_node_key_of_zeros_is_none(void **state)
{
    (void)state;
    uint8_t plain[2 + 12 + 32 + 5] = {RMR_DISCO_PING};
    rmr_disco_msg m;
    assert_int_equal(rmri_disco_parse(rmr_bytes_of(plain, sizeof plain), &m),
                     RMR_OK);
    assert_false(m.has_node_key);
    assert_int_equal(m.padding, 37);
}

int main(void)
{
    if (rmr_crypto_init() != RMR_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_open_and_seal_as_in_the_vectors),
        cmocka_unit_test(shared_keys_are_those_of_the_vectors),
        cmocka_unit_test(a_wrapped_packet_is_found_inside),
        cmocka_unit_test(plaintexts_parse_as_in_the_vectors),
        cmocka_unit_test(any_change_and_any_cut_is_refused),
        cmocka_unit_test(a_box_of_nothing_is_malformed),
        cmocka_unit_test(the_longest_ping_opens_in_place_alone),
        cmocka_unit_test(a_small_buffer_is_an_error_at_every_size),
        cmocka_unit_test(what_cannot_be_said_is_refused),
        cmocka_unit_test(candidates_above_the_limit_are_left_out),
        cmocka_unit_test(a_node_key_of_zeros_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
