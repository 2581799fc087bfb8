/* Netcheck: the input is a program of what the host and the network do.  After
 * each step the deadline rule and the bounds hold, and every run ends. */
#include <remora/netcheck.h>
#include <remora/stun.h>

#include "need.h"
#include "support.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct prog {
    const uint8_t *p;
    size_t left;
    rmr_netcheck *nc;
    rmr_time now, began;
    uint8_t sent[RMR_STUN_REQUEST_LEN]; /* the last request, and echo */
    uint8_t echo[RMR_NETCHECK_ICMP_MAX];
    size_t echo_len;
    uint16_t https;
} prog;

static uint8_t next(prog *f)
{
    if (f->left == 0)
        return 0;
    f->left--;
    return *f->p++;
}

static rmr_bytes piece(prog *f)
{
    size_t n = next(f);
    if (n > f->left)
        n = f->left;
    rmr_bytes b = rmr_bytes_of(f->p, n);
    f->p += n;
    f->left -= n;
    return b;
}

static void on_done(void *user, const rmr_netcheck_report *r)
{
    prog *f = user;
    if (!r)
        return;
    need(r->ended >= r->started && r->n_latency <= 8);
    need(r->n_globals_v4 <= RMR_NETCHECK_MAX_GLOBALS);
    need(r->udp || (r->n_globals_v4 == 0 && r->n_globals_v6 == 0));
    need(rmr_netcheck_write_pkt(f->nc, f->now, rmr_buf_of(NULL, 0),
                                &(size_t){0},
                                &(rmr_addr){0}) == RMR_E_REENTRANT);
}

static void set_map(prog *f)
{
    static const char *const hosts[] = {"", "a.example", "192.0.2.1", NULL};
    rmr_netcheck_region regions[8];
    rmr_netcheck_node nodes[8];
    size_t n = next(f) % 9;
    memset(regions, 0, sizeof regions);
    memset(nodes, 0, sizeof nodes);
    for (size_t i = 0; i < n; i++) {
        uint8_t b = next(f), c = next(f);
        regions[i].id = (uint16_t)(1 + b % 10);
        regions[i].avoid = b & 16;
        regions[i].no_measure_no_home = (b & 96) == 96;
        regions[i].score = c & 1 ? (uint32_t)c * 20 : 0;
        regions[i].nodes = nodes;
        regions[i].n_nodes = 1 + i;
        nodes[i].name = "node";
        nodes[i].host = hosts[c >> 1 & 3];
        if (c & 8)
            nodes[i].v4 = rmr_addr_v4(192, 0, 2, c, 0);
        nodes[i].no_v6 = c & 16;
        nodes[i].stun_only = c & 32;
        nodes[i].can_port80 = c & 64;
        nodes[i].stun_port = c & 128 ? -1 : c;
    }
    (void)rmr_netcheck_set_map(f->nc, f->now, regions, n, NULL);
}

static void start(prog *f)
{
    uint8_t b = next(f);
    rmr_netcheck_how how = {.force_full = b & 1,
                            .have_v4 = b & 2,
                            .have_v6 = b & 4,
                            .only_tcp_443 = b & 8,
                            .no_icmp = b & 16,
                            .no_portal = b & 32,
                            .portmap = b & 64,
                            .force_region = b >> 5};
    if (rmr_netcheck_start(f->nc, f->now, &how) == RMR_OK)
        f->began = f->now;
}

static void answer(prog *f)
{
    uint8_t out[RMR_STUN_RESPONSE_MAX], b = next(f);
    size_t len;
    rmr_addr a = rmr_addr_v4(198, 51, 100, b, b);
    if (b & 1) {
        a.family = RMR_AF_INET6;
        a.ip[0] = 0x20;
    }
    need(rmr_stun_build_response(rmr_buf_of(out, sizeof out), &len, f->sent + 8,
                                 &a) == RMR_OK);
    (void)rmr_netcheck_read_pkt(f->nc, f->now, rmr_bytes_of(out, len));
}

static void output(prog *f)
{
    rmr_addr to;
    size_t len;
    uint8_t out[RMR_NETCHECK_ICMP_MAX];
    need(rmr_netcheck_write_pkt(f->nc, f->now, rmr_buf_of(out, sizeof out),
                                &len, &to) == RMR_OK);
    if (len) {
        need(len == sizeof f->sent && to.family && to.port);
        memcpy(f->sent, out, len);
        if (next(f) == 7)
            rmr_netcheck_send_failed(f->nc, &to);
    }
    need(rmr_netcheck_write_icmp(f->nc, f->now, rmr_buf_of(out, sizeof out),
                                 &len, &to) == RMR_OK);
    if (len) {
        need(len <= sizeof out && to.family == RMR_AF_INET);
        memcpy(f->echo, out, len);
        f->echo_len = len;
        f->echo[0] = 0;
    }
}

