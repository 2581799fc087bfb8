/* A stream dialled for a layer (a control client, a DERP region): its host
 * resolved, or its proxy's, its addresses tried (mc_race.c), TLS on top where
 * asked. */
#include "mc_internal.h"

#include <string.h>

#define DEFAULT_TIMEOUT (10 * RMR_SEC)

rmr_mc_link *rmr_mc_link_new(rmr_mc *mc, const rmr_mc_link_ops *ops,
                             void *owner)
{
    rmr_mc_link *l =
        rmr_alloc_zero(&mc->env.alloc, sizeof *l, _Alignof(rmr_mc_link));
    if (!l)
        return NULL;
    l->mc = mc;
    l->ops = ops;
    l->owner = owner;
    l->deadline = l->next_lane_at = l->name_at = RMR_TIME_NEVER;
    rmr_ring_init(&l->held, &mc->env.alloc, MC_READ_CREDIT);
    l->next = mc->links;
    mc->links = l;
    return l;
}

void rmri_mc_link_dialled(rmr_mc_link *l)
{
    rmr_release(&l->mc->env.alloc, l->dial, sizeof *l->dial);
    l->dial = NULL;
}

void rmri_mc_link_drop(rmr_mc_link *l, bool reset)
{
    rmri_mc_race_stop(l);
    if (l->io) {
        if (reset)
            rmr_mc_io_abort(l->io);
        else
            rmr_mc_io_close(l->io);
    }
    l->io = NULL;
    rmri_mc_tls_free(l);
    rmri_mc_link_dialled(l);
    rmr_ring_wipe(&l->held);
    memset(&l->local, 0, sizeof l->local);
    l->state = LINK_IDLE;
    l->deadline = RMR_TIME_NEVER;
    rmri_mc_stir(l->mc);
}

void rmr_mc_link_close(rmr_mc_link *l, rmr_time now)
{
    (void)now;
    if (l->tls && l->state == LINK_OPEN)
        rmr_tls_shutdown(l->tls);
    rmri_mc_link_drop(l, false);
}

void rmr_mc_link_free(rmr_mc_link *l)
{
    if (!l)
        return;
    rmr_mc *mc = l->mc;
    for (rmr_mc_link **p = &mc->links; *p; p = &(*p)->next) {
        if (*p == l) {
            *p = l->next;
            break;
        }
    }
    rmr_mc_link_close(l, mc->now);
    rmr_release(&mc->env.alloc, l, sizeof *l);
}

void rmri_mc_link_end(rmr_mc_link *l, rmr_time now, rmr_err why,
                      const char *text)
{
    if (l->state == LINK_IDLE)
        return;
    rmri_mc_link_drop(l, why != RMR_OK);
    l->ops->closed(l->owner, now, why, text);
}

/* ---- the stream -------------------------------------------------------- */

void rmri_mc_link_through(rmr_mc_link *l, rmr_time now)
{
    if (!l->dial->tls) {
        l->state = LINK_OPEN;
        l->deadline = RMR_TIME_NEVER;
        rmri_mc_link_dialled(l);
        l->ops->opened(l->owner, now);
        return;
    }
    rmr_err err = rmri_mc_tls_new(l, now);
    if (err == RMR_OK)
        l->state = LINK_TLS;
    else
        rmri_mc_link_end(l, now, err,
                         err == RMR_E_INVAL
                             ? "the server's certificate can't be checked"
                             : rmr_tls_err_text(err));
}

static void io_failed(void *owner, rmr_time now, rmr_err why)
{
    rmr_mc_link *l = owner;
    l->io = NULL;
    l->last_err = why;
    rmri_mc_link_end(l, now, why, "the connection was reset");
}

/* The proxy's answer; what follows it comes from the host already. */
static rmr_buf proxy_bytes(rmr_mc_link *l, rmr_time now, rmr_buf data)
{
    size_t used = 0;
    rmr_err err =
        rmri_mc_proxy_answer(l, rmr_bytes_of(data.ptr, data.len), &used);
    if (err == RMR_OK) {
        rmri_mc_link_through(l, now);
    } else if (err != RMR_E_NOTREADY) {
        l->last_err = err;
        rmri_mc_link_end(l, now, err,
                         err == RMR_E_DENIED
                             ? "the proxy asks for other credentials"
                             : "the proxy refused the connection");
    }
    return rmr_buf_of(data.ptr + used, data.len - used);
}

static void io_bytes(void *owner, rmr_time now, rmr_buf data)
{
    rmr_mc_link *l = owner;
    if (l->state == LINK_PROXY)
        data = proxy_bytes(l, now, data);
    if (data.len > 0 && l->tls)
        rmri_mc_tls_bytes(l, now, rmr_bytes_of(data.ptr, data.len));
    else if (data.len > 0 && l->state == LINK_OPEN &&
             l->ops->read(l->owner, now, data) != RMR_OK)
        rmri_mc_link_drop(l, true);
    if (l->io) {
        if (l->held.len == 0)
            rmr_mc_io_credit(l->io, MC_READ_CREDIT);
        rmr_mc_io_output(l->io);
    }
}

