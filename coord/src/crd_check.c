/* Proofs of people, for SSH rules with "check": the node whose SSH server
 * somebody knocks at asks GET /machine/ssh/action/FROM/to/TO.  It is told
 * another question, with an id, and a page to show to the person; whoever
 * administers the server decides by that id, and the node's next question,
 * which waits, is answered.  A yes is good for the rule's checkPeriod, on that
 * way and for that local user; it is not stored: behind a restart, or with
 * another policy, people are asked again. */
#include "crd_api.h"

#include <stdio.h>
#include <string.h>

#define FRONT "hskey-authreq-"
#define LIFE CRD_LOGIN_LIFE
#define CHECKS_MAX 1024
#define CHECKS_OF_NODE 16
#define WAITING_MAX 4 /* for one check */
#define PROOFS_MAX 1024

static bool same_way(const crd_way *x, const crd_way *y)
{
    return x->from == y->from && x->to == y->to &&
           strcmp(x->user, y->user) == 0;
}

/* ---- answers ------------------------------------------------------------- */

typedef struct answer {
    bool accept;
    const char *hold, *message;
} answer;

static void send(crd_rpc *r, const answer *a)
{
    uint8_t text[4096];
    size_t len;
    rmr_jw w;
    rmr_jw_init(&w, rmr_buf_of(text, sizeof text));
    rmr_jw_object(&w);
    if (a->message)
        rmr_jw_kstr(&w, "message", a->message);
    if (a->hold)
        rmr_jw_kstr(&w, "holdAndDelegate", a->hold);
    else
        rmr_jw_kbool(&w, a->accept ? "accept" : "reject", true);
    if (a->accept) {
        rmr_jw_kbool(&w, "allowAgentForwarding", true);
        rmr_jw_kbool(&w, "allowLocalPortForwarding", true);
        rmr_jw_kbool(&w, "allowRemotePortForwarding", true);
    }
    rmr_jw_object_end(&w);
    if (rmr_jw_end(&w, &len) == RMR_OK)
        rmri_crd_rpc_answer(r, 200, "application/json",
                            rmr_bytes_of(text, len));
    else
        rmri_crd_rpc_text(r, 500, "internal error\n");
}

static void accept(crd_rpc *r)
{
    answer a = {.accept = true};
    send(r, &a);
}

static void reject(crd_rpc *r, const char *message)
{
    answer a = {.message = message};
    send(r, &a);
}

static void refuse(crd_rpc *r, uint16_t status, const char *text)
{
    r->conn->c->count.bad_requests++;
    rmri_crd_rpc_text(r, status, text);
}

static void decided(crd_rpc *r, crd_verdict verdict)
{
    if (verdict == CRD_YES)
        accept(r);
    else
        reject(r, "# The connection was not approved.\n");
}

static void delegate(crd_rpc *r, const crd_check *k)
{
    const char *url = r->conn->c->server_url;
    char hold[640], message[768];
    (void)snprintf(hold, sizeof hold,
                   "%.440s/machine/ssh/action/%llu/to/%llu?local_user="
                   "$LOCAL_USER&auth_id=%s",
                   url, (unsigned long long)k->way.from,
                   (unsigned long long)k->way.to, k->id);
    (void)snprintf(message, sizeof message,
                   "# This connection needs an approval.\n"
                   "# To ask for it, visit: %.440s/auth/%s\n",
                   url, k->id);
    answer a = {.hold = hold, .message = message};
    send(r, &a);
}

/* ---- checks -------------------------------------------------------------- */

static crd_check *find(const rmr_coord *c, rmr_bytes id)
{
    for (crd_check *k = c->checks.first; k; k = k->next) {
        if (rmr_bytes_eq_str(id, k->id))
            return k;
    }
    return NULL;
}

crd_check *rmri_crd_check_find(const rmr_coord *c, rmr_bytes id)
{
    crd_check *k = find(c, id);
    return k && k->verdict == CRD_OPEN ? k : NULL;
}

