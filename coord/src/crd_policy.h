/* The policy: its text, and the table that it is asked for. */
#ifndef REMORA_CRD_POLICY_H
#define REMORA_CRD_POLICY_H

#include "crd_nodes.h"

typedef struct crd_policy {
    crd_row row;
    char *text; /* NULL: there is none, so that `open` decides */
    uint64_t updated;
    rmr_coord_policy_mode mode;
    rmr_pol_net *net; /* users, nodes, and what is in force */
} crd_policy;

/* Errors: MALFORMED (the text; the log says why), TOOBIG, NOMEM. */
rmr_err rmri_crd_policy_new(rmr_coord *c, rmr_bytes text);
void rmri_crd_policy_free(rmr_coord *c);
void rmri_crd_policy_row(const crd_policy *p, rmr_coord_row *row);
rmr_err rmri_crd_policy_load(rmr_coord *c, const rmr_coord_row *row);
/* All is there: what its tests say of it goes to the log. */
void rmri_crd_policy_loaded(rmr_coord *c);
/* The table of the policy is to have a user by that name and address, or a node
 * as it is.  Errors: NOMEM; unchanged then. */
rmr_err rmri_crd_policy_user(rmr_coord *c, const crd_user *u, const char *name,
                             const char *email);
rmr_err rmri_crd_policy_node(rmr_coord *c, crd_node *n);
void rmri_crd_policy_user_gone(rmr_coord *c, const crd_user *u);
/* Those of the tags that `user` may not take for a node of its own (NULL: that
 * no policy has), as "[tag:a tag:b]"; false: there are none. */
bool rmri_crd_policy_refuses(const rmr_coord *c, const crd_user *user,
                             const char *const *tags, size_t n, char *dst,
                             size_t cap);
bool rmri_crd_policy_in_database(const rmr_coord *c);

#endif
