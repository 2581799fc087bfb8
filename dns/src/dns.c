/* The stub resolver: queries, tries, servers, time-outs. */
#include "dns_query.h"

#include <stdio.h>
#include <string.h>

#define MAX_QUERIES 64
#define TRY_TIMEOUT (2 * RMR_SEC)
#define TRIES 4
/* When one family is there, how long the other is waited for.  RFC 8305 3 wants
 * 50 ms; but this resolver answers once, and a lost datagram must not cost a
 * host its only working family. */
#define GRACE (500 * RMR_MS)

/* T3.  The last instant stays out of reach, so that NEVER is always later. */
void rmri_dns_clamp(rmr_dns *d, rmr_time now)
{
    if (now == RMR_TIME_NEVER)
        now--;
    if (now > d->now)
        d->now = now;
}

/* ---- life ------------------------------------------------------------- */

rmr_err rmr_dns_new(rmr_dns **out, const rmr_env *env,
                    const rmr_dns_config *cfg)
{
    *out = NULL;
    if (!cfg->callbacks.on_answer)
        return RMR_E_INVAL;
    rmr_dns *d = rmr_alloc_zero(&env->alloc, sizeof *d, _Alignof(rmr_dns));
    if (!d)
        return RMR_E_NOMEM;
    d->env = *env;
    d->cfg = *cfg;
    if (!d->cfg.max_queries)
        d->cfg.max_queries = MAX_QUERIES;
    if (!d->cfg.try_timeout)
        d->cfg.try_timeout = TRY_TIMEOUT;
    if (!d->cfg.tries)
        d->cfg.tries = TRIES;
    *out = d;
    return RMR_OK;
}

/* Takes a query out of the list; the caller frees it. */
static void unlink_query(rmr_dns *d, query *q)
{
    query **p = &d->head;
    while (*p != q)
        p = &(*p)->next;
    *p = q->next;
    d->n_queries--;
}

static void free_query(rmr_dns *d, query *q)
{
    rmri_dns_stream_drop(d, &q->sub[0]);
    rmri_dns_stream_drop(d, &q->sub[1]);
    rmr_release(&d->env.alloc, q, sizeof *q);
}

void rmr_dns_free(rmr_dns *d)
{
    if (!d)
        return;
    while (d->head) {
        query *q = d->head;
        unlink_query(d, q);
        free_query(d, q);
    }
    rmr_release(&d->env.alloc, d->hosts, d->hosts_len);
    rmr_release(&d->env.alloc, d->search, d->search_len);
    rmr_alloc a = d->env.alloc;
    rmr_release(&a, d, sizeof *d);
}

/* ---- asking ----------------------------------------------------------- */

static void begin_try(rmr_dns *d, sub *s, uint8_t server)
{
    rmri_dns_stream_drop(d, s);
    s->state = SUB_SEND;
    s->server = server;
    s->tries++;
    /* Runs from here, so that a host that can't send ends the query too. */
    s->deadline = rmr_time_add(d->now, d->cfg.try_timeout);
}

static void begin_sub(rmr_dns *d, sub *s)
{
    s->asked = 0;
    s->tries = 0;
    s->n_failed = 0;
    s->no_edns = false;
    s->err = RMR_E_NOTFOUND;
    s->n_ips = 0;
    begin_try(d, s, d->first);
}

static void begin_name(rmr_dns *d, query *q)
{
    q->grace = RMR_TIME_NEVER;
    begin_sub(d, &q->sub[0]);
    begin_sub(d, &q->sub[1]);
}

/* Takes the next name: with each search domain in turn, then as it is.  False:
 * none is left. */
static bool next_name(rmr_dns *d, query *q)
{
    rmr_bytes text = rmr_bytes_str(q->text);
    while (!q->is_bare) {
        /* The list may have been replaced by a shorter one. */
        size_t at = q->search_at < d->search_len ? q->search_at : d->search_len;
        rmr_bytes rest =
            rmr_bytes_of(d->search ? d->search + at : NULL, d->search_len - at);
        rmr_bytes domain = rmri_dns_next_word(&rest);
        q->search_at = d->search_len - rest.len;
        q->is_bare = domain.len == 0;
        if (rmri_dns_name_of(text, domain, &q->name) == RMR_OK)
            return true;
    }
    return false;
}

