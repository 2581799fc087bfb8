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
    if (rmr_dns_set_servers(n->dns, links->name_servers,
                            links->n_name_servers, links->hosts,
                            links->search) != RMR_OK)
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

static void udp_failed(void *owner, rmr_time now, rmr_err why)
{
    nd_io **slot = owner;
    (void)now;
    (void)why; /* the query times out and says so */
    *slot = NULL;
}

static void udp_datagrams_at(rmr_node *n, rmr_time now, const rmr_addr *from,
                             rmr_buf data)
{
    rmr_dns_read_pkt(n->dns, now, from, rmr_bytes_of(data.ptr, data.len));
    n->dirty = true;
}

static void udp_datagrams(void *owner, rmr_time now, const rmr_addr *from,
                          rmr_buf data, uint32_t seg_size)
{
    nd_io *io = *(nd_io **)owner;
    size_t step = seg_size ? seg_size : data.len;
    for (size_t at = 0; io && at < data.len; at += step) {
        size_t len = data.len - at < step ? data.len - at : step;
        udp_datagrams_at(io->n, now, from, rmr_buf_of(data.ptr + at, len));
        io = *(nd_io **)owner;
    }
}

/* A question is kept until the socket of its server's family takes it. */
static bool udp_produce(void *owner, rmr_time now, rmr_buf scratch,
                        rmr_io_op *op)
{
    nd_io *io = *(nd_io **)owner;
    rmr_node *n = io->n;
    (void)scratch;
    if (n->dns_pkt_len == 0 &&
        rmr_dns_write_pkt(n->dns, now, rmr_buf_of(n->dns_pkt, sizeof n->dns_pkt),
                          &n->dns_pkt_len, &n->dns_pkt_to) != RMR_OK)
        n->dns_pkt_len = 0;
    if (n->dns_pkt_len == 0)
        return false;
    if (n->dns_pkt_to.family != io->addr.family) {
        nd_io *other = n->dns_udp[family_index(&n->dns_pkt_to)];
        if (other)
            rmri_node_io_output(other);
        else
            n->dns_pkt_len = 0; /* no such socket: its timer repeats it */
        return false;
    }
    op->addr = n->dns_pkt_to;
    op->data = rmr_bytes_of(n->dns_pkt, n->dns_pkt_len);
    n->dns_pkt_len = 0;
    return true;
}

static const nd_io_ops udp_ops = {
    .failed = udp_failed,
    .datagrams = udp_datagrams,
    .produce_udp = udp_produce,
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
            continue;
        }
        if (!*slot) {
            rmr_addr any = {0};
            any.family = i ? RMR_AF_INET6 : RMR_AF_INET;
            *slot = rmri_node_io_udp(n, &any, &udp_ops, slot);
        }
        if (*slot)
            rmri_node_io_output(*slot);
    }
}
