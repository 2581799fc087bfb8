/* Small frames that wait in lists: PeerGone, and what watchers hear. */
#include "dsw_internal.h"

#include <remora/cursor.h>

#include <string.h>

/* ---- lists ------------------------------------------------------------ */

/* One that does not read must not take all notes from the others, and all who
 * are no watchers not those of the watchers. */
static bool has_room(const rmr_dsw *sw, const rmri_dsw_client *c)
{
    uint32_t quarter = sw->cfg.max_notes / 4;
    return c->n_notes <= quarter &&
           (c->watch || sw->notes.used < sw->cfg.max_notes - quarter);
}

/* A watcher that missed something knows less than nothing: it has to begin
 * anew.  Not at once: the caller is in the midst of the tables. */
static void overflow(rmr_dsw *sw, rmri_dsw_client *c)
{
    sw->stats.notes_dropped++;
    if (!c->watch)
        return;
    c->stage_end = sw->now;
    rmri_dsw_rearm(sw, c);
}

static rmri_dsw_note *note_new(rmr_dsw *sw, rmri_dsw_client *c, uint8_t type,
                               const uint8_t key[RMR_KEY_LEN])
{
    uint64_t id;
    rmri_dsw_note *n = has_room(sw, c) ? rmr_slots_new(&sw->notes, &id) : NULL;
    if (!n) {
        overflow(sw, c);
        return NULL;
    }
    n->id = id;
    n->type = type;
    memcpy(n->key, key, RMR_KEY_LEN);
    if (c->last_note)
        c->last_note->next = n;
    else
        c->notes = n;
    c->last_note = n;
    c->n_notes++;
    rmri_dsw_want_write(sw, c);
    return n;
}

static void note_pop(rmr_dsw *sw, rmri_dsw_client *c)
{
    rmri_dsw_note *n = c->notes;
    c->notes = n->next;
    if (!c->notes)
        c->last_note = NULL;
    c->n_notes--;
    rmr_slots_free(&sw->notes, n->id);
}

void rmri_dsw_drop_notes(rmr_dsw *sw, rmri_dsw_client *c)
{
    while (c->notes)
        note_pop(sw, c);
}

void rmri_dsw_tell_gone(rmr_dsw *sw, rmri_dsw_client *to,
                        const uint8_t key[RMR_KEY_LEN], uint8_t reason)
{
    rmri_dsw_note *n = note_new(sw, to, RMR_DERP_PEER_GONE, key);
    if (n)
        n->value = reason;
}

/* ---- watchers --------------------------------------------------------- */

static void put_address(uint8_t ip[16], const rmr_addr *a)
{
    memset(ip, 0, 16);
    if (a->family == RMR_AF_INET) {
        ip[10] = ip[11] = 0xff;
        memcpy(ip + 12, a->ip, 4);
    } else if (a->family == RMR_AF_INET6) {
        memcpy(ip, a->ip, 16);
    }
}

void rmri_dsw_tell_watchers_present(rmr_dsw *sw, const rmri_dsw_client *who)
{
    for (rmri_dsw_watch *w = sw->watches; w; w = w->next) {
        rmri_dsw_note *n =
            note_new(sw, w->owner, RMR_DERP_PEER_PRESENT, who->public_key);
        if (!n)
            continue;
        n->value = rmri_dsw_present_flags(who);
        n->port = who->addr.port;
        put_address(n->ip, &who->addr);
    }
}

void rmri_dsw_tell_watchers_gone(rmr_dsw *sw, const uint8_t key[RMR_KEY_LEN])
{
    for (rmri_dsw_watch *w = sw->watches; w; w = w->next)
        rmri_dsw_tell_gone(sw, w->owner, key, RMRI_DSW_GONE_HERE);
}