static void call_back(rmr_dns *d, uint64_t id, rmr_err err,
                      const rmr_addr *addrs, size_t n)
{
    bool outer = d->in_callback;
    d->in_callback = true;
    d->cfg.callbacks.on_answer(d->cfg.callbacks.user, id, err, addrs, n);
    d->in_callback = outer;
}

/* RFC 6761 6.3, 6.4; RFC 7686 2: names that no server is asked for. */
static bool answer_special(rmr_dns *d, uint64_t id, const rmri_dns_name *name)
{
    if (rmri_dns_name_ends(name, "localhost")) {
        rmr_addr two[2];
        two[0] = rmr_addr_v4(127, 0, 0, 1, 0);
        two[1] = two[0];
        memset(two[1].ip, 0, sizeof two[1].ip);
        two[1].ip[15] = 1;
        two[1].family = RMR_AF_INET6;
        call_back(d, id, RMR_OK, two, 2);
        return true;
    }
    if (rmri_dns_name_ends(name, "invalid") ||
        rmri_dns_name_ends(name, "onion")) {
        call_back(d, id, RMR_E_NOTFOUND, NULL, 0);
        return true;
    }
    return false;
}

static bool answer_literal(rmr_dns *d, uint64_t id, const char *name)
{
    rmr_addr a;
    if (rmr_addr_parse_ip(rmr_bytes_str(name), &a) != RMR_OK)
        return false;
    call_back(d, id, RMR_OK, &a, 1);
    return true;
}

static bool answer_from_hosts(rmr_dns *d, uint64_t id, const char *name)
{
    rmr_addr addrs[RMR_DNS_MAX_ADDRS];
    size_t n =
        rmri_dns_find_host(rmr_bytes_of(d->hosts, d->hosts_len),
                           rmr_bytes_str(name), addrs, RMR_DNS_MAX_ADDRS);
    if (n)
        call_back(d, id, RMR_OK, addrs, n);
    return n > 0;
}

static rmr_err open_query(rmr_dns *d, uint64_t id, const char *text,
                          const rmri_dns_name *name)
{
    uint16_t ids[2];
    if (d->n_servers == 0)
        return RMR_E_UNREACHABLE;
    if (d->n_queries >= d->cfg.max_queries)
        return RMR_E_FULL;
    if (rmr_rng_fill(&d->env.rng, ids, sizeof ids) != RMR_OK)
        return RMR_E_RNG;
    query *q = rmr_alloc_zero(&d->env.alloc, sizeof *q, _Alignof(query));
    if (!q)
        return RMR_E_NOMEM;
    q->id = id;
    q->worst = RMR_E_NOTFOUND;
    (void)snprintf(q->text, sizeof q->text, "%s", text);
    size_t len = strlen(text);
    q->is_bare = !rmri_dns_name_is_single(name) || text[len - 1] == '.';
    q->name = *name;
    if (!q->is_bare)
        (void)next_name(d, q); /* the bare name is always one */
    for (int i = 0; i < 2; i++) {
        q->sub[i].id = ids[i];
        q->sub[i].type = i ? RMRI_DNS_AAAA : RMRI_DNS_A;
    }
    begin_name(d, q);
    query **p = &d->head;
    while (*p)
        p = &(*p)->next;
    *p = q;
    d->n_queries++;
    return RMR_OK;
}

rmr_err rmr_dns_query(rmr_dns *d, rmr_time now, uint64_t id, const char *name)
{
    rmri_dns_name wire;
    rmri_dns_clamp(d, now);
    bool done = answer_literal(d, id, name);
    if (!done) {
        rmr_err e =
            rmri_dns_name_of(rmr_bytes_str(name), rmr_bytes_of(NULL, 0), &wire);
        if (e != RMR_OK)
            return e;
        done = answer_special(d, id, &wire) || answer_from_hosts(d, id, name);
    }
    rmr_err e = done ? RMR_OK : open_query(d, id, name, &wire);
    if (e == RMR_OK)
        d->stats.queries++;
    return e;
}

void rmr_dns_cancel(rmr_dns *d, uint64_t id)
{
    for (query *q = d->head, *next; q; q = next) {
        next = q->next;
        if (q->id == id) {
            unlink_query(d, q);
            free_query(d, q);
        }
    }
}

/* ---- ending ----------------------------------------------------------- */

static rmr_addr addr_at(const sub *s, size_t i)
{
    return rmr_addr_from_bytes(
        rmr_bytes_of(s->ips[i], s->type == RMRI_DNS_A ? 4 : 16), 0);
}

