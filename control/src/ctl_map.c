/* POST /machine/map: the stream that fills the netmap, and lite updates. */
#include "ctl_internal.h"

#include <remora/cursor.h>
#include <remora/text.h>

#include <stdio.h>
#include <string.h>

/* ---- requests --------------------------------------------------------- */

const uint8_t *rmri_ctl_map_key(const rmr_ctl *c)
{
    return c->has_map_key ? c->map_key : c->node_key;
}

bool rmri_ctl_may_map(const rmr_ctl *c)
{
    if (c->logging_out)
        return false;
    if (c->need_register)
        return c->key_is_new && c->has_map_key && !c->map_refused;
    return c->registered;
}

static rmr_err send_map(rmr_ctl *c, ctl_kind kind)
{
    char hex[2 * RMR_KEY_LEN + 1], lb[80], path[544];
    size_t len = 0;
    ctl_request *r = &c->req[kind];
    uint8_t *body = rmr_alloc_raw(&c->env.alloc, CTL_BODY_MAX, 1);
    if (!body)
        return RMR_E_NOMEM;
    (void)snprintf(path, sizeof path, "%s/machine/map", rmr_text_kept(c->base));
    (void)snprintf(lb, sizeof lb, "nodekey:%s",
                   rmr_hex(hex, rmri_ctl_map_key(c), RMR_KEY_LEN));
    const rmr_header h = {rmr_bytes_str("ts-lb"), rmr_bytes_str(lb)};
    rmri_ctl_request_clear(c, r);
    rmr_err e = rmri_ctl_body(c, kind == REQ_MAP ? BODY_MAP : BODY_UPDATE,
                              rmr_buf_of(body, CTL_BODY_MAX), &len);
    if (!e)
        e = rmr_h2_request(c->h2, "POST", rmr_text_kept(c->authority), path, &h,
                           1, rmr_bytes_of(body, len), r, &r->stream);
    rmri_ctl_body_free(c, body, len);
    return e;
}

rmr_err rmri_ctl_map_send(rmr_ctl *c)
{
    rmr_err e = send_map(c, REQ_MAP);
    if (e)
        return e;
    c->req[REQ_MAP].deadline = rmr_time_add(c->now, CTL_WATCHDOG);
    c->stats.streams++;
    return RMR_OK;
}

rmr_err rmri_ctl_update_send(rmr_ctl *c)
{
    rmr_err e = send_map(c, REQ_UPDATE);
    if (e)
        return e;
    c->update_due = false;
    c->req[REQ_UPDATE].deadline = rmr_time_add(c->now, CTL_UPDATE_TIMEOUT);
    return RMR_OK;
}

void rmri_ctl_update_end(rmr_ctl *c, bool ok)
{
    rmr_dur wait = 0;
    if (ok) {
        c->update_failures = 0;
        c->stats.updates++;
        return;
    }
    if (c->update_failures < UINT32_MAX)
        c->update_failures++;
    if (rmri_ctl_backoff(c, c->update_failures, &wait))
        rmri_ctl_die(c, RMR_E_RNG, "%s", "");
    c->update_due = true;
    c->update_at = rmr_time_add(c->now, wait);
}

/* ---- life of a stream ------------------------------------------------- */

static void drop_frame(rmr_ctl *c)
{
    if (c->decoder)
        rmri_ctl_zstd_return(c->zstd, c->decoder);
    else
        rmri_ctl_zstd_free(c->zstd);
    c->zstd = NULL;
    c->in_frame = c->frame_begun = c->frame_raw = false;
    c->frame_head_len = 0;
    c->frame_left = 0;
}

void rmri_ctl_map_drop(rmr_ctl *c)
{
    drop_frame(c);
    rmri_ctl_sleep_drop(c);
    c->map_open = false;
    c->map_since = RMR_TIME_NEVER;
}

void rmri_ctl_map_head(rmr_ctl *c)
{
    drop_frame(c);
    c->map_open = true;
    c->map_refused = false;
    c->stats.last_frame = c->now;
    c->req[REQ_MAP].deadline = rmr_time_add(c->now, CTL_WATCHDOG);
    if (!c->need_register) /* else a login is what counts */
        rmri_ctl_emit(c, RMR_CTL_CONNECTED, RMR_OK, "");
    rmr_nm_stream_begin(c->nm);
}

