/* The coordination server and its REST API, asked without a network. */
#ifndef REMORA_TESTS_API_RIG_H
#define REMORA_TESTS_API_RIG_H

#include "crd_rig.h"

#define AR_END ((uint64_t)1900000000 * RMR_SEC) /* of keys, by the wall clock */

enum { AR_MAIN, AR_SOCKET, AR_METRICS }; /* listeners */

typedef struct api_rig {
    rig r;
    rig_client client;
    char key[RMR_COORD_API_KEY_TEXT]; /* that opens the API */
} api_rig;

typedef struct ar_answer {
    int status;
    char type[96];
    char head[2048];
    char *body; /* without chunks */
    size_t len;
} ar_answer;

/* A server with all three listeners and a key. */
void ar_init(api_rig *api);
/* auth NULL: none. */
void ar_ask(api_rig *api, int where, const char *method, const char *path,
            const char *auth, const char *body, ar_answer *a);
/* At AR_MAIN with the key; the status alone. */
int ar_status(api_rig *api, const char *method, const char *path,
              const char *body);
/* "Bearer ..." with its key, in a place of its own until the next call. */
const char *ar_bearer(const api_rig *api);
/* What stands in c->got. */
void ar_read(rig_conn *c, ar_answer *a);
void ar_free(ar_answer *a);

/* Users alice, bob, carol, dave. */
void ar_settle(api_rig *api);
/* A node registers by a new key of that user (0: none) and tag (NULL: none);
 * `more`: of its Hostinfo, with a comma in front. */
void ar_join(api_rig *api, uint8_t machine, const char *host, uint64_t user,
             const char *tag, const char *more);
/* A login that waits; its id is in r.login. */
void ar_wait(api_rig *api, uint8_t machine, const char *host);

#endif
