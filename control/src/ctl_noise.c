/* The Noise handshake and the records behind it (controlbase). */
#include "ctl_internal.h"

#include <remora/cursor.h>
#include <remora/text.h>

#include <stdio.h>
#include <string.h>

/* ---- message 1 -------------------------------------------------------- */

static rmr_err write_hello(rmr_ctl *c, const uint8_t e_priv[RMR_KEY_LEN],
                           uint8_t hello[RMR_TS_INIT_LEN])
{
    char prologue[64];
    size_t len = 0;
    (void)snprintf(prologue, sizeof prologue, "Tailscale Control Protocol v%d",
                   RMR_CTL_CAPABILITY);
    const rmr_noise_config cfg = {
        .pattern = RMR_NOISE_IK,
        .initiator = true,
        .prologue = rmr_bytes_str(prologue),
        .local_private = c->machine_key,
        .remote_public = c->server_key,
    };
    rmr_err e = rmr_noise_init(&c->work->noise, &cfg);
    if (e)
        return e;
    rmr_store_be16(hello, RMR_CTL_CAPABILITY);
    hello[2] = RMR_TS_INITIATION;
    rmr_store_be16(hello + 3, RMR_NOISE_MSG1_LEN);
    return rmr_noise_write_1(&c->work->noise, e_priv, rmr_bytes_of(NULL, 0),
                             rmr_buf_of(hello + 5, RMR_NOISE_MSG1_LEN), &len);
}

rmr_err rmri_ctl_noise_begin(rmr_ctl *c,
                             char b64[RMR_BASE64_LEN(RMR_TS_INIT_LEN) + 1])
{
    uint8_t e_priv[RMR_KEY_LEN], hello[RMR_TS_INIT_LEN];
    rmr_err e = rmr_key_generate(&c->env.rng, e_priv);
    b64[0] = '\0';
    if (!e)
        e = write_hello(c, e_priv, hello);
    if (!e)
        (void)rmr_base64(b64, hello, sizeof hello);
    rmr_wipe(e_priv, sizeof e_priv);
    return e;
}

/* ---- message 2 -------------------------------------------------------- */

/* A server does not say why (it closes without a byte), so the
 * first suspicion is its key: it is fetched again, once, and where it is
 * another the handshake is tried with that. */
void rmri_ctl_handshake_failed(rmr_ctl *c, const char *text)
{
    if (c->key_is_fresh) {
        rmri_ctl_die(c, RMR_E_CTL_HANDSHAKE, "%s", text);
        return;
    }
    rmr_logf(&c->env.log, RMR_LOG_INFO, "control",
             "%s: looking whether the server's key has changed", text);
    c->held_err = RMR_E_CTL_HANDSHAKE;
    rmri_ctl_say(c, &c->held_text, text);
    c->fetch_key = true;
    c->redial = true;
}

static void open_session(rmr_ctl *c)
{
    uint8_t send[RMR_KEY_LEN], recv[RMR_KEY_LEN];
    uint8_t none[1];
    size_t len = 0;
    rmr_err e = rmr_noise_read_2(
        &c->work->noise,
        rmr_bytes_of(c->work->hello + RMR_TS_HEAD, RMR_NOISE_MSG2_LEN),
        rmr_buf_of(none, 0), &len);
    if (e) {
        rmri_ctl_handshake_failed(
            c, "the server's answer is not sealed with its key");
        return;
    }
    e = rmr_noise_split(&c->work->noise, send, recv);
    if (!e)
        rmr_ts_record_init(&c->record, &c->env.alloc, send, recv);
    rmr_wipe(send, sizeof send);
    rmr_wipe(recv, sizeof recv);
    rmri_ctl_work_free(c);
    if (!e)
        e = rmri_ctl_h2_begin(c);
    if (e) {
        rmri_ctl_die(c, e, "%s", "");
        return;
    }
    c->early_len = 0;
    c->phase = PH_EARLY;
    c->is_pinned = true;
    c->other_tried = c->plan_tried = false;
    rmri_ctl_say(c, &c->form_text, "");
    rmri_ctl_say(c, &c->held_text, "");
    c->failures[LOOP_DIAL] = 0;
    if (c->ws_worked != c->by_ws && c->cb.on_upgrade_form)
        c->cb.on_upgrade_form(c->cb.user, c->by_ws);
    c->ws_worked = c->by_ws;
    if (c->key_untold && c->cb.on_server_key)
        c->cb.on_server_key(c->cb.user, c->server_key);
    c->key_untold = false;
}

/* The frame that answers message 1 is whole. */
static void read_hello(rmr_ctl *c)
{
    char words[200], text[256];
    if (c->work->hello[0] == RMR_TS_RESPONSE) {
        open_session(c);
        return;
    }
    rmri_ctl_server_words(
        c, words, sizeof words,
        rmr_bytes_of(c->work->hello + RMR_TS_HEAD, c->hello_len - RMR_TS_HEAD));
    (void)snprintf(text, sizeof text, "the server says (unauthenticated): %s",
                   words);
    rmri_ctl_handshake_failed(c, text);
}