/* Streams that end after the same silence each time have a proxy on their way
 * that ends quiet connections. */
void rmri_ctl_map_ended_text(rmr_ctl *c, char *dst, size_t cap)
{
    rmr_dur quiet = rmr_time_since(c->now, c->stats.last_frame);
    rmr_dur last = c->last_quiet;
    dst[0] = '\0';
    if (!c->map_open)
        return;
    c->last_quiet = quiet;
    rmr_dur apart = quiet > last ? quiet - last : last - quiet;
    if (quiet >= 2 * RMR_SEC && quiet < CTL_WATCHDOG && last &&
        apart <= RMR_SEC + quiet / 10)
        (void)snprintf(dst, cap,
                       "a proxy closes idle connections after about %lu s: "
                       "raise its read timeout above 60 s",
                       (unsigned long)((quiet + RMR_SEC / 2) / RMR_SEC));
}

/* The server does not know this node (any more): a registration without the
 * auth key tells whether the node key is still good. */
static void map_refused(rmr_ctl *c)
{
    const ctl_request *r = &c->req[REQ_MAP];
    rmr_bytes body = rmri_ctl_request_words(r);
    char words[200];
    rmri_ctl_server_words(c, words, sizeof words, body);
    if (rmri_ctl_is_version_refusal(r->status, body)) {
        rmri_ctl_die(c, RMR_E_CTL_TOO_NEW, "we have %d; %s", RMR_CTL_CAPABILITY,
                     words);
        return;
    }
    if ((r->status == 404 || r->status == 400) && c->key_is_new &&
        c->need_register) { /* the key before is dead: no more polls with it */
        c->map_refused = true;
        return;
    }
    if ((r->status == 404 || r->status == 400) && !c->map_refused) {
        rmr_logf(&c->env.log, RMR_LOG_WARN, "control",
                 "HTTP %u to the map request (%s): registering again",
                 r->status, words);
        c->map_refused = true;
        c->need_register = true;
        c->register_at = c->now;
        return;
    }
    rmri_ctl_die(c, RMR_E_CTL_HTTP, "HTTP %u to the map request%s%s", r->status,
                 words[0] ? ": " : "", words);
}

void rmri_ctl_map_end(rmr_ctl *c, rmr_err why)
{
    char text[160];
    uint16_t status = c->req[REQ_MAP].status;
    if (status != 200 && status != 0 && why == RMR_OK) {
        map_refused(c);
        return;
    }
    rmri_ctl_map_ended_text(c, text, sizeof text);
    rmri_ctl_die(c, RMR_E_CTL_ENDED, "%s", text);
}

/* ---- frames ----------------------------------------------------------- */

static rmr_err feed_json(void *user, rmr_bytes json)
{
    rmr_ctl *c = (rmr_ctl *)user;
    c->frame_out += json.len;
    if (c->frame_out > CTL_MAX_FRAME)
        return RMR_E_TOOBIG;
    rmr_err e = rmr_nm_frame_feed(c->nm, json);
    /* TOOBIG and NOMEM are the decoder's words too, with another meaning. */
    if (e)
        rmri_ctl_die(c, e == RMR_E_NOMEM ? e : RMR_E_CTL_MAP, "%s", "");
    return e;
}

/* The window is above the bound, or there is no memory for it. */
static void ask_plain(rmr_ctl *c)
{
    rmr_logf(&c->env.log, RMR_LOG_INFO, "control",
             "a compressed map needs too much memory: asking for it plain");
    c->compress = false;
    c->ask_plain = true;
    rmri_ctl_h2_cancel(c, REQ_MAP);
}

static bool begin_zstd(rmr_ctl *c)
{
    rmr_err e = c->decoder ? rmri_ctl_zstd_borrow(&c->zstd, c->decoder)
                           : rmri_ctl_zstd_new(&c->zstd, &c->env.alloc);
    if (e && c->compress)
        ask_plain(c);
    else if (e)
        rmri_ctl_die(c, e, "%s", "");
    return e == RMR_OK;
}

