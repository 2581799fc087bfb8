/* Questions that resolvers are asked: one after the other, by UDP, and by TCP
 * when the client came so and the answer was cut off; or by HTTP. */
#include "md_internal.h"

#include <remora/cursor.h>

#include <string.h>

#define TRY_UDP (1500 * RMR_MS)
#define TRY_TCP (5 * RMR_SEC)
#define MAX_TRIES 4 /* over all resolvers */

struct md_open {
    md_open *next;
    uint64_t id, client;
    uint16_t client_id, wire_id;
    bool client_tcp, tcp, to_send;
    uint8_t tries, n_to;
    uint8_t http; /* bits: of `to`, those that are asked by HTTP */
    rmr_time deadline;
    rmr_addr to[RMR_MD_MAX_RESOLVERS];
    uint16_t question_len, len;
    size_t limit;
    uint8_t msg[RMR_MD_MAX_QUERY]; /* with wire_id */
};

static md_open **place_of(rmr_md *md, const md_open *o)
{
    md_open **p = &md->head;
    while (*p != o)
        p = &(*p)->next;
    return p;
}

static void drop(rmr_md *md, md_open *o)
{
    *place_of(md, o) = o->next;
    md->n_open--;
    rmr_release(&md->env.alloc, o, sizeof *o);
}

void rmri_md_open_free_all(rmr_md *md)
{
    while (md->head)
        drop(md, md->head);
}

static const rmr_addr *resolver(const md_open *o)
{
    return &o->to[(o->tries - 1u) % o->n_to];
}

static bool is_http(const md_open *o)
{
    return o->http >> ((o->tries - 1u) % o->n_to) & 1;
}

static void begin_try(rmr_md *md, md_open *o, bool tcp)
{
    o->tcp = tcp || is_http(o);
    o->to_send = true;
    o->deadline = rmr_time_add(md->now, o->tcp ? TRY_TCP : TRY_UDP);
    md->stats.by_tcp += o->tcp;
}

static uint8_t http_bits(const md_table *t, const md_list *to)
{
    unsigned bits = 0;
    for (size_t i = 0; i < to->n; i++)
        for (size_t k = 0; k < t->n_http; k++)
            if (rmr_addr_eq(&to->at[i], &t->http[k]))
                bits |= 1u << i;
    return (uint8_t)bits;
}

static bool set_wire_id(rmr_md *md, md_open *o)
{
    uint16_t id;
    if (rmr_rng_fill(&md->env.rng, &id, sizeof id) != RMR_OK)
        return false;
    o->wire_id = id;
    rmr_store_be16(o->msg, id);
    return true;
}

bool rmri_md_forward(rmr_md *md, uint64_t client, bool tcp, const md_ask *q,
                     rmr_bytes msg, const md_list *to)
{
    if (to->n == 0 || msg.len > RMR_MD_MAX_QUERY) {
        md->stats.failed++;
        return false;
    }
    md_open *o =
        md->n_open < RMR_MD_MAX_OPEN
            ? rmr_alloc_zero(&md->env.alloc, sizeof *o, _Alignof(md_open))
            : NULL;
    if (!o) {
        md->stats.full++;
        return false;
    }
    o->id = ++md->last_id;
    o->client = client;
    o->client_id = q->id;
    o->client_tcp = tcp;
    o->limit = q->limit;
    o->question_len = (uint16_t)q->question.len;
    o->len = (uint16_t)msg.len;
    memcpy(o->msg, msg.ptr, msg.len);
    o->n_to = (uint8_t)to->n;
    memcpy(o->to, to->at, to->n * sizeof *to->at);
    o->http = http_bits(&md->table, to);
    if (!set_wire_id(md, o)) {
        rmr_release(&md->env.alloc, o, sizeof *o);
        md->stats.failed++;
        return false;
    }
    o->tries = 1;
    begin_try(md, o, false);
    md_open **p = &md->head;
    while (*p)
        p = &(*p)->next;
    *p = o;
    md->n_open++;
    return true;
}

void rmr_md_forget(rmr_md *md, uint64_t client)
{
    for (md_open *o = md->head, *next; o; o = next) {
        next = o->next;
        if (o->client == client)
            drop(md, o);
    }
}

/* ---- out and in -------------------------------------------------------- */

void rmr_md_allow_streams(rmr_md *md, bool on)
{
    md->no_streams = !on;
}

bool rmr_md_next(rmr_md *md, rmr_time now, rmr_md_out *out)
{
    rmri_md_clamp(md, now);
    for (md_open *o = md->head; o; o = o->next) {
        if (!o->to_send || (o->tcp && md->no_streams))
            continue;
        o->to_send = false;
        out->id = o->id;
        out->to = *resolver(o);
        out->tcp = o->tcp;
        out->http = is_http(o);
        out->msg = rmr_bytes_of(o->msg, o->len);
        return true;
    }
    return false;
}

