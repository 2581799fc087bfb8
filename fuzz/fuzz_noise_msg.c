/*
 * Bytes as message 1 to a responder and as message 2 to an initiator, over the
 * null ciphers: what is read must be what a writer could have written, and a
 * refused message changes nothing.
 */
#include <string.h>

#include <remora/noise.h>

#include "need.h"

static const uint8_t a_priv[32] = {1}, b_priv[32] = {2}, e_priv[32] = {3};

static void begin(rmr_noise *n, rmr_noise_pattern pattern, bool initiator)
{
    uint8_t b_pub[32];
    rmr_x25519_public(b_pub, b_priv);
    const rmr_noise_config cfg = {.pattern = pattern,
                                  .initiator = initiator,
                                  .prologue = rmr_bytes_str("fuzz"),
                                  .local_private = initiator ? a_priv : b_priv,
                                  .remote_public = initiator ? b_pub : NULL};
    need(!rmr_noise_init(n, &cfg));
}

static void as_message_1(rmr_noise_pattern pattern, rmr_bytes in)
{
    static uint8_t payload[65536], out[256];
    rmr_noise r, before;
    uint8_t claimed[32], send[32], recv[32];
    size_t n;
    begin(&r, pattern, false);
    before = r;
    rmr_err e = rmr_noise_read_1_static(&r, in, claimed);
    if (e) {
        need(e == RMR_E_MALFORMED || e == RMR_E_AUTH);
        need(!memcmp(&r, &before, sizeof r));
        return;
    }
    need(in.len >= RMR_NOISE_MSG1_LEN);
    before = r;
    e = rmr_noise_read_1_payload(&r, in, NULL, NULL, rmr_buf_of(payload, 64),
                                 &n);
    if (e == RMR_E_BUFSIZE) {
        need(!memcmp(&r, &before, sizeof r));
        e = rmr_noise_read_1_payload(&r, in, NULL, NULL,
                                     rmr_buf_of(payload, sizeof payload), &n);
    }
    if (e) {
        need(!memcmp(&r, &before, sizeof r));
        return;
    }
    need(n == in.len - RMR_NOISE_MSG1_LEN);
    if (rmr_noise_write_2(&r, e_priv, rmr_bytes_of(payload, n < 64 ? n : 64),
                          rmr_buf_of(out, sizeof out), &n))
        return; /* a low-order key */
    need(!rmr_noise_split(&r, send, recv));
    rmr_noise_wipe(&r);
}

static void as_message_2(rmr_noise_pattern pattern, rmr_bytes in)
{
    static uint8_t payload[65536];
    rmr_noise i, before;
    uint8_t msg[RMR_NOISE_MSG1_LEN], send[32], recv[32];
    size_t n;
    begin(&i, pattern, true);
    need(!rmr_noise_write_1(&i, e_priv, rmr_bytes_of(NULL, 0),
                            rmr_buf_of(msg, sizeof msg), &n));
    before = i;
    if (rmr_noise_read_2(&i, in, rmr_buf_of(payload, sizeof payload), &n)) {
        need(!memcmp(&i, &before, sizeof i));
        return;
    }
    need(n == in.len - RMR_NOISE_MSG2_LEN);
    need(!rmr_noise_split(&i, send, recv));
    rmr_noise_wipe(&i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 65536)
        return 0;
    rmr_noise_pattern p = data[0] & 1 ? RMR_NOISE_IKPSK2 : RMR_NOISE_IK;
    rmr_bytes in = rmr_bytes_of(data + 1, size - 1);
    if (data[0] & 2)
        as_message_2(p, in);
    else
        as_message_1(p, in);
    return 0;
}
