/* Host names of control servers and relays: the stub resolver, and the UDP
 * sockets it needs, which are open only while a question is. */
#include "node_internal.h"

static int family_index(const rmr_addr *a)
{
    return a->family == RMR_AF_INET6 ? 1 : 0;
}

static void on_answer(void *user, uint64_t id, rmr_err err,
                      const rmr_addr *addrs, size_t count)
{
    rmr_node *n = user;
    for (nd_link *l = n->links; l; l = l->next) {
        if (l->state == ND_LINK_RESOLVING && l->query == id) {
            rmri_node_link_resolved(l, n->now, err, addrs, count);
            return;
        }
    }
}

rmr_err rmri_node_names_new(rmr_node *n)
{
    rmr_dns_config cfg = {0};
    cfg.callbacks.user = n;
    cfg.callbacks.on_answer = on_answer;
    return rmr_dns_new(&n->dns, &n->env, &cfg);
}

void rmri_node_names_free(rmr_node *n)
{
    rmr_dns_free(n->dns);
    n->dns = NULL;
}

void rmri_node_names_links(rmr_node *n, const rmr_io_links *links)
{
    if (rmr_dns_set_servers(n->dns, links->name_servers, links->n_name_servers,
                            links->hosts, links->search) != RMR_OK)
        rmr_logf(&n->env.log, RMR_LOG_WARN, ND_LAYER,
                 "name servers were not taken over: out of memory");
}

rmr_err rmri_node_names_query(rmr_node *n, rmr_time now, uint64_t *id,
                              const char *name)
{
    /* The answer may come inside the call, so the id must be known before. */
    *id = ++n->last_query;
    n->dirty = true;
    return rmr_dns_query(n->dns, now, *id, name);
}

/* The query goes by the other family, or times out and says so.  Another try
 * at once would fail the same way, without end. */
static void udp_failed(rmr_node *n, int i)
{
    n->dns_udp[i] = NULL;
    n->dns_udp_failed[i] = true;
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
    rmr_node *n = owner;
    size_t step = seg_size ? seg_size : data.len;
    n->dirty = true;
    for (size_t at = 0; at < data.len; at += step) {
        size_t len = data.len - at < step ? data.len - at : step;
        rmr_dns_read_pkt(n->dns, now, from, rmr_bytes_of(data.ptr + at, len));
    }
}

/* A question is kept until the socket of its server's family takes it. */
static bool has_question(rmr_node *n, rmr_time now)
{
    if (n->dns_pkt_len == 0 &&
        rmr_dns_write_pkt(n->dns, now,
                          rmr_buf_of(n->dns_pkt, sizeof n->dns_pkt),
                          &n->dns_pkt_len, &n->dns_pkt_to) != RMR_OK)
        n->dns_pkt_len = 0;
    return n->dns_pkt_len > 0;
}

static bool udp_produce(rmr_node *n, rmr_time now, int i, rmr_io_op *op)
{
    while (has_question(n, now)) {
        int want = family_index(&n->dns_pkt_to);
        if (want == i) {
            op->addr = n->dns_pkt_to;
            op->data = rmr_bytes_of(n->dns_pkt, n->dns_pkt_len);
            n->dns_pkt_len = 0;
            return true;
        }
        if (n->dns_udp[want]) {
            rmri_node_io_output(n->dns_udp[want]);
            return false;
        }
        n->dns_pkt_len = 0; /* no such socket: another server is asked */
    }
    return false;
}

static bool udp4_produce(void *owner, rmr_time now, rmr_buf scratch,
                         rmr_io_op *op)
{
    (void)scratch;
    return udp_produce(owner, now, 0, op);
}

static bool udp6_produce(void *owner, rmr_time now, rmr_buf scratch,
                         rmr_io_op *op)
{
    (void)scratch;
    return udp_produce(owner, now, 1, op);
}

static const nd_io_ops udp_ops[2] = {
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

/* Opens the sockets while there are questions, closes them after: a fresh port
 * for each round of questions (RFC 5452). */
void rmri_node_names_pump(rmr_node *n, rmr_time now)
{
    (void)now;
    bool idle = rmr_dns_is_idle(n->dns);
    for (int i = 0; i < 2; i++) {
        nd_io **slot = &n->dns_udp[i];
        if (idle) {
            if (*slot)
                rmri_node_io_close(*slot);
            *slot = NULL;
            n->dns_udp_failed[i] = false;
            continue;
        }
        if (!*slot && !n->dns_udp_failed[i]) {
            rmr_addr any = {0};
            any.family = i ? RMR_AF_INET6 : RMR_AF_INET;
            *slot = rmri_node_io_udp(n, &any, &udp_ops[i], n);
        }
        if (*slot)
            rmri_node_io_output(*slot);
    }
}
