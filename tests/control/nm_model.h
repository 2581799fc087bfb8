/* A slow model of a netmap's peers, and frames made by dice: the model applies
 * their sections in the order of the protocol, the frame has them in any. */
#ifndef REMORA_TESTS_NM_MODEL_H
#define REMORA_TESTS_NM_MODEL_H

#include <remora/netmap.h>

#define NM_MODEL_NOW ((uint64_t)1795253000 * RMR_SEC)
#define NM_MODEL_IDS 24

typedef struct nm_dice { /* 0 to n - 1 */
    unsigned (*roll)(void *user, unsigned n);
    void *user;
} nm_dice;

typedef struct nm_model_peer {
    bool there;
    unsigned key, disco, ip, derp, cap, endpoint, attr;
    int online;
    uint64_t seen;
} nm_model_peer;

typedef struct nm_model {
    nm_model_peer p[NM_MODEL_IDS + 1];
} nm_model;

typedef struct nm_text {
    char s[65536];
    size_t len;
} nm_text;

/* Append a frame to `out` and apply it to the model. */
void nm_model_delta(const nm_dice *r, nm_text *out, nm_model *m);
void nm_model_full(const nm_dice *r, nm_text *out, nm_model *m);
/* Does the table say what the model says, by id, key, address and name?
 * \return 0, or the first peer (or key, or address) that differs. */
unsigned nm_model_differs(const rmr_nm *nm, const nm_model *m);

#endif
