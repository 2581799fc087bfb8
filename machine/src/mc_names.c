/* Host names of control servers and relays: the stub resolver, and the UDP
 * sockets it needs, which are open only while a question is; a stream for each
 * answer that was cut off. */
#include "mc_internal.h"

#include <string.h>

#define STREAM_TIMEOUT (6 * RMR_SEC) /* the resolver's own is shorter */
#define STREAM_CREDIT 4096

static int family_index(const rmr_addr *a)
{
    return a->family == RMR_AF_INET6 ? 1 : 0;
}

/* Out of the list; NULL: none of ours. */
static mc_query *query_take(rmr_mc *mc, uint64_t id)
{
    for (mc_query **p = &mc->queries; *p; p = &(*p)->next) {
        mc_query *q = *p;
        if (q->id == id) {
            *p = q->next;
            return q;
        }
    }
    return NULL;
}

static void on_answer(void *user, uint64_t id, rmr_err err,
                      const rmr_addr *addrs, size_t count)
{
    rmr_mc *mc = user;
    for (rmr_mc_link *l = mc->links; l; l = l->next) {
        if (l->asks && l->query == id) {
            rmri_mc_link_resolved(l, mc->now, err, addrs, count);
            return;
        }
    }
    mc_query *q = query_take(mc, id);
    if (!q)
        return;
    mc_query own = *q;
    rmr_release(&mc->env.alloc, q, sizeof *q);
    rmri_mc_stir(mc);
    own.done(own.user, mc->now, err, addrs, count);
}

rmr_err rmri_mc_names_new(rmr_mc *mc)
{
    rmr_dns_config cfg = {0};
    cfg.callbacks.user = mc;
    cfg.callbacks.on_answer = on_answer;
    cfg.can_tcp = true;
    return rmr_dns_new(&mc->dns, &mc->env, &cfg);
}

static void drop_question(rmr_mc *mc)
{
    rmr_release(&mc->env.alloc, mc->dns_pkt, mc->dns_pkt_len);
    mc->dns_pkt = NULL;
    mc->dns_pkt_len = 0;
}

void rmri_mc_names_free(rmr_mc *mc)
{
    rmr_dns_free(mc->dns);
    mc->dns = NULL;
    drop_question(mc);
    while (mc->queries) {
        mc_query *q = query_take(mc, mc->queries->id);
        rmr_release(&mc->env.alloc, q, sizeof *q);
    }
}

rmr_err rmr_mc_resolve(rmr_mc *mc, rmr_time now, const char *name,
                       rmr_mc_resolved_fn done, void *user, uint64_t *id)
{
    mc_query *q = rmr_alloc_zero(&mc->env.alloc, sizeof *q, _Alignof(mc_query));
    *id = 0;
    if (!q)
        return RMR_E_NOMEM;
    *id = q->id = ++mc->last_query;
    q->done = done;
    q->user = user;
    q->next = mc->queries;
    mc->queries = q;
    rmri_mc_stir(mc);
    uint64_t asked = q->id;
    mc->dns_busy = true;
    rmr_err err = rmr_dns_query(mc->dns, now, asked, name);
    if (err != RMR_OK && (q = query_take(mc, asked)))
        rmr_release(&mc->env.alloc, q, sizeof *q);
    return err;
}

void rmr_mc_resolve_cancel(rmr_mc *mc, uint64_t id)
{
    mc_query *q = query_take(mc, id);
    if (!q)
        return;
    rmr_dns_cancel(mc->dns, id);
    rmr_release(&mc->env.alloc, q, sizeof *q);
}

void rmri_mc_names_links(rmr_mc *mc, const rmr_io_links *links)
{
    if (rmr_dns_set_servers(mc->dns, links->name_servers, links->n_name_servers,
                            links->hosts, links->search) != RMR_OK)
        rmr_logf(&mc->env.log, RMR_LOG_WARN, "machine",
                 "name servers were not taken over: out of memory");
}