void rmri_crd_check_leave(crd_rpc *r)
{
    crd_check *k = r->check;
    if (!k)
        return;
    crd_rpc **at = &k->waiting;
    while (*at != r)
        at = &(*at)->login_next;
    *at = r->login_next;
    r->check = NULL;
    r->login_next = NULL;
}

static void tell_waiting(crd_check *k)
{
    while (k->waiting) {
        crd_rpc *r = k->waiting;
        rmri_crd_check_leave(r);
        decided(r, k->verdict);
    }
}

static void check_free(rmr_coord *c, crd_check *k)
{
    rmr_timers_cancel(&c->timers, &k->timer);
    if (k->prev)
        k->prev->next = k->next;
    else
        c->checks.first = k->next;
    if (k->next)
        k->next->prev = k->prev;
    c->checks.n--;
    rmr_release(&c->env.alloc, k, sizeof *k);
}

static void check_end(rmr_coord *c, crd_check *k)
{
    if (k->verdict == CRD_OPEN)
        k->verdict = CRD_NO;
    tell_waiting(k);
    check_free(c, k);
}

void rmri_crd_check_timer(rmr_coord *c, crd_check *k)
{
    check_end(c, k);
}

/* The node's oldest goes where it has too many, or that of all.  What was
 * decided on that way has had its time. */
static void make_room(rmr_coord *c, const crd_way *way)
{
    crd_check *oldest = NULL, *of_node = NULL;
    size_t n = 0;
    for (crd_check *k = c->checks.first, *next; k; k = next) {
        next = k->next;
        if (same_way(&k->way, way)) {
            check_end(c, k);
            continue;
        }
        oldest = k;
        if (k->way.to == way->to) {
            of_node = k;
            n++;
        }
    }
    if (n >= CHECKS_OF_NODE)
        check_end(c, of_node);
    else if (c->checks.n >= CHECKS_MAX)
        check_end(c, oldest);
}

static void tell(rmr_coord *c, const crd_check *k)
{
    const crd_node *from = rmri_crd_node(c, k->way.from);
    const crd_node *to = rmri_crd_node(c, k->way.to);
    rmr_coord_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_COORD_EV_CHECK;
    ev.text = k->id;
    ev.node = to ? to->given : "";
    ev.from = from ? from->given : "";
    ev.user = k->way.user;
    if (from)
        ev.addr = from->v4.family != RMR_AF_NONE ? from->v4 : from->v6;
    rmri_crd_tell(c, &ev);
}

static rmr_err make_id(rmr_coord *c, crd_check *k)
{
    uint8_t random[12];
    rmr_err e = rmr_rng_fill(&c->env.rng, random, sizeof random);
    memcpy(k->id, FRONT, sizeof FRONT);
    if (e == RMR_OK)
        rmr_hex(k->id + sizeof FRONT - 1, random, sizeof random);
    return e;
}

static crd_check *check_new(rmr_coord *c, const crd_way *way)
{
    make_room(c, way);
    if (rmri_crd_timers_room(c, 1) != RMR_OK)
        return NULL;
    crd_check *k =
        rmr_alloc_zero(&c->env.alloc, sizeof *k, _Alignof(crd_check));
    if (!k)
        return NULL;
    if (make_id(c, k) != RMR_OK) {
        rmr_release(&c->env.alloc, k, sizeof *k);
        return NULL;
    }
    k->way = *way;
    k->next = c->checks.first;
    if (k->next)
        k->next->prev = k;
    c->checks.first = k;
    c->checks.n++;
    rmri_crd_timer_set(c, &k->timer, CRD_TIMER_CHECK, k,
                       rmr_time_add(c->now, LIFE));
    return k;
}

/* ---- proofs -------------------------------------------------------------- */