/* RFC 8305 4: the families in turn, IPv6 first. */
static size_t interleave(const query *q, rmr_addr *out)
{
    const sub *v4 = &q->sub[0], *v6 = &q->sub[1];
    size_t n = 0;
    for (size_t i = 0; i < RMR_DNS_MAX_ADDRS; i++) {
        if (i < v6->n_ips && n < RMR_DNS_MAX_ADDRS)
            out[n++] = addr_at(v6, i);
        if (i < v4->n_ips && n < RMR_DNS_MAX_ADDRS)
            out[n++] = addr_at(v4, i);
    }
    return n;
}

/* Both questions are answered, or waited for long enough.  May free q. */
static void finish_name(rmr_dns *d, query *q)
{
    rmr_addr addrs[RMR_DNS_MAX_ADDRS];
    size_t n = interleave(q, addrs);
    rmr_err e = RMR_OK;
    if (n == 0) {
        e = q->sub[0].err != RMR_E_NOTFOUND ? q->sub[0].err : q->sub[1].err;
        /* Servers that are silent for one name are silent for the next. */
        if (e != RMR_E_TIMEOUT && next_name(d, q)) {
            if (q->worst == RMR_E_NOTFOUND)
                q->worst = e;
            begin_name(d, q);
            return;
        }
        if (e == RMR_E_NOTFOUND)
            e = q->worst;
    }
    uint64_t id = q->id;
    unlink_query(d, q);
    free_query(d, q);
    call_back(d, id, e, addrs, n);
}

/* May free q. */
void rmri_dns_finish_sub(rmr_dns *d, query *q, sub *s, rmr_err e)
{
    rmri_dns_stream_drop(d, s);
    s->state = SUB_DONE;
    s->err = e;
    if (q->sub[0].state == SUB_DONE && q->sub[1].state == SUB_DONE)
        finish_name(d, q);
    else if (s->n_ips)
        q->grace = rmr_time_add(d->now, GRACE);
}

/* This try failed: the next server, or the end.  May free q. */
void rmri_dns_fail_try(rmr_dns *d, query *q, sub *s, rmr_err e)
{
    /* Queries to come don't wait for a dead server. */
    if (e == RMR_E_TIMEOUT && d->n_servers && d->first == s->server)
        d->first = (uint8_t)((s->server + 1) % d->n_servers);
    /* Asking a server again that has just said no is of no use. */
    bool all_refused = e != RMR_E_TIMEOUT && ++s->n_failed >= d->n_servers;
    if (d->n_servers == 0 || all_refused || s->tries >= d->cfg.tries) {
        rmri_dns_finish_sub(d, q, s, e);
        return;
    }
    s->no_edns = false;
    begin_try(d, s, (uint8_t)((s->server + 1) % d->n_servers));
}

/* ---- servers ---------------------------------------------------------- */

static void restart_all(rmr_dns *d)
{
    for (query *q = d->head; q; q = q->next)
        for (int i = 0; i < 2; i++) {
            sub *s = &q->sub[i];
            if (s->state == SUB_DONE)
                continue;
            rmri_dns_stream_drop(d, s);
            /* The deadline stays: it bounds the query as before. */
            s->state = SUB_SEND;
            s->server = 0;
            s->asked = 0;
            s->n_failed = 0;
            s->no_edns = false;
        }
}

/* A copy; NULL: of no bytes, or no memory. */
static uint8_t *text_of(const rmr_dns *d, const uint8_t *p, size_t len)
{
    uint8_t *copy = len ? rmr_alloc_raw(&d->env.alloc, len, 1) : NULL;
    if (copy)
        memcpy(copy, p, len);
    return copy;
}

