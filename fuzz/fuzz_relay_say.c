/* What clients of fuzz_relay say, and when they come and go. */
#include "fuzz_relay_world.h"

#include <remora/cursor.h>

#include <stdio.h>
#include <string.h>

static void client_tls(world *w, client *c)
{
    rmr_tls_config cfg;
    rmr_tls_config_init(&cfg, sizeof cfg);
    cfg.server_name = "derp.test";
    cfg.insecure = true;
    need(rmr_tls_client_new(&c->tls, &w->client_env, &cfg) == RMR_OK);
}

void fr_client_open(world *w, client *c, rl_door door, bool noise)
{
    rmr_io_event ev = {0};
    if (w->door[door] == 0)
        return;
    rmr_tls_free(c->tls);
    memset(c, 0, offsetof(client, s));
    fr_stream_begin(&c->s, ++w->last_child);
    if (w->has_tls && door == RL_DOOR_RELAY && !noise)
        client_tls(w, c);
    c->key = (int)(c - w->c) % LOCAL_KEYS;
    ev.kind = RMR_IO_ACCEPTED;
    ev.id = w->door[door];
    ev.child = c->s.id;
    ev.addr = rmr_addr_v4(192, 0, 2, (uint8_t)c->key, 50000);
    fr_give(w, &ev);
}

void fr_client_close(world *w, client *c, bool reset)
{
    uint64_t id = c->s.id;
    if (id == 0)
        return;
    if (reset) {
        c->s.id = 0;
        fr_answer(w, RMR_IO_RESET, id, RMR_E_RESET);
    } else if (!c->s.ended) {
        fr_deliver_client(w, c);
        if (c->s.id != id)
            return;
        c->s.ended = true;
        c->s.in_len = 0;
        fr_answer(w, RMR_IO_EOF, id, RMR_OK);
    }
}

/* Bytes of DERP, in a message where it speaks WebSocket. */
static void say_derp(world *w, client *c, const uint8_t *p, size_t n)
{
    static uint8_t message[FRAME_MAX + 3 * 8];
    size_t len = 0;
    if (!c->derp_out || c->wild) {
        if (n > 0 && fr_say_client(c, p, n))
            c->wild = true;
        if (c->wild)
            w->muddled[c->key] = true;
        return;
    }
    if (!c->ws_out) {
        if (fr_say_client(c, p, n))
            fr_follow_out(w, c, p, n);
        return;
    }
    for (size_t at = 0, k; at < n; at += k) {
        k = n - at < 32768 ? n - at : 32768;
        uint8_t *to = message + len;
        size_t head = k < 126 ? 2 : 4;
        to[0] = 0x82;
        to[1] = (uint8_t)(0x80 | (k < 126 ? k : 126));
        to[2] = (uint8_t)(k >> 8);
        to[3] = (uint8_t)k;
        memset(to + head, 0x5a, 4);
        for (size_t i = 0; i < k; i++)
            to[head + 4 + i] = p[at + i] ^ 0x5a;
        len += head + 4 + k;
    }
    if (fr_say_client(c, message, len))
        fr_follow_out(w, c, p, n);
}

void fr_put_head(uint8_t *p, uint8_t type, size_t len)
{
    p[0] = type;
    rmr_store_be32(p + 1, (uint32_t)len);
}

void fr_say_frame(world *w, client *c, uint8_t type, const uint8_t *body,
                  size_t n, size_t claimed)
{
    static uint8_t f[5 + 1024];
    need(n <= 1024);
    fr_put_head(f, type, claimed);
    if (n > 0)
        memcpy(f + 5, body, n);
    say_derp(w, c, f, 5 + n);
}

void fr_request(client *c, uint8_t arg)
{
    static const char *const texts[] = {
        "GET /derp/probe HTTP/1.1\r\nHost: x\r\n\r\n",
        ("GET /generate_204 HTTP/1.1\r\nHost: x\r\n"
         "X-Tailscale-Challenge: ts_x\r\n\r\n"),
        "GET /derp HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
        "GET /bootstrap-dns HTTP/1.1\r\nHost: x\r\n\r\n",
        "CONNECT y:443 HTTP/1.1\r\nHost: y:443\r\n\r\n",
        "GET /debug/varz HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
    };
    const char *text = texts[arg & 7];
    if (c->derp_out || c->wild)
        return;
    c->asked += fr_say_client(c, (const uint8_t *)text, strlen(text));
}

