/* Proofs of people, for SSH rules with "check". */
#ifndef REMORA_CRD_CHECK_H
#define REMORA_CRD_CHECK_H

#include "crd_base.h"
#include <remora/timer.h>

#define CRD_LOCAL_USER 64

typedef struct crd_check crd_check;

typedef struct crd_way { /* who knocks, at whose SSH server, as whom */
    uint64_t from, to;
    char user[CRD_LOCAL_USER];
} crd_way;

typedef enum crd_verdict { CRD_OPEN, CRD_YES, CRD_NO } crd_verdict;

struct crd_check { /* somebody is to say yes or no */
    crd_check *prev, *next; /* the youngest first */
    char id[RMR_COORD_LOGIN_TEXT];
    crd_way way;
    crd_verdict verdict; /* CRD_NO and CRD_YES stay for who asks again */
    rmr_timer timer;
    crd_rpc *waiting;
};

typedef struct crd_proof { /* yes, then */
    crd_way way;
    rmr_time at;
} crd_proof;

typedef struct crd_checks {
    crd_check *first;
    size_t n;
    crd_proof *proofs; /* once it has all its room, the oldest goes */
    size_t n_proofs, cap_proofs, next_proof;
} crd_checks;

/* A request's head: true: it is such a question, and is answered, now or when
 * somebody decided. */
bool rmri_crd_check(crd_rpc *r, rmr_bytes method, rmr_bytes path);
/* The request is over. */
void rmri_crd_check_leave(crd_rpc *r);
/* One that waits for a decision; NULL: none. */
crd_check *rmri_crd_check_find(const rmr_coord *c, rmr_bytes id);
void rmri_crd_check_timer(rmr_coord *c, crd_check *k);
/* Another policy: who was let in is asked anew. */
void rmri_crd_checks_forget(rmr_coord *c);
void rmri_crd_checks_free(rmr_coord *c);

#endif
