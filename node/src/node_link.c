/* A stream dialled for a layer (the control client, a DERP region): its host
 * resolved, its addresses tried one after the other, TLS on top where asked. */
#include "node_internal.h"

#include <remora/text.h>
#include <string.h>

#define CONNECT_TIMEOUT (1500 * RMR_MS) /* one address; derp.md: 1.5 s */
#define DEFAULT_TIMEOUT (10 * RMR_SEC)
#define READ_CREDIT ((size_t)256 * 1024)

static void start_next(nd_link *l, rmr_time now);

void rmri_node_link_init(nd_link *l, rmr_node *n, const nd_link_ops *ops,
                         void *owner)
{
    memset(l, 0, sizeof *l);
    l->n = n;
    l->ops = ops;
    l->owner = owner;
    l->deadline = RMR_TIME_NEVER;
    rmr_ring_init(&l->held, &n->env.alloc, READ_CREDIT);
    l->next = n->links;
    n->links = l;
}

static void drop(nd_link *l, bool reset)
{
    if (l->io) {
        if (reset)
            rmri_node_io_abort(l->io);
        else
            rmri_node_io_close(l->io);
    }
    l->io = NULL;
    rmr_tls_free(l->tls);
    l->tls = NULL;
    rmr_ring_wipe(&l->held);
    l->state = ND_LINK_IDLE;
    l->deadline = RMR_TIME_NEVER;
    l->n->dirty = true;
}

void rmri_node_link_close(nd_link *l, rmr_time now)
{
    (void)now;
    if (l->state == ND_LINK_RESOLVING)
        rmr_dns_cancel(l->n->dns, l->query);
    if (l->tls && l->state == ND_LINK_OPEN)
        rmr_tls_shutdown(l->tls);
    drop(l, false);
}

void rmri_node_link_wipe(nd_link *l)
{
    rmr_node *n = l->n;
    if (!n)
        return;
    for (nd_link **p = &n->links; *p; p = &(*p)->next) {
        if (*p == l) {
            *p = l->next;
            break;
        }
    }
    rmri_node_link_close(l, n->now);
    l->n = NULL;
}

/* Ends an attempt or an open stream, and tells the layer. */
static void end(nd_link *l, rmr_time now, rmr_err why, const char *text)
{
    if (l->state == ND_LINK_IDLE)
        return;
    if (l->state == ND_LINK_RESOLVING)
        rmr_dns_cancel(l->n->dns, l->query);
    drop(l, why != RMR_OK);
    l->ops->closed(l->owner, now, why, text);
}

/* ---- TLS --------------------------------------------------------------- */

static bool tls_new(nd_link *l, rmr_time now)
{
    rmr_node *n = l->n;
    rmr_tls_config cfg;
    uint8_t pin[32];
    static const char pin_word[] = "sha256-raw:";
    rmr_tls_config_init(&cfg, sizeof cfg);
    cfg.server_name = l->dial.host;
    cfg.anchors = n->anchors;
    cfg.wall_unix_ns = rmri_node_wall(n, now);
    /* decisions: an unchecked certificate only from hosts nearby */
    cfg.insecure = l->dial.insecure && rmr_addr_is_private(&l->remote);
    size_t word = sizeof pin_word - 1;
    rmr_bytes cert = rmr_bytes_str(l->dial.cert_name);
    if (cert.len >= word && memcmp(cert.ptr, pin_word, word) == 0) {
        if (rmr_unhex(pin, sizeof pin,
                      rmr_bytes_of(cert.ptr + word, cert.len - word)) != RMR_OK)
            return false;
        cfg.pin_sha256 = pin;
    } else if (l->dial.cert_name[0]) {
        cfg.verify_name = l->dial.cert_name;
    }
    return rmr_tls_client_new(&l->tls, &n->env, &cfg) == RMR_OK;
}

static void tls_failed(nd_link *l, rmr_time now, rmr_err err)
{
    end(l, now, err, rmr_tls_err_text(err));
}

/* Hands decrypted bytes to the layer. */
static void tls_deliver(nd_link *l, rmr_time now)
{
    rmr_buf view;
    while (l->tls && rmr_tls_peek(l->tls, &view) == RMR_OK && view.len > 0) {
        size_t len = view.len;
        rmr_err err = l->ops->read(l->owner, now, view);
        if (!l->tls)
            return; /* the layer closed the link */
        if (err != RMR_OK) {
            drop(l, true);
            return;
        }
        rmr_tls_consume(l->tls, len);
    }
}

