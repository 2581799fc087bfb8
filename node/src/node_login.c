/* The node key's life: it is replaced some hours before its end where an auth
 * key allows, or when it has ended; and the node logs out.
 *
 * A new key is in the state before the server hears of it, so that a node that
 * is killed meanwhile can go on with it; WireGuard, the relays and the path
 * layer keep the one before until the server has taken the new one.  After a
 * restart in between the one before still polls, and stays when the new one is
 * refused, or a login is asked for that nothing needs. */
#include "node_internal.h"

#include <stdio.h>
#include <string.h>

/* Before the end: a quarter of what is left when it is seen first, at most. */
#define RENEW_AHEAD (6 * 3600 * RMR_SEC)
/* A refusal that is not about the auth key may pass. */
#define REFUSED_REST (600 * RMR_SEC)
/* Between keys that are made because one has ended: a server may say of each
 * that it has, as soon as it knows it. */
#define ENDED_REST (60 * RMR_SEC)

/* ---- a new key --------------------------------------------------------- */

void rmri_node_login_resume(rmr_node *n)
{
    const nd_keys *k = &n->keys;
    /* Of a node that never joined there is nothing to go back to. */
    n->renewing = n->renews_ended = k->has_old_node && k->registered;
    memcpy(n->node_private, n->renewing ? k->old_node : k->node, RMR_KEY_LEN);
    rmr_x25519_public(n->node_public, n->node_private);
}

static void forget_url(rmr_node *n)
{
    (void)rmr_text_keep(&n->keys.auth_url, &n->env.alloc, rmr_bytes_str(""));
}

/* \param ended  The one before is dead, and not only about to be. */
static void renew(rmr_node *n, rmr_time now, bool ended)
{
    uint8_t fresh[RMR_KEY_LEN];
    rmr_err err = rmr_key_generate(&n->env.rng, fresh);
    if (err == RMR_OK) {
        memcpy(n->keys.old_node, n->node_private, RMR_KEY_LEN);
        memcpy(n->keys.node, fresh, RMR_KEY_LEN);
        n->keys.has_old_node = n->renewing = n->renew_waits = true;
        n->renews_ended = ended;
        forget_url(n);
        n->rests_until = ended ? rmr_time_add(now, ENDED_REST) : 0;
        n->state_wanted = n->dirty = true;
        rmr_logf(&n->env.log, RMR_LOG_INFO, ND_LAYER, "a new node key is made");
    } else {
        rmri_node_check(n, now, err);
    }
    rmr_wipe(fresh, sizeof fresh);
}

/* Back to the key that is in use. */
static void give_up(rmr_node *n)
{
    memcpy(n->keys.node, n->node_private, RMR_KEY_LEN);
    rmr_wipe(n->keys.old_node, sizeof n->keys.old_node);
    n->keys.has_old_node = n->renewing = n->renew_waits = false;
    forget_url(n);
    n->state_wanted = n->dirty = true;
}

void rmri_node_login_stored(rmr_node *n)
{
    uint8_t pub[RMR_KEY_LEN];
    if (!n->renew_waits || !n->ctl || n->phase != ND_PHASE_UP)
        return;
    n->renew_waits = false;
    n->dirty = true;
    rmr_x25519_public(pub, n->keys.node);
    rmri_node_check(n, n->now,
                    rmr_ctl_set_node_key(n->ctl, n->now, pub, n->node_public));
}

void rmri_node_login_not_stored(rmr_node *n)
{
    if (!n->renew_waits)
        return;
    give_up(n);
    n->renew_at = rmr_time_add(n->now, REFUSED_REST);
    if (n->ctl_state == RMR_CTL_FAILED) /* it had expired: polled with on */
        rmr_ctl_retry(n->ctl, n->now);
}

/* No auth key registers the new key, and the one before lives: somebody let it,
 * or this is a start without the key of then. */