static void io_eof(void *owner, rmr_time now)
{
    rmr_mc_link *l = owner;
    rmr_err err = l->state == LINK_PROXY ? RMR_E_REFUSED : RMR_OK;
    if (l->tls)
        err = rmr_tls_read_eof(l->tls);
    rmri_mc_link_end(l, now, err,
                     l->tls && err   ? rmr_tls_err_text(err)
                     : err != RMR_OK ? "the proxy refused the connection"
                                     : "");
}

/* What an open stream carries is its layer's affair alone; an attempt, or an
 * end, may be anybody's. */
static void io_stir(void *owner)
{
    rmr_mc_link *l = owner;
    if (l->state == LINK_OPEN && l->ops->stir)
        l->ops->stir(l->owner);
    else
        rmri_mc_stir(l->mc);
}

static size_t io_produce(void *owner, rmr_time now, rmr_buf scratch)
{
    rmr_mc_link *l = owner;
    size_t len = 0;
    if (l->state == LINK_PROXY) {
        if (!l->asked_proxy)
            len = rmri_mc_proxy_request(l, scratch);
        l->asked_proxy = true;
        return len;
    }
    if (l->tls) {
        len = rmri_mc_tls_produce(l, now, scratch);
    } else if (l->state == LINK_OPEN &&
               l->ops->write(l->owner, now, scratch, &len) != RMR_OK) {
        len = 0;
        rmri_mc_link_drop(l, true);
    }
    if (len > 0) /* queues drained: there may be room for more */
        io_stir(l);
    return len;
}

static const rmr_mc_io_ops link_io_ops = {
    .failed = io_failed,
    .bytes = io_bytes,
    .eof = io_eof,
    .produce = io_produce,
    .stir = io_stir,
};

void rmri_mc_link_connected(rmr_mc_link *l, rmr_time now, rmr_mc_io *io,
                            const rmr_addr *local)
{
    l->io = io;
    rmr_mc_io_hand_over(io, &link_io_ops, l);
    l->local = *local;
    rmr_mc_io_credit(l->io, MC_READ_CREDIT);
    if (l->by_proxy)
        l->state = LINK_PROXY;
    else
        rmri_mc_link_through(l, now);
    if (l->io)
        rmr_mc_io_output(l->io);
}

/* ---- an attempt -------------------------------------------------------- */

void rmri_mc_link_resolved(rmr_mc_link *l, rmr_time now, rmr_err err,
                           const rmr_addr *addrs, size_t count)
{
    rmri_mc_stir(l->mc);
    l->asks = false;
    if (l->race) {
        rmri_mc_race_more(l, now, addrs, err == RMR_OK ? count : 0);
        return;
    }
    if (err != RMR_OK) {
        rmri_mc_link_end(l, now, err, "the host name could not be resolved");
        return;
    }
    rmri_mc_race_start(l, now, addrs, count);
}

void rmri_mc_link_ask(rmr_mc_link *l, rmr_time now)
{
    rmr_mc *mc = l->mc;
    l->asks = true;
    rmr_err err = rmri_mc_names_query(
        mc, now, &l->query, l->by_proxy ? mc->proxy.host : l->dial->host);
    if (err != RMR_OK && l->asks)
        rmri_mc_link_resolved(l, now, err, NULL, 0);
}

void rmr_mc_link_dial(rmr_mc_link *l, rmr_time now, const rmr_dial *to)
{
    if (l->state != LINK_IDLE)
        rmr_mc_link_close(l, now);
    rmri_mc_link_dialled(l);
    l->dial =
        rmr_alloc_raw(&l->mc->env.alloc, sizeof *l->dial, _Alignof(rmr_dial));
    l->last_err = RMR_OK;
    if (!l->dial) {
        l->state = LINK_RESOLVING;
        rmri_mc_link_end(l, now, RMR_E_NOMEM, "no memory");
        return;
    }
    *l->dial = *to;
    l->dial->plan = NULL; /* lent */
    l->deadline =
        rmr_time_add(now, to->timeout ? to->timeout : DEFAULT_TIMEOUT);
    l->by_proxy = rmri_mc_proxy_is_for(l->mc, to);
    l->asked_proxy = false;
    l->answer_len = l->answer_end = 0;
    if (to->plan && to->plan->n && !l->by_proxy) {
        rmri_mc_race_plan(l, now, to->plan);
        return;
    }
    if (to->n_addrs > 0 && !l->by_proxy) {
        rmri_mc_race_start(l, now, to->addrs, to->n_addrs);
        return;
    }
    l->state = LINK_RESOLVING;
    rmri_mc_link_ask(l, now);
}

void rmr_mc_link_output(rmr_mc_link *l)
{
    if (l->io && l->state >= LINK_PROXY)
        rmr_mc_io_output(l->io);
}

rmr_addr rmr_mc_link_local(const rmr_mc_link *l)
{
    return l->local;
}

bool rmr_mc_link_is_open(const rmr_mc_link *l)
{
    return l->state == LINK_OPEN;
}
