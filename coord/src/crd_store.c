/* What changed and is not stored yet; its commits.  A change marks its object.
 * What nobody may hear of before it lasts (who is a node, a key that was used)
 * is committed at a deadline that is due at once, so that all that one turn of
 * the adapter brought is one transaction; what has time (when a node was seen)
 * goes with the next one, or a minute later.  Until the commit the answers to
 * registrations and the frames of map streams are held. */
#include "crd_internal.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define LAZY (60 * RMR_SEC)
#define LAZY_PAUSE RMR_SEC /* between parts of it */
#define LAZY_ROWS 1000     /* a part: nobody is served meanwhile */
#define RETRY RMR_SEC
#define ROUNDS 8 /* of commits whose callbacks change something again */

#define OF(link_, type, member)                                                \
    ((type *)(void *)((char *)(link_)-offsetof(type, member)))

/* ---- rings --------------------------------------------------------------- */

static void ring_init(crd_link *ring)
{
    ring->prev = ring->next = ring;
}

static bool ring_is_empty(const crd_link *ring)
{
    return ring->next == ring;
}

static void ring_add(crd_link *ring, crd_link *l)
{
    l->prev = ring->prev;
    l->next = ring;
    ring->prev->next = l;
    ring->prev = l;
}

/* ---- marks --------------------------------------------------------------- */

static bool is_there(const rmr_coord *c)
{
    return c->store.table.load != NULL;
}

void rmri_crd_mark(rmr_coord *c, crd_row *o, crd_row_state how)
{
    crd_store *s = &c->store;
    if (!is_there(c) || o->state >= (uint8_t)how)
        return;
    rmri_crd_unlink(&o->link);
    o->state = (uint8_t)how;
    ring_add(how == CRD_DIRTY ? &s->dirty : &s->lazy, &o->link);
    if (how == CRD_DIRTY && s->commit_at == RMR_TIME_NEVER)
        s->commit_at = c->now;
    if (how == CRD_LAZY && s->lazy_at == RMR_TIME_NEVER)
        s->lazy_at = rmr_time_add(c->now, LAZY);
}

void rmri_crd_forget(rmr_coord *c, crd_row *o)
{
    if (is_there(c)) {
        o->gone = true;
        rmri_crd_mark(c, o, CRD_DIRTY);
    } else {
        rmr_release_wiped(&c->env.alloc, o, o->size);
    }
}

rmr_err rmri_crd_may_change(const rmr_coord *c)
{
    return c->store.err == RMR_OK ? RMR_OK : RMR_E_IO;
}

/* Not while the store fails: what there is goes on. */
bool rmri_crd_store_holds(const rmr_coord *c)
{
    return is_there(c) && c->store.err == RMR_OK &&
           !ring_is_empty(&c->store.dirty);
}

void rmri_crd_hold(crd_rpc *r, const crd_node *n)
{
    r->held_node = n ? n->id : 0;
    ring_add(&r->conn->c->store.held, &r->held);
}

void rmri_crd_news(rmr_coord *c, crd_node *n)
{
    if (!n->news.next)
        ring_add(&c->store.news, &n->news);
}

/* ---- a transaction ------------------------------------------------------- */

static rmr_coord_row_counters counters(const rmr_coord *c)
{
    rmr_coord_row_counters now = {
        .next_user = c->next_user,
        .next_key = c->next_key,
        .next_api_key = c->next_api_key,
        .next_node = c->next_node,
        .last_v4 = c->last_v4,
        .last_v6 = c->last_v6,
    };
    return now;
}

static rmr_err put_counters(rmr_coord *c, uint64_t *rows)
{
    rmr_coord_row row;
    memset(&row, 0, sizeof row);
    row.kind = RMR_COORD_ROW_COUNTERS;
    row.as.counters = counters(c);
    if (memcmp(&row.as.counters, &c->store.counters, sizeof row.as.counters) ==
        0)
        return RMR_OK;
    ++*rows;
    return c->store.table.put(c->store.table.user, &row);
}

