/* The responder: its life, and where the answer to a question comes from. */
#include "md_internal.h"

#include <string.h>

static const char quad_name[] = "magicdns.localhost-tailscale-daemon";

void rmri_md_clamp(rmr_md *md, rmr_time now)
{
    if (now == RMR_TIME_NEVER)
        now--;
    if (now > md->now)
        md->now = now;
}

void rmri_md_tell(rmr_md *md, uint64_t client, rmr_bytes msg)
{
    bool outer = md->in_callback;
    md->in_callback = true;
    md->cb.on_answer(md->cb.user, client, msg);
    md->in_callback = outer;
}

rmr_err rmr_md_new(rmr_md **out, const rmr_env *env, const rmr_md_callbacks *cb)
{
    *out = NULL;
    if (!cb->find_name || !cb->find_addr || !cb->on_answer)
        return RMR_E_INVAL;
    rmr_md *md = rmr_alloc_zero(&env->alloc, sizeof *md, _Alignof(rmr_md));
    if (!md)
        return RMR_E_NOMEM;
    md->env = *env;
    md->cb = *cb;
    *out = md;
    return RMR_OK;
}

void rmr_md_free(rmr_md *md)
{
    if (!md)
        return;
    rmri_md_open_free_all(md);
    rmri_md_table_wipe(&md->env.alloc, &md->table);
    rmr_alloc a = md->env.alloc;
    rmr_release(&a, md, sizeof *md);
}

rmr_err rmr_md_set(rmr_md *md, const rmr_md_table *t)
{
    md_table fresh;
    rmr_err err = rmri_md_table_copy(&md->env.alloc, t, &fresh);
    if (err != RMR_OK)
        return err;
    rmri_md_table_wipe(&md->env.alloc, &md->table);
    md->table = fresh;
    return RMR_OK;
}

void rmr_md_get_stats(const rmr_md *md, rmr_md_stats *out)
{
    *out = md->stats;
}

/* ---- tables ------------------------------------------------------------ */

static rmr_addr quad(uint8_t family)
{
    static const uint8_t six[16] = {
        0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53};
    if (family == RMR_AF_INET)
        return rmr_addr_v4(100, 100, 100, 100, 0);
    return rmr_addr_from_bytes(rmr_bytes_of(six, 16), 0);
}

static bool find_records(const rmr_md *md, const rmri_dns_name *name,
                         rmr_md_host *out)
{
    bool found = false;
    for (size_t i = 0; i < md->table.n_records; i++) {
        const md_record *r = &md->table.records[i];
        if (!rmri_dns_name_eq(&r->name, name))
            continue;
        found = true;
        if (out->n_addrs < RMR_MD_MAX_ADDRS)
            out->addrs[out->n_addrs++] = r->addr;
    }
    return found;
}

static bool find_node(const rmr_md *md, const rmri_dns_name *name,
                      rmr_md_host *out)
{
    char text[RMR_MD_NAME_MAX];
    memset(out, 0, sizeof *out);
    if (!rmri_md_text(name, text))
        return false;
    if (rmr_bytes_eq_str(rmr_bytes_str(text), quad_name)) {
        out->addrs[0] = quad(RMR_AF_INET);
        out->addrs[1] = quad(RMR_AF_INET6);
        out->n_addrs = 2;
        return true;
    }
    if (!md->cb.find_name(md->cb.user, text, out)) {
        memset(out, 0, sizeof *out);
        return false;
    }
    if (out->n_addrs > RMR_MD_MAX_ADDRS)
        out->n_addrs = RMR_MD_MAX_ADDRS;
    return true;
}

/* The nodes, the extra records, what is below a node, 4via6: in this order. */
static bool find_host(const rmr_md *md, const rmri_dns_name *name,
                      rmr_md_host *out)
{
    if (find_node(md, name, out) || find_records(md, name, out))
        return true;
    for (rmri_dns_name up = *name; rmri_md_parent(&up) && up.len > 1;)
        if (find_node(md, &up, out) && out->with_subdomains)
            return true;
    memset(out, 0, sizeof *out);
    out->n_addrs = 1;
    rmri_dns_name suffix = rmri_md_suffix(&md->table);
    return rmri_md_via(name, &suffix, &out->addrs[0]);
}

static bool find_reverse(const rmr_md *md, const rmr_addr *ip,
                         rmri_dns_name *out)
{
    char text[RMR_MD_NAME_MAX];
    rmr_addr q4 = quad(RMR_AF_INET), q6 = quad(RMR_AF_INET6);
    if (rmr_addr_ip_eq(ip, &q4) || rmr_addr_ip_eq(ip, &q6))
        return rmri_md_wire(quad_name, out);
    text[0] = 0;
    return md->cb.find_addr(md->cb.user, ip, text) &&
           memchr(text, 0, sizeof text) && text[0] && rmri_md_wire(text, out);
}

/* ---- answers ----------------------------------------------------------- */

/* One that needs nobody else. */
static void answer(rmr_md *md, uint64_t client, const md_ask *q, uint16_t rcode,
                   bool is_own, uint16_t type, rmr_bytes data)
{
    uint8_t dst[RMR_DNS_MAX_MSG];
    size_t len = rmri_md_answer(q, rcode, is_own, type, data,
                                rmr_buf_of(dst, sizeof dst));
    rmri_md_tell(md, client, rmr_bytes_of(dst, len));
}

