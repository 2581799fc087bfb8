/* Answers that go out by pieces: each is made when the one in front of it went,
 * so that a list of any length takes the memory of a short one. */
#include "crd_api.h"

#include <stdio.h>
#include <string.h>

/* With one element more than that it still fits what waits to be sent. */
#define PIECE ((size_t)16 * 1024)

void rmri_crd_reply_free(crd_conn *n)
{
    crd_reply *r = n->reply;
    if (!r)
        return;
    rmr_release(&n->c->env.alloc, r->block, r->block_cap);
    rmr_release(&n->c->env.alloc, r, sizeof *r);
    n->reply = NULL;
}

static bool put(crd_conn *n, rmr_bytes data)
{
    return rmr_ring_write_all(&n->out, data) == RMR_OK;
}

static bool put_chunk(crd_conn *n, rmr_bytes data, bool over)
{
    char head[24];
    if (n->is_old)
        return put(n, data);
    (void)snprintf(head, sizeof head, "%zx\r\n", data.len);
    if (data.len && (!put(n, rmr_bytes_str(head)) || !put(n, data) ||
                     !put(n, rmr_bytes_str("\r\n"))))
        return false;
    return !over || put(n, rmr_bytes_str("0\r\n\r\n"));
}

bool rmri_crd_reply_fill(crd_conn *n, rmr_time now)
{
    crd_reply *r = n->reply;
    if (n->out.len >= PIECE)
        return true;
    rmr_bytes piece = r->fill(n, r, &r->over);
    if (!put_chunk(n, piece, r->over))
        return false;
    /* A client that takes something every now and then may take its time. */
    rmri_crd_timer_set(n->c, &n->timer, CRD_TIMER_STAGE, n,
                       rmr_time_add(now, CRD_HTTP_TIMEOUT));
    if (r->over) {
        if (r->op)
            rmri_crd_count(n->c, r->op, 200, rmr_time_since(now, r->began));
        rmri_crd_reply_free(n);
    }
    return true;
}

void rmri_crd_reply_begin(crd_conn *n, const crd_call *q, crd_reply **out)
{
    crd_reply *r =
        rmr_alloc_zero(&n->c->env.alloc, sizeof *r, _Alignof(crd_reply));
    *out = r;
    if (!r) {
        n->choked = true;
        return;
    }
    r->op = q ? q->op : NULL;
    r->began = n->c->now;
    n->reply = r;
}

/* ---- lists --------------------------------------------------------------- */

/* As much as fits a piece; true: that was all. */
static bool elements(crd_conn *n, crd_reply *r)
{
    while (r->w.len < PIECE) {
        if (r->next(n, r, &r->w))
            continue;
        rmr_jw_array_end(&r->w);
        rmr_jw_object_end(&r->w);
        return true;
    }
    return false;
}

static rmr_bytes fill(crd_conn *n, crd_reply *r, bool *over)
{
    *over = elements(n, r);
    return rmr_jw_take(&r->w);
}

void rmri_crd_api_list(crd_conn *n, crd_call *q, const char *name,
                       bool (*next)(crd_conn *, crd_reply *, rmr_jw *),
                       uint64_t user)
{
    crd_reply *r;
    rmri_crd_reply_begin(n, q, &r);
    if (!r)
        return;
    r->fill = fill;
    r->next = next;
    r->user = user;
    rmri_crd_api_begin(n, &r->w);
    rmr_jw_object(&r->w);
    rmr_jw_key(&r->w, name);
    rmr_jw_array(&r->w);
    if (elements(n, r)) { /* it is of one piece */
        rmr_jw w = r->w;
        rmri_crd_reply_free(n);
        rmri_crd_api_send(n, &w, NULL);
        return;
    }
    n->last_answer = n->last_answer || n->is_old;
    rmri_crd_answer(n, 200, "application/json", NULL);
    if (!n->choked && !put_chunk(n, rmr_jw_take(&r->w), false)) {
        n->choked = true;
        rmri_crd_reply_free(n);
    }
}

/* ---- blocks -------------------------------------------------------------- */

static rmr_bytes fill_block(crd_conn *n, crd_reply *r, bool *over)
{
    size_t left = r->block_len - r->block_at;
    size_t len = left < PIECE ? left : PIECE;
    rmr_bytes piece = rmr_bytes_of(r->block + r->block_at, len);
    (void)n;
    r->block_at += len;
    *over = len == left;
    return piece;
}

void rmri_crd_api_block(crd_conn *n, const crd_call *q, uint8_t *block,
                        size_t cap, size_t len)
{
    crd_reply *r = NULL;
    if (rmri_crd_api_stored(n))
        rmri_crd_reply_begin(n, q, &r);
    if (!r) {
        rmr_release(&n->c->env.alloc, block, cap);
        return;
    }
    r->fill = fill_block;
    r->block = block;
    r->block_cap = cap;
    r->block_len = len;
    n->last_answer = n->last_answer || n->is_old;
    rmri_crd_answer(n, 200, "application/json", NULL);
}