static void keep_old(rmr_node *n)
{
    if (!n->renewing || !n->renews_ended || n->renew_waits ||
        n->ctl_state != RMR_CTL_NEEDS_LOGIN ||
        rmr_ctl_keep_node_key(n->ctl) != RMR_OK)
        return;
    rmr_logf(&n->env.log, RMR_LOG_INFO, ND_LAYER,
             "the node key before is still good: it stays");
    n->ctl_state = RMR_CTL_CONNECTED; /* the map stream of that key */
    give_up(n);
}

/* The server knows the new key, and the old one no more. */
static void swap(rmr_node *n, rmr_time now)
{
    memcpy(n->node_private, n->keys.node, RMR_KEY_LEN);
    rmr_x25519_public(n->node_public, n->node_private);
    rmri_node_check(n, now,
                    rmr_wg_set_private_key(n->wg, now, n->node_private));
    (void)rmr_paths_set_node_key(n->paths, n->node_public);
    rmri_node_regions_key_changed(n, now);
}

void rmri_node_login_registered(rmr_node *n)
{
    if (n->renew_waits)
        return; /* it is the one before */
    if (n->renewing)
        swap(n, n->now);
    n->renewing = false;
    n->renew_at = RMR_TIME_NEVER; /* the next frame tells its end */
    memset(n->login_url, 0, sizeof n->login_url);
    forget_url(n);
    n->keys.has_old_node = false;
    rmr_wipe(n->keys.old_node, sizeof n->keys.old_node);
}

void rmri_node_login_refused(rmr_node *n, rmr_err err)
{
    give_up(n);
    if (err == RMR_E_CTL_AUTH_KEY) /* goes on without it, when it has ended */
        n->has_auth_key = false;
    n->renew_at =
        rmr_time_add(n->now, err == RMR_E_CTL_AUTH_KEY ? RMR_MS : REFUSED_REST);
}

/* ---- when -------------------------------------------------------------- */

/* Until the end, as far as the clocks tell; 0: it has ended. */
static rmr_dur left(const rmr_node *n, rmr_time now, const rmr_nm_node *self)
{
    uint64_t wall = rmr_nm_server_time(n->nm, rmr_mc_wall(n->mc, now));
    if (self->expired)
        return 0;
    if (self->key_expiry_unix_ns == 0 || wall == 0)
        return RMR_TIME_NEVER;
    if (self->key_expiry_unix_ns <= wall)
        return 0;
    return self->key_expiry_unix_ns - wall;
}

static rmr_dur ahead(rmr_node *n, const rmr_nm_node *self, rmr_dur rest)
{
    if (n->expiry_seen != self->key_expiry_unix_ns) {
        n->expiry_seen = self->key_expiry_unix_ns;
        n->renew_ahead = rest / 4 < RENEW_AHEAD ? rest / 4 : RENEW_AHEAD;
        n->renewed_ahead = false;
    }
    return n->renew_ahead;
}

static void ended(rmr_node *n, rmr_time now)
{
    if (n->renewing || (n->renew_at != RMR_TIME_NEVER && now < n->renew_at))
        return;
    n->renew_at = RMR_TIME_NEVER;
    if (now < n->rests_until)
        n->renew_at = n->rests_until;
    else
        renew(n, now, true);
}

static void ends_soon(rmr_node *n, rmr_time now, rmr_dur rest)
{
    char text[120];
    n->renewed_ahead = true; /* once: an end that stays is no reason */
    if (n->has_auth_key) {
        renew(n, now, false);
        return;
    }
    snprintf(text, sizeof text,
             "the node key ends in %u min: log in again, or give an auth key",
             (unsigned)(rest / (60 * RMR_SEC)));
    rmri_node_trouble(n, RMR_E_CTL_KEY_EXPIRED, text);
}

void rmri_node_login_check(rmr_node *n, rmr_time now)
{
    rmr_nm_node self;
    if (!n->live || n->phase != ND_PHASE_UP || n->logging_out ||
        !rmr_nm_self(n->nm, &self))
        return;
    rmr_dur rest = left(n, now, &self);
    n->key_ended = rest == 0;
    if (n->key_ended) {
        ended(n, now);
        return;
    }
    /* A self of the new key is what we asked for: the answer is on its way. */
    if (memcmp(self.key, n->node_public, RMR_KEY_LEN) == 0)
        keep_old(n);
    n->renew_at = RMR_TIME_NEVER;
    if (rest == RMR_TIME_NEVER)
        return;
    rmr_dur before = ahead(n, &self, rest);
    if (rest <= before && !n->renewed_ahead && !n->renewing)
        ends_soon(n, now, rest);
    n->renew_at = rmr_time_add(
        now, rest > before && !n->renewed_ahead ? rest - before : rest);
}

