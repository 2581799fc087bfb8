/* STUN: what is a request of a node gets its answer, all else silence. */
#include "relay_internal.h"

#include <remora/stun.h>

typedef struct answer {
    rmr_addr to;
    uint8_t len;
    uint8_t text[RMR_STUN_RESPONSE_MAX];
} answer;

static void one(rl_listener *l, const rmr_addr *from, rmr_bytes datagram)
{
    rl_counters *count = &l->r->count;
    answer a = {0};
    size_t len = 0;
    if (rmr_stun_answer(rmr_buf_of(a.text, sizeof a.text), &len, datagram,
                        from) != RMR_OK) {
        count->stun_not_stun++;
        return;
    }
    a.to = *from;
    a.len = (uint8_t)len;
    if (rmr_ring_write_all(&l->out, rmr_bytes_of(&a, sizeof a)) != RMR_OK) {
        count->stun_dropped++;
        return;
    }
    if (from->family == RMR_AF_INET)
        count->stun_v4++;
    else
        count->stun_v6++;
    count->stun_success++;
}

static void datagrams(void *owner, rmr_time now, const rmr_addr *from,
                      rmr_buf data, uint32_t seg_size)
{
    rl_listener *l = owner;
    size_t step = seg_size ? seg_size : data.len;
    (void)now;
    for (size_t at = 0; at < data.len; at += step) {
        size_t len = data.len - at < step ? data.len - at : step;
        one(l, from, rmr_bytes_of(data.ptr + at, len));
    }
    if (l->out.len > 0)
        rmr_mc_io_output(l->io);
}

static bool produce(void *owner, rmr_time now, rmr_buf scratch, rmr_io_op *op)
{
    rl_listener *l = owner;
    answer a;
    (void)now;
    if (l->out.len < sizeof a)
        return false;
    rmr_ring_read(&l->out, &a, sizeof a);
    for (size_t i = 0; i < a.len; i++)
        scratch.ptr[i] = a.text[i];
    op->addr = a.to;
    op->data = rmr_bytes_of(scratch.ptr, a.len);
    return true;
}

static void opened(void *owner, rmr_time now, const rmr_addr *local)
{
    (void)now;
    rmri_relay_listen_opened(owner, local);
}

static void failed(void *owner, rmr_time now, rmr_err why)
{
    rl_listener *l = owner;
    l->io = NULL;
    rmri_relay_fail(l->r, now, why, "the STUN socket could not be opened");
}

const rmr_mc_io_ops rmri_relay_stun_ops = {
    .opened = opened,
    .failed = failed,
    .datagrams = datagrams,
    .produce_udp = produce,
};
