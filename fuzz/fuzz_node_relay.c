/* Relays, and what else speaks HTTP: latency, captive portals. */
#include "fuzz_node_world.h"

#include <remora/cursor.h>
#include <remora/derp.h>

#include <string.h>

void fz_relay_frame(fz_wire *s, uint8_t type, rmr_bytes a, rmr_bytes b)
{
    uint8_t head[5] = {type};
    rmr_store_be32(head + 1, (uint32_t)(a.len + b.len));
    fz_wire_say(s, head, sizeof head);
    fz_wire_say(s, a.ptr, a.len);
    fz_wire_say(s, b.ptr, b.len);
}

fz_wire *fz_relay_wire(fz_world *w, uint16_t region)
{
    for (size_t i = 0; i < w->n_wires; i++) {
        fz_wire *s = &w->wires[i];
        if (s->id && s->is_relay && (!region || s->region == region))
            return s;
    }
    return NULL;
}

static void on_frame(fz_world *w, fz_wire *s, uint8_t type, rmr_bytes body)
{
    static const uint8_t nonce[RMR_BOX_NONCE_LEN] = {7};
    static const char info[] = "0123456789abcdef{\"version\":2}";
    uint8_t key[RMR_KEY_LEN];
    if (type == RMR_DERP_CLIENT_INFO)
        fz_relay_frame(s, RMR_DERP_SERVER_INFO,
                       rmr_bytes_of(nonce, sizeof nonce),
                       rmr_bytes_of(info, sizeof info - 1));
    if (type == RMR_DERP_PING)
        fz_relay_frame(s, RMR_DERP_PONG, body, rmr_bytes_of(NULL, 0));
    if (type != RMR_DERP_SEND_PACKET)
        return;
    need(body.len >= RMR_KEY_LEN);
    for (size_t i = 0; i < PEERS; i++) {
        fz_peer_key(w, i, key);
        if (memcmp(key, body.ptr, sizeof key) == 0)
            fz_peer_read(
                w, i,
                rmr_bytes_of(body.ptr + sizeof key, body.len - sizeof key),
                true);
    }
}

static void read_frames(fz_world *w, fz_wire *s)
{
    while (s->out.len >= 5) {
        size_t len = rmr_load_be32(s->out.p + 1);
        if (s->out.len < 5 + len)
            return;
        on_frame(w, s, s->out.p[0], rmr_bytes_of(s->out.p + 5, len));
        fz_drop(&s->out, 5 + len);
    }
}

static void upgrade(fz_wire *s)
{
    static const char head[] = "HTTP/1.1 101 X\r\nUpgrade: DERP\r\n"
                               "Connection: Upgrade\r\n\r\n";
    static const uint8_t magic[8] = {0x44, 0x45, 0x52, 0x50,
                                     0xf0, 0x9f, 0x94, 0x91};
    static const uint8_t key[RMR_KEY_LEN] = {9};
    fz_wire_say(s, head, sizeof head - 1);
    fz_relay_frame(s, RMR_DERP_SERVER_KEY, rmr_bytes_of(magic, sizeof magic),
                   rmr_bytes_of(key, sizeof key));
    s->is_relay = true;
}

void fz_web_read(fz_world *w, fz_wire *s)
{
    static const char none[] = "HTTP/1.1 204 X\r\nContent-Length: 0\r\n\r\n";
    if (s->is_relay) {
        read_frames(w, s);
        return;
    }
    for (size_t i = 0; i + 4 <= s->out.len; i++) {
        if (memcmp(s->out.p + i, "\r\n\r\n", 4) != 0)
            continue;
        bool is_derp =
            s->out.len > 10 && memcmp(s->out.p, "GET /derp ", 10) == 0;
        fz_drop(&s->out, i + 4);
        if (is_derp)
            upgrade(s);
        else
            fz_wire_say(s, none, sizeof none - 1);
        return;
    }
}