rmr_err rmr_dns_set_servers(rmr_dns *d, const rmr_addr *servers, size_t n,
                            rmr_bytes hosts, rmr_bytes search)
{
    size_t len = rmri_dns_cut(hosts, RMR_DNS_MAX_HOSTS, "\n");
    size_t search_len = rmri_dns_cut(search, RMR_DNS_MAX_SEARCH, " \t");
    uint8_t *copy = text_of(d, hosts.ptr, len);
    uint8_t *domains = text_of(d, search.ptr, search_len);
    if ((len && !copy) || (search_len && !domains)) {
        rmr_release(&d->env.alloc, copy, len);
        rmr_release(&d->env.alloc, domains, search_len);
        return RMR_E_NOMEM;
    }
    rmr_release(&d->env.alloc, d->hosts, d->hosts_len);
    rmr_release(&d->env.alloc, d->search, d->search_len);
    d->hosts = copy;
    d->hosts_len = len;
    d->search = (char *)domains;
    d->search_len = search_len;
    d->n_servers = 0;
    d->first = 0;
    for (size_t i = 0; i < n && d->n_servers < RMR_DNS_MAX_SERVERS; i++) {
        if (rmr_addr_ip_len(&servers[i]) == 0)
            continue;
        rmr_addr *a = &d->servers[d->n_servers++];
        *a = servers[i];
        if (a->port == 0)
            a->port = 53;
    }
    restart_all(d);
    return RMR_OK;
}

/* ---- answers ---------------------------------------------------------- */

static bool find_server(const rmr_dns *d, const rmr_addr *from, uint8_t *out)
{
    for (uint8_t i = 0; i < d->n_servers; i++) {
        if (rmr_addr_eq(&d->servers[i], from)) {
            *out = i;
            return true;
        }
    }
    return false;
}

/* RFC 5452 9.1: the id, the question, and the server.  Some servers refuse
 * without repeating the question. */
bool rmri_dns_is_answer(const rmri_dns_head *h, const query *q, const sub *s,
                        uint8_t server)
{
    if (s->state == SUB_DONE || s->id != h->id || !(s->asked >> server & 1))
        return false;
    if (!h->has_question)
        return h->rcode != RMRI_DNS_NOERROR && h->rcode != RMRI_DNS_NXDOMAIN;
    return s->type == h->type && rmri_dns_name_eq(&q->name, &h->name);
}

static sub *find_sub(rmr_dns *d, const rmri_dns_head *h, uint8_t server,
                     query **out)
{
    for (query *q = d->head; q; q = q->next) {
        for (int i = 0; i < 2; i++) {
            if (rmri_dns_is_answer(h, q, &q->sub[i], server)) {
                *out = q;
                return &q->sub[i];
            }
        }
    }
    return NULL;
}

/* Refused input leaves those that a cut answer had. */
static rmr_err take_ips(sub *s, const rmri_dns_head *h)
{
    rmri_dns_ip ips[RMR_DNS_MAX_ADDRS];
    size_t n = 0;
    if (h->rcode != RMRI_DNS_NOERROR)
        return RMR_E_REFUSED;
    rmr_err e = rmri_dns_parse_ips(h, ips, RMR_DNS_MAX_ADDRS, &n);
    if (e != RMR_OK)
        return e;
    s->n_ips = n;
    memcpy(s->ips, ips, n * sizeof ips[0]);
    return RMR_OK;
}

void rmri_dns_take_answer(rmr_dns *d, query *q, sub *s, const rmri_dns_head *h,
                          uint8_t server)
{
    bool by_tcp = s->tcp != TCP_NONE;
    if (h->rcode == RMRI_DNS_NXDOMAIN) {
        s->n_ips = 0;
        rmri_dns_finish_sub(d, q, s, RMR_E_NOTFOUND);
        return;
    }
    if ((h->rcode == RMRI_DNS_FORMERR || h->rcode == RMRI_DNS_NOTIMP) &&
        !s->no_edns && s->server == server && s->tries < d->cfg.tries) {
        /* RFC 6891 7: a server that does not know EDNS. */
        s->no_edns = true;
        begin_try(d, s, server);
        return;
    }
    rmr_err e = take_ips(s, h);
    if (e != RMR_E_REFUSED && h->is_cut && d->cfg.can_tcp && !by_tcp) {
        rmri_dns_stream_want(d, s, server);
        return;
    }
    if (e != RMR_OK) {
        d->stats.failures++;
        if (by_tcp)
            rmri_dns_stream_failed(d, q, s);
        else
            rmri_dns_fail_try(d, q, s, e);
        return;
    }
    /* Cut off before the first address: there is no telling. */
    if (s->n_ips == 0)
        e = h->is_cut ? RMR_E_REFUSED : RMR_E_NOTFOUND;
    rmri_dns_finish_sub(d, q, s, e);
}