rmr_err rmri_dsw_watch_start(rmr_dsw *sw, rmri_dsw_client *c)
{
    if (c->watch || memcmp(c->public_key, sw->public_key, RMR_KEY_LEN) == 0)
        return RMR_OK; /* ourselves: there is nothing to learn */
    rmri_dsw_watch *w =
        rmr_alloc_zero(&sw->env.alloc, sizeof *w, _Alignof(rmri_dsw_watch));
    if (!w) {
        rmri_dsw_kill(sw, c, RMR_E_NOMEM);
        return RMR_E_NOMEM;
    }
    w->owner = c;
    w->is_dumping = true;
    w->next = sw->watches;
    if (sw->watches)
        sw->watches->prev = w;
    sw->watches = w;
    c->watch = w;
    sw->stats.watchers++;
    rmri_dsw_want_write(sw, c);
    return RMR_OK;
}

void rmri_dsw_watch_stop(rmr_dsw *sw, rmri_dsw_client *c)
{
    rmri_dsw_watch *w = c->watch;
    if (!w)
        return;
    if (w->next)
        w->next->prev = w->prev;
    if (w->prev)
        w->prev->next = w->next;
    else
        sw->watches = w->next;
    c->watch = NULL;
    sw->stats.watchers--;
    rmr_release(&sw->env.alloc, w, sizeof *w);
}

/* ---- out -------------------------------------------------------------- */

#define GONE_LEN (RMRI_DERP_HEADER + RMR_KEY_LEN + 1)
#define PRESENT_LEN (RMRI_DERP_HEADER + RMR_KEY_LEN + 16 + 2 + 1)

static size_t put_gone(uint8_t *p, const rmri_dsw_note *n)
{
    rmri_derp_put_header(p, RMR_DERP_PEER_GONE, GONE_LEN - RMRI_DERP_HEADER);
    memcpy(p + RMRI_DERP_HEADER, n->key, RMR_KEY_LEN);
    p[GONE_LEN - 1] = n->value;
    return GONE_LEN;
}

static size_t put_present(uint8_t *p, const uint8_t key[RMR_KEY_LEN],
                          const uint8_t ip[16], uint16_t port, uint8_t flags)
{
    uint8_t *body = p + RMRI_DERP_HEADER;
    rmri_derp_put_header(p, RMR_DERP_PEER_PRESENT,
                         PRESENT_LEN - RMRI_DERP_HEADER);
    memcpy(body, key, RMR_KEY_LEN);
    memcpy(body + RMR_KEY_LEN, ip, 16);
    rmr_store_be16(body + RMR_KEY_LEN + 16, port);
    p[PRESENT_LEN - 1] = flags;
    return PRESENT_LEN;
}

/* The next key that is here, for a new watcher.  Changes come as notes beside
 * it: a key may be told twice, but its last word is always right, for a key
 * that is told here and goes later has its PeerGone behind it. */
static size_t write_dump(rmr_dsw *sw, rmri_dsw_watch *w, uint8_t *p)
{
    const rmri_dsw_key *k;
    uint8_t ip[16];
    while ((k = rmr_slots_next(&sw->keys, &w->dump_at, NULL)) && !k->active)
        ;
    if (!k) {
        w->is_dumping = false;
        return 0;
    }
    put_address(ip, &k->active->addr);
    return put_present(p, k->key, ip, k->active->addr.port,
                       rmri_dsw_present_flags(k->active));
}

size_t rmri_dsw_write_note(rmr_dsw *sw, rmri_dsw_client *c, rmr_buf dst)
{
    const rmri_dsw_note *n = c->notes;
    size_t len;
    if (dst.len < PRESENT_LEN)
        return 0;
    if (!n)
        return c->watch && c->watch->is_dumping
                   ? write_dump(sw, c->watch, dst.ptr)
                   : 0;
    if (n->type == RMR_DERP_PEER_PRESENT) {
        len = put_present(dst.ptr, n->key, n->ip, n->port, n->value);
    } else {
        len = put_gone(dst.ptr, n);
        if (n->value == RMRI_DSW_GONE_UNKNOWN)
            sw->stats.gone_not_here++;
        else
            sw->stats.gone_disconnected++;
    }
    note_pop(sw, c);
    return len;
}
