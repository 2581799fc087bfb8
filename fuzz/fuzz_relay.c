/* The relay as a whole, as an adapter runs it: six clients, some of one key, in
 * any order and at any stage (requests, upgrades plain, with the fast start and
 * in WebSocket frames, logins, frames whole and cut, half closes, resets,
 * receivers that stand still), the verification URL, a relay of the mesh, STUN,
 * time, memory that fails.  Invariants: a packet reaches whom it was sent to,
 * once at most, from whom it says, and nobody before the login; packets add up;
 * nobody is admitted whom the URL did not admit; memory is bounded by what is
 * open; no operation names an object that is gone; deadlines that were handled
 * are gone; a send that is never done ends the stream; a stop is bounded; the
 * end gives everything back. */
#include "fuzz_relay_world.h"
#include "test_identity.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t mesh_key[RMR_KEY_LEN] = {7};

static void operate(world *w, uint8_t op, uint8_t arg, const uint8_t *p,
                    size_t n)
{
    client *c = &w->c[(op >> 4) % CLIENTS];
    switch (op & 15) {
    case 0:
        if (c->s.id == 0)
            fr_client_open(w, c,
                           arg & 8 ? (rl_door)(arg & 3) % RL_DOOR_STUN
                                   : RL_DOOR_RELAY,
                           arg & 16);
        else
            fr_client_close(w, c, arg & 1);
        break;
    case 1:
        fr_upgrade(c, arg);
        break;
    case 2:
        fr_login(w, c, arg, p, n);
        break;
    case 3:
    case 4:
        fr_send_packet(w, c, arg, p, n);
        break;
    case 5: /* any frame, which may be cut */
        fr_say_frame(w, c, n ? p[0] : 0, p + (n ? 1 : 0), n ? n - 1 : 0,
                     n + (arg & 128 ? arg : 0));
        break;
    case 6:
        fr_request(c, arg);
        break;
    case 7:
        if (n > 0 && fr_say(&c->s, p, n)) {
            c->wild = true;
            w->muddled[c->key] = true;
            w->any_muddled_mesh = w->any_muddled_mesh || c->exempt;
        }
        break;
    case 8:
        fr_control(w, c, arg);
        break;
    case 9:
    case 10:
        fr_others(w, op, arg, p, n);
        break;
    case 11:
        if (w->d[arg >> 4 & 7].s.id != 0 && !w->d[arg >> 4 & 7].s.dialling)
            fr_close_dial(w, &w->d[arg >> 4 & 7].s, arg);
        break;
    case 12:
        fr_stun(w, arg, p, n);
        break;
    case 13:
        fr_outside(w, arg);
        break;
    case 14:
        w->step = arg ? arg : RL_CREDIT;
        break;
    default:
        fr_sleep_for(w, (rmr_dur)arg * arg * 4 * RMR_MS);
    }
    fr_turn(w);
    if (!(op & 0x80))
        fr_deliver_all(w);
    fr_check(w);
}

static bool has_bytes(uint8_t op)
{
    switch (op & 15) {
    case 2:
    case 3:
    case 4:
    case 5:
    case 7:
    case 9:
    case 10:
    case 12:
        return true;
    default:
        return false;
    }
}

static void run(world *w, const uint8_t *p, size_t left)
{
    while (left >= 2 && !w->stopped && w->n_sent + 64 < SENT_MAX) {
        uint8_t op = p[0], arg = p[1];
        size_t n = 0;
        p += 2;
        left -= 2;
        if (has_bytes(op) && left > 0) {
            n = *p++;
            left--;
        }
        n = n < left ? n : left;
        operate(w, op, arg, p, n);
        p += n;
        left -= n;
    }
}

