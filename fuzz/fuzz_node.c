/* A node as a whole, under the null ciphers: an input is a program of steps (see
 * `step`), each a byte and what it needs.  The world around it is honest until
 * bytes are changed on their way.
 *
 * Checked: no crash; all is given back when a node is freed, at any moment; a
 * bound on memory; the rules of remora/io.h for operations; deadlines that were
 * handled are gone; nothing is asked for after STOP; states and callbacks come
 * in their order; what TCP carries arrives as it was sent; WireGuard's messages
 * go by UDP only to where one came from or an answered ping went; no connection
 * comes in before the packet filter did; the auth key is in no log line. */
#include "fuzz_node_world.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_STEPS 400
#define MAX_ROUNDS 200 /* of one settling: others may talk for ever */
#define MAX_ALL 60000  /* operations of an input */

uint8_t fz_take(fz_world *w)
{
    if (w->left == 0)
        return 0;
    w->left--;
    return *w->p++;
}

rmr_bytes fz_chunk(fz_world *w)
{
    size_t n = fz_take(w);
    n = n < w->left ? n : w->left;
    rmr_bytes b = rmr_bytes_of(w->p, n);
    w->p += n;
    w->left -= n;
    return b;
}

/* ---- the honest world ----------------------------------------------------- */

static bool round_of(fz_world *w)
{
    bool any = fz_net_step(w);
    for (size_t i = 0; i < w->n_wires && !w->is_stopped; i++) {
        if (fz_wire_step(w, &w->wires[i])) {
            any = true;
            fz_drain(w);
        }
    }
    fz_drain(w);
    return fz_peers_step(w) || any;
}

static void settle(fz_world *w)
{
    for (int i = 0; i < MAX_ROUNDS && !w->is_stopped; i++)
        if (!round_of(w))
            break;
}

/* To the next deadline of anybody. */
static void wait(fz_world *w, rmr_dur most)
{
    rmr_time to = rmr_time_add(w->now, most);
    to = rmr_time_min(to, fz_peers_deadline(w));
    if (!w->is_stopped)
        to = rmr_time_min(to, w->m.next_deadline(w->m.self));
    fz_pass(w, to);
    if (fz_peers_deadline(w) <= w->now)
        need(rmr_ns_handle_deadline(w->ns, w->now) == RMR_OK);
}

static void pass_time(fz_world *w, uint8_t arg)
{
    if (arg < 128) { /* by deadlines, as an adapter does */
        for (int i = 0; i <= arg % 32; i++) {
            wait(w, (arg >> 5) * 10 * RMR_SEC + RMR_SEC);
            settle(w);
        }
        return;
    }
    arg = (uint8_t)(arg - 127);
    fz_pass(w, rmr_time_add(w->now, (rmr_dur)arg * arg * arg * RMR_SEC / 10));
}

static void restart(fz_world *w)
{
    w->memory_fails &= w->mem.fail_at > w->mem.calls || w->mem.fail_after;
    fz_end(w);
    fz_start(w);
}

/* ---- one step ------------------------------------------------------------- */

static void step_stream(fz_world *w)
{
    uint8_t arg = fz_take(w);
    fz_wire *s = &w->wires[arg % WIRES];
    if (!s->id)
        return;
    if (!s->is_open || arg & 128) { /* it fails, or is reset */
        rmr_err err = arg & 64 ? RMR_E_REFUSED : RMR_E_UNREACHABLE;
        uint64_t id = s->id;
        bool was_open = s->is_open;
        fz_wire_free(s);
        fz_tell(w, was_open ? RMR_IO_RESET : RMR_IO_FAILED, id, err);
    } else if (arg & 64) {
        s->ends = true;
    } else {
        rmr_bytes b = fz_chunk(w);
        w->is_tampered = true;
        fz_wire_say(s, b.ptr, b.len);
    }
}

static void step_socket(fz_world *w)
{
    uint8_t arg = fz_take(w);
    rmr_io_event ev;
    fz_sock *s = &w->socks[arg % 16];
    if (!s->is_open)
        return;
    if (arg < 96) {
        s->is_blocked = !s->is_blocked;
        fz_tell(w, s->is_blocked ? RMR_IO_BLOCKED : RMR_IO_WRITABLE, s->id, 0);
        return;
    }
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_SEND_FAILED;
    ev.id = s->id;
    ev.addr = fz_peer_addr(w, arg % PEERS);
    ev.err = arg & 16 ? RMR_E_TOOBIG : RMR_E_UNREACHABLE;
    fz_event(w, &ev);
}

static void step_datagram(fz_world *w)
{
    uint8_t arg = fz_take(w);
    rmr_bytes b = fz_chunk(w);
    rmr_addr from = arg & 64 ? rmr_addr_v4(203, 0, 113, 241, 3478)
                             : fz_peer_addr(w, arg % PEERS);
    const fz_sock *s = &w->socks[arg >> 2 & 15];
    w->is_tampered = true;
    if (s->id)
        fz_net_fly(w, s->id, &from, NULL, 0, b);
}

static void step_relay(fz_world *w)
{
    uint8_t arg = fz_take(w);
    uint8_t key[RMR_KEY_LEN];
    rmr_bytes b = fz_chunk(w), none = {NULL, 0};
    fz_wire *s = fz_relay_wire(w, 0);
    w->is_tampered = true;
    fz_peer_key(w, arg % PEERS, key);
    if (s && arg & 64)
        fz_relay_frame(s, 5, rmr_bytes_of(key, sizeof key), b);
    else if (s)
        fz_relay_frame(s, arg % 24, b, none);
}