static void forget_proof(rmr_coord *c, const crd_way *way)
{
    for (size_t i = 0; i < c->checks.n_proofs; i++) {
        if (same_way(&c->checks.proofs[i].way, way))
            memset(&c->checks.proofs[i], 0, sizeof c->checks.proofs[i]);
    }
}

/* Without memory for it people are asked again sooner. */
static void keep_proof(rmr_coord *c, const crd_way *way)
{
    crd_checks *x = &c->checks;
    forget_proof(c, way);
    if (x->n_proofs < PROOFS_MAX) {
        crd_proof *p =
            rmri_crd_room(c, x->proofs, x->n_proofs, &x->cap_proofs, sizeof *p);
        if (!p)
            return;
        x->proofs = p;
        x->next_proof = x->n_proofs++;
    }
    x->proofs[x->next_proof].way = *way;
    x->proofs[x->next_proof].at = c->now;
    x->next_proof = (x->next_proof + 1) % PROOFS_MAX;
}

static bool is_proved(const rmr_coord *c, const crd_way *way, rmr_dur period)
{
    for (size_t i = 0; i < c->checks.n_proofs; i++) {
        const crd_proof *p = &c->checks.proofs[i];
        if (same_way(&p->way, way))
            return rmr_time_since(c->now, p->at) < period;
    }
    return false;
}

/* What is still open is decided under the new one. */
void rmri_crd_checks_forget(rmr_coord *c)
{
    c->checks.n_proofs = 0;
    for (crd_check *k = c->checks.first, *next; k; k = next) {
        next = k->next;
        if (k->verdict != CRD_OPEN)
            check_free(c, k);
    }
}

void rmri_crd_checks_free(rmr_coord *c)
{
    while (c->checks.first) {
        while (c->checks.first->waiting)
            rmri_crd_check_leave(c->checks.first->waiting);
        check_free(c, c->checks.first);
    }
    rmr_release(&c->env.alloc, c->checks.proofs,
                c->checks.cap_proofs * sizeof *c->checks.proofs);
}

/* ---- the decision -------------------------------------------------------- */

static bool has_rule(const rmr_coord *c, const crd_way *way, rmr_dur *period)
{
    return rmr_pol_ssh_check(c->policy.net, way->from, way->to,
                             rmr_bytes_str(way->user), period) == RMR_OK;
}

/* The policy, or a node, may be another since it was asked. */
rmr_err rmr_coord_check_decide(rmr_coord *c, const char *id, bool yes)
{
    rmr_dur period;
    crd_check *k = rmri_crd_check_find(c, rmr_bytes_str(id));
    if (!k)
        return RMR_E_NOTFOUND;
    if (yes && !has_rule(c, &k->way, &period)) {
        check_end(c, k);
        return RMR_E_NOTFOUND;
    }
    k->verdict = yes ? CRD_YES : CRD_NO;
    if (yes)
        keep_proof(c, &k->way);
    tell_waiting(k);
    return RMR_OK;
}

/* ---- the question -------------------------------------------------------- */

static bool starts_with(rmr_bytes *t, const char *front)
{
    size_t n = strlen(front);
    if (t->len < n || memcmp(t->ptr, front, n) != 0)
        return false;
    *t = rmr_bytes_of(t->ptr + n, t->len - n);
    return true;
}

/* The digits in front; false: it is no id. */
static bool take_id(rmr_bytes *t, uint64_t *id)
{
    size_t n = 0;
    while (n < t->len && t->ptr[n] >= '0' && t->ptr[n] <= '9')
        n++;
    if (rmr_parse_u64(rmr_bytes_of(t->ptr, n), UINT64_MAX, id) != RMR_OK ||
        *id == 0)
        return false;
    *t = rmr_bytes_of(t->ptr + n, t->len - n);
    return true;
}

/* Names of Unix users; they come to events and logs. */
static bool is_plain(const char *s)
{
    for (; *s; s++) {
        if (*s < 0x20 || *s > 0x7e)
            return false;
    }
    return true;
}