static void answer_code(rmr_md *md, uint64_t client, const md_ask *q,
                        uint16_t rcode)
{
    answer(md, client, q, rcode, rcode == RMRI_DNS_NXDOMAIN, 0,
           rmr_bytes_of(NULL, 0));
}

static void answer_host(rmr_md *md, uint64_t client, const md_ask *q,
                        const rmr_md_host *h)
{
    if (q->type == MD_NS || q->type == MD_SOA || q->type == MD_AXFR ||
        q->type == MD_HINFO) {
        answer_code(md, client, q, RMRI_DNS_NOTIMP);
        return;
    }
    for (size_t i = 0; i < h->n_addrs; i++) {
        const rmr_addr *a = &h->addrs[i];
        uint16_t type = a->family == RMR_AF_INET ? RMRI_DNS_A : RMRI_DNS_AAAA;
        size_t len = rmr_addr_ip_len(a);
        if (len && (q->type == type || q->type == MD_ANY)) {
            answer(md, client, q, RMRI_DNS_NOERROR, true, type,
                   rmr_bytes_of(a->ip, len));
            return;
        }
    }
    answer(md, client, q, RMRI_DNS_NOERROR, true, 0, rmr_bytes_of(NULL, 0));
}

/* False: it is not ours. */
static bool answer_own(rmr_md *md, uint64_t client, const md_ask *q)
{
    rmr_md_host host;
    rmr_addr ip;
    rmri_dns_name name;
    if (q->rcode != RMRI_DNS_NOERROR) {
        answer_code(md, client, q, q->rcode);
    } else if (rmri_dns_name_ends(&q->name, "onion")) { /* RFC 7686 2 */
        answer_code(md, client, q, RMRI_DNS_NXDOMAIN);
    } else if (find_host(md, &q->name, &host)) {
        answer_host(md, client, q, &host);
    } else if (q->type == MD_PTR && rmri_md_reverse(&q->name, &ip) &&
               find_reverse(md, &ip, &name)) {
        answer(md, client, q, RMRI_DNS_NOERROR, true, MD_PTR,
               rmr_bytes_of(name.wire, name.len));
    } else if (rmri_md_is_own_zone(&md->table, &q->name)) {
        answer_code(md, client, q, RMRI_DNS_NXDOMAIN);
    } else {
        return false;
    }
    return true;
}

rmr_err rmr_md_ask(rmr_md *md, rmr_time now, uint64_t client, bool tcp,
                   rmr_bytes msg)
{
    md_ask q;
    md_list to;
    if (md->in_callback)
        return RMR_E_REENTRANT;
    rmri_md_clamp(md, now);
    if (!rmri_md_parse(msg, tcp, &q)) {
        md->stats.ignored++;
        return RMR_E_MALFORMED;
    }
    md->stats.asked++;
    if (answer_own(md, client, &q)) {
        md->stats.own++;
        return RMR_OK;
    }
    (void)rmri_md_resolvers(&md->table, &q.name, &to);
    if (!rmri_md_forward(md, client, tcp, &q, msg, &to))
        answer_code(md, client, &q, MD_SERVFAIL);
    return RMR_OK;
}

static bool is_hidden(const rmri_dns_name *name, const char *const *hidden,
                      size_t n)
{
    rmri_dns_name h;
    for (size_t i = 0; i < n; i++) {
        bool below = hidden[i][0] == '.';
        if (hidden[i][below] == 0 || !rmri_md_wire(hidden[i] + below, &h))
            continue;
        if (below ? name->len > h.len && rmri_md_in(name, &h)
                  : rmri_dns_name_eq(name, &h))
            return true;
    }
    return false;
}

rmr_err rmr_md_pass(rmr_md *md, rmr_time now, uint64_t client,
                    const char *const *hidden, size_t n_hidden, rmr_bytes msg)
{
    const md_table *t = &md->table;
    md_list to = {t->system, t->n_system};
    md_ask q;
    if (md->in_callback)
        return RMR_E_REENTRANT;
    rmri_md_clamp(md, now);
    if (!rmri_md_parse(msg, true, &q)) {
        md->stats.ignored++;
        return RMR_E_MALFORMED;
    }
    md->stats.asked++;
    if (q.rcode == RMRI_DNS_NOERROR && is_hidden(&q.name, hidden, n_hidden))
        q.rcode = MD_REFUSED;
    if (q.rcode == RMRI_DNS_NOERROR && rmri_dns_name_ends(&q.name, "onion"))
        q.rcode = RMRI_DNS_NXDOMAIN;
    if (q.rcode != RMRI_DNS_NOERROR) {
        md->stats.own++;
        answer(md, client, &q, q.rcode, false, 0, rmr_bytes_of(NULL, 0));
        return RMR_OK;
    }
    if (to.n == 0)
        to = (md_list){t->resolvers, t->n_resolvers};
    if (!rmri_md_forward(md, client, true, &q, msg, &to))
        answer_code(md, client, &q, MD_SERVFAIL);
    return RMR_OK;
}

rmr_md_place rmr_md_look(const rmr_md *md, const char *name)
{
    rmri_dns_name wire;
    rmr_md_host host;
    md_list to;
    if (!rmri_md_wire(name, &wire) || rmri_dns_name_ends(&wire, "onion"))
        return RMR_MD_NOWHERE;
    if (find_host(md, &wire, &host))
        return RMR_MD_OWN;
    if (rmri_md_is_own_zone(&md->table, &wire))
        return RMR_MD_NOWHERE;
    return rmri_md_resolvers(&md->table, &wire, &to);
}