static void step_control(fz_world *w)
{
    uint8_t arg = fz_take(w);
    rmr_bytes b = fz_chunk(w);
    fz_wire *s = fz_control_wire(w);
    w->is_tampered = true;
    if (arg & 1)
        fz_control_json(w, b);
    else if (s)
        fz_control_frame(s, arg >> 1 & 15, arg >> 5, s->map_stream, b.ptr,
                         b.len);
}

static void step_accept(fz_world *w)
{
    static const char set[] = "{\"op\":\"set\",\"shields_up\":false,"
                              "\"advertise_routes\":[\"10.1.0.0/16\"]}\n";
    static const char *const requests[] = {
        "{\"op\":\"status\"}\n",
        "{\"op\":\"netcheck\"}\n",
        "{\"op\":\"ping\",\"peer\":\"p0\",\"count\":3}\n",
        "{\"op\":\"ping\",\"peer\":\"p0\",\"icmp\":true}\n",
        "{\"op\":\"capture\"}\n",
        "{\"op\":\"nc\",\"peer\":\"p0\",\"port\":80}\n",
        set,
        "{\"op\":\"derp-map\"}\n",
        "{\"op\":\"prefs\"}\n",
        "{\"op\":\"whois\",\"peer\":\"100.64.0.2\"}\n",
        "{\"op\":\"metrics\"}\n",
        "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
    };
    /* To a peer; and to quad-100, a question in DNS' form for streams. */
    static const uint8_t by_name[] = "\5\1\0\5\1\0\3\2p0\0\120hello";
    static const uint8_t to_quad[] =
        "\5\1\0\5\1\0\1\144\144\144\144\0\65"
        "\0\33\0\7\1\0\0\1\0\0\0\0\0\0\2p0\2ex\3com\0\0\1\0\1";
    uint8_t which = fz_take(w), arg = fz_take(w);
    if (arg < 12)
        fz_accept(w, which, rmr_bytes_str(requests[arg]));
    else if (arg == 12)
        fz_accept(w, which, rmr_bytes_of(by_name, sizeof by_name - 1));
    else if (arg == 13)
        fz_accept(w, which, rmr_bytes_of(to_quad, sizeof to_quad - 1));
    else
        fz_accept(w, which, fz_chunk(w));
}

static void step_memory(fz_world *w)
{
    uint8_t arg = fz_take(w);
    w->memory_fails = true;
    w->mem.fail_at = w->mem.calls + 1 + arg % 64;
    w->mem.fail_after = arg & 128;
}

static void step_world(fz_world *w)
{
    uint8_t arg = fz_take(w);
    switch (arg & 3) {
    case 0:
        fz_links(w, arg >> 2);
        break;
    case 1:
        fz_wall(w,
                1790000000u * RMR_SEC + w->now + (arg >> 2) * 3600 * RMR_SEC);
        break;
    case 2:
        w->dns_mode = arg >> 2;
        w->no_stun = arg & 128;
        break;
    default:
        w->spoil = arg | 1;
        break;
    }
}

static void step_wireguard(fz_world *w)
{
    uint8_t arg = fz_take(w), type = fz_take(w);
    rmr_bytes inner = fz_chunk(w);
    w->is_tampered |= inner.len > 0;
    fz_peer_wireguard(w, arg % PEERS, type, inner, arg & 4);
}

static void step(fz_world *w)
{
    uint8_t op = fz_take(w), arg;
    switch (op % 20) {
    case 0:
        settle(w);
        break;
    case 1:
        pass_time(w, fz_take(w));
        break;
    case 2:
        arg = fz_take(w);
        fz_control_delta(w, arg, fz_take(w));
        break;
    case 3:
        step_control(w);
        break;
    case 4:
        step_relay(w);
        break;
    case 5:
        step_datagram(w);
        break;
    case 6:
        arg = fz_take(w);
        fz_peer_disco(w, arg % PEERS, fz_take(w), arg & 4);
        break;
    case 7:
        step_wireguard(w);
        break;
    case 8:
    case 9:
        fz_peer_act(w, fz_take(w));
        break;
    case 10:
        step_stream(w);
        break;
    case 11:
        step_socket(w);
        break;
    case 12:
    case 13:
        fz_app_call(w, fz_take(w));
        break;
    case 14:
        step_accept(w);
        break;
    case 15:
        step_world(w);
        break;
    case 16:
        step_memory(w);
        break;
    case 17:
        restart(w);
        break;
    case 18:
        w->reg_mode = fz_take(w);
        w->map_mode = fz_take(w);
        break;
    default: /* a part of what is on its way */
        for (arg = fz_take(w) % 8; arg > 0; arg--)
            (void)round_of(w);
        break;
    }
    fz_drain(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fz_world *w = calloc(1, sizeof *w);
    need(w != NULL);
    w->p = data;
    w->left = size;
    w->now = RMR_SEC;
    test_rng_seed(&w->rng, 1);
    w->env = test_env(&w->mem, &w->rng, &w->log);
    memset(w->node_key, '0', 64);
    w->options = fz_take(w);
    fz_peers_new(w);
    fz_start(w);
    for (int i = 0; i < MAX_STEPS && w->left && w->n_ops < MAX_ALL; i++)
        step(w);
    fz_app_check(w);
    fz_end(w);
    for (size_t i = 0; i < BLOBS; i++) {
        fz_free(&w->blobs[i].now);
        fz_free(&w->blobs[i].next);
    }
    fz_peers_free(w);
    free(w);
    return 0;
}