static void feed_zstd(rmr_ctl *c, rmr_bytes data)
{
    rmr_bytes content;
    if (!c->zstd && c->frame_left == 0 &&
        rmri_ctl_zstd_is_raw(data, &content)) {
        c->frame_raw = true;
        (void)feed_json(c, content);
        return;
    }
    if (!c->zstd && !begin_zstd(c))
        return;
    rmr_err e = rmri_ctl_zstd_feed(c->zstd, data, feed_json, c);
    if (!e || c->dying)
        return;
    bool memory = e == RMR_E_NOMEM || e == RMR_E_TOOBIG;
    if (memory && c->compress && c->frame_out <= CTL_MAX_FRAME)
        ask_plain(c);
    else
        rmri_ctl_die(c, e == RMR_E_NOMEM ? e : RMR_E_CTL_MAP,
                     "a compressed frame can't be read");
}

/* The first byte tells whether the server compressed it: no JSON object begins
 * with that of the zstd magic. */
static void begin_payload(rmr_ctl *c, uint8_t first)
{
    c->frame_begun = true;
    c->frame_out = 0;
    c->frame_plain = first != 0x28;
    rmr_nm_frame_begin(c->nm, rmri_ctl_wall(c));
}

static void first_netmap(rmr_ctl *c)
{
    if (c->map_since != RMR_TIME_NEVER)
        return;
    if (rmri_nm_frame_had_node(c->nm))
        c->map_since = c->now;
    else
        rmri_ctl_die(c, RMR_E_CTL_MAP, "the first frame has no Node");
}

static void end_frame(rmr_ctl *c)
{
    bool whole =
        c->frame_plain || c->frame_raw || rmri_ctl_zstd_is_done(c->zstd);
    drop_frame(c); /* the window goes before the netmap compiles */
    rmr_err e = whole ? rmr_nm_frame_end(c->nm) : RMR_E_MALFORMED;
    if (e) {
        rmri_ctl_die(c, e == RMR_E_NOMEM ? e : RMR_E_CTL_MAP, "%s",
                     whole ? "" : "a compressed frame is cut short");
        return;
    }
    c->stats.frames++;
    c->stats.last_frame = c->now;
    c->req[REQ_MAP].deadline = rmr_time_add(c->now, CTL_WATCHDOG);
    if (rmri_nm_frame_was_keepalive(c->nm)) {
        c->stats.keepalives++;
        return;
    }
    first_netmap(c);
    rmri_ctl_sleep_begin(c);
}

/* The length in front of a frame: little endian. */
static void head_byte(rmr_ctl *c, uint8_t b)
{
    c->frame_head[c->frame_head_len++] = b;
    if (c->frame_head_len < sizeof c->frame_head)
        return;
    c->frame_left = rmr_load_le32(c->frame_head);
    c->frame_head_len = 0;
    c->in_frame = true;
    if (c->frame_left == 0 || c->frame_left > CTL_MAX_FRAME)
        rmri_ctl_die(c, RMR_E_CTL_MAP, "a frame of %lu bytes",
                     (unsigned long)c->frame_left);
}

size_t rmri_ctl_map_body(rmr_ctl *c, rmr_bytes data)
{
    int32_t stream = c->req[REQ_MAP].stream;
    size_t all = data.len;
    while (data.len && !c->dying && c->req[REQ_MAP].stream == stream &&
           !rmri_ctl_sleeps(c)) {
        if (!c->in_frame) {
            head_byte(c, *data.ptr++);
            data.len--;
            continue;
        }
        if (!c->frame_begun) {
            begin_payload(c, *data.ptr);
            continue;
        }
        size_t n = data.len < c->frame_left ? data.len : c->frame_left;
        rmr_bytes part = rmr_bytes_of(data.ptr, n);
        data.ptr += n;
        data.len -= n;
        c->frame_left -= (uint32_t)n;
        if (c->frame_plain)
            (void)feed_json(c, part);
        else
            feed_zstd(c, part);
        if (!c->dying && c->in_frame && c->frame_left == 0)
            end_frame(c);
    }
    return all - data.len;
}
