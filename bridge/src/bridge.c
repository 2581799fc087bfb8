/* Two byte streams joined. */
#include <remora/bridge.h>

#include <string.h>

static rmr_side other(rmr_side s)
{
    return s == RMR_SIDE_A ? RMR_SIDE_B : RMR_SIDE_A;
}

void rmr_bridge_init(rmr_bridge *b, const rmr_alloc *a, size_t buf_bytes)
{
    memset(b, 0, sizeof *b);
    for (int i = 0; i < 2; i++)
        rmr_ring_init(&b->from[i], a, buf_bytes ? buf_bytes : RMR_BRIDGE_BUF);
}

void rmr_bridge_wipe(rmr_bridge *b)
{
    rmr_bridge_reset(b);
}

size_t rmr_bridge_space(const rmr_bridge *b, rmr_side from)
{
    return b->reset || b->eof_in[from] ? 0 : rmr_ring_space(&b->from[from]);
}

rmr_err rmr_bridge_read(rmr_bridge *b, rmr_side from, rmr_bytes in,
                        size_t *taken)
{
    *taken = 0;
    if (b->reset || b->eof_in[from])
        return RMR_E_STATE;
    if (in.len == 0 || rmr_ring_space(&b->from[from]) == 0)
        return RMR_OK;
    *taken = rmr_ring_write(&b->from[from], in);
    return *taken ? RMR_OK : RMR_E_NOMEM;
}

void rmr_bridge_read_eof(rmr_bridge *b, rmr_side from)
{
    b->eof_in[from] = true;
}

void rmr_bridge_reset(rmr_bridge *b)
{
    b->reset = true;
    rmr_ring_wipe(&b->from[RMR_SIDE_A]);
    rmr_ring_wipe(&b->from[RMR_SIDE_B]);
}

rmr_bytes rmr_bridge_peek(const rmr_bridge *b, rmr_side to)
{
    return rmr_ring_peek(&b->from[other(to)]);
}

void rmr_bridge_consume(rmr_bridge *b, rmr_side to, size_t n)
{
    rmr_ring *r = &b->from[other(to)];
    if (n > r->len)
        n = r->len;
    rmr_ring_consume(r, n);
    b->bytes[other(to)] += n;
    /* An idle bridge holds no memory: there may be thousands. */
    rmr_ring_shrink(r);
}

bool rmr_bridge_take_eof(rmr_bridge *b, rmr_side to)
{
    rmr_side from = other(to);
    if (b->reset || !b->eof_in[from] || b->from[from].len || b->eof_out[to])
        return false;
    b->eof_out[to] = true;
    return true;
}

bool rmr_bridge_is_done(const rmr_bridge *b)
{
    return b->reset || (b->eof_out[RMR_SIDE_A] && b->eof_out[RMR_SIDE_B]);
}
