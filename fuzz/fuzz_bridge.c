/* A program of operations on a bridge, against counters: what comes out is what
 * went in, in order, and an end is told after the last byte.  The same bytes
 * are also read as port maps. */
#include <remora/bridge.h>

#include "need.h"
#include "support.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct model {
    uint64_t in[2], out[2]; /* bytes from A, B: taken and passed on */
    bool eof_in[2], told[2], reset;
} model;

/* The byte at a place of a stream. */
static uint8_t at(unsigned side, uint64_t pos)
{
    return (uint8_t)(pos * 7 + side * 13 + (pos >> 8));
}

static void do_read(rmr_bridge *b, model *m, unsigned side, size_t n)
{
    uint8_t buf[512];
    size_t taken;
    for (size_t i = 0; i < n; i++)
        buf[i] = at(side, m->in[side] + i);
    size_t space = rmr_bridge_space(b, (rmr_side)side);
    rmr_err e =
        rmr_bridge_read(b, (rmr_side)side, rmr_bytes_of(buf, n), &taken);
    if (m->reset || m->eof_in[side])
        need(e == RMR_E_STATE && taken == 0 && space == 0);
    else
        need(taken <= n && taken <= space &&
             (e == RMR_OK || (e == RMR_E_NOMEM && taken == 0)));
    m->in[side] += taken;
}

static void do_consume(rmr_bridge *b, model *m, unsigned from, size_t n)
{
    rmr_side to = from ? RMR_SIDE_A : RMR_SIDE_B;
    rmr_bytes v = rmr_bridge_peek(b, to);
    need(v.len <= m->in[from] - m->out[from]);
    if (m->reset)
        need(v.len == 0);
    for (size_t i = 0; i < v.len; i++)
        need(v.ptr[i] == at(from, m->out[from] + i));
    if (n > v.len)
        n = v.len;
    rmr_bridge_consume(b, to, n);
    m->out[from] += n;
    need(b->bytes[from] == m->out[from]);
}

static void do_eof(rmr_bridge *b, model *m, unsigned from)
{
    rmr_side to = from ? RMR_SIDE_A : RMR_SIDE_B;
    bool want = !m->reset && m->eof_in[from] && m->in[from] == m->out[from] &&
                !m->told[to];
    need(rmr_bridge_take_eof(b, to) == want);
    m->told[to] = m->told[to] || want;
    need(rmr_bridge_is_done(b) == (m->reset || (m->told[0] && m->told[1])));
}

static void run_program(const uint8_t *data, size_t size)
{
    test_alloc mem;
    memset(&mem, 0, sizeof mem);
    rmr_alloc a = test_alloc_table(&mem);
    rmr_bridge b;
    model m;
    memset(&m, 0, sizeof m);
    mem.fail_at = data[0] % 16;
    rmr_bridge_init(&b, &a, 1 + data[1] * (size_t)4);
    for (size_t i = 2; i + 1 < size; i += 2) {
        unsigned side = data[i] >> 7;
        size_t n = data[i + 1] * (size_t)2;
        switch (data[i] & 7) {
        case 0:
        case 1:
        case 2:
            do_read(&b, &m, side, n);
            break;
        case 3:
        case 4:
            do_consume(&b, &m, side, n);
            break;
        case 5:
            do_eof(&b, &m, side);
            break;
        case 6:
            rmr_bridge_read_eof(&b, (rmr_side)side);
            m.eof_in[side] = true;
            break;
        default:
            if (n < 8) {
                rmr_bridge_reset(&b);
                m.reset = true;
            }
        }
        need(mem.live_bytes <= 2 * (1 + data[1] * (size_t)4));
    }
    rmr_bridge_wipe(&b);
    need(mem.live_blocks == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rmr_forward f;
    rmr_serve s;
    rmr_bytes text = rmr_bytes_of(data, size);
    if (rmr_forward_parse(text, &f) == RMR_OK)
        need(f.port && f.local.port && f.peer[0]);
    if (rmr_serve_parse(text, &s) == RMR_OK)
        need(s.port && s.target.port && s.target.family != RMR_AF_NONE);
    if (size >= 2)
        run_program(data, size);
    return 0;
}
