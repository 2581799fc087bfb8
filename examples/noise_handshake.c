/* One Noise IK handshake in memory: two keys, two messages, one secret. */
#include <remora/noise.h>
#include <remora/posix.h> /* for rmr_posix_env; any rmr_env will do */

#include <stdio.h>
#include <string.h>

typedef struct side { /* one of the two that shake hands */
    uint8_t priv[RMR_KEY_LEN], pub[RMR_KEY_LEN];
    uint8_t ephemeral[RMR_KEY_LEN]; /* fresh for each handshake */
    uint8_t send[RMR_KEY_LEN], recv[RMR_KEY_LEN];
    rmr_noise noise;
} side;

static rmr_err make_keys(side *s, const rmr_rng *rng)
{
    rmr_err e = rmr_key_generate(rng, s->priv);
    if (e == RMR_OK)
        e = rmr_key_generate(rng, s->ephemeral);
    if (e == RMR_OK)
        rmr_x25519_public(s->pub, s->priv);
    return e;
}

static rmr_err begin(side *s, const uint8_t *remote_public)
{
    rmr_noise_config cfg;
    memset(&cfg, 0, sizeof cfg);
    cfg.pattern = RMR_NOISE_IK;
    cfg.initiator = remote_public != NULL;
    cfg.prologue = rmr_bytes_str("example v1"); /* both must say the same */
    cfg.local_private = s->priv;
    cfg.remote_public = remote_public; /* IK: the caller knows whom it calls */
    return rmr_noise_init(&s->noise, &cfg);
}

/* The first error ends it: nothing here is worth retrying. */
static rmr_err shake_hands(side *a, side *b, const rmr_rng *rng)
{
    uint8_t msg[256], text[64], claimed[RMR_KEY_LEN];
    size_t len, text_len;
    rmr_buf room = rmr_buf_of(msg, sizeof msg);
    rmr_buf text_room = rmr_buf_of(text, sizeof text);
    rmr_err e;
    if ((e = make_keys(a, rng)) || (e = make_keys(b, rng)) ||
        (e = begin(a, b->pub)) || (e = begin(b, NULL)))
        return e;
    /* -> e, es, s, ss, and a payload that is already encrypted */
    e = rmr_noise_write_1(&a->noise, a->ephemeral, rmr_bytes_str("hello"), room,
                          &len);
    if (e)
        return e;
    /* Who says it is?  A claim, until the payload has been opened. */
    e = rmr_noise_read_1_static(&b->noise, rmr_bytes_of(msg, len), claimed);
    if (e)
        return e;
    e = rmr_noise_read_1_payload(&b->noise, rmr_bytes_of(msg, len), NULL, NULL,
                                 text_room, &text_len);
    if (e)
        return e;
    printf("b read \"%.*s\" from the key that it was told: %s\n", (int)text_len,
           (const char *)text,
           memcmp(claimed, a->pub, sizeof claimed) == 0 ? "yes" : "no");
    /* <- e, ee, se */
    e = rmr_noise_write_2(&b->noise, b->ephemeral, rmr_bytes_str("welcome"),
                          room, &len);
    if (e)
        return e;
    e = rmr_noise_read_2(&a->noise, rmr_bytes_of(msg, len), text_room,
                         &text_len);
    if (e)
        return e;
    printf("a read \"%.*s\"\n", (int)text_len, (const char *)text);
    if ((e = rmr_noise_split(&a->noise, a->send, a->recv)))
        return e;
    return rmr_noise_split(&b->noise, b->send, b->recv);
}

int main(void)
{
    rmr_env env = rmr_posix_env();
    side a, b;
    rmr_err e = rmr_crypto_init();
    if (e == RMR_OK)
        e = shake_hands(&a, &b, &env.rng);
    bool is_same = e == RMR_OK && rmr_equal_ct(a.send, b.recv, RMR_KEY_LEN) &&
                   rmr_equal_ct(a.recv, b.send, RMR_KEY_LEN);
    if (e)
        fprintf(stderr, "no handshake: %s\n", rmr_err_name(e));
    else
        printf("the keys of both sides %s\n", is_same ? "agree" : "differ");
    rmr_wipe(&a, sizeof a);
    rmr_wipe(&b, sizeof b);
    return is_same ? 0 : 1;
}
