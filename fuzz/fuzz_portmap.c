/* The port mapper: the input is a program of what a gateway, good or bad, and
 * the host do.  The deadline rule holds, only the gateway is talked to, and
 * nothing is lost of the memory. */
#include <remora/portmap.h>

#include "need.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct prog {
    const uint8_t *p;
    size_t left;
    rmr_portmap *pm;
    rmr_time now;
    rmr_addr gateway;
    uint8_t nonce[12]; /* of the last PCP request */
    bool open;
} prog;

static uint8_t next(prog *f)
{
    if (f->left == 0)
        return 0;
    f->left--;
    return *f->p++;
}

/* A copy of its own size, so that a sanitizer sees a read past the end. */
static uint8_t *piece(prog *f, size_t *n)
{
    *n = next(f);
    if (*n > f->left)
        *n = f->left;
    uint8_t *b = malloc(*n + 1);
    need(b != NULL);
    memcpy(b, f->p, *n);
    f->p += *n;
    f->left -= *n;
    return b;
}

static void output(prog *f)
{
    uint8_t out[RMR_PORTMAP_PKT_MAX];
    size_t len;
    rmr_addr to;
    need(rmr_portmap_write_pkt(f->pm, f->now, rmr_buf_of(out, sizeof out), &len,
                               &to) == RMR_OK);
    if (len == 0)
        return;
    need(rmr_addr_ip_eq(&to, &f->gateway) || to.port == 1900);
    if (len == 60)
        memcpy(f->nonce, out + 24, sizeof f->nonce);
}

static void datagram(prog *f)
{
    size_t n;
    uint8_t b = next(f), *d = piece(f, &n);
    rmr_addr from = f->gateway;
    from.port = b & 1 ? 5351 : 1900;
    if (b & 2 && n >= 36) /* a gateway that knows what we asked */
        memcpy(d + 24, f->nonce, sizeof f->nonce);
    if (b & 4)
        from.ip[3] ^= 1;
    (void)rmr_portmap_read_pkt(f->pm, f->now, &from, rmr_bytes_of(d, n));
    free(d);
}

static void stream(prog *f)
{
    rmr_dial dial;
    uint8_t out[512], b = next(f);
    size_t len;
    if (rmr_portmap_wants_close(f->pm))
        f->open = false;
    if (rmr_portmap_wants_stream(f->pm, f->now, &dial)) {
        need(rmr_addr_ip_eq(&dial.addrs[0], &f->gateway) && !dial.tls);
        if (b & 1)
            f->open = rmr_portmap_stream_opened(f->pm, f->now) == RMR_OK;
        else
            rmr_portmap_stream_closed(f->pm, f->now, RMR_E_REFUSED);
    }
    need(rmr_portmap_write(f->pm, f->now, rmr_buf_of(out, sizeof out), &len) ==
         RMR_OK);
    if (f->open && b & 2) {
        size_t n;
        uint8_t *d = piece(f, &n);
        (void)rmr_portmap_read(f->pm, f->now, rmr_bytes_of(d, n));
        free(d);
    }
    if (f->open && b & 4) {
        f->open = false;
        rmr_portmap_stream_closed(f->pm, f->now, b & 8 ? RMR_E_RESET : RMR_OK);
    }
}

static void wait(prog *f)
{
    rmr_time due = rmr_portmap_next_deadline(f->pm);
    rmr_time t = f->now + next(f) * 20 * RMR_MS;
    if (next(f) & 1 && due != RMR_TIME_NEVER)
        t = due;
    f->now = t > f->now ? t : f->now;
    if (rmr_portmap_handle_deadline(f->pm, f->now) == RMR_OK)
        need(rmr_portmap_next_deadline(f->pm) > f->now);
}

static void network(prog *f)
{
    uint8_t b = next(f);
    rmr_addr own = rmr_addr_v4(192, 168, 1, b & 1 ? 2 : 3, 0);
    f->gateway = rmr_addr_v4(192, 168, 1, b & 2 ? 1 : 254, 0);
    (void)rmr_portmap_set_network(f->pm, f->now, &f->gateway, &own,
                                  b & 4 ? 41641 : 5);
}

static void step(prog *f)
{
    rmr_addr a;
    switch (next(f) % 10) {
    case 0:
        network(f);
        break;
    case 1:
        rmr_portmap_probe(f->pm, f->now);
        break;
    case 2:
        (void)rmr_portmap_want(f->pm, f->now, next(f) % 4);
        break;
    case 3:
    case 4:
        output(f);
        break;
    case 5:
        datagram(f);
        break;
    case 6:
    case 7:
        stream(f);
        break;
    default:
        wait(f);
        break;
    }
    if (rmr_portmap_get_mapping(f->pm, &a, NULL))
        need(a.family == RMR_AF_INET && a.port != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    test_alloc alloc;
    test_rng rng;
    prog f = {.p = data, .left = size, .now = 100 * RMR_SEC};
    memset(&alloc, 0, sizeof alloc);
    test_rng_seed(&rng, 1);
    rmr_env env = test_env(&alloc, &rng, NULL);
    need(rmr_portmap_new(&f.pm, &env, NULL) == RMR_OK);
    alloc.fail_at = next(&f);
    network(&f);
    while (f.left)
        step(&f);
    rmr_portmap_free(f.pm);
    need(alloc.live_blocks == 0);
    return 0;
}