rmr_err rmri_mc_names_query(rmr_mc *mc, rmr_time now, uint64_t *id,
                            const char *name)
{
    /* The answer may come inside the call, so the id must be known before. */
    *id = ++mc->last_query;
    mc->dns_busy = true;
    rmri_mc_stir(mc);
    return rmr_dns_query(mc->dns, now, *id, name);
}

/* The query goes by the other family, or times out and says so.  Another try
 * at once would fail the same way, without end. */
static void udp_failed(rmr_mc *mc, int i)
{
    mc->dns_udp[i] = NULL;
    mc->dns_udp_failed[i] = true;
}

static void udp4_failed(void *owner, rmr_time now, rmr_err why)
{
    (void)now;
    (void)why;
    udp_failed(owner, 0);
}

static void udp6_failed(void *owner, rmr_time now, rmr_err why)
{
    (void)now;
    (void)why;
    udp_failed(owner, 1);
}

static void udp_datagrams(void *owner, rmr_time now, const rmr_addr *from,
                          rmr_buf data, uint32_t seg_size)
{
    rmr_mc *mc = owner;
    size_t step = seg_size ? seg_size : data.len;
    rmri_mc_stir(mc);
    for (size_t at = 0; at < data.len; at += step) {
        size_t len = data.len - at < step ? data.len - at : step;
        rmr_dns_read_pkt(mc->dns, now, from, rmr_bytes_of(data.ptr + at, len));
    }
}

/* The next one, or that which waited; its length, 0: there is none. */
static size_t take_question(rmr_mc *mc, rmr_time now,
                            uint8_t pkt[RMR_DNS_MAX_QUERY], rmr_addr *to)
{
    size_t len = mc->dns_pkt_len;
    if (!mc->dns_pkt) {
        rmr_err err = rmr_dns_write_pkt(
            mc->dns, now, rmr_buf_of(pkt, RMR_DNS_MAX_QUERY), &len, to);
        return err == RMR_OK ? len : 0;
    }
    memcpy(pkt, mc->dns_pkt, len);
    *to = mc->dns_pkt_to;
    drop_question(mc);
    return len;
}

/* It is kept until the socket of its server's family takes it; where there is no
 * memory it is asked again, as if it had been lost. */
static void keep_question(rmr_mc *mc, const uint8_t *pkt, size_t len,
                          const rmr_addr *to)
{
    mc->dns_pkt = rmr_alloc_raw(&mc->env.alloc, len, 1);
    if (!mc->dns_pkt)
        return;
    memcpy(mc->dns_pkt, pkt, len);
    mc->dns_pkt_len = len;
    mc->dns_pkt_to = *to;
}

static bool udp_produce(rmr_mc *mc, rmr_time now, int i, rmr_buf scratch,
                        rmr_io_op *op)
{
    uint8_t pkt[RMR_DNS_MAX_QUERY];
    rmr_addr to;
    for (size_t len; (len = take_question(mc, now, pkt, &to)) > 0;) {
        int want = family_index(&to);
        if (want == i) {
            op->addr = to;
            memcpy(scratch.ptr, pkt, len);
            op->data = rmr_bytes_of(scratch.ptr, len);
            return true;
        }
        if (mc->dns_udp[want]) {
            keep_question(mc, pkt, len, &to);
            rmr_mc_io_output(mc->dns_udp[want]);
            return false;
        }
        /* No such socket: another server is asked. */
    }
    return false;
}

static bool udp4_produce(void *owner, rmr_time now, rmr_buf scratch,
                         rmr_io_op *op)
{
    return udp_produce(owner, now, 0, scratch, op);
}

static bool udp6_produce(void *owner, rmr_time now, rmr_buf scratch,
                         rmr_io_op *op)
{
    return udp_produce(owner, now, 1, scratch, op);
}

static const rmr_mc_io_ops udp_ops[2] = {
    {
        .failed = udp4_failed,
        .datagrams = udp_datagrams,
        .produce_udp = udp4_produce,
    },
    {
        .failed = udp6_failed,
        .datagrams = udp_datagrams,
        .produce_udp = udp6_produce,
    },
};

