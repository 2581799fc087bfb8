/* A tailnet of the test's own clients on the server without a network, which
 * keep what they are told: their peers, filter, SSH policy, attributes. */
#ifndef REMORA_TESTS_POL_RIG_H
#define REMORA_TESTS_POL_RIG_H

#include <jansson.h>

#include "crd_rig.h"

#define PR_MEMBERS 8

typedef struct pr_member {
    rig_client cl;
    rig_answer *map; /* NULL: no open stream */
    char host[16];
    uint64_t id;
    json_t *peers;                 /* by id as text */
    json_t *self, *filter, *ssh;   /* NULL: never told */
    json_t *users;                 /* by id as text */
    json_t *relays, *dns;          /* NULL: never told */
    int frames, filters, selves, removed; /* ... since pr_news began anew */
    json_t *last; /* the last frame */
    bool gone;
} pr_member;

typedef struct pol_rig {
    rig r;
    pr_member m[PR_MEMBERS];
    int n;
    int base; /* machines and keys are counted from there */
    uint64_t alice, bob, carol; /* pr_users */
} pol_rig;

/* cfg NULL: rig_config's. */
void pr_init(pol_rig *p, const rmr_coord_config *cfg);
void pr_free(pol_rig *p);
uint64_t pr_user(pol_rig *p, const char *name);
void pr_users(pol_rig *p);
/* A server of rig_config's with these three. */
void pr_begin(pol_rig *p);
/* Registers by a new key of that user (0: none) and tag (NULL: none), and opens
 * a stream.  `hostinfo`: more of it, with a comma in front. */
pr_member *pr_join(pol_rig *p, const char *host, uint64_t user, const char *tag,
                   const char *hostinfo);
/* Its client goes, without a word. */
void pr_leave(pr_member *m);
/* It comes back, and its stream tells all. */
void pr_wake(pol_rig *p, pr_member *m);
/* A second stream of it, which is told all, and ends: what `into` gets.
 * pr_forget gives that back. */
void pr_look_afresh(pol_rig *p, pr_member *m, pr_member *into);
void pr_forget(pr_member *m);
/* A map request beside the stream. */
void pr_update(pol_rig *p, pr_member *m, const char *hostinfo);
/* The server works, and all read what it says; counters begin anew. */
void pr_news(pol_rig *p);
bool pr_sees(const pr_member *m, const char *host);
/* The AllowedIPs of a peer as compact JSON, or NULL; to be freed. */
char *pr_allowed(const pr_member *m, const char *host);
void pr_expect_allowed(const pr_member *m, const char *host, const char *want);
/* The program gives it that tag alone. */
rmr_err pr_tag(pol_rig *p, const pr_member *m, const char *name);
/* Fails unless it is that JSON. */
void pr_expect(const json_t *is, const char *want);
/* Sets a policy, which must be taken; all hear of it. */
void pr_policy(pol_rig *p, const char *text);
/* An exchange with the REST API over the local socket, answered in `body`.
 * \return the status. */
int pr_rest(pol_rig *p, const char *method, const char *path, const char *body,
            char *answer, size_t cap);

#endif