static bool make(world *w, uint8_t flags)
{
    static const uint16_t ports[RL_DOORS] = {3340, 80, 9090, 3478};
    rmr_addr at[RL_DOORS];
    rmr_relay_config cfg;
    rmr_io_event ev = {0};
    rmr_dial mesh;
    test_rng_seed(&w->rng, 5);
    rmr_env env = test_env(&w->mem, &w->rng, NULL);
    for (int i = 0; i < RL_DOORS; i++)
        at[i] = rmr_addr_v4(127, 0, 0, 1, ports[i]);
    rmr_relay_config_init(&cfg, sizeof cfg);
    cfg.listen = &at[RL_DOOR_RELAY];
    cfg.http = &at[RL_DOOR_HTTP];
    cfg.metrics = &at[RL_DOOR_METRICS];
    cfg.stun = &at[RL_DOOR_STUN];
    cfg.n_listen = cfg.n_http = cfg.n_metrics = cfg.n_stun = 1;
    w->has_tls = flags & 64;
    cfg.insecure_http = !w->has_tls;
    if (w->has_tls) {
        cfg.cert_pem = rmr_bytes_str(test_identity_cert);
        cfg.key_pem = rmr_bytes_str(test_identity_key);
        cfg.tls_buffers = flags & 128 ? 2 : 16;
    }
    cfg.private_key = fr_keys.relay_private;
    cfg.mesh_key = mesh_key;
    cfg.verify_url = flags & 1 ? "http://10.0.0.9:8081/verify" : NULL;
    cfg.verify_fail_closed = flags & 2;
    w->verify_closed = (flags & 3) == 3;
    need(rmr_relay_mesh_dial("http://10.0.0.8:8080", &mesh) == RMR_OK);
    cfg.mesh = &mesh;
    cfg.n_mesh = flags & 4 ? 1 : 0;
    cfg.rate_bytes = flags & 8 ? 20000 : 0;
    cfg.max_clients = flags & 32 ? 3 : 100;
    if (rmr_relay_new(&w->relay, &env, &cfg, w->now) != RMR_OK)
        return false;
    w->m = rmr_relay_machine(w->relay);
    ev.kind = RMR_IO_WALL;
    ev.wall_unix_ns = 1790000000u * RMR_SEC;
    fr_give(w, &ev);
    fr_turn(w);
    return true;
}

static void reset(world *w)
{
    for (int i = 0; i < CLIENTS; i++)
        fr_stream_begin(&w->c[i].s, 0);
    for (int i = 0; i < DIALS; i++)
        fr_stream_begin(&w->d[i].s, 0);
    memset(&w->mem, 0, sizeof w->mem);
    memset(&w->client_mem, 0, sizeof w->client_mem);
    test_rng_seed(&w->client_rng, 6);
    w->client_env = test_env(&w->client_mem, &w->client_rng, NULL);
    memset(w->door, 0, sizeof w->door);
    memset(w->muddled, 0, sizeof w->muddled);
    w->relay = NULL;
    w->stopped = w->verify_closed = w->any_muddled_mesh = false;
    w->yes = 0;
    w->n_sent = 0;
    w->now = 1000 * RMR_SEC;
    w->step = RL_CREDIT;
    w->last_child = RMR_IO_ADAPTER_ID;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static world w;
    if (size < 2 || rmr_crypto_init() != RMR_OK)
        return 0;
    fr_make_keys();
    reset(&w);
    if (!make(&w, data[1]))
        return 0;
    w.base_bytes = w.mem.live_bytes;
    if (data[0] > 0) {
        w.mem.fail_at = w.mem.calls + data[0];
        w.mem.fail_after = data[1] & 16;
    }
    run(&w, data + 2, size - 2);
    if (!w.stopped && w.mem.failed == 0)
        fr_check_progress(&w);
    if (!w.stopped) {
        fr_check_empty(&w);
        fr_answer(&w, RMR_IO_STOP_REQUEST, 0, RMR_OK);
        fr_turn(&w);
        fr_sleep_for(&w, 3 * RMR_SEC);
        need(w.stopped);
    }
    rmr_relay_free(w.relay);
    need(w.mem.live_blocks == 0);
    for (int i = 0; i < CLIENTS; i++) {
        rmr_tls_free(w.c[i].tls);
        w.c[i].tls = NULL;
    }
    return 0;
}
