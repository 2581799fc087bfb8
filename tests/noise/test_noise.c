#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include <remora/noise.h>

#include "support.h"

typedef struct pair {
    uint8_t is[32], ip[32], rs[32], rp[32], ie[32], re[32];
    rmr_noise i, r;
    uint8_t msg1[200], msg2[200];
    size_t len1, len2;
} pair;

static const rmr_bytes none = {NULL, 0};
static const rmr_buf nowhere = {NULL, 0};

static void make(pair *p, rmr_noise_pattern pattern)
{
    test_rng r;
    memset(p, 0, sizeof *p);
    test_rng_seed(&r, 3);
    rmr_rng t = test_rng_table(&r);
    rmr_key_generate(&t, p->is);
    rmr_key_generate(&t, p->rs);
    rmr_key_generate(&t, p->ie);
    rmr_key_generate(&t, p->re);
    rmr_x25519_public(p->ip, p->is);
    rmr_x25519_public(p->rp, p->rs);
    rmr_noise_config ci = {.pattern = pattern,
                           .initiator = true,
                           .prologue = rmr_bytes_str("p"),
                           .local_private = p->is,
                           .remote_public = p->rp};
    rmr_noise_config cr = {.pattern = pattern,
                           .prologue = rmr_bytes_str("p"),
                           .local_private = p->rs};
    assert_int_equal(rmr_noise_init(&p->i, &ci), RMR_OK);
    assert_int_equal(rmr_noise_init(&p->r, &cr), RMR_OK);
    assert_int_equal(rmr_noise_write_1(&p->i, p->ie, rmr_bytes_str("hi"),
                                       rmr_buf_of(p->msg1, sizeof p->msg1),
                                       &p->len1),
                     RMR_OK);
}

static rmr_err read_1(pair *p, rmr_bytes msg)
{
    uint8_t claimed[32], pl[64];
    size_t n;
    rmr_err e = rmr_noise_read_1_static(&p->r, msg, claimed);
    return e ? e
             : rmr_noise_read_1_payload(&p->r, msg, NULL, NULL,
                                        rmr_buf_of(pl, sizeof pl), &n);
}

static void answer(pair *p)
{
    assert_int_equal(read_1(p, rmr_bytes_of(p->msg1, p->len1)), RMR_OK);
    assert_int_equal(rmr_noise_write_2(&p->r, p->re, rmr_bytes_str("yes"),
                                       rmr_buf_of(p->msg2, sizeof p->msg2),
                                       &p->len2),
                     RMR_OK);
}

static void payloads_travel_both_ways(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        pair p;
        uint8_t claimed[32], pl[8];
        size_t n;
        make(&p, (rmr_noise_pattern)k);
        rmr_bytes m1 = rmr_bytes_of(p.msg1, p.len1);
        assert_int_equal(p.len1, RMR_NOISE_MSG1_LEN + 2);
        assert_int_equal(rmr_noise_read_1_static(&p.r, m1, claimed), RMR_OK);
        assert_memory_equal(claimed, p.ip, 32);
        assert_int_equal(rmr_noise_read_1_payload(&p.r, m1, NULL, NULL,
                                                  rmr_buf_of(pl, 8), &n),
                         RMR_OK);
        assert_int_equal(n, 2);
        assert_memory_equal(pl, "hi", 2);
        assert_int_equal(rmr_noise_write_2(&p.r, p.re, rmr_bytes_str("yes"),
                                           rmr_buf_of(p.msg2, 200), &p.len2),
                         RMR_OK);
        assert_int_equal(rmr_noise_read_2(&p.i, rmr_bytes_of(p.msg2, p.len2),
                                          rmr_buf_of(pl, 8), &n),
                         RMR_OK);
        assert_int_equal(n, 3);
        assert_memory_equal(pl, "yes", 3);
    }
}