static void host(prog *f)
{
    rmr_netcheck_name name;
    rmr_netcheck_portal portal;
    rmr_dur timeout;
    rmr_addr found = rmr_addr_v4(192, 0, 2, next(f), 0);
    if (rmr_netcheck_wants_name(f->nc, f->now, &name)) {
        need(name.host && *name.host && (name.v4 || name.v6));
        (void)rmr_netcheck_resolved(f->nc, f->now, name.region, name.node,
                                    &found, found.ip[3] & 1);
    }
    if (rmr_netcheck_wants_https(f->nc, f->now, &f->https, &timeout))
        need(timeout > 0 && timeout <= 5 * RMR_SEC);
    if (rmr_netcheck_wants_portal(f->nc, f->now, &portal))
        need(portal.addr.port == 80 && portal.timeout <= 3 * RMR_SEC);
}

static void told(prog *f)
{
    uint8_t b = next(f);
    (void)rmr_netcheck_https_done(f->nc, f->now, f->https,
                                  b & 1 ? RMR_E_REFUSED : RMR_OK,
                                  (rmr_dur)b << 56, NULL);
    (void)rmr_netcheck_portal_done(f->nc, f->now, (rmr_netcheck_tri)(b % 3));
    (void)rmr_netcheck_portmap_done(f->nc, f->now, b & 2, b & 4, b & 8);
}

static void wait(prog *f)
{
    rmr_time due = rmr_netcheck_next_deadline(f->nc);
    rmr_time t = f->now + next(f) * 10 * RMR_MS;
    f->now = due < t && due > f->now ? due : t;
    need(rmr_netcheck_handle_deadline(f->nc, f->now) == RMR_OK);
    need(rmr_netcheck_next_deadline(f->nc) > f->now);
}

static void step(prog *f)
{
    switch (next(f) % 12) {
    case 0:
        set_map(f);
        break;
    case 1:
    case 2:
        start(f);
        break;
    case 3:
    case 4:
        output(f);
        break;
    case 5:
        answer(f);
        break;
    case 6:
        host(f);
        break;
    case 7:
        told(f);
        break;
    case 8:
        (void)rmr_netcheck_read_icmp(
            f->nc, f->now,
            f->left & 1 ? piece(f) : rmr_bytes_of(f->echo, f->echo_len));
        break;
    case 9:
        (void)rmr_netcheck_read_pkt(f->nc, f->now, piece(f));
        break;
    case 10:
        rmr_netcheck_note_frame(f->nc, f->now, next(f) % 12);
        (void)rmr_netcheck_home(f->nc, next(f) % 12, next(f) & 1);
        (void)rmr_netcheck_score(piece(f));
        break;
    default:
        wait(f);
        break;
    }
    need(!rmr_netcheck_is_running(f->nc) ||
         f->now <= f->began + 5 * RMR_SEC + 2560 * RMR_MS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    test_alloc alloc;
    test_rng rng;
    prog f = {.p = data, .left = size, .now = 100 * RMR_SEC};
    memset(&alloc, 0, sizeof alloc);
    test_rng_seed(&rng, 1);
    rmr_env env = test_env(&alloc, &rng, NULL);
    rmr_netcheck_callbacks cb = {sizeof cb, &f, on_done};
    rmr_netcheck_config cfg;
    rmr_netcheck_config_init(&cfg, sizeof cfg);
    cfg.callbacks = &cb;
    need(rmr_netcheck_new(&f.nc, &env, &cfg) == RMR_OK);
    alloc.fail_at = next(&f); /* most inputs: none, or late */
    set_map(&f);
    while (f.left)
        step(&f);
    /* Without anybody's help the run ends. */
    for (int i = 0; rmr_netcheck_is_running(f.nc); i++) {
        need(i < 200);
        f.now = rmr_netcheck_next_deadline(f.nc);
        (void)rmr_netcheck_handle_deadline(f.nc, f.now);
    }
    rmr_netcheck_free(f.nc);
    need(alloc.live_blocks == 0);
    return 0;
}
