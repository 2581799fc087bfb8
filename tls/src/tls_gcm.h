/* The record layer for AES-GCM over a table that the host gave. */
#ifndef RMRI_TLS_GCM_H
#define RMRI_TLS_GCM_H

#include <bearssl/bearssl.h>
#include <remora/gcm.h>

/* One connection's keys; they stand in memory of their own, for most
 * connections have none. */
typedef struct rmri_tls_gcm {
    /* Only its address is used: the engine hands "the block cipher" to the
     * record layer when the keys are known, and so says whose they are. */
    br_block_ctr_class cipher;
    const rmr_gcm *gcm; /* retained */
    rmr_gcm_key in, out;
} rmri_tls_gcm;

/* From here on the engine's AES-GCM records go through `g`. */
void rmri_tls_gcm_use(rmri_tls_gcm *g, const rmr_gcm *gcm,
                      br_ssl_engine_context *eng);

#endif