/* Gives ciphertext to TLS and what came of it to the layer; returns how much
 * was taken: less when TLS must write first, or the link ended. */
static size_t tls_feed(nd_link *l, rmr_time now, rmr_bytes data)
{
    size_t at = 0;
    while (l->tls && at < data.len) {
        size_t used = 0;
        rmr_err err = rmr_tls_read(
            l->tls, rmr_bytes_of(data.ptr + at, data.len - at), &used);
        at += used;
        if (err != RMR_OK) {
            tls_failed(l, now, err);
            return at;
        }
        if (l->state == ND_LINK_TLS && rmr_tls_is_open(l->tls)) {
            l->state = ND_LINK_OPEN;
            l->deadline = RMR_TIME_NEVER;
            l->ops->opened(l->owner, now);
        }
        tls_deliver(l, now);
        if (l->tls && rmr_tls_is_closed(l->tls))
            end(l, now, RMR_OK, "");
        if (used == 0)
            break;
    }
    return at;
}

static void tls_bytes(nd_link *l, rmr_time now, rmr_buf data)
{
    size_t used = 0;
    if (l->held.len == 0)
        used = tls_feed(l, now, rmr_bytes_of(data.ptr, data.len));
    if (!l->tls || used == data.len)
        return;
    /* Bounded by the credit, which is not renewed while something is held. */
    if (rmr_ring_write_all(
            &l->held, rmr_bytes_of(data.ptr + used, data.len - used)) != RMR_OK)
        tls_failed(l, now, RMR_E_TLS_PROTOCOL);
}

/* TLS has written: it may take what is held now. */
static void tls_feed_held(nd_link *l, rmr_time now)
{
    while (l->tls && l->held.len > 0) {
        size_t used = tls_feed(l, now, rmr_ring_peek(&l->held));
        if (used == 0)
            return;
        rmr_ring_consume(&l->held, used);
    }
    if (l->io && l->held.len == 0)
        rmri_node_io_credit(l->io, READ_CREDIT);
}

static size_t tls_produce(nd_link *l, rmr_time now, rmr_buf scratch)
{
    size_t total = 0;
    for (;;) {
        rmr_buf place = {0};
        bool filled = false;
        /* A full record where there is enough: the layer fills the engine's
         * own buffer. */
        while (l->state == ND_LINK_OPEN &&
               rmr_tls_reserve(l->tls, &place) == RMR_OK && place.len > 0) {
            size_t got = 0;
            if (l->ops->write(l->owner, now, place, &got) != RMR_OK ||
                got == 0 || !l->tls)
                break;
            rmr_tls_commit(l->tls, got);
            filled = true;
        }
        if (!l->tls)
            return total;
        size_t len = 0;
        if (rmr_tls_write(l->tls,
                          rmr_buf_of(scratch.ptr + total, scratch.len - total),
                          &len) != RMR_OK)
            return total;
        total += len;
        if (len > 0)
            tls_feed_held(l, now);
        if (!l->tls || (len == 0 && !filled))
            return total;
        if (scratch.len - total < 17 * 1024)
            return total;
    }
}

/* ---- the stream -------------------------------------------------------- */

static void io_opened(void *owner, rmr_time now, const rmr_addr *local)
{
    nd_link *l = owner;
    (void)local;
    rmri_node_io_credit(l->io, READ_CREDIT);
    if (!l->dial.tls) {
        l->state = ND_LINK_OPEN;
        l->deadline = RMR_TIME_NEVER;
        l->ops->opened(l->owner, now);
    } else if (!tls_new(l, now)) {
        end(l, now, RMR_E_INVAL, "the server's certificate can't be checked");
        return;
    } else {
        l->state = ND_LINK_TLS;
    }
    if (l->io)
        rmri_node_io_output(l->io);
}

static void io_failed(void *owner, rmr_time now, rmr_err why)
{
    nd_link *l = owner;
    l->io = NULL;
    l->last_err = why;
    if (l->state == ND_LINK_CONNECTING)
        start_next(l, now);
    else
        end(l, now, why, "the connection was reset");
}

