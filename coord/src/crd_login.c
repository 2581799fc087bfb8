/* Logins that wait for somebody's approval. */
#include "crd_internal.h"

#include <stdio.h>
#include <string.h>

#define FRONT "hskey-authreq-"
#define FOLLOW_UP (60 * RMR_SEC)
#define WAITING_MAX 4 /* for one login */

/* place is its first member, link that one's. */
static crd_login *login_at(crd_link *l)
{
    return (crd_login *)(void *)l;
}

static void login_free(rmr_coord *c, crd_login *l)
{
    while (l->waiting)
        rmri_crd_login_leave(l->waiting);
    rmr_timers_cancel(&c->timers, &l->timer);
    rmri_crd_fair_leave(&c->waiters, &l->place);
    rmri_crd_list_free(c, &l->tags);
    rmr_release(&c->env.alloc, l, sizeof *l);
}

static void link_out(rmr_coord *c, crd_login *l)
{
    if (l->prev)
        l->prev->next = l->next;
    else
        c->logins = l->next;
    if (l->next)
        l->next->prev = l->prev;
    c->n_logins--;
}

void rmri_crd_logins_free(rmr_coord *c)
{
    while (c->logins) {
        crd_login *l = c->logins;
        link_out(c, l);
        login_free(c, l);
    }
}

crd_login *rmri_crd_login_find(const rmr_coord *c, rmr_bytes id)
{
    for (crd_login *l = c->logins; l; l = l->next) {
        if (rmr_bytes_eq_str(id, l->id))
            return l;
    }
    return NULL;
}

static crd_login *find_key(const rmr_coord *c, const uint8_t machine[32],
                           const uint8_t key[32])
{
    for (crd_login *l = c->logins; l; l = l->next) {
        if (memcmp(l->machine, machine, RMR_KEY_LEN) == 0 &&
            memcmp(l->key, key, RMR_KEY_LEN) == 0)
            return l;
    }
    return NULL;
}

static rmr_err make_id(rmr_coord *c, crd_login *l)
{
    uint8_t random[12];
    rmr_err e = rmr_rng_fill(&c->env.rng, random, sizeof random);
    if (e != RMR_OK)
        return e;
    memcpy(l->id, FRONT, sizeof FRONT);
    rmr_hex(l->id + sizeof FRONT - 1, random, sizeof random);
    return RMR_OK;
}

static rmr_err set_tags(rmr_coord *c, crd_login *l, const crd_request *q)
{
    const char *tags[RMR_COORD_MAX_TAGS];
    for (size_t i = 0; i < q->n_tags; i++)
        tags[i] = q->tags[i];
    return rmri_crd_list_set(c, &l->tags, tags, q->n_tags);
}

/* Nobody waits for it, and its client had the time to say that it does. */
static bool is_left(const crd_login *l, rmr_time now)
{
    return !l->waiting && rmr_time_since(now, l->began) >= FOLLOW_UP;
}

/* Who has most gives one back: one that was left, or to those who have less
 * than that the oldest. */
static bool make_room(rmr_coord *c, rmr_time now, const rmr_addr *from)
{
    const crd_share *most = rmri_crd_fair_fullest(&c->waiters);
    crd_login *gone = NULL;
    if (c->n_logins < c->max_logins)
        return true;
    for (crd_link *l = most->ring.next; !gone && l != &most->ring; l = l->next)
        gone = is_left(login_at(l), now) ? login_at(l) : NULL;
    if (!gone && rmri_crd_fair_count(&c->waiters, from) + 1 < most->n)
        gone = login_at(most->ring.next);
    if (gone)
        rmri_crd_login_end(c, gone, "others wait; try again");
    return gone != NULL;
}

