/* Users, and the keys that stand for them. */
#ifndef REMORA_CRD_USERS_H
#define REMORA_CRD_USERS_H

#include "crd_store.h"

typedef struct crd_user {
    crd_row row;
    uint64_t id;
    char *name;
    char *display, *email, *picture; /* NULL: not said */
    uint64_t created;
    size_t n_nodes;
    uint64_t shown; /* in that frame */
} crd_user;

typedef struct crd_key {
    crd_row row;
    uint64_t id, user;
    uint8_t hash[RMR_HASH_LEN]; /* of the text */
    char prefix[13];
    bool reusable, ephemeral, used;
    uint64_t expiry, created;
    crd_list tags;
} crd_key;

crd_user *rmri_crd_user(const rmr_coord *c, uint64_t id);
crd_user *rmri_crd_user_named(const rmr_coord *c, const char *name);
void rmri_crd_users_free(rmr_coord *c);
/* What people are shown; NULL: as it was.  Errors: INVAL, NOMEM. */
rmr_err rmri_crd_user_texts(rmr_coord *c, crd_user *u, const char *display,
                            const char *email, const char *picture);
void rmri_crd_user_row(const crd_user *u, rmr_coord_row *row);
rmr_err rmri_crd_user_load(rmr_coord *c, const rmr_coord_row *row);
/* Errors: RNG. */
rmr_err rmri_crd_keys_init(rmr_coord *c);
/* NULL: no such key.  In a time that does not tell how near a guess came. */
crd_key *rmri_crd_key_of(const rmr_coord *c, rmr_bytes text);
const crd_key *rmri_crd_key(const rmr_coord *c, uint64_t id);
void rmri_crd_keys_free(rmr_coord *c);
void rmri_crd_key_row(const crd_key *k, rmr_coord_row *row);
rmr_err rmri_crd_key_load(rmr_coord *c, const rmr_coord_row *row);
void rmri_crd_keys_of_user_remove(rmr_coord *c, uint64_t user);
bool rmri_crd_is_tag(rmr_bytes text);

void rmri_crd_api_key_row(const void *key, rmr_coord_row *row);
rmr_err rmri_crd_api_key_load(rmr_coord *c, const rmr_coord_row *row);
uint64_t rmri_crd_api_key_last(const rmr_coord *c); /* id; 0: none */

#endif