/* A datagram behind a cut answer: the stream tells more than its like. */
static bool is_worse_than_stream(const sub *s, const rmri_dns_head *h)
{
    return s->tcp != TCP_NONE && (h->is_cut || (h->rcode != RMRI_DNS_NOERROR &&
                                                h->rcode != RMRI_DNS_NXDOMAIN));
}

rmr_err rmr_dns_read_pkt(rmr_dns *d, rmr_time now, const rmr_addr *from,
                         rmr_bytes datagram)
{
    rmri_dns_head h;
    uint8_t server;
    query *q;
    if (d->in_callback)
        return RMR_E_REENTRANT;
    rmri_dns_clamp(d, now);
    rmr_err e = rmri_dns_parse_head(datagram, &h);
    if (e != RMR_OK) {
        d->stats.ignored_malformed++;
        return e;
    }
    sub *s = find_server(d, from, &server) ? find_sub(d, &h, server, &q) : NULL;
    if (!s || is_worse_than_stream(s, &h)) {
        d->stats.ignored_unknown++;
        return RMR_E_UNKNOWN;
    }
    d->stats.received++;
    rmri_dns_take_answer(d, q, s, &h, server);
    return RMR_OK;
}

/* ---- out -------------------------------------------------------------- */

static sub *first_to_send(rmr_dns *d, query **out)
{
    if (d->n_servers == 0)
        return NULL;
    for (query *q = d->head; q; q = q->next) {
        for (int i = 0; i < 2; i++) {
            if (q->sub[i].state == SUB_SEND) {
                *out = q;
                return &q->sub[i];
            }
        }
    }
    return NULL;
}

rmr_err rmr_dns_write_pkt(rmr_dns *d, rmr_time now, rmr_buf dst, size_t *len,
                          rmr_addr *to)
{
    query *q;
    *len = 0;
    if (d->in_callback)
        return RMR_E_REENTRANT;
    rmri_dns_clamp(d, now);
    if (dst.len < RMR_DNS_MAX_QUERY)
        return RMR_E_BUFSIZE;
    sub *s = first_to_send(d, &q);
    if (!s)
        return RMR_OK;
    rmr_err e = rmri_dns_build(dst, len, s->id, &q->name, s->type, !s->no_edns);
    if (e != RMR_OK)
        return e;
    *to = d->servers[s->server];
    s->state = SUB_WAIT;
    s->asked = (uint8_t)(s->asked | 1u << s->server);
    s->deadline = rmr_time_add(d->now, d->cfg.try_timeout);
    d->stats.sent++;
    return RMR_OK;
}

/* ---- time ------------------------------------------------------------- */

static rmr_time query_deadline(const query *q)
{
    rmr_time t = q->grace;
    for (int i = 0; i < 2; i++)
        if (q->sub[i].state != SUB_DONE)
            t = rmr_time_min(t, q->sub[i].deadline);
    return t;
}

rmr_time rmr_dns_next_deadline(const rmr_dns *d)
{
    rmr_time t = RMR_TIME_NEVER;
    for (const query *q = d->head; q; q = q->next)
        t = rmr_time_min(t, query_deadline(q));
    return t;
}

/* One thing that is due.  May free q. */
static void handle_due(rmr_dns *d, query *q)
{
    if (q->grace <= d->now) {
        finish_name(d, q);
        return;
    }
    for (int i = 0; i < 2; i++) {
        sub *s = &q->sub[i];
        if (s->state != SUB_DONE && s->deadline <= d->now) {
            d->stats.timeouts++;
            if (s->tcp != TCP_NONE)
                rmri_dns_stream_failed(d, q, s);
            else
                rmri_dns_fail_try(d, q, s, RMR_E_TIMEOUT);
            return;
        }
    }
}

rmr_err rmr_dns_handle_deadline(rmr_dns *d, rmr_time now)
{
    if (d->in_callback)
        return RMR_E_REENTRANT;
    rmri_dns_clamp(d, now);
    /* Each round ends a try or a query, and what begins is due later; a query
     * may be freed, and another begun in its callback: from the head again. */
    for (query *q = d->head; q;) {
        if (query_deadline(q) > d->now) {
            q = q->next;
            continue;
        }
        handle_due(d, q);
        q = d->head;
    }
    return RMR_OK;
}

bool rmr_dns_is_idle(const rmr_dns *d)
{
    return d->head == NULL;
}

void rmr_dns_get_stats(const rmr_dns *d, rmr_dns_stats *out)
{
    *out = d->stats;
}