static void fill(const crd_row *o, rmr_coord_row *row)
{
    const void *p = o;
    memset(row, 0, sizeof *row);
    row->kind = (rmr_coord_row_kind)o->kind;
    row->id = o->id;
    switch (row->kind) {
    case RMR_COORD_ROW_USER:
        rmri_crd_user_row(p, row);
        break;
    case RMR_COORD_ROW_KEY:
        rmri_crd_key_row(p, row);
        break;
    case RMR_COORD_ROW_NODE:
        rmri_crd_node_row(p, row);
        break;
    case RMR_COORD_ROW_POLICY:
        rmri_crd_policy_row(p, row);
        break;
    case RMR_COORD_ROW_API_KEY:
        rmri_crd_api_key_row(p, row);
        break;
    case RMR_COORD_ROW_COUNTERS:
        break;
    }
}

static rmr_err write_ring(rmr_coord *c, const crd_link *ring, size_t most,
                          uint64_t *rows)
{
    const rmr_coord_store *t = &c->store.table;
    rmr_err e = RMR_OK;
    for (crd_link *l = ring->next; e == RMR_OK && l != ring && most--;
         l = l->next) {
        const crd_row *o = OF(l, crd_row, link);
        rmr_coord_row row;
        if (o->gone) {
            e = t->del(t->user, (rmr_coord_row_kind)o->kind, o->id);
        } else {
            fill(o, &row);
            e = t->put(t->user, &row);
        }
        ++*rows;
    }
    return e;
}

static rmr_err transact(rmr_coord *c, size_t n_lazy, uint64_t *rows)
{
    crd_store *s = &c->store;
    rmr_err e = s->table.begin(s->table.user);
    if (e == RMR_OK)
        e = put_counters(c, rows);
    if (e == RMR_OK)
        e = write_ring(c, &s->dirty, SIZE_MAX, rows);
    if (e == RMR_OK)
        e = write_ring(c, &s->lazy, n_lazy, rows);
    if (e == RMR_OK)
        e = s->table.commit(s->table.user);
    if (e != RMR_OK)
        s->table.rollback(s->table.user);
    return e;
}

/* ---- behind it ----------------------------------------------------------- */

static void clean(rmr_coord *c, crd_link *ring, size_t most)
{
    while (!ring_is_empty(ring) && most--) {
        crd_row *o = OF(ring->next, crd_row, link);
        rmri_crd_unlink(&o->link);
        o->state = CRD_CLEAN;
        if (o->gone)
            rmr_release_wiped(&c->env.alloc, o, o->size);
    }
}

static void stored(rmr_coord *c, size_t n_lazy, uint64_t rows)
{
    crd_store *s = &c->store;
    clean(c, &s->dirty, SIZE_MAX);
    clean(c, &s->lazy, n_lazy);
    s->counters = counters(c);
    if (s->err != RMR_OK)
        rmr_logf(&c->env.log, RMR_LOG_INFO, CRD_LAYER, "the store works again");
    s->err = RMR_OK;
    s->commit_at = RMR_TIME_NEVER;
    if (ring_is_empty(&s->lazy))
        s->lazy_at = RMR_TIME_NEVER;
    c->count.commits++;
    c->count.rows += rows;
}

static void failed(rmr_coord *c, rmr_err e)
{
    crd_store *s = &c->store;
    char line[320];
    const char *why = s->table.why ? s->table.why(s->table.user) : "";
    bool is_first = s->err == RMR_OK;
    s->err = e;
    s->commit_at = rmr_time_add(c->now, RETRY);
    c->count.failed_commits++;
    if (!is_first)
        return; /* it was said */
    (void)snprintf(line, sizeof line, "nothing can be stored: %.280s", why);
    rmri_crd_trouble(c, e, line);
}

static void answer_held(rmr_coord *c, rmr_err e)
{
    while (!ring_is_empty(&c->store.held)) {
        crd_rpc *r = OF(c->store.held.next, crd_rpc, held);
        rmri_crd_unlink(&r->held);
        rmri_crd_register_held(r, e);
    }
}