/* ---- streams ----------------------------------------------------------- */

static void stream_failed(void *owner, rmr_time now, rmr_err why)
{
    mc_dns_stream *s = owner;
    (void)why;
    s->io = NULL;
    rmri_mc_stir(s->mc);
    rmr_dns_end_stream(s->mc->dns, now, s->id);
}

static void stream_opened(void *owner, rmr_time now, const rmr_addr *local)
{
    mc_dns_stream *s = owner;
    (void)now;
    (void)local;
    rmr_mc_io_output(s->io);
    rmr_mc_io_credit(s->io, STREAM_CREDIT);
}

static void stream_bytes(void *owner, rmr_time now, rmr_buf data)
{
    mc_dns_stream *s = owner;
    rmri_mc_stir(s->mc);
    rmr_mc_io_credit(s->io, STREAM_CREDIT);
    (void)rmr_dns_read_stream(s->mc->dns, now, s->id,
                              rmr_bytes_of(data.ptr, data.len));
}

static void stream_eof(void *owner, rmr_time now)
{
    mc_dns_stream *s = owner;
    rmri_mc_stir(s->mc);
    rmr_dns_end_stream(s->mc->dns, now, s->id);
}

static size_t stream_produce(void *owner, rmr_time now, rmr_buf scratch)
{
    mc_dns_stream *s = owner;
    size_t len;
    return rmr_dns_write_stream(s->mc->dns, now, s->id, scratch, &len) == RMR_OK
               ? len
               : 0;
}

static const rmr_mc_io_ops stream_ops = {
    .opened = stream_opened,
    .failed = stream_failed,
    .bytes = stream_bytes,
    .eof = stream_eof,
    .produce = stream_produce,
};

static mc_dns_stream *free_stream(rmr_mc *mc)
{
    for (size_t i = 0; i < RMR_DNS_MAX_STREAMS; i++)
        if (!mc->dns_streams[i].io)
            return &mc->dns_streams[i];
    return NULL;
}

/* Closes what the resolver has no more use for, and opens what it wants. */
static void streams_pump(rmr_mc *mc, rmr_time now)
{
    mc_dns_stream *s;
    uint64_t id;
    rmr_addr to;
    for (size_t i = 0; i < RMR_DNS_MAX_STREAMS; i++) {
        s = &mc->dns_streams[i];
        if (!s->io || rmr_dns_has_stream(mc->dns, s->id))
            continue;
        rmr_mc_io_close(s->io);
        s->io = NULL;
    }
    while ((s = free_stream(mc)) &&
           rmr_dns_next_stream(mc->dns, now, &id, &to)) {
        s->mc = mc;
        s->id = id;
        s->io = rmr_mc_connect(mc, &to, NULL, STREAM_TIMEOUT, &stream_ops, s);
        if (!s->io)
            rmr_dns_end_stream(mc->dns, now, id);
    }
}

/* Opens the sockets while there are questions, closes them after: a fresh port
 * for each round of questions (RFC 5452). */
void rmri_mc_names_pump(rmr_mc *mc, rmr_time now)
{
    if (!mc->dns_busy)
        return;
    streams_pump(mc, now);
    bool idle = rmr_dns_is_idle(mc->dns);
    mc->dns_busy = !idle;
    for (int i = 0; i < 2; i++) {
        rmr_mc_io **slot = &mc->dns_udp[i];
        if (idle) {
            if (*slot)
                rmr_mc_io_close(*slot);
            *slot = NULL;
            mc->dns_udp_failed[i] = false;
            continue;
        }
        if (!*slot && !mc->dns_udp_failed[i]) {
            rmr_addr any = {0};
            any.family = i ? RMR_AF_INET6 : RMR_AF_INET;
            *slot = rmr_mc_udp(mc, &any, &udp_ops[i], mc);
        }
        if (*slot)
            rmr_mc_io_output(*slot);
    }
}