void rmri_node_login_handle_deadline(rmr_node *n, rmr_time now)
{
    if (now < n->renew_at)
        return;
    n->renew_at = RMR_TIME_NEVER;
    rmri_node_login_check(n, now);
    if (n->key_ended && !n->expiry_told)
        rmri_node_peers_tell_expired(n);
    rmri_node_expiry_self(n, now);
}

void rmri_node_login_expired(rmr_node *n)
{
    n->key_ended = true;
    rmri_node_expiry_self(n, n->now);
    renew(n, n->now, true);
}

/* ---- words ------------------------------------------------------------- */

/* Another URL counts as another state: the program must show it. */
void rmri_node_login_url(rmr_node *n, const char *url)
{
    rmr_node_event ev = {0};
    rmri_node_login_check(n, n->now);
    if (n->ctl_state != RMR_CTL_NEEDS_LOGIN)
        return; /* it is needed no more */
    rmr_bytes text = rmr_bytes_str(url);
    if (!rmr_bytes_eq_str(text, rmr_text_kept(n->keys.auth_url)) &&
        text.len < ND_AUTH_URL_MAX &&
        !rmr_text_keep(&n->keys.auth_url, &n->env.alloc, text))
        n->state_wanted = true; /* a restart follows the same login */
    if (n->running_told && !n->key_ended) { /* the old key still serves */
        rmri_node_trouble(n, RMR_E_CTL_NEEDS_LOGIN, url);
        return;
    }
    uint8_t hash[RMR_HASH_LEN];
    rmr_blake2s_256(hash, rmr_bytes_str(url), rmr_bytes_of(NULL, 0));
    bool same = memcmp(n->login_url, hash, sizeof hash) == 0;
    if (n->state == RMR_NODE_NEEDS_LOGIN && same)
        return;
    memcpy(n->login_url, hash, sizeof hash);
    n->state = ev.state = RMR_NODE_NEEDS_LOGIN;
    ev.kind = RMR_NODE_EV_STATE;
    ev.text = url;
    rmri_node_tell(n, &ev);
}

/* ---- the end ----------------------------------------------------------- */

rmr_err rmr_node_logout(rmr_node *n, rmr_time now)
{
    if (n->phase != ND_PHASE_UP || !n->ctl)
        return RMR_E_STATE;
    if (n->renewing)
        give_up(n);
    n->logging_out = n->dirty = true;
    n->renew_at = RMR_TIME_NEVER;
    rmr_ctl_logout(n->ctl, now);
    return RMR_OK;
}

/* The key is worth nothing now: the next start joins as at the first time. */
static void forget(rmr_node *n)
{
    if (rmr_key_generate(&n->env.rng, n->keys.node) != RMR_OK) {
        rmri_node_fail(n, n->now, RMR_E_RNG, NULL);
        return;
    }
    n->keys.registered = n->keys.has_old_node = false;
    rmr_wipe(n->keys.old_node, sizeof n->keys.old_node);
    forget_url(n);
    (void)rmr_text_keep(&n->keys.login, &n->env.alloc, rmr_bytes_str(""));
    rmri_node_set_state(n, RMR_NODE_NEEDS_LOGIN, "");
    rmr_node_stop(n, n->now); /* stores it */
}

void rmri_node_login_out(rmr_node *n, rmr_err err, const char *text)
{
    n->logging_out = false;
    rmri_node_local_logged_out(n, err, text);
    if (err == RMR_OK) {
        forget(n);
        return;
    }
    rmri_node_trouble(n, err, text);
    rmr_ctl_retry(n->ctl, n->now); /* still who it was */
}
