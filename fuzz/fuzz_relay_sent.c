/* What was sent through the relay, by its sum, and who may get it. */
#include "fuzz_relay_world.h"

#include <remora/cursor.h>

#include <string.h>

fr_all_keys fr_keys;

static void make_key(uint8_t seed, uint8_t public_key[32], uint8_t shared[32])
{
    uint8_t private_key[32] = {0};
    private_key[1] = seed;
    rmr_key_clamp(private_key);
    rmr_x25519_public(public_key, private_key);
    need(rmr_box_shared(shared, private_key, fr_keys.relay_public) == RMR_OK);
}

void fr_make_keys(void)
{
    if (fr_keys.made)
        return;
    fr_keys.relay_private[0] = 16;
    rmr_key_clamp(fr_keys.relay_private);
    rmr_x25519_public(fr_keys.relay_public, fr_keys.relay_private);
    for (uint8_t i = 0; i < KEYS; i++)
        make_key((uint8_t)(1 + i), fr_keys.public_key[i], fr_keys.shared[i]);
    make_key(99, fr_keys.mesh_public, fr_keys.mesh_shared);
    fr_keys.made = true;
}

static uint64_t mix(uint64_t sum, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum = (sum ^ p[i]) * 0x100000001b3;
    return sum;
}

#define SUM_START 0xcbf29ce484222325

static sent *find_sent(world *w, uint64_t sum)
{
    for (size_t i = 0; i < w->n_sent; i++)
        if (w->sent[i].sum == sum)
            return &w->sent[i];
    return NULL;
}

static void note_sent(world *w, uint64_t sum)
{
    sent *s = find_sent(w, sum);
    if (!s) {
        need(w->n_sent < SENT_MAX);
        s = &w->sent[w->n_sent++];
        s->sum = sum;
        s->n = 0;
    }
    s->n++;
}

void fr_note_arrived(world *w, uint64_t sum, const uint8_t *src)
{
    sent *s = find_sent(w, sum);
    for (int i = 0; i < LOCAL_KEYS; i++)
        if (w->muddled[i] && memcmp(src, fr_keys.public_key[i], 32) == 0)
            return;
    if (w->any_muddled_mesh)
        return;
    need(s != NULL && s->n > 0);
    s->n--;
}

static bool is_packet(uint8_t type)
{
    return type == RMR_DERP_SEND_PACKET || type == RMR_DERP_RECV_PACKET ||
           type == RMR_DERP_FORWARD_PACKET;
}

bool fr_follow(frames *f, uint8_t byte)
{
    if (f->head_len == 5 && f->got == f->body_len)
        f->head_len = 0;
    if (f->head_len < 5) {
        f->head[f->head_len++] = byte;
        f->body_len = rmr_load_be32(f->head + 1);
        f->got = 0;
        f->sum = SUM_START;
        return f->head_len == 5 && f->body_len == 0;
    }
    uint32_t keys_len = f->head[0] == RMR_DERP_FORWARD_PACKET ? 64 : 32;
    if (f->got < sizeof f->body)
        f->body[f->got] = byte;
    if (is_packet(f->head[0]) && f->got >= keys_len)
        f->sum = mix(f->sum, &byte, 1);
    return ++f->got == f->body_len;
}

uint64_t fr_packet_sum(const frames *f, const uint8_t src[32],
                       const uint8_t dst[32])
{
    return mix(mix(f->sum, src, 32), dst, 32);
}

void fr_follow_out(world *w, client *c, const uint8_t *p, size_t n)
{
    frames *f = &c->out;
    for (size_t i = 0; i < n; i++) {
        if (!fr_follow(f, p[i]))
            continue;
        if (f->head[0] == RMR_DERP_SEND_PACKET && f->body_len >= 32)
            note_sent(w, fr_packet_sum(f, fr_keys.public_key[c->key], f->body));
        if (f->head[0] == RMR_DERP_FORWARD_PACKET && f->body_len >= 64)
            note_sent(w, fr_packet_sum(f, f->body, f->body + 32));
    }
}
