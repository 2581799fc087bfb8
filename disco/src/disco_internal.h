/* The plaintext of disco messages, for the envelope and for tests. */
#ifndef RMRI_DISCO_INTERNAL_H
#define RMRI_DISCO_INTERNAL_H

#include <remora/disco.h>

#define RMRI_DISCO_MAGIC_LEN 6
extern const uint8_t rmri_disco_magic[RMRI_DISCO_MAGIC_LEN];

/* Errors: RMR_E_MALFORMED; *out is all zero then. */
rmr_err rmri_disco_parse(rmr_bytes plain, rmr_disco_msg *out);
/* Errors: RMR_E_BUFSIZE, RMR_E_INVAL. */
rmr_err rmri_disco_build(rmr_buf dst, size_t *len, const rmr_disco_msg *msg);

/* Seals a plaintext that is ours alone.  Errors: RMR_E_BUFSIZE (*len is 0). */
rmr_err rmri_disco_seal_plain(rmr_buf dst, size_t *len,
                              const uint8_t own_public[RMR_KEY_LEN],
                              const uint8_t shared[RMR_KEY_LEN],
                              const uint8_t nonce[RMR_BOX_NONCE_LEN],
                              rmr_bytes plain);

#endif