/* What the client asked, for an answer of our own. */
static void own_words(const md_open *o, md_ask *q)
{
    (void)rmri_md_parse(rmr_bytes_of(o->msg, o->len), o->client_tcp, q);
    q->id = o->client_id;
}

/* Frees it. */
static void finish(rmr_md *md, md_open *o, rmr_bytes msg)
{
    uint64_t client = o->client;
    drop(md, o);
    rmri_md_tell(md, client, msg);
}

static void finish_failed(rmr_md *md, md_open *o)
{
    uint8_t dst[RMR_DNS_MAX_MSG];
    md_ask q;
    own_words(o, &q);
    size_t len =
        rmri_md_answer(&q, MD_SERVFAIL, false, 0, rmr_bytes_of(NULL, 0),
                       rmr_buf_of(dst, sizeof dst));
    md->stats.failed++;
    finish(md, o, rmr_bytes_of(dst, len));
}

/* The next resolver, or the end. */
static void fail_try(rmr_md *md, md_open *o)
{
    if (o->tries >= MAX_TRIES) {
        finish_failed(md, o);
        return;
    }
    o->tries++;
    begin_try(md, o, false);
}

/* RFC 5452 9.1: the id, who was asked, and the question, of any capitals. */
static bool is_answer(const md_open *o, const rmr_addr *from, bool tcp,
                      const rmri_dns_head *h)
{
    rmri_dns_name name;
    size_t at = 12;
    if (o->to_send || o->tcp != tcp || o->wire_id != h->id ||
        !rmr_addr_eq(resolver(o), from))
        return false;
    if (!h->has_question) /* a refusal may leave it out */
        return h->rcode != RMRI_DNS_NOERROR && h->rcode != RMRI_DNS_NXDOMAIN;
    return rmri_dns_read_name(rmr_bytes_of(o->msg, o->len), &at, &name) &&
           rmri_dns_name_eq(&name, &h->name) &&
           rmr_load_be16(o->msg + at) == h->type;
}

static void take(rmr_md *md, md_open *o, const rmri_dns_head *h, rmr_buf msg)
{
    if (h->rcode != RMRI_DNS_NOERROR && h->rcode != RMRI_DNS_NXDOMAIN &&
        o->tries < o->n_to) { /* another one may know */
        fail_try(md, o);
        return;
    }
    if (h->is_cut && o->client_tcp && !o->tcp) { /* RFC 7766 5 */
        begin_try(md, o, true);
        return;
    }
    md->stats.forwarded++;
    if (msg.len > o->limit) {
        uint8_t dst[RMR_DNS_MAX_MSG];
        md_ask q;
        own_words(o, &q);
        size_t len = rmri_md_cut(&q, rmr_buf_of(dst, sizeof dst));
        finish(md, o, rmr_bytes_of(dst, len));
        return;
    }
    rmr_store_be16(msg.ptr, o->client_id);
    finish(md, o, rmr_bytes_of(msg.ptr, msg.len));
}

rmr_err rmr_md_read(rmr_md *md, rmr_time now, const rmr_addr *from, bool tcp,
                    rmr_buf msg)
{
    rmri_dns_head h;
    if (md->in_callback)
        return RMR_E_REENTRANT;
    rmri_md_clamp(md, now);
    if (msg.len > 65535 ||
        rmri_dns_parse_head(rmr_bytes_of(msg.ptr, msg.len), &h) != RMR_OK) {
        md->stats.ignored++;
        return RMR_E_MALFORMED;
    }
    for (md_open *o = md->head; o; o = o->next) {
        if (is_answer(o, from, tcp, &h)) {
            take(md, o, &h, msg);
            return RMR_OK;
        }
    }
    md->stats.ignored++;
    return RMR_E_UNKNOWN;
}

void rmr_md_failed(rmr_md *md, rmr_time now, uint64_t id)
{
    if (md->in_callback)
        return;
    rmri_md_clamp(md, now);
    for (md_open *o = md->head; o; o = o->next) {
        if (o->id == id) {
            fail_try(md, o);
            return;
        }
    }
}

/* ---- time -------------------------------------------------------------- */

rmr_time rmr_md_next_deadline(const rmr_md *md)
{
    rmr_time t = RMR_TIME_NEVER;
    for (const md_open *o = md->head; o; o = o->next)
        t = rmr_time_min(t, o->deadline);
    return t;
}

rmr_err rmr_md_handle_deadline(rmr_md *md, rmr_time now)
{
    if (md->in_callback)
        return RMR_E_REENTRANT;
    rmri_md_clamp(md, now);
    /* A try that begins is due later; the list may change in a callback. */
    for (md_open *o = md->head; o;) {
        if (o->deadline > md->now) {
            o = o->next;
            continue;
        }
        md->stats.timeouts++;
        fail_try(md, o);
        o = md->head;
    }
    return RMR_OK;
}
