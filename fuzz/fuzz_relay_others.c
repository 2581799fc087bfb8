/* Whom the relay of fuzz_relay dials, the verification URL and a relay of the
 * mesh, and STUN. */
#include "fuzz_relay_world.h"

#include <string.h>

void fr_close_dial(world *w, stream *s, uint8_t arg)
{
    uint64_t id = s->id;
    if (arg & 1) {
        s->id = 0;
        fr_answer(w, RMR_IO_RESET, id, RMR_E_RESET);
    } else if (!s->ended) {
        s->ended = true;
        s->in_len = 0;
        fr_answer(w, RMR_IO_EOF, id, RMR_OK);
    }
}

static void say_text(stream *s, const char *text)
{
    (void)fr_say(s, (const uint8_t *)text, strlen(text));
}

/* The letters of "true" in order: without them there was no yes. */
static void verify_says(world *w, stream *s, uint8_t arg, const uint8_t *p,
                        size_t n)
{
    static const char yes[] = "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n"
                              "{\"Allow\":true}";
    static const char no[] = "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n"
                             "{\"Allow\":false}";
    static const char bad[] = "HTTP/1.1 500 No\r\nContent-Length: 4\r\n"
                              "Connection: close\r\n\r\ntrue";
    if ((arg & 7) == 0) {
        w->yes = 4;
        say_text(s, yes);
    } else if ((arg & 7) == 1) {
        say_text(s, no);
    } else if ((arg & 7) == 2) {
        say_text(s, bad);
    } else {
        for (size_t i = 0; i < n && w->yes < 4; i++)
            w->yes += p[i] == (uint8_t) "true"[w->yes];
        (void)fr_say(s, p, n);
    }
}

static void mesh_frame(stream *s, uint8_t type, const uint8_t *body, size_t n)
{
    uint8_t f[5 + 256];
    need(n <= 256);
    fr_put_head(f, type, n);
    if (n > 0)
        memcpy(f + 5, body, n);
    (void)fr_say(s, f, 5 + n);
}

static void mesh_says(stream *s, uint8_t arg, const uint8_t *p, size_t n)
{
    uint8_t body[64] = {'D', 'E', 'R', 'P', 0xf0, 0x9f, 0x94, 0x91};
    const char info[] = "{\"version\":2}";
    uint8_t key = (arg >> 3) % KEYS;
    switch (arg & 7) {
    case 0:
        say_text(s, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\n"
                    "Connection: Upgrade\r\n\r\n");
        memcpy(body + 8, arg & 8 ? fr_keys.relay_public : fr_keys.mesh_public,
               32);
        mesh_frame(s, RMR_DERP_SERVER_KEY, body, 40);
        break;
    case 1:
        memset(body, 1, 24);
        rmr_box_seal(body + 24, fr_keys.mesh_shared, body, rmr_bytes_str(info));
        mesh_frame(s, RMR_DERP_SERVER_INFO, body, 40 + sizeof info - 1);
        break;
    case 2:
    case 3:
        memset(body, 0, sizeof body);
        memcpy(body, fr_keys.public_key[key], 32);
        mesh_frame(s, RMR_DERP_PEER_PRESENT, body, 51);
        break;
    case 4:
        memcpy(body, fr_keys.public_key[key], 32);
        body[32] = 0;
        mesh_frame(s, RMR_DERP_PEER_GONE, body, 33);
        break;
    default:
        (void)fr_say(s, p, n);
    }
}

void fr_others(world *w, uint8_t op, uint8_t arg, const uint8_t *p, size_t n)
{
    stream *s = &w->d[op >> 4 & 7].s;
    for (int i = 0; i < DIALS && s->id == 0; i++)
        s = &w->d[i].s;
    if (s->id == 0)
        return;
    if (s->dialling) {
        uint64_t id = s->id;
        s->dialling = false;
        if ((arg & 15) == 15)
            s->id = 0;
        fr_answer(w, s->id ? RMR_IO_OPENED : RMR_IO_FAILED, id,
                  s->id ? RMR_OK : RMR_E_REFUSED);
        return;
    }
    if (s->port == 8080)
        mesh_says(s, arg, p, n);
    else
        verify_says(w, s, arg, p, n);
}

void fr_stun(world *w, uint8_t arg, const uint8_t *p, size_t n)
{
    uint8_t copy[256];
    rmr_io_event ev = {0};
    if (w->door[RL_DOOR_STUN] == 0 || n == 0)
        return;
    memcpy(copy, p, n);
    ev.kind = RMR_IO_DATAGRAMS;
    ev.id = w->door[RL_DOOR_STUN];
    ev.addr = rmr_addr_v4(192, 0, 2, arg, 1);
    ev.data = rmr_buf_of(copy, n);
    ev.seg_size = arg & 1 ? 40 : 0;
    fr_give(w, &ev);
}

void fr_outside(world *w, uint8_t arg)
{
    rl_door door = (rl_door)(arg >> 4 & 3);
    if (arg & 1)
        rmr_relay_set_rate(w->relay, w->now, (uint64_t)arg * 64, 0);
    else if ((arg & 15) == 14)
        fr_answer(w, RMR_IO_STOP_REQUEST, 0, RMR_OK);
    else if ((arg & 2) && door != RL_DOOR_STUN && w->door[door] != 0)
        fr_answer(w, RMR_IO_ACCEPT_FAILED, w->door[door], RMR_E_NOFILES);
    else if (w->door[RL_DOOR_STUN] != 0)
        fr_answer(w, arg & 4 ? RMR_IO_BLOCKED : RMR_IO_WRITABLE,
                  w->door[RL_DOOR_STUN], RMR_OK);
}