static bool has(rmr_bytes query, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i + n < query.len; i++) {
        if ((i == 0 || query.ptr[i - 1] == '&') &&
            memcmp(query.ptr + i, name, n) == 0 && query.ptr[i + n] == '=')
            return true;
    }
    return false;
}

/* rest: behind the path's front.  id: empty where none is given. */
static bool parse(rmr_bytes rest, crd_way *way, char id[CRD_API_ARG_MAX + 1])
{
    char user[CRD_API_ARG_MAX + 1] = "";
    memset(way, 0, sizeof *way);
    *id = '\0';
    if (!take_id(&rest, &way->from) || !starts_with(&rest, "/to/") ||
        !take_id(&rest, &way->to))
        return false;
    if (rest.len && !starts_with(&rest, "?"))
        return false;
    if ((has(rest, "local_user") &&
         !rmri_crd_query(rest, "local_user", user)) ||
        (has(rest, "auth_id") && !rmri_crd_query(rest, "auth_id", id)))
        return false;
    if (strlen(user) >= sizeof way->user || !is_plain(user) ||
        (*id && strlen(id) != RMR_COORD_LOGIN_TEXT - 1))
        return false;
    memcpy(way->user, user, strlen(user));
    return true;
}

static void wait_for(crd_check *k, crd_rpc *r)
{
    crd_rpc *oldest = k->waiting;
    size_t n = 1;
    for (; oldest && oldest->login_next; oldest = oldest->login_next)
        n++;
    if (oldest && n >= WAITING_MAX) {
        rmri_crd_check_leave(oldest);
        rmri_crd_rpc_text(oldest, 503, "another request waits for it\n");
    }
    r->check = k;
    r->login_next = k->waiting;
    k->waiting = r;
}

static void hold(crd_rpc *r, const crd_way *way)
{
    rmr_coord *c = r->conn->c;
    crd_check *k = c->checks.first;
    while (k && (k->verdict != CRD_OPEN || !same_way(&k->way, way)))
        k = k->next;
    bool is_new = !k;
    if (is_new)
        k = check_new(c, way);
    if (!k) {
        rmri_crd_rpc_text(r, 503, "the server has no memory for it now\n");
        return;
    }
    delegate(r, k);
    if (is_new)
        tell(c, k);
}

static void follow_up(crd_rpc *r, const crd_way *way, const char *id)
{
    crd_check *k = find(r->conn->c, rmr_bytes_str(id));
    if (!k)
        hold(r, way); /* it is over; the person may be asked anew */
    else if (!same_way(&k->way, way))
        refuse(r, 401, "the id is of another connection\n");
    else if (k->verdict == CRD_OPEN)
        wait_for(k, r);
    else
        decided(r, k->verdict);
}

static void question(crd_rpc *r, const crd_way *way, const char *id)
{
    rmr_coord *c = r->conn->c;
    const crd_node *to = rmri_crd_node(c, way->to);
    rmr_dur period;
    if (!to)
        refuse(r, 404, "dst node not found\n");
    else if (memcmp(to->machine, r->conn->machine, RMR_KEY_LEN) != 0)
        refuse(r, 401, "machine key does not match dst node\n");
    else if (!has_rule(c, way, &period))
        reject(r, "# No rule lets this connection in.\n");
    else if (*id)
        follow_up(r, way, id);
    else if (is_proved(c, way, period))
        accept(r);
    else
        hold(r, way);
}

bool rmri_crd_check(crd_rpc *r, rmr_bytes method, rmr_bytes path)
{
    char id[CRD_API_ARG_MAX + 1];
    crd_way way;
    if (!rmr_bytes_eq_str(method, "GET") ||
        !starts_with(&path, "/machine/ssh/action/"))
        return false;
    if (parse(path, &way, id))
        question(r, &way, id);
    else
        refuse(r, 400, "bad request\n");
    return true;
}