static void every_changed_bit_of_message_1_is_refused(void **state)
{
    (void)state;
    pair p;
    make(&p, RMR_NOISE_IK);
    rmr_noise fresh = p.r;
    for (size_t bit = 0; bit < p.len1 * 8; bit++) {
        /* X25519 ignores bit 255 of the ephemeral; the hash does not. */
        p.msg1[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(read_1(&p, rmr_bytes_of(p.msg1, p.len1)), RMR_E_AUTH);
        p.msg1[bit / 8] ^= (uint8_t)(1u << bit % 8);
        p.r = fresh;
    }
    assert_int_equal(read_1(&p, rmr_bytes_of(p.msg1, p.len1)), RMR_OK);
}

static void a_refused_static_leaves_the_responder_as_it_was(void **state)
{
    (void)state;
    pair p;
    uint8_t claimed[32];
    make(&p, RMR_NOISE_IKPSK2);
    rmr_noise before = p.r;
    p.msg1[40] ^= 1;
    assert_int_equal(
        rmr_noise_read_1_static(&p.r, rmr_bytes_of(p.msg1, p.len1), claimed),
        RMR_E_AUTH);
    assert_memory_equal(&p.r, &before, sizeof before);
    memset(p.msg1, 0, 32); /* a low-order ephemeral */
    assert_int_equal(
        rmr_noise_read_1_static(&p.r, rmr_bytes_of(p.msg1, p.len1), claimed),
        RMR_E_AUTH);
    assert_memory_equal(&p.r, &before, sizeof before);
}

static void a_forged_reply_leaves_the_initiator_able_to_finish(void **state)
{
    (void)state;
    pair p;
    uint8_t pl[8];
    size_t n;
    make(&p, RMR_NOISE_IK);
    answer(&p);
    rmr_noise before = p.i;
    for (size_t bit = 0; bit < p.len2 * 8; bit++) {
        p.msg2[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(rmr_noise_read_2(&p.i, rmr_bytes_of(p.msg2, p.len2),
                                          rmr_buf_of(pl, 8), &n),
                         RMR_E_AUTH);
        assert_memory_equal(&p.i, &before, sizeof before);
        p.msg2[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(rmr_noise_read_2(&p.i, rmr_bytes_of(p.msg2, p.len2),
                                      rmr_buf_of(pl, 8), &n),
                     RMR_OK);
}

static void every_shorter_message_is_malformed_or_refused(void **state)
{
    (void)state;
    pair p;
    uint8_t pl[8], claimed[32];
    size_t n;
    make(&p, RMR_NOISE_IK);
    rmr_noise fresh = p.r;
    for (size_t k = 0; k < p.len1; k++) {
        rmr_err e = read_1(&p, rmr_bytes_of(p.msg1, k));
        assert_int_equal(e,
                         k < RMR_NOISE_MSG1_LEN ? RMR_E_MALFORMED : RMR_E_AUTH);
        p.r = fresh;
    }
    answer(&p);
    for (size_t k = 0; k < p.len2; k++)
        assert_int_equal(rmr_noise_read_2(&p.i, rmr_bytes_of(p.msg2, k),
                                          rmr_buf_of(pl, 8), &n),
                         k < RMR_NOISE_MSG2_LEN ? RMR_E_MALFORMED : RMR_E_AUTH);
    p.r = fresh;
    assert_int_equal(
        rmr_noise_read_1_static(&p.r, rmr_bytes_of(p.msg1, p.len1), claimed),
        RMR_OK);
    assert_int_equal(rmr_noise_read_1_payload(&p.r, rmr_bytes_of(p.msg1, 10),
                                              NULL, NULL, rmr_buf_of(pl, 8),
                                              &n),
                     RMR_E_MALFORMED);
}

static void a_short_buffer_changes_nothing(void **state)
{
    (void)state;
    pair p;
    uint8_t out[200], claimed[32];
    size_t n;
    make(&p, RMR_NOISE_IK);
    rmr_bytes m1 = rmr_bytes_of(p.msg1, p.len1);
    assert_int_equal(rmr_noise_read_1_static(&p.r, m1, claimed), RMR_OK);
    assert_int_equal(
        rmr_noise_read_1_payload(&p.r, m1, NULL, NULL, rmr_buf_of(out, 1), &n),
        RMR_E_BUFSIZE);
    assert_int_equal(
        rmr_noise_read_1_payload(&p.r, m1, NULL, NULL, rmr_buf_of(out, 2), &n),
        RMR_OK);
    assert_int_equal(
        rmr_noise_write_2(&p.r, p.re, none, rmr_buf_of(out, 47), &n),
        RMR_E_BUFSIZE);
    assert_int_equal(rmr_noise_write_2(&p.r, p.re, rmr_bytes_str("x"),
                                       rmr_buf_of(out, 48), &n),
                     RMR_E_BUFSIZE);
    assert_int_equal(rmr_noise_write_2(&p.r, p.re, rmr_bytes_str("x"),
                                       rmr_buf_of(out, 49), &n),
                     RMR_OK);
    assert_int_equal(rmr_noise_read_2(&p.i, rmr_bytes_of(out, 49), nowhere, &n),
                     RMR_E_BUFSIZE);
    make(&p, RMR_NOISE_IK);
    rmr_noise_config c = {.pattern = RMR_NOISE_IK,
                          .initiator = true,
                          .local_private = p.is,
                          .remote_public = p.rp};
    assert_int_equal(rmr_noise_init(&p.i, &c), RMR_OK);
    assert_int_equal(
        rmr_noise_write_1(&p.i, p.ie, none, rmr_buf_of(out, 95), &n),
        RMR_E_BUFSIZE);
    assert_int_equal(
        rmr_noise_write_1(&p.i, p.ie, none, rmr_buf_of(out, 96), &n), RMR_OK);
}

static void calls_out_of_order_are_refused(void **state)
{
    (void)state;
    pair p;
    uint8_t out[200], a[32], b[32];
    size_t n;
    make(&p, RMR_NOISE_IK);
    rmr_bytes m1 = rmr_bytes_of(p.msg1, p.len1);
    rmr_buf o = rmr_buf_of(out, sizeof out);
    assert_int_equal(rmr_noise_write_1(&p.i, p.ie, none, o, &n), RMR_E_STATE);
    assert_int_equal(rmr_noise_write_1(&p.r, p.ie, none, o, &n), RMR_E_STATE);
    assert_int_equal(rmr_noise_read_1_static(&p.i, m1, a), RMR_E_STATE);
    assert_int_equal(rmr_noise_read_1_payload(&p.r, m1, NULL, NULL, o, &n),
                     RMR_E_STATE);
    assert_int_equal(rmr_noise_write_2(&p.r, p.re, none, o, &n), RMR_E_STATE);
    assert_int_equal(rmr_noise_read_2(&p.r, m1, o, &n), RMR_E_STATE);
    assert_int_equal(rmr_noise_split(&p.i, a, b), RMR_E_STATE);
    answer(&p);
    rmr_bytes m2 = rmr_bytes_of(p.msg2, p.len2);
    assert_int_equal(rmr_noise_read_1_static(&p.r, m1, a), RMR_E_STATE);
    assert_int_equal(rmr_noise_read_2(&p.i, m2, o, &n), RMR_OK);
    assert_int_equal(rmr_noise_read_2(&p.i, m2, o, &n), RMR_E_STATE);
    assert_int_equal(rmr_noise_split(&p.i, a, b), RMR_OK);
    assert_int_equal(rmr_noise_split(&p.i, a, b), RMR_E_STATE);
}

static void a_bad_configuration_is_refused(void **state)
{
    (void)state;
    uint8_t k[32] = {1};
    rmr_noise n;
    rmr_noise_config c = {.pattern = RMR_NOISE_IK, .initiator = true};
    assert_int_equal(rmr_noise_init(&n, &c), RMR_E_INVAL);
    c.local_private = k;
    assert_int_equal(rmr_noise_init(&n, &c), RMR_E_INVAL);
    c.initiator = false;
    assert_int_equal(rmr_noise_init(&n, &c), RMR_OK);
    c.pattern = (rmr_noise_pattern)7;
    assert_int_equal(rmr_noise_init(&n, &c), RMR_E_INVAL);
}

static void a_low_order_remote_key_is_refused(void **state)
{
    (void)state;
    pair p;
    uint8_t zero[32] = {0}, out[96];
    size_t n;
    make(&p, RMR_NOISE_IK);
    rmr_noise_config c = {.pattern = RMR_NOISE_IK,
                          .initiator = true,
                          .local_private = p.is,
                          .remote_public = zero};
    assert_int_equal(rmr_noise_init(&p.i, &c), RMR_OK);
    assert_int_equal(
        rmr_noise_write_1(&p.i, p.ie, none, rmr_buf_of(out, 96), &n),
        RMR_E_AUTH);
    /* A stored static-static of zeros stands for the same. */
    c.remote_public = p.rp;
    c.static_static = zero;
    assert_int_equal(rmr_noise_init(&p.i, &c), RMR_OK);
    assert_int_equal(
        rmr_noise_write_1(&p.i, p.ie, none, rmr_buf_of(out, 96), &n),
        RMR_E_AUTH);
}

static void different_psks_or_prologues_do_not_meet(void **state)
{
    (void)state;
    pair p;
    uint8_t psk[32] = {5}, claimed[32], pl[8];
    size_t n;
    make(&p, RMR_NOISE_IKPSK2);
    rmr_bytes m1 = rmr_bytes_of(p.msg1, p.len1);
    /* The PSK enters with message 2: only that one fails. */
    assert_int_equal(rmr_noise_read_1_static(&p.r, m1, claimed), RMR_OK);
    assert_int_equal(
        rmr_noise_read_1_payload(&p.r, m1, psk, NULL, rmr_buf_of(pl, 8), &n),
        RMR_OK);
    assert_int_equal(
        rmr_noise_write_2(&p.r, p.re, none, rmr_buf_of(p.msg2, 48), &n),
        RMR_OK);
    assert_int_equal(
        rmr_noise_read_2(&p.i, rmr_bytes_of(p.msg2, 48), nowhere, &n),
        RMR_E_AUTH);
    rmr_noise_config c = {.pattern = RMR_NOISE_IKPSK2,
                          .prologue = rmr_bytes_str("q"),
                          .local_private = p.rs};
    assert_int_equal(rmr_noise_init(&p.r, &c), RMR_OK);
    assert_int_equal(rmr_noise_read_1_static(&p.r, m1, claimed), RMR_E_AUTH);
}

static void split_and_wipe_leave_no_secret(void **state)
{
    (void)state;
    static const uint8_t zero[sizeof(rmr_noise)];
    pair p;
    uint8_t a[32], b[32];
    make(&p, RMR_NOISE_IKPSK2);
    answer(&p);
    assert_int_equal(rmr_noise_split(&p.r, a, b), RMR_OK);
    assert_memory_equal(p.r.ck, zero, 32);
    assert_memory_equal(p.r.e_priv, zero, 32);
    assert_memory_equal(p.r.psk, zero, 32);
    rmr_noise_wipe(&p.r);
    assert_memory_equal(&p.r, zero, sizeof p.r);
}

static int setup(void **state)
{
    (void)state;
    return rmr_crypto_init();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(payloads_travel_both_ways),
        cmocka_unit_test(every_changed_bit_of_message_1_is_refused),
        cmocka_unit_test(a_refused_static_leaves_the_responder_as_it_was),
        cmocka_unit_test(a_forged_reply_leaves_the_initiator_able_to_finish),
        cmocka_unit_test(every_shorter_message_is_malformed_or_refused),
        cmocka_unit_test(a_short_buffer_changes_nothing),
        cmocka_unit_test(calls_out_of_order_are_refused),
        cmocka_unit_test(a_bad_configuration_is_refused),
        cmocka_unit_test(a_low_order_remote_key_is_refused),
        cmocka_unit_test(different_psks_or_prologues_do_not_meet),
        cmocka_unit_test(split_and_wipe_leave_no_secret),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
