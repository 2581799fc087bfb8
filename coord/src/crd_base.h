/* What all parts of the coordination server stand on: limits, names of what
 * they share, rings, text that is kept. */
#ifndef REMORA_CRD_BASE_H
#define REMORA_CRD_BASE_H

#include <remora/coord.h>
#include <remora/coord_store.h>
#include <remora/json.h>

#define CRD_LAYER "coord"
#define CRD_MAX_ADDRS 8
#define CRD_CREDIT ((size_t)32 * 1024) /* read ahead of a connection */
#define CRD_OUT_MAX ((size_t)64 * 1024) /* answers of HTTP/1.1 that wait */
#define CRD_HTTP_TIMEOUT (30 * RMR_SEC)
#define CRD_IDLE_TIMEOUT (120 * RMR_SEC) /* inside Noise, without a request */
#define CRD_FINISH_TIMEOUT (2 * RMR_SEC)
#define CRD_LOGIN_LIFE (15 * 60 * RMR_SEC)
#define CRD_MIN_VERSION 113
#define CRD_VERSION 138
#define CRD_MAX_HOSTNAME 255
#define CRD_MAX_SERVICES 16
#define CRD_TAGGED_USER 2147455555u /* what tagged nodes' User says */

typedef struct crd_conn crd_conn;
typedef struct crd_rpc crd_rpc;
typedef struct crd_stream crd_stream;
typedef struct crd_node crd_node;
typedef struct crd_login crd_login;
typedef struct crd_call crd_call;   /* crd_api.h */
typedef struct crd_reply crd_reply; /* likewise  */
typedef struct crd_api crd_api;     /* likewise  */

/* ---- rings --------------------------------------------------------------- */

typedef struct crd_link { /* of a ring; NULL: of none */
    struct crd_link *prev, *next;
} crd_link;

static inline void rmri_crd_unlink(crd_link *l)
{
    if (!l->next)
        return;
    l->prev->next = l->next;
    l->next->prev = l->prev;
    l->prev = l->next = NULL;
}

/* ---- text that is kept --------------------------------------------------- */

/* A copy with a NUL behind it; NULL: no memory. */
char *rmri_crd_text(rmr_coord *c, rmr_bytes text);
void rmri_crd_text_free(rmr_coord *c, char *text);

/* An array with room for one more behind its n: the same, or a longer one in
 * its place.  NULL: no memory, and it is as it was. */
void *rmri_crd_room(rmr_coord *c, void *array, size_t n, size_t *cap,
                    size_t size);

typedef struct crd_buf { /* bytes in one piece, a queue */
    uint8_t *p;
    size_t off, len, cap; /* len: with what was consumed */
} crd_buf;

/* Errors: NOMEM; unchanged then. */
rmr_err rmri_crd_buf_add(rmr_coord *c, crd_buf *b, rmr_bytes data);
/* Frees the memory when all was consumed. */
void rmri_crd_buf_consume(rmr_coord *c, crd_buf *b, size_t n);
void rmri_crd_buf_free(rmr_coord *c, crd_buf *b);
static inline rmr_bytes rmri_crd_buf_rest(const crd_buf *b)
{
    return b->p ? rmr_bytes_of(b->p + b->off, b->len - b->off)
                : rmr_bytes_of(NULL, 0);
}

typedef struct crd_list { /* of texts */
    char **p;
    size_t n;
} crd_list;

rmr_err rmri_crd_list_set(rmr_coord *c, crd_list *l, const char *const *p,
                          size_t n);
void rmri_crd_list_free(rmr_coord *c, crd_list *l);

#endif
