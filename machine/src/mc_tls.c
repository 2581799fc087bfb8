/* TLS on a link: the records between the stream and the layer. */
#include "mc_internal.h"

#include <remora/text.h>
#include <string.h>

/* A link that is in use now and then has no record buffers in between; one that
 * had so many turns without a second's rest keeps them for the next. */
#define MC_BUSY 16

/* What the dial says of the host's certificate; false: a pin that is none. */
static bool judge(const rmr_mc_link *l, rmr_tls_config *cfg, uint8_t pin[32])
{
    static const char pin_word[] = "sha256-raw:";
    /* decisions: an unchecked certificate only from hosts nearby */
    rmr_addr host = l->remote;
    if (l->by_proxy && rmr_addr_parse_ip(rmr_bytes_str(l->dial->host), &host))
        host = (rmr_addr){0};
    cfg->insecure = l->dial->insecure && rmr_addr_is_private(&host);
    size_t word = sizeof pin_word - 1;
    rmr_bytes cert = rmr_bytes_str(l->dial->cert_name);
    if (cert.len >= word && memcmp(cert.ptr, pin_word, word) == 0) {
        cfg->pin_sha256 = pin;
        return rmr_unhex(pin, 32,
                         rmr_bytes_of(cert.ptr + word, cert.len - word)) ==
               RMR_OK;
    }
    if (l->dial->cert_name[0])
        cfg->verify_name = l->dial->cert_name;
    return true;
}

rmr_err rmri_mc_tls_new(rmr_mc_link *l, rmr_time now)
{
    rmr_tls_config cfg;
    uint8_t pin[32];
    rmr_tls_config_init(&cfg, sizeof cfg);
    cfg.server_name = l->dial->host;
    cfg.anchors = l->mc->anchors;
    cfg.gcm = l->mc->gcm;
    cfg.wall_unix_ns = rmr_mc_wall(l->mc, now);
    if (!judge(l, &cfg, pin))
        return RMR_E_INVAL;
    /* One buffer each way: it runs out of them only with the memory. */
    rmr_err err = rmr_tls_pool_new(&l->tls_pool, &l->mc->env, 2);
    cfg.pool = l->tls_pool;
    if (err == RMR_OK)
        err = rmr_tls_client_new(&l->tls, &l->mc->env, &cfg);
    l->tls_turn = now;
    l->tls_turns = 0;
    return err == RMR_E_FULL ? RMR_E_NOMEM : err;
}

void rmri_mc_tls_free(rmr_mc_link *l)
{
    rmr_tls_free(l->tls);
    l->tls = NULL;
    rmr_tls_pool_free(l->tls_pool);
    l->tls_pool = NULL;
}

static void tls_failed(rmr_mc_link *l, rmr_time now, rmr_err err)
{
    rmri_mc_link_end(l, now, err, rmr_tls_err_text(err));
}

/* The end of what a turn did with TLS. */
static void settle(rmr_mc_link *l, rmr_time now)
{
    if (l->tls && rmr_tls_is_starved(l->tls))
        tls_failed(l, now, RMR_E_NOMEM);
    if (!l->tls)
        return;
    if (now != l->tls_turn) {
        bool rested = rmr_time_since(now, l->tls_turn) >= RMR_SEC;
        l->tls_turns = rested ? 0 : l->tls_turns + (l->tls_turns < MC_BUSY);
        l->tls_turn = now;
    }
    if (l->tls_turns < MC_BUSY)
        rmr_tls_pool_trim(l->tls_pool, 0);
}

/* Hands decrypted bytes to the layer. */
static void tls_deliver(rmr_mc_link *l, rmr_time now)
{
    rmr_buf view;
    while (l->tls && rmr_tls_peek(l->tls, &view) == RMR_OK && view.len > 0) {
        size_t len = view.len;
        rmr_err err = l->ops->read(l->owner, now, view);
        if (!l->tls)
            return; /* the layer closed the link */
        if (err != RMR_OK) {
            rmri_mc_link_drop(l, true);
            return;
        }
        rmr_tls_consume(l->tls, len);
    }
}

/* Gives ciphertext to TLS and what came of it to the layer; returns how much
 * was taken: less when TLS must write first, or the link ended. */
static size_t tls_feed(rmr_mc_link *l, rmr_time now, rmr_bytes data)
{
    size_t at = 0;
    while (l->tls && at < data.len) {
        size_t used = 0;
        rmr_err err = rmr_tls_read(
            l->tls, rmr_bytes_of(data.ptr + at, data.len - at), &used);
        at += used;
        if (err != RMR_OK) {
            tls_failed(l, now, err);
            return at;
        }
        if (l->state == LINK_TLS && rmr_tls_is_open(l->tls)) {
            l->state = LINK_OPEN;
            l->deadline = RMR_TIME_NEVER;
            rmri_mc_link_dialled(l);
            l->ops->opened(l->owner, now);
        }
        tls_deliver(l, now);
        if (l->tls && rmr_tls_is_closed(l->tls))
            rmri_mc_link_end(l, now, RMR_OK, "");
        if (used == 0)
            break;
    }
    return at;
}

void rmri_mc_tls_bytes(rmr_mc_link *l, rmr_time now, rmr_bytes data)
{
    size_t used = 0;
    if (l->held.len == 0)
        used = tls_feed(l, now, data);
    settle(l, now);
    if (!l->tls || used == data.len)
        return;
    /* Bounded by the credit, which is not renewed while something is held. */
    if (rmr_ring_write_all(
            &l->held, rmr_bytes_of(data.ptr + used, data.len - used)) != RMR_OK)
        tls_failed(l, now, RMR_E_TLS_PROTOCOL);
}

/* TLS has written: it may take what is held now. */
static void tls_feed_held(rmr_mc_link *l, rmr_time now)
{
    while (l->tls && l->held.len > 0) {
        size_t used = tls_feed(l, now, rmr_ring_peek(&l->held));
        if (used == 0)
            return;
        rmr_ring_consume(&l->held, used);
    }
    if (l->io && l->held.len == 0)
        rmr_mc_io_credit(l->io, MC_READ_CREDIT);
}

static size_t produce(rmr_mc_link *l, rmr_time now, rmr_buf scratch)
{
    size_t total = 0;
    for (;;) {
        rmr_buf place = {0};
        bool filled = false;
        /* A full record where there is enough: the layer fills the engine's
         * own buffer. */
        while (l->state == LINK_OPEN &&
               rmr_tls_reserve(l->tls, &place) == RMR_OK && place.len > 0) {
            size_t got = 0;
            if (l->ops->write(l->owner, now, place, &got) != RMR_OK)
                rmri_mc_link_drop(l, true);
            if (!l->tls)
                break;
            rmr_tls_commit(l->tls, got);
            if (got == 0)
                break;
            filled = true;
        }
        if (!l->tls)
            return total;
        size_t len = 0;
        if (rmr_tls_write(l->tls,
                          rmr_buf_of(scratch.ptr + total, scratch.len - total),
                          &len) != RMR_OK)
            return total;
        total += len;
        if (len > 0)
            tls_feed_held(l, now);
        if (!l->tls || (len == 0 && !filled))
            return total;
        if (scratch.len - total < 17 * 1024)
            return total;
    }
}

size_t rmri_mc_tls_produce(rmr_mc_link *l, rmr_time now, rmr_buf scratch)
{
    size_t len = produce(l, now, scratch);
    settle(l, now);
    return len;
}