static rmr_err login_alloc(rmr_coord *c, rmr_time now, const rmr_addr *from,
                           crd_login **out)
{
    if (!make_room(c, now, from))
        return RMR_E_FULL;
    if (rmri_crd_timers_room(c, 1) != RMR_OK)
        return RMR_E_NOMEM;
    *out = rmr_alloc_zero(&c->env.alloc, sizeof **out, _Alignof(crd_login));
    return *out ? RMR_OK : RMR_E_NOMEM;
}

/* All of it is known: it waits, and that is told. */
static void login_begin(rmr_coord *c, crd_login *l, rmr_time now,
                        const rmr_addr *from)
{
    l->began = now;
    l->next = c->logins;
    if (c->logins)
        c->logins->prev = l;
    c->logins = l;
    c->n_logins++;
    rmri_crd_fair_enter(&c->waiters, &l->place, from);
    rmri_crd_timer_set(c, &l->timer, CRD_TIMER_LOGIN, l,
                       rmr_time_add(now, CRD_LOGIN_LIFE));
    rmr_coord_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_COORD_EV_LOGIN;
    ev.addr = l->client = *from;
    ev.text = l->id;
    ev.node = l->hostname;
    rmri_crd_tell(c, &ev);
}

rmr_err rmri_crd_login_new(const crd_conn *from, rmr_time now,
                           const crd_request *q, crd_login **out)
{
    rmr_coord *c = from->c;
    crd_login *l = find_key(c, from->machine, q->key);
    *out = l;
    if (l)
        return set_tags(c, l, q); /* it may ask for others now */
    rmr_err e = login_alloc(c, now, &from->client, &l);
    if (e != RMR_OK)
        return e;
    e = make_id(c, l);
    if (e == RMR_OK)
        e = set_tags(c, l, q);
    if (e != RMR_OK) {
        rmr_release(&c->env.alloc, l, sizeof *l);
        return e;
    }
    memcpy(l->machine, from->machine, RMR_KEY_LEN);
    memcpy(l->key, q->key, RMR_KEY_LEN);
    memcpy(l->hostname, q->hostname, sizeof l->hostname);
    l->ephemeral = q->ephemeral;
    l->expiry = q->has_expiry ? q->expiry : 0;
    login_begin(c, l, now, &from->client);
    *out = l;
    return RMR_OK;
}

static rmr_err make_public(rmr_coord *c, uint8_t out[RMR_KEY_LEN])
{
    uint8_t priv[RMR_KEY_LEN];
    rmr_err e = rmr_key_generate(&c->env.rng, priv);
    if (e == RMR_OK)
        rmr_x25519_public(out, priv);
    rmr_wipe(priv, sizeof priv);
    return e;
}

rmr_err rmri_crd_login_fake(rmr_coord *c, const rmr_addr *from, const char *id,
                            const char *hostname, crd_login **out)
{
    crd_login *l = NULL;
    rmr_err e = login_alloc(c, c->now, from, &l);
    if (e != RMR_OK)
        return e;
    e = make_public(c, l->machine);
    if (e == RMR_OK)
        e = make_public(c, l->key);
    if (e != RMR_OK) {
        rmr_release(&c->env.alloc, l, sizeof *l);
        return e;
    }
    (void)snprintf(l->id, sizeof l->id, "%s", id);
    (void)snprintf(l->hostname, sizeof l->hostname, "%s", hostname);
    login_begin(c, l, c->now, from);
    *out = l;
    return RMR_OK;
}

void rmri_crd_login_wait(crd_login *l, crd_rpc *r)
{
    crd_rpc *oldest = l->waiting;
    size_t k = 1;
    for (; oldest && oldest->login_next; oldest = oldest->login_next)
        k++;
    if (oldest && k >= WAITING_MAX) {
        rmri_crd_login_leave(oldest);
        rmri_crd_register_error(oldest, "another request waits for it");
    }
    r->login = l;
    r->login_next = l->waiting;
    l->waiting = r;
}