/* The length of the whole frame; 0: not known, or not sound (died). */
static size_t hello_want(rmr_ctl *c)
{
    if (c->hello_len < 1)
        return 0;
    if (c->work->hello[0] != RMR_TS_RESPONSE &&
        c->work->hello[0] != RMR_TS_ERROR) {
        rmri_ctl_die(c, RMR_E_CTL_REWRITTEN, "got byte 0x%02x",
                     c->work->hello[0]);
        return 0;
    }
    if (c->hello_len < RMR_TS_HEAD)
        return 0;
    size_t n = RMR_TS_HEAD + (size_t)rmr_load_be16(c->work->hello + 1);
    bool good = c->work->hello[0] == RMR_TS_RESPONSE
                    ? n == RMR_TS_RESP_LEN
                    : n <= sizeof c->work->hello;
    if (good)
        return n;
    rmri_ctl_die(c, RMR_E_CTL_REWRITTEN, "a handshake frame of %lu bytes",
                 (unsigned long)n);
    return 0;
}

static void hello_bytes(rmr_ctl *c, rmr_buf *in)
{
    while (c->phase == PH_NOISE && !c->dying && !c->redial) {
        size_t want = hello_want(c);
        if (c->dying)
            return;
        if (want && c->hello_len == want) {
            read_hello(c);
            return;
        }
        if (in->len == 0)
            return;
        c->work->hello[c->hello_len++] = *in->ptr++;
        in->len--;
    }
}

/* ---- records ---------------------------------------------------------- */

static rmr_err give_h2(rmr_ctl *c, rmr_bytes data)
{
    rmr_err e = data.len ? rmr_h2_read(c->h2, data) : RMR_OK;
    if (e && !c->dying)
        rmri_ctl_die(c, e == RMR_E_NOMEM ? e : RMR_E_CTL_ENDED, "%s",
                     e == RMR_E_NOMEM ? "" : "the server breaks HTTP/2");
    return c->dying || c->redial ? RMR_E_CLOSED : RMR_OK;
}

/* The first nine bytes: a header of HTTP/2, or the magic of an early payload,
 * which no client of this version has a use for. */
static rmr_err early_done(rmr_ctl *c)
{
    static const uint8_t magic[5] = {0xff, 0xff, 0xff, 'T', 'S'};
    c->phase = PH_HTTP2;
    if (memcmp(c->early, magic, sizeof magic) != 0)
        return give_h2(c, rmr_bytes_of(c->early, sizeof c->early));
    c->early_skip = rmr_load_be32(c->early + sizeof magic);
    if (c->early_skip <= CTL_MAX_EARLY)
        return RMR_OK;
    rmri_ctl_die(c, RMR_E_CTL_HANDSHAKE, "an early payload of %lu bytes",
                 (unsigned long)c->early_skip);
    return RMR_E_CLOSED;
}

static rmr_err on_plain(void *user, rmr_buf plain)
{
    rmr_ctl *c = (rmr_ctl *)user;
    while (plain.len && c->phase == PH_EARLY) {
        c->early[c->early_len++] = *plain.ptr++;
        plain.len--;
        if (c->early_len == sizeof c->early) {
            rmr_err e = early_done(c);
            if (e)
                return e;
        }
    }
    size_t skip = c->early_skip < plain.len ? c->early_skip : plain.len;
    c->early_skip -= (uint32_t)skip;
    return give_h2(c, rmr_bytes_of(plain.ptr + skip, plain.len - skip));
}

void rmri_ctl_noise_read(rmr_ctl *c, rmr_buf in)
{
    if (c->phase == PH_NOISE)
        hello_bytes(c, &in);
    if (in.len == 0 || c->dying || c->redial || c->phase < PH_EARLY)
        return;
    rmr_err e = rmr_ts_record_read(&c->record, in, on_plain, c);
    if (e == RMR_E_NOMEM && !c->dying && !c->redial)
        rmri_ctl_die(c, e, "%s", "");
    else if (e && !c->dying && !c->redial)
        rmri_ctl_die(c, RMR_E_CTL_REWRITTEN,
                     e == RMR_E_AUTH ? "a record was changed on its way"
                                     : "what came is not a record");
}

/* Appends records to dst[*len...).  One that may not fit goes by c->out. */
rmr_err rmri_ctl_noise_write(rmr_ctl *c, rmr_buf dst, size_t *len)
{
    while (c->out_len == 0 && dst.len > *len) {
        bool direct = dst.len - *len >= RMR_TS_FRAME_MAX;
        size_t n = 0, whole = 0;
        rmr_err e = direct ? RMR_OK : rmri_ctl_out_new(c);
        if (e)
            return e;
        uint8_t *frame = direct ? dst.ptr + *len : c->out;
        e = rmr_h2_write(c->h2,
                         rmr_buf_of(frame + RMR_TS_HEAD, RMR_TS_PLAIN_MAX), &n);
        if (e || n == 0 || c->dying) {
            rmri_ctl_out_free(c);
            return e == RMR_E_CLOSED ? RMR_OK : e;
        }
        e = rmr_ts_record_seal(&c->record, frame, n, &whole);
        if (e)
            return e;
        if (direct) {
            *len += whole;
            continue;
        }
        size_t fit = dst.len - *len < whole ? dst.len - *len : whole;
        memcpy(dst.ptr + *len, c->out, fit);
        *len += fit;
        if (fit == whole) {
            rmri_ctl_out_free(c);
            continue;
        }
        c->out_len = whole;
        c->out_pos = fit;
    }
    return RMR_OK;
}
