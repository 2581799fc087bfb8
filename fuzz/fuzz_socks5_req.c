/* A SOCKS5 client's bytes: any split gives the same end, and a request that was
 * accepted is accepted again when it is built anew. */
#include <remora/socks5.h>

#include "need.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct result {
    rmr_err err;
    rmr_socks5_state state;
    size_t taken, out_len;
    uint8_t out[64];
    char host[256];
    char addr[RMR_ADDR_TEXT_MAX];
    uint16_t port;
} result;

static void run(result *r, const uint8_t *data, size_t size, bool password,
                size_t step)
{
    rmr_socks5 s;
    memset(r, 0, sizeof *r);
    need(rmr_socks5_init(&s, password ? "me" : NULL, password ? "pw" : NULL) ==
         RMR_OK);
    while (r->taken < size && r->err == RMR_OK) {
        size_t n = size - r->taken < step ? size - r->taken : step, took;
        r->err = rmr_socks5_read(&s, rmr_bytes_of(data + r->taken, n), &took);
        need(took <= n);
        r->taken += took;
        if (took == 0)
            break;
    }
    r->state = s.state;
    need((r->err != RMR_OK) == (s.state == RMR_SOCKS5_FAILED));
    if (s.state == RMR_SOCKS5_REQUESTED) {
        need((s.host[0] != 0) != (s.addr.family != RMR_AF_NONE));
        memcpy(r->host, s.host, sizeof r->host);
        (void)rmr_addr_text(&s.addr, r->addr);
        r->port = s.port;
        need(rmr_socks5_reply(&s, RMR_SOCKS5_OK, &s.addr) == RMR_OK);
    }
    size_t len;
    need(rmr_socks5_write(&s, rmr_buf_of(r->out, sizeof r->out), &len) ==
         RMR_OK);
    need(len <= 26);
    r->out_len = len;
    rmr_socks5_wipe(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    result whole, split;
    if (size < 2)
        return 0;
    bool password = data[0] & 1;
    size_t step = 1 + data[1] % 16;
    run(&whole, data + 2, size - 2, password, size);
    run(&split, data + 2, size - 2, password, step);
    need(memcmp(&whole, &split, sizeof whole) == 0);
    return 0;
}