static void resume_streams(rmr_coord *c)
{
    for (crd_stream *s = c->streams; s; s = s->next) {
        if (s->waits)
            rmri_crd_stream_stir(s);
        s->waits = false;
    }
}

/* The program may change something in here. */
static void tell_news(rmr_coord *c)
{
    while (!ring_is_empty(&c->store.news)) {
        crd_node *n = OF(c->store.news.next, crd_node, news);
        if (n->row.state == CRD_DIRTY)
            return; /* it joined meanwhile */
        rmri_crd_unlink(&n->news);
        rmri_crd_joined_now(c, n);
    }
}

rmr_err rmri_crd_store_commit(rmr_coord *c, size_t n_lazy)
{
    crd_store *s = &c->store;
    uint64_t rows = 0;
    if (s->err != RMR_OK && n_lazy == 0)
        n_lazy = LAZY_ROWS; /* it may be what failed */
    if (!is_there(c))
        return RMR_OK;
    if (ring_is_empty(&s->dirty) && (n_lazy == 0 || ring_is_empty(&s->lazy)) &&
        s->err == RMR_OK) {
        s->commit_at = RMR_TIME_NEVER;
        return RMR_OK;
    }
    rmr_err e = transact(c, n_lazy, &rows);
    if (e == RMR_OK)
        stored(c, n_lazy, rows);
    else
        failed(c, e);
    answer_held(c, e);
    resume_streams(c);
    if (e == RMR_OK)
        tell_news(c);
    rmri_crd_stir(c);
    return e;
}

rmr_err rmr_coord_commit(rmr_coord *c)
{
    return c->in_callback ? RMR_E_REENTRANT : rmri_crd_store_commit(c, 0);
}

/* ---- time ---------------------------------------------------------------- */

rmr_time rmri_crd_store_deadline(const rmr_coord *c)
{
    return rmr_time_min(c->store.commit_at, c->store.lazy_at);
}

void rmri_crd_store_handle_deadline(rmr_coord *c, rmr_time now)
{
    crd_store *s = &c->store;
    if (now >= s->lazy_at) {
        s->lazy_at = rmr_time_add(now, LAZY_PAUSE);
        (void)rmri_crd_store_commit(c, LAZY_ROWS);
    }
    for (int i = 0; i < ROUNDS && now >= s->commit_at; i++)
        (void)rmri_crd_store_commit(c, 0);
    if (now >= s->commit_at)
        s->commit_at = now + 1;
}

/* ---- life ---------------------------------------------------------------- */

rmr_err rmri_crd_store_init(rmr_coord *c, const rmr_coord_store *given)
{
    crd_store *s = &c->store;
    ring_init(&s->dirty);
    ring_init(&s->lazy);
    ring_init(&s->held);
    ring_init(&s->news);
    s->commit_at = s->lazy_at = RMR_TIME_NEVER;
    if (!given)
        return RMR_OK;
    rmr_coord_store t;
    memset(&t, 0, sizeof t);
    memcpy(&t, given,
           given->struct_size < sizeof t ? given->struct_size : sizeof t);
    if (!t.load || !t.begin || !t.put || !t.del || !t.commit || !t.rollback)
        return RMR_E_INVAL;
    s->table = t;
    return RMR_OK;
}

/* What was removed and not stored; the others' owners free them, and it is no
 * store any more to whom they are marked. */
void rmri_crd_store_free(rmr_coord *c)
{
    crd_store *s = &c->store;
    s->table.load = NULL;
    if (!s->dirty.next)
        return; /* never begun */
    for (crd_link *l = s->dirty.next, *next; l != &s->dirty; l = next) {
        crd_row *o = OF(l, crd_row, link);
        next = l->next;
        if (!o->gone)
            continue;
        rmri_crd_unlink(l);
        rmr_release_wiped(&c->env.alloc, o, o->size);
    }
}
