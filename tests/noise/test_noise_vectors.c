/* The handshakes of controlbase (IK) and of WireGuard (IKpsk2), byte for byte
 * and in both roles. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include <remora/noise.h>

#include "support.h"
#include "vectors.h"

static void hex32(tv *v, const char *key, uint8_t out[32])
{
    assert_int_equal(tv_get_hex(v, key, out, 32), 32);
}

static void the_initial_hash_is_that_of_the_protocol_name(void **state)
{
    (void)state;
    static const char *const names[] = {
        "Noise_IK_25519_ChaChaPoly_BLAKE2s",
        "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"};
    for (int p = 0; p < 2; p++) {
        uint8_t priv[32] = {1}, want[32];
        rmr_noise n;
        rmr_noise_config cfg = {.pattern = (rmr_noise_pattern)p,
                                .local_private = priv};
        assert_int_equal(rmr_noise_init(&n, &cfg), RMR_OK);
        rmr_blake2s_256(want, rmr_bytes_str(names[p]), rmr_bytes_of(NULL, 0));
        assert_memory_equal(n.ck, want, 32);
        rmr_noise_wipe(&n);
    }
}

static void controlbase_matches_the_vector_in_both_roles(void **state)
{
    (void)state;
    tv *v = tv_load("control/noise-vector.json");
    uint8_t m[32], mpub[32], s[32], spub[32], ce[32], se[32], want[32];
    uint8_t prologue[64], init[101], resp[51], msg[96], reply[48], claimed[32];
    uint8_t k1[32], k2[32], a[32], b[32], c[32], d[32];
    size_t len = 0;
    hex32(v, "machine_static_priv", m);
    hex32(v, "machine_static_pub", mpub);
    hex32(v, "control_static_priv", s);
    hex32(v, "control_static_pub", spub);
    hex32(v, "client_ephemeral_priv", ce);
    hex32(v, "server_ephemeral_priv", se);
    hex32(v, "k1_client_to_server", k1);
    hex32(v, "k2_server_to_client", k2);
    size_t plen = tv_get_hex(v, "prologue", prologue, sizeof prologue);
    assert_int_equal(tv_get_hex(v, "initiation(101)", init, 101), 101);
    assert_int_equal(tv_get_hex(v, "response(51)", resp, 51), 51);

    rmr_noise i, r;
    rmr_noise_config ci = {.pattern = RMR_NOISE_IK,
                           .initiator = true,
                           .prologue = rmr_bytes_of(prologue, plen),
                           .local_private = m,
                           .remote_public = spub};
    rmr_noise_config cr = {.pattern = RMR_NOISE_IK,
                           .prologue = rmr_bytes_of(prologue, plen),
                           .local_private = s};
    assert_int_equal(rmr_noise_init(&i, &ci), RMR_OK);
    assert_int_equal(rmr_noise_init(&r, &cr), RMR_OK);
    hex32(v, "h_after_rs", want);
    assert_memory_equal(i.h, want, 32);
    assert_memory_equal(r.h, want, 32);

    rmr_bytes none = rmr_bytes_of(NULL, 0);
    rmr_buf nowhere = rmr_buf_of(NULL, 0);
    assert_int_equal(
        rmr_noise_write_1(&i, ce, none, rmr_buf_of(msg, sizeof msg), &len),
        RMR_OK);
    assert_int_equal(len, 96);
    assert_memory_equal(msg, init + 5, 96);
    hex32(v, "h_after_initiation", want);
    assert_memory_equal(i.h, want, 32);
    hex32(v, "ck_after_ss", want);
    assert_memory_equal(i.ck, want, 32);

    assert_int_equal(
        rmr_noise_read_1_static(&r, rmr_bytes_of(init + 5, 96), claimed),
        RMR_OK);
    assert_memory_equal(claimed, mpub, 32);
    hex32(v, "h_after_s", want);
    assert_memory_equal(r.h, want, 32);
    hex32(v, "ck_after_es", want);
    assert_memory_equal(r.ck, want, 32);
    assert_int_equal(rmr_noise_read_1_payload(&r, rmr_bytes_of(init + 5, 96),
                                              NULL, NULL, nowhere, &len),
                     RMR_OK);
    assert_int_equal(len, 0);
    hex32(v, "h_after_initiation", want);
    assert_memory_equal(r.h, want, 32);
    assert_int_equal(
        rmr_noise_write_2(&r, se, none, rmr_buf_of(reply, 48), &len), RMR_OK);
    assert_int_equal(len, 48);
    assert_memory_equal(reply, resp + 3, 48);
    assert_int_equal(
        rmr_noise_read_2(&i, rmr_bytes_of(resp + 3, 48), nowhere, &len),
        RMR_OK);
    hex32(v, "ck_after_se", want);
    assert_memory_equal(i.ck, want, 32);
    hex32(v, "handshake_hash", want);
    assert_memory_equal(rmr_noise_hash(&i), want, 32);
    assert_memory_equal(rmr_noise_hash(&r), want, 32);

    assert_int_equal(rmr_noise_split(&i, a, b), RMR_OK);
    assert_int_equal(rmr_noise_split(&r, c, d), RMR_OK);
    assert_memory_equal(a, k1, 32);
    assert_memory_equal(b, k2, 32);
    assert_memory_equal(c, k2, 32);
    assert_memory_equal(d, k1, 32);
    assert_memory_equal(rmr_noise_hash(&i), want, 32);
    rmr_noise_wipe(&i);
    rmr_noise_wipe(&r);
    tv_free(v);
}

static void wireguard_one(tv *h)
{
    static const char identifier[] = "WireGuard v1 zx2c4 Jason@zx2c4.com";
    uint8_t is[32], ip[32], rs[32], rp[32], ie[32], re[32], psk[32], ss[32];
    uint8_t init[148], resp[92], stamp[12], ts[12], msg[108], reply[48];
    uint8_t ki[32], kr[32], a[32], b[32], c[32], d[32], claimed[32];
    uint8_t fh[32], fck[32];
    size_t len = 0;
    hex32(h, "initiator_static_private", is);
    hex32(h, "initiator_static_public", ip);
    hex32(h, "responder_static_private", rs);
    hex32(h, "responder_static_public", rp);
    hex32(h, "initiator_ephemeral_private", ie);
    hex32(h, "responder_ephemeral_private", re);
    hex32(h, "preshared_key", psk);
    hex32(h, "key_initiator_to_responder", ki);
    hex32(h, "key_responder_to_initiator", kr);
    hex32(h, "final_h", fh);
    hex32(h, "final_ck", fck);
    tv_get_hex(h, "initiation", init, 148);
    tv_get_hex(h, "response", resp, 92);
    tv_get_hex(h, "timestamp", stamp, 12);
    assert_int_equal(rmr_x25519(ss, is, rp), RMR_OK);

    rmr_noise i, r;
    rmr_noise_config ci = {.pattern = RMR_NOISE_IKPSK2,
                           .initiator = true,
                           .prologue = rmr_bytes_str(identifier),
                           .local_private = is,
                           .local_public = ip,
                           .remote_public = rp,
                           .psk = psk,
                           .static_static = ss};
    rmr_noise_config cr = {.pattern = RMR_NOISE_IKPSK2,
                           .prologue = rmr_bytes_str(identifier),
                           .local_private = rs};
    assert_int_equal(rmr_noise_init(&i, &ci), RMR_OK);
    assert_int_equal(rmr_noise_init(&r, &cr), RMR_OK);
    /* Steps of the vector: 0 is before the responder's key. */
    tv *steps = tv_get(h, "steps");
    uint8_t want[32];
    hex32(tv_at(steps, 1), "h", want);
    assert_memory_equal(i.h, want, 32);
    assert_memory_equal(r.h, want, 32);

    assert_int_equal(rmr_noise_write_1(&i, ie, rmr_bytes_of(stamp, 12),
                                       rmr_buf_of(msg, sizeof msg), &len),
                     RMR_OK);
    assert_int_equal(len, 108);
    assert_memory_equal(msg, init + 8, 108);
    assert_int_equal(
        rmr_noise_read_1_static(&r, rmr_bytes_of(init + 8, 108), claimed),
        RMR_OK);
    assert_memory_equal(claimed, ip, 32);
    assert_int_equal(rmr_noise_read_1_payload(&r, rmr_bytes_of(init + 8, 108),
                                              psk, ss, rmr_buf_of(ts, 12),
                                              &len),
                     RMR_OK);
    assert_int_equal(len, 12);
    assert_memory_equal(ts, stamp, 12);
    assert_memory_equal(i.ck, r.ck, 32);
    assert_memory_equal(i.h, r.h, 32);
    assert_int_equal(rmr_noise_write_2(&r, re, rmr_bytes_of(NULL, 0),
                                       rmr_buf_of(reply, 48), &len),
                     RMR_OK);
    assert_memory_equal(reply, resp + 12, 48);
    assert_int_equal(rmr_noise_read_2(&i, rmr_bytes_of(reply, 48),
                                      rmr_buf_of(NULL, 0), &len),
                     RMR_OK);
    assert_memory_equal(i.h, fh, 32);
    assert_memory_equal(r.h, fh, 32);
    assert_memory_equal(i.ck, fck, 32);
    assert_memory_equal(r.ck, fck, 32);
    assert_int_equal(rmr_noise_split(&i, a, b), RMR_OK);
    assert_int_equal(rmr_noise_split(&r, c, d), RMR_OK);
    assert_memory_equal(a, ki, 32);
    assert_memory_equal(b, kr, 32);
    assert_memory_equal(c, kr, 32);
    assert_memory_equal(d, ki, 32);
    rmr_noise_wipe(&i);
    rmr_noise_wipe(&r);
}

static void wireguard_handshakes_match_the_vectors_in_both_roles(void **state)
{
    (void)state;
    tv *v = tv_load("wireguard-handshake.json");
    tv *rows = tv_get(v, "handshakes");
    assert_int_equal(tv_len(rows), 4);
    for (size_t i = 0; i < tv_len(rows); i++)
        wireguard_one(tv_at(rows, i));
    tv_free(v);
}

static int setup(void **state)
{
    (void)state;
    return rmr_crypto_init();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_initial_hash_is_that_of_the_protocol_name),
        cmocka_unit_test(controlbase_matches_the_vector_in_both_roles),
        cmocka_unit_test(wireguard_handshakes_match_the_vectors_in_both_roles),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