void fr_upgrade(client *c, uint8_t arg)
{
    static const char plain[] = "GET /derp HTTP/1.1\r\nHost: x\r\n"
                                "Connection: Upgrade\r\nUpgrade: DERP\r\n";
    static const char ws[] =
        "GET /derp HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Protocol: derp\r\n"
        "Sec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    char text[512];
    bool fast = (arg & 3) == 1, is_ws = (arg & 3) == 2;
    snprintf(text, sizeof text, "%s%s%s%s", is_ws ? ws : plain,
             arg & 4 && !is_ws ? "Ideal-Node: 1a\r\n" : "",
             fast ? "Derp-Fast-Start: 1\r\n" : "", is_ws ? "" : "\r\n");
    if (c->derp_out || c->wild ||
        !fr_say_client(c, (const uint8_t *)text, strlen(text)))
        return;
    c->asked++;
    c->derp_out = true;
    c->ws_out = c->ws_in = is_ws;
    if (fast)
        c->fast_after = c->asked;
}

void fr_login(world *w, client *c, uint8_t arg, const uint8_t *p, size_t n)
{
    static const char plain[] = "{\"version\":2,\"CanAckPings\":true}";
    uint8_t body[72 + 256] = {0};
    char mesh[96] = "{\"meshKey\":\"07", hex[3] = "00";
    rmr_bytes json = rmr_bytes_str(plain);
    for (int i = 1; i < 32; i++)
        strcat(mesh, hex);
    strcat(mesh, "\"}");
    if (arg & 1)
        json = rmr_bytes_str(mesh);
    else if (arg & 2)
        json = rmr_bytes_of(p, n < 256 ? n : 256);
    c->exempt = c->exempt || (arg & 3) != 0;
    c->logged_in = true;
    memcpy(body, fr_keys.public_key[c->key], 32);
    rmr_box_seal(body + 56, fr_keys.shared[c->key], body + 32, json);
    body[56] ^= arg & 4 ? 1 : 0;
    fr_say_frame(w, c, RMR_DERP_CLIENT_INFO, body, 72 + json.len,
                 72 + json.len);
}

void fr_send_packet(world *w, client *c, uint8_t arg, const uint8_t *p,
                    size_t n)
{
    static const uint16_t lengths[] = {0, 64, 1280, 40000};
    static uint8_t f[FRAME_MAX];
    static const uint8_t magic[6] = {0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac};
    size_t len = lengths[arg >> 6], at = 5;
    bool forward = arg & 8;
    memset(f, 0, 5 + 64 + len + n);
    if (forward) {
        memcpy(f + at, fr_keys.public_key[(arg >> 4 & 3) % KEYS], 32);
        at += 32;
    }
    memcpy(f + at, fr_keys.public_key[(arg & 7) % KEYS], 32);
    at += 32;
    if (len >= 64 && n > 0 && p[0] & 1)
        memcpy(f + at, magic, sizeof magic);
    if (n > 0)
        memcpy(f + at + len, p, n);
    fr_put_head(f, forward ? RMR_DERP_FORWARD_PACKET : RMR_DERP_SEND_PACKET,
                at - 5 + len + n);
    say_derp(w, c, f, at + len + n);
}

void fr_control(world *w, client *c, uint8_t arg)
{
    static const uint8_t zeros[1001];
    switch (arg & 7) {
    case 0:
        fr_say_frame(w, c, RMR_DERP_PING, zeros, 8 + (size_t)(arg >> 3) * 32,
                     8 + (size_t)(arg >> 3) * 32);
        break;
    case 1:
        fr_say_frame(w, c, RMR_DERP_NOTE_PREFERRED, &arg, 1, 1);
        break;
    case 2:
        fr_say_frame(w, c, RMR_DERP_WATCH_CONNS, NULL, 0, 0);
        break;
    case 3:
        fr_say_frame(w, c, RMR_DERP_CLOSE_PEER,
                     fr_keys.public_key[(arg >> 3) % KEYS], 32, 32);
        break;
    case 4: /* the end of a WebSocket, a ping, noise */
        if (c->ws_out && !c->wild) {
            const uint8_t head[] = {
                (uint8_t)(0x88 + (arg >> 3 & 3)), 0x80, 1, 2, 3, 4};
            (void)fr_say_client(c, head, sizeof head);
        }
        break;
    default:
        c->s.stalled = arg & 8;
        if (!c->s.stalled && c->s.sending) {
            c->s.sending = false;
            fr_answer(w, RMR_IO_SENT, c->s.id, RMR_OK);
        }
    }
}
