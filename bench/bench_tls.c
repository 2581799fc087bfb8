/* TLS records through our filter, beside the cipher alone as BearSSL has it; and
 * whole handshakes. */
#include "bench.h"

#include <bearssl/bearssl.h>
#include <remora/tls_srv.h>
#include <stdio.h>
#include <string.h>

#include "test_identity.h"

#define RECORD 16384
#define ROUNDS 64

typedef struct ends {
    rmr_env env;
    rmr_tls_identity *id;
    rmr_tls_pool *pool;
    rmr_tls_server_config server;
    rmr_tls_config client;
    rmr_tls *c, *s;
    uint8_t data[RECORD], wire[RECORD + 64];
    size_t size;
} ends;

/* Ciphertext of one side to the other; plaintext is looked at by no one. */
static size_t carry(ends *b, rmr_tls *from, rmr_tls *to)
{
    size_t len, used;
    rmr_buf view;
    bench_must(rmr_tls_write(from, rmr_buf_of(b->wire, sizeof b->wire), &len),
               "tls write");
    for (size_t at = 0; at < len; at += used) {
        bench_must(
            rmr_tls_read(to, rmr_bytes_of(b->wire + at, len - at), &used),
            "tls read");
        bench_must(rmr_tls_peek(to, &view), "tls peek");
        bench_must(rmr_tls_consume(to, view.len), "tls consume");
    }
    return len;
}

static void records(void *user, uint64_t *ops, uint64_t *bytes)
{
    ends *b = user;
    for (int i = 0; i < ROUNDS; i++) {
        size_t n;
        bench_must(rmr_tls_send(b->s, rmr_bytes_of(b->data, b->size), &n),
                   "tls send");
        (void)carry(b, b->s, b->c);
    }
    *ops += ROUNDS;
    *bytes += ROUNDS * b->size;
}

/* ---- the cipher alone -------------------------------------------------- */

typedef struct gcm {
    br_aes_x86ni_ctr_keys aes;
    br_gcm_context ctx;
    uint8_t data[RECORD];
    size_t size;
} gcm;

static void pass(gcm *g, bool encrypt, uint8_t tag[16])
{
    static const uint8_t nonce[12], aad[13];
    br_gcm_reset(&g->ctx, nonce, sizeof nonce);
    br_gcm_aad_inject(&g->ctx, aad, sizeof aad);
    br_gcm_flip(&g->ctx);
    br_gcm_run(&g->ctx, encrypt, g->data, g->size);
    br_gcm_get_tag(&g->ctx, tag);
}

static void cipher(void *user, uint64_t *ops, uint64_t *bytes)
{
    gcm *g = user;
    uint8_t tag[16];
    for (int i = 0; i < ROUNDS; i++) {
        pass(g, true, tag);
        pass(g, false, tag);
    }
    *ops += ROUNDS;
    *bytes += ROUNDS * g->size;
}

/* ---- both -------------------------------------------------------------- */

static void handshake(ends *b)
{
    while (carry(b, b->c, b->s) + carry(b, b->s, b->c) > 0)
        ;
    if (!rmr_tls_is_open(b->s) || !rmr_tls_is_open(b->c))
        bench_must(RMR_E_STATE, "tls handshake");
}

static void open_ends(ends *b)
{
    bench_must(rmr_tls_server_new(&b->s, &b->env, &b->server), "tls server");
    bench_must(rmr_tls_client_new(&b->c, &b->env, &b->client), "tls client");
    handshake(b);
}

static void close_ends(ends *b)
{
    rmr_tls_free(b->c);
    rmr_tls_free(b->s);
}

static void handshakes(void *user, uint64_t *ops, uint64_t *bytes)
{
    (void)bytes;
    open_ends(user);
    close_ends(user);
    ++*ops;
}

static void setup(ends *b)
{
    b->env = bench_env();
    bench_must(rmr_tls_identity_new(&b->id, &b->env,
                                    rmr_bytes_str(test_identity_cert),
                                    rmr_bytes_str(test_identity_key)),
               "tls identity");
    bench_must(rmr_tls_pool_new(&b->pool, &b->env, 4), "tls pool");
    rmr_tls_server_config_init(&b->server, sizeof b->server);
    b->server.identity = b->id;
    b->server.pool = b->pool;
    rmr_tls_config_init(&b->client, sizeof b->client);
    b->client.server_name = "derp.test";
    b->client.insecure = true;
    b->client.pool = b->pool;
}

void bench_tls(void)
{
    static const size_t sizes[] = {1280, RECORD};
    static ends b;
    static gcm g;
    char name[64];
    setup(&b);
    bench_run("tls/handshake-p256", handshakes, &b);
    open_ends(&b);
    const br_block_ctr_class *ctr = br_aes_x86ni_ctr_get_vtable();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        b.size = g.size = sizes[i];
        snprintf(name, sizeof name, "tls/remora/%zu", b.size);
        bench_run(name, records, &b);
        if (!ctr || !br_ghash_pclmul_get())
            continue;
        ctr->init((const br_block_ctr_class **)(void *)&g.aes, b.data, 16);
        br_gcm_init(&g.ctx, (const br_block_ctr_class **)(void *)&g.aes,
                    br_ghash_pclmul_get());
        snprintf(name, sizeof name, "tls/bearssl-aes128-gcm/%zu", g.size);
        bench_run(name, cipher, &g);
    }
    close_ends(&b);
    rmr_tls_pool_free(b.pool);
    rmr_tls_identity_free(b.id);
}