void rmri_crd_login_leave(crd_rpc *r)
{
    crd_login *l = r->login;
    if (!l)
        return;
    crd_rpc **at = &l->waiting;
    while (*at != r)
        at = &(*at)->login_next;
    *at = r->login_next;
    r->login = NULL;
    r->login_next = NULL;
}

/* Those who wait get a new URL, when they ask again. */
void rmri_crd_login_end(rmr_coord *c, crd_login *l, const char *why)
{
    while (l->waiting) {
        crd_rpc *r = l->waiting;
        rmri_crd_login_leave(r);
        rmri_crd_register_error(r, why);
    }
    link_out(c, l);
    login_free(c, l);
}

static const char *const *tags_of(const crd_login *l)
{
    return (const char *const *)l->tags.p;
}

/* The node that the user has of this machine: the tags may be others now. */
static crd_node *known(const rmr_coord *c, const crd_login *l,
                       const crd_user *user)
{
    crd_node *own = rmri_crd_node_of(c, l->machine, user);
    crd_node *tagged = rmri_crd_node_tagged(c, l->machine, user, NULL);
    if (!own || !tagged)
        return own ? own : tagged;
    return l->tags.n ? tagged : own;
}

/* Tags take the key's expiry away; without them it is the user's again. */
static rmr_err renew(rmr_coord *c, crd_login *l, crd_node *n, uint64_t expiry)
{
    rmr_err e = rmri_crd_node_set_key(c, n, l->key);
    if (e == RMR_OK && (l->tags.n || rmri_crd_is_tagged(n)))
        e = rmri_crd_node_tag(c, n, tags_of(l), l->tags.n);
    if (e == RMR_OK) {
        rmri_crd_node_set_expiry(c, n, rmri_crd_is_tagged(n) ? 0 : expiry);
        rmri_crd_changed(c, n, CRD_WHOLE);
    }
    return e;
}

static rmr_err join(rmr_coord *c, crd_login *l, crd_user *user, crd_node **out)
{
    crd_node *n = known(c, l, user);
    uint64_t expiry = rmri_crd_expiry(c, l->expiry);
    *out = n;
    if (n)
        return renew(c, l, n, expiry);
    crd_birth b;
    memset(&b, 0, sizeof b);
    b.machine = l->machine;
    b.key = l->key;
    b.user = user;
    b.hostname = rmr_bytes_str(l->hostname);
    b.tags = tags_of(l);
    b.n_tags = l->tags.n;
    b.ephemeral = l->ephemeral;
    b.expiry = l->tags.n ? 0 : expiry;
    return rmri_crd_node_add(c, &b, out);
}

rmr_err rmr_coord_login_approve(rmr_coord *c, const char *login, uint64_t user,
                                uint64_t *node)
{
    crd_login *l = rmri_crd_login_find(c, rmr_bytes_str(login));
    crd_user *u = rmri_crd_user(c, user);
    crd_node *n;
    if (!l || !u)
        return RMR_E_NOTFOUND;
    if (rmri_crd_policy_refuses(c, u, tags_of(l), l->tags.n, NULL, 0))
        return RMR_E_DENIED; /* it goes on waiting: policies change */
    rmr_err e = rmri_crd_may_change(c);
    if (e == RMR_OK)
        e = join(c, l, u, &n);
    if (e != RMR_OK)
        return e;
    c->client = l->client;
    while (l->waiting) {
        crd_rpc *r = l->waiting;
        rmri_crd_login_leave(r);
        rmri_crd_register_done(r, n);
    }
    link_out(c, l);
    login_free(c, l);
    *node = n->id;
    rmri_crd_joined(c, n);
    return RMR_OK;
}

rmr_err rmr_coord_login_reject(rmr_coord *c, const char *login)
{
    crd_login *l = rmri_crd_login_find(c, rmr_bytes_str(login));
    if (!l)
        return RMR_E_NOTFOUND;
    rmri_crd_login_end(c, l, "the login was rejected");
    return RMR_OK;
}
