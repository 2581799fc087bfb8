/*
 * The record layer of TS2021 (controlbase): frames of at most 4096 bytes,
 * ChaCha20-Poly1305 with nonces of 4 zero bytes and a counter, BIG endian,
 * where Noise has it little endian.  A codec without I/O; it serves both
 * directions and both sides.
 */
#ifndef REMORA_CONTROL_RECORD_H
#define REMORA_CONTROL_RECORD_H

#include <remora/base.h>
#include <remora/crypto.h>

#define RMRI_CTL_FRAME_MAX 4096
#define RMRI_CTL_HEAD 3 /* type, length of what follows (big endian) */
#define RMRI_CTL_PLAIN_MAX (RMRI_CTL_FRAME_MAX - RMRI_CTL_HEAD - RMR_TAG_LEN)
#define RMRI_CTL_INIT_LEN 101 /* version, type, length, message 1 */
#define RMRI_CTL_RESP_LEN 51  /* type, length, message 2 */

enum { /* frame types */
       RMRI_CTL_INITIATION = 1,
       RMRI_CTL_RESPONSE = 2,
       RMRI_CTL_ERROR = 3,
       RMRI_CTL_RECORD = 4
};

typedef struct rmri_ctl_record { /* holds keys: wipe */
    uint8_t send_key[RMR_KEY_LEN], recv_key[RMR_KEY_LEN];
    uint64_t send_counter, recv_counter;
    size_t len; /* of a frame that has not come whole */
    rmr_err failed;
    uint8_t partial[RMRI_CTL_FRAME_MAX];
} rmri_ctl_record;

/* Plaintext of one record, never empty; borrowed, and writable.  A result
 * other than RMR_OK stops the reader, which returns it. */
typedef rmr_err (*rmri_ctl_plain_fn)(void *user, rmr_buf plain);

void rmri_ctl_record_init(rmri_ctl_record *r,
                          const uint8_t send_key[RMR_KEY_LEN],
                          const uint8_t recv_key[RMR_KEY_LEN]);
void rmri_ctl_record_wipe(rmri_ctl_record *r);
/* Takes all of `in`, which is overwritten.  Errors: MALFORMED (type, length),
 * AUTH, PROTOCOL (counter used up), or what `plain` said; sticky. */
rmr_err rmri_ctl_record_read(rmri_ctl_record *r, rmr_buf in,
                             rmri_ctl_plain_fn plain, void *user);
/* Seals frame[3 ... 3 + n), with room for the tag behind; *len: the frame's.
 * Errors: INVAL (n above RMRI_CTL_PLAIN_MAX), PROTOCOL (counter used up). */
rmr_err rmri_ctl_record_seal(rmri_ctl_record *r, uint8_t *frame, size_t n,
                             size_t *len);

#endif