static void io_bytes(void *owner, rmr_time now, rmr_buf data)
{
    nd_link *l = owner;
    l->n->dirty = true;
    if (l->tls)
        tls_bytes(l, now, data);
    else if (l->state == ND_LINK_OPEN &&
             l->ops->read(l->owner, now, data) != RMR_OK)
        drop(l, true);
    if (l->io) {
        if (l->held.len == 0)
            rmri_node_io_credit(l->io, READ_CREDIT);
        rmri_node_io_output(l->io);
    }
}

static void io_eof(void *owner, rmr_time now)
{
    nd_link *l = owner;
    rmr_err err = RMR_OK;
    l->n->dirty = true;
    if (l->tls)
        err = rmr_tls_read_eof(l->tls);
    end(l, now, err, err ? rmr_tls_err_text(err) : "");
}

static size_t io_produce(void *owner, rmr_time now, rmr_buf scratch)
{
    nd_link *l = owner;
    size_t len = 0;
    if (l->tls)
        len = tls_produce(l, now, scratch);
    else if (l->state == ND_LINK_OPEN &&
             l->ops->write(l->owner, now, scratch, &len) != RMR_OK)
        len = 0;
    if (len > 0) /* queues drained: there may be room for more */
        l->n->dirty = true;
    return len;
}

static const nd_io_ops link_io_ops = {
    .opened = io_opened,
    .failed = io_failed,
    .bytes = io_bytes,
    .eof = io_eof,
    .produce = io_produce,
};

/* ---- an attempt -------------------------------------------------------- */

static bool family_is_wanted(const nd_link *l, const rmr_addr *a)
{
    return a->family == RMR_AF_INET ? !l->dial.no_v4 : !l->dial.no_v6;
}

static void start_next(nd_link *l, rmr_time now)
{
    while (l->next_addr < l->n_addrs) {
        rmr_addr *a = &l->addrs[l->next_addr++];
        if (!family_is_wanted(l, a))
            continue;
        l->remote = *a;
        l->remote.port = l->dial.port;
        l->state = ND_LINK_CONNECTING;
        l->io = rmri_node_io_connect(l->n, &l->remote, NULL, CONNECT_TIMEOUT,
                                     &link_io_ops, l);
        if (l->io)
            return;
        l->last_err = RMR_E_NOMEM;
    }
    end(l, now, l->last_err ? l->last_err : RMR_E_UNREACHABLE,
        "no address of the host could be reached");
}

void rmri_node_link_resolved(nd_link *l, rmr_time now, rmr_err err,
                             const rmr_addr *addrs, size_t count)
{
    l->n->dirty = true;
    if (err != RMR_OK) {
        l->state = ND_LINK_CONNECTING; /* the query is over: no cancel */
        end(l, now, err, "the host name could not be resolved");
        return;
    }
    if (count > RMR_DNS_MAX_ADDRS)
        count = RMR_DNS_MAX_ADDRS;
    memcpy(l->addrs, addrs, count * sizeof *addrs);
    l->n_addrs = count;
    start_next(l, now);
}

void rmri_node_link_dial(nd_link *l, rmr_time now, const rmr_dial *to)
{
    if (l->state != ND_LINK_IDLE)
        rmri_node_link_close(l, now);
    l->dial = *to;
    l->next_addr = 0;
    l->n_addrs = 0;
    l->last_err = RMR_OK;
    l->deadline =
        rmr_time_add(now, to->timeout ? to->timeout : DEFAULT_TIMEOUT);
    if (to->n_addrs > 0) {
        l->n_addrs = to->n_addrs;
        memcpy(l->addrs, to->addrs, to->n_addrs * sizeof to->addrs[0]);
        l->state = ND_LINK_CONNECTING;
        start_next(l, now);
        return;
    }
    l->state = ND_LINK_RESOLVING;
    rmr_err err = rmri_node_names_query(l->n, now, &l->query, to->host);
    if (err != RMR_OK && l->state == ND_LINK_RESOLVING)
        rmri_node_link_resolved(l, now, err, NULL, 0);
}

void rmri_node_link_output(nd_link *l)
{
    if (l->io && (l->state == ND_LINK_OPEN || l->state == ND_LINK_TLS))
        rmri_node_io_output(l->io);
}

rmr_time rmri_node_link_deadline(const nd_link *l)
{
    return l->deadline;
}

void rmri_node_link_handle_deadline(nd_link *l, rmr_time now)
{
    if (now >= l->deadline)
        end(l, now, RMR_E_TIMEOUT, "the host did not answer in time");
}
