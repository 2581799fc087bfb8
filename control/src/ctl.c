/* The TS2021 client: configuration, attempts and their back-off, and the pumps.
 *
 * Whatever goes wrong inside a pump is only noted (rmri_ctl_die) and acted upon
 * when the pump ends (settle), so that no parser is freed under its own
 * callback. */
#include "ctl_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- life ------------------------------------------------------------- */

void rmr_ctl_config_init(rmr_ctl_config *cfg, size_t struct_size)
{
    memset(cfg, 0, struct_size);
    if (struct_size >= sizeof cfg->struct_size)
        cfg->struct_size = (uint32_t)struct_size;
}

static void wiping_release(void *user, void *ptr, size_t size)
{
    rmr_ctl *c = (rmr_ctl *)user;
    if (ptr)
        rmr_wipe(ptr, size);
    c->env.alloc.release(c->env.alloc.user, ptr, size);
}

static void *plain_alloc(void *user, size_t size, size_t align)
{
    rmr_ctl *c = (rmr_ctl *)user;
    return c->env.alloc.alloc(c->env.alloc.user, size, align);
}

static rmr_err keep(rmr_ctl *c, char **dst, size_t cap, const char *src,
                    const char *none)
{
    rmr_bytes text = rmr_bytes_str(src ? src : none);
    return text.len < cap ? rmr_text_keep(dst, &c->env.alloc, text)
                          : RMR_E_INVAL;
}

/* "https://host:port/base/": what stands before /key and /machine. */
static rmr_err set_url(rmr_ctl *c, const char *url)
{
    rmr_url u;
    char authority[272];
    if (!url || rmr_url_parse(rmr_bytes_str(url), &u))
        return RMR_E_INVAL;
    size_t n = strlen(u.path);
    if (rmri_ctl_has_byte(rmr_bytes_of(u.path, n), '?'))
        return RMR_E_INVAL;
    while (n && u.path[n - 1] == '/')
        n--;
    if (n > 400)
        return RMR_E_INVAL;
    u.path[n] = '\0';
    c->https = u.https;
    c->port = u.port;
    (void)rmr_url_authority(&u, authority);
    rmr_err e = keep(c, &c->base, sizeof u.path, u.path, "");
    if (!e)
        e = keep(c, &c->host, sizeof u.host, u.host, "");
    if (!e)
        e = keep(c, &c->authority, sizeof authority, authority, "");
    return e;
}

/* The wrapped form "<key>--TL<...>" is for tailnet lock: its first part alone
 * would join unsigned. */
static rmr_err set_auth_key(rmr_ctl *c, const char *key)
{
    if (!key || !key[0])
        return RMR_OK;
    size_t n = strlen(key);
    if (n > 1024 || rmri_ctl_contains(rmr_bytes_of(key, n), "--TL"))
        return RMR_E_INVAL;
    c->auth_key = rmr_alloc_zero(&c->env.alloc, n + 1, 1);
    if (!c->auth_key)
        return RMR_E_NOMEM;
    c->auth_key_size = n + 1;
    memcpy(c->auth_key, key, n);
    return RMR_OK;
}

/* "tag:a", "tag:b" -> "tag:a\0tag:b\0\0" */
static rmr_err set_tags(rmr_ctl *c, const rmr_ctl_config *cfg)
{
    size_t size = 1, at = 0;
    if (cfg->n_tags && !cfg->tags)
        return RMR_E_INVAL;
    for (size_t i = 0; i < cfg->n_tags; i++) {
        const char *tag = cfg->tags[i];
        size_t n = tag ? strlen(tag) : 0;
        if (n < 5 || memcmp(tag, "tag:", 4) != 0 || n + 1 > CTL_TAGS - size)
            return RMR_E_INVAL;
        size += n + 1;
    }
    if (cfg->n_tags == 0)
        return RMR_OK;
    c->tags = rmr_alloc_zero(&c->env.alloc, size, 1);
    if (!c->tags)
        return RMR_E_NOMEM;
    c->tags_size = size;
    for (size_t i = 0; i < cfg->n_tags; i++) {
        size_t n = strlen(cfg->tags[i]) + 1;
        memcpy(c->tags + at, cfg->tags[i], n);
        at += n;
    }
    return RMR_OK;
}

static bool is_zero(const uint8_t key[RMR_KEY_LEN])
{
    static const uint8_t zero[RMR_KEY_LEN] = {0};
    return rmr_equal_ct(key, zero, sizeof zero);
}

const char *rmri_ctl_auth_url(const rmr_ctl *c)
{
    return c->auth_url ? c->auth_url : "";
}

rmr_err rmri_ctl_set_auth_url(rmr_ctl *c, const char *url)
{
    if (!c->auth_url)
        c->auth_url = rmr_alloc_zero(&c->env.alloc, CTL_URL_MAX, 1);
    if (!c->auth_url)
        return RMR_E_NOMEM;
    size_t n = strlen(url);
    if (n >= CTL_URL_MAX)
        return RMR_E_TOOBIG;
    memcpy(c->auth_url, url, n + 1);
    return RMR_OK;
}

static void free_auth_url(rmr_ctl *c)
{
    rmr_release_wiped(&c->env.alloc, c->auth_url, CTL_URL_MAX);
    c->auth_url = NULL;
}

void rmri_ctl_clear_auth_url(rmr_ctl *c)
{
    if (c->auth_url)
        c->auth_url[0] = '\0';
}

/* As it was when the program ended. */
static rmr_err resume(rmr_ctl *c, const rmr_ctl_config *cfg)
{
    rmr_url url;
    if (!is_zero(cfg->next_node_public)) {
        memcpy(c->map_key, cfg->node_public, RMR_KEY_LEN);
        memcpy(c->old_node_key, cfg->node_public, RMR_KEY_LEN);
        memcpy(c->node_key, cfg->next_node_public, RMR_KEY_LEN);
        c->has_map_key = c->key_is_new = true;
    }
    if (cfg->auth_url && !c->auth_key &&
        rmr_url_parse(rmr_bytes_str(cfg->auth_url), &url) == RMR_OK) {
        rmr_err e = rmri_ctl_set_auth_url(c, cfg->auth_url);
        if (e == RMR_E_NOMEM)
            return e;
        c->login_is_old = e == RMR_OK;
    }
    return RMR_OK;
}

static rmr_err set_config(rmr_ctl *c, const rmr_ctl_config *cfg)
{
    rmr_err e = set_url(c, cfg->url);
    if (!e)
        e = set_auth_key(c, cfg->auth_key);
    if (!e)
        e = set_tags(c, cfg);
    if (!e)
        e = keep(c, &c->hostname, NM_TEXT_MAX, cfg->hostname, "");
    if (!e)
        e = keep(c, &c->os, 64, cfg->os, "linux");
    if (!e)
        e = keep(c, &c->os_version, 64, cfg->os_version, "");
    if (!e)
        e = keep(c, &c->product, 64, cfg->product, "remora");
    if (e)
        return e;
    if (is_zero(cfg->machine_key) || is_zero(cfg->node_public))
        return RMR_E_INVAL;
    c->ephemeral = cfg->ephemeral;
    c->keep_auth_key = cfg->keep_auth_key;
    c->accept_key = cfg->accept_control_key;
    c->compress = !cfg->no_compression;
    c->by_ws = c->ws_worked = cfg->websocket_first;
    rmri_ctl_net_init(&c->net);
    memcpy(c->machine_key, cfg->machine_key, RMR_KEY_LEN);
    memcpy(c->node_key, cfg->node_public, RMR_KEY_LEN);
    memcpy(c->old_node_key, cfg->old_node_public, RMR_KEY_LEN);
    memcpy(c->disco_key, cfg->disco_public, RMR_KEY_LEN);
    memcpy(c->server_key, cfg->server_key, RMR_KEY_LEN);
    c->has_server_key = !is_zero(cfg->server_key);
    c->is_pinned = c->has_server_key;
    c->fetch_key = !c->has_server_key;
    c->wall_ns = cfg->wall_unix_ns;
    c->nm = cfg->netmap;
    e = resume(c, cfg);
    if (e)
        return e;
    c->is_held = cfg->hold;
    c->h2_frame = cfg->h2_frame;
    c->decoder = cfg->decoder;
    if (cfg->callbacks) {
        size_t n = cfg->callbacks->struct_size;
        memcpy(&c->cb, cfg->callbacks, n < sizeof c->cb ? n : sizeof c->cb);
    }
    return rmr_ctl_set_routes(c, c->now, cfg->routes, cfg->n_routes,
                              cfg->exit_node_id);
}

rmr_err rmr_ctl_new(rmr_ctl **out, const rmr_env *env,
                    const rmr_ctl_config *cfg, rmr_time now)
{
    rmr_ctl_config full;
    if (!out || !env || !cfg || cfg->struct_size < sizeof cfg->struct_size)
        return RMR_E_INVAL;
    rmr_ctl_config_init(&full, sizeof full);
    memcpy(&full, cfg,
           cfg->struct_size < sizeof full ? cfg->struct_size : sizeof full);
    if (!full.netmap)
        return RMR_E_INVAL;
    rmr_ctl *c = rmr_alloc_zero(&env->alloc, sizeof *c, _Alignof(rmr_ctl));
    if (!c) {
        rmr_wipe(&full, sizeof full);
        return RMR_E_NOMEM;
    }
    c->env = *env;
    c->wiping.alloc = plain_alloc;
    c->wiping.release = wiping_release;
    c->wiping.user = c;
    c->now = c->wall_at = now;
    c->phase = PH_WANT;
    c->need_register = true;
    c->update_due = true;
    c->map_since = RMR_TIME_NEVER;
    rmr_err e = set_config(c, &full);
    rmr_wipe(&full, sizeof full);
    if (e) {
        rmr_ctl_free(c);
        return e;
    }
    rmri_nm_set_ping(c->nm, rmri_ctl_ping, c);
    *out = c;
    return RMR_OK;
}

void rmri_ctl_forget_auth_key(rmr_ctl *c)
{
    rmr_release_wiped(&c->env.alloc, c->auth_key, c->auth_key_size);
    c->auth_key = NULL;
    c->auth_key_size = 0;
}

static void free_texts(rmr_ctl *c)
{
    char **all[] = {&c->text,       &c->form_text, &c->held_text, &c->host,
                    &c->authority,  &c->base,      &c->hostname,  &c->os,
                    &c->os_version, &c->product};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        rmri_ctl_say(c, all[i], "");
}

void rmr_ctl_free(rmr_ctl *c)
{
    if (!c)
        return;
    if (c->nm)
        rmri_nm_set_ping(c->nm, NULL, NULL);
    rmri_ctl_conn_drop(c);
    rmri_ctl_forget_auth_key(c);
    rmri_ctl_net_free(&c->net, &c->env.alloc);
    rmri_ctl_ping_free(c);
    rmr_alloc a = c->env.alloc;
    rmr_release(&a, c->tags, c->tags_size);
    rmr_release(&a, c->routes, c->n_routes * sizeof *c->routes);
    free_auth_url(c);
    rmr_release(&a, c->plan, sizeof *c->plan);
    free_texts(c);
    rmr_release_wiped(&a, c, sizeof *c);
}

/* ---- helpers ---------------------------------------------------------- */

void rmri_ctl_emit(rmr_ctl *c, rmr_ctl_state state, rmr_err err,
                   const char *text)
{
    if (c->cb.on_state)
        c->cb.on_state(c->cb.user, state, err, text);
}

void rmri_ctl_say(rmr_ctl *c, char **slot, const char *text)
{
    if (rmr_text_keep(slot, &c->env.alloc, rmr_bytes_str(text)))
        (void)rmr_text_keep(slot, &c->env.alloc, rmr_bytes_str(""));
}

void rmri_ctl_die(rmr_ctl *c, rmr_err err, const char *fmt, ...)
{
    va_list ap;
    char text[CTL_TEXT];
    if (c->dying)
        return;
    c->dying = err;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    rmri_ctl_say(c, &c->text, text);
}

uint64_t rmri_ctl_wall(const rmr_ctl *c)
{
    if (c->wall_ns == 0)
        return 0;
    return rmr_time_add(c->wall_ns, rmr_time_since(c->now, c->wall_at));
}

rmr_err rmri_ctl_backoff(rmr_ctl *c, uint32_t n, rmr_dur *out)
{
    uint32_t draw;
    rmr_err e = rmr_rng_fill(&c->env.rng, &draw, sizeof draw);
    if (e)
        return e;
    rmr_dur d = CTL_BACKOFF_MAX;
    if (n < 55) /* 55 squared times 10 ms is above the bound */
        d = (rmr_dur)n * n * CTL_BACKOFF_UNIT;
    d = d < CTL_BACKOFF_MAX ? d : CTL_BACKOFF_MAX;
    /* 0.5 to 1.5 of it */
    *out = d / 2 + (rmr_dur)((double)d * ((double)draw / 4294967296.0));
    return RMR_OK;
}

rmr_err rmri_ctl_failed(rmr_ctl *c, ctl_loop loop, rmr_dur *wait)
{
    if (c->failures[loop] < UINT32_MAX)
        c->failures[loop]++;
    c->stats.failures++;
    return rmri_ctl_backoff(c, c->failures[loop], wait);
}

/* How many bytes of the key stand at the beginning of this text. */
static size_t key_at(const rmr_ctl *c, const char *text)
{
    size_t n = 0;
    while (c->auth_key && c->auth_key[n] && c->auth_key[n] == text[n])
        n++;
    return n;
}

void rmri_ctl_server_words(const rmr_ctl *c, char *dst, size_t cap,
                           rmr_bytes text)
{
    static const char mask[] = "[auth key]";
    enum {
        PART = 12
    }; /* more than the part that all keys share; a text that
          was cut off ends within the key */
    char clean[CTL_TEXT];
    size_t n = 0;
    rmri_ctl_copy_clean(clean, sizeof clean, text);
    for (size_t i = 0; clean[i] && n + sizeof mask < cap;) {
        size_t k = key_at(c, clean + i);
        if (k >= PART || (k && k + 1 == c->auth_key_size)) {
            memcpy(dst + n, mask, sizeof mask - 1);
            n += sizeof mask - 1;
            i += k;
        } else {
            dst[n++] = clean[i++];
        }
    }
    dst[n] = '\0';
}

/* ---- attempts --------------------------------------------------------- */

/* Codes that need the user; all else is tried again. */
static bool is_final(rmr_err e)
{
    return (e <= RMR_E_CTL_REFUSED && e >= RMR_E_CTL_KEY_EXPIRED) ||
           e == RMR_E_RNG;
}

static void log_failure(const rmr_ctl *c, rmr_err err, const char *text)
{
    rmr_logf(&c->env.log, RMR_LOG_WARN, "control", "%s%s%s",
             rmr_ctl_err_text(err), text[0] ? ": " : "", text);
}

/* Whose failure is it?  A connection that ends behind the handshake is one of
 * what it was used for. */
static ctl_loop failing(const rmr_ctl *c)
{
    if (c->phase < PH_EARLY)
        return LOOP_DIAL;
    return c->need_register && !c->map_open ? LOOP_REGISTER : LOOP_MAP;
}

/* An address of the dial plan that leads nowhere leaves the name. */
static bool falls_back(rmr_ctl *c)
{
    if (!c->by_plan || c->phase >= PH_EARLY || is_final(c->dying))
        return false;
    rmr_logf(&c->env.log, RMR_LOG_INFO, "control",
             "no address of the server's dial plan works (%s): going by name",
             c->text ? c->text : rmr_err_name(c->dying));
    c->by_plan = false;
    c->plan_tried = true;
    c->dying = RMR_OK;
    rmri_ctl_say(c, &c->text, "");
    return true;
}

/* Ends the attempt or the connection; says so, and plans the next. */
static void fail(rmr_ctl *c, rmr_err err)
{
    char text[CTL_TEXT];
    rmr_dur wait = 0;
    ctl_loop loop = failing(c);
    (void)snprintf(text, sizeof text, "%s", rmr_text_kept(c->text));
    rmri_ctl_say(c, &c->text, "");
    rmri_ctl_say(c, &c->form_text, "");
    rmri_ctl_say(c, &c->held_text, "");
    c->dying = RMR_OK;
    if (c->map_since != RMR_TIME_NEVER &&
        rmr_time_since(c->now, c->map_since) >= CTL_STEADY)
        c->failures[LOOP_MAP] = 0;
    rmri_ctl_conn_drop(c);
    c->key_is_fresh = c->other_tried = c->plan_tried = false;
    c->by_ws = c->ws_worked;
    c->held_err = RMR_OK;
    rmr_err e = rmri_ctl_failed(c, loop, &wait);
    if (e && !is_final(err))
        err = RMR_E_RNG;
    log_failure(c, err, text);
    if (is_final(err)) {
        c->phase = PH_FAILED;
        rmri_ctl_emit(c, RMR_CTL_FAILED, err, text);
        return;
    }
    c->phase = PH_IDLE;
    c->retry_at = rmr_time_add(c->now, wait);
    rmri_ctl_emit(c, RMR_CTL_DOWN, err, text);
}

static void log_out(rmr_ctl *c)
{
    c->logging_out = c->logged_out = c->registered = c->has_map_key = false;
    c->need_register = true; /* should it join again */
    rmri_ctl_conn_drop(c);
    c->phase = PH_FAILED;
    rmri_ctl_emit(c, RMR_CTL_LOGGED_OUT, c->logout_err, rmr_text_kept(c->text));
    rmri_ctl_say(c, &c->text, "");
}

/* The end of a pump: what was noted in it happens now. */
static rmr_err settle(rmr_ctl *c, rmr_err e)
{
    if (c->logged_out) {
        c->dying = RMR_OK;
        log_out(c);
    } else if (c->dying && falls_back(c)) {
        e = RMR_OK;
        c->redial = true;
    } else if (c->dying) {
        e = c->dying;
        fail(c, e);
    }
    if (c->redial && !c->logged_out && c->phase != PH_FAILED &&
        c->phase != PH_IDLE) {
        rmri_ctl_conn_drop(c);
        c->phase = PH_WANT;
    }
    if (c->auth_url && !c->auth_url[0])
        free_auth_url(c);
    c->redial = false;
    c->busy = false;
    return e;
}

static rmr_err enter(rmr_ctl *c, rmr_time now)
{
    if (c->busy)
        return RMR_E_REENTRANT;
    c->busy = true;
    c->now = now > c->now ? now : c->now;
    return RMR_OK;
}

/* The wait is over? */
static void wake(rmr_ctl *c)
{
    if (c->phase == PH_IDLE && c->now >= c->retry_at)
        c->phase = PH_WANT;
}

/* The longest of the plan's ways and five seconds, within reason. */
static rmr_dur plan_timeout(const rmr_dial_plan *plan)
{
    rmr_dur longest = 0;
    for (size_t i = 0; i < plan->n; i++) {
        rmr_dur d = plan->tries[i].delay + plan->tries[i].timeout;
        longest = d > longest ? d : longest;
    }
    longest += 5 * RMR_SEC;
    return longest < 60 * RMR_SEC ? longest : 60 * RMR_SEC;
}

static void use_plan(rmr_ctl *c, rmr_dial *out)
{
    const rmr_dial_plan *told = rmri_nm_plan(c->nm);
    c->by_plan = told && !c->plan_tried;
    if (!c->by_plan)
        return;
    if (!c->plan)
        c->plan = rmr_alloc_raw(&c->env.alloc, sizeof *c->plan,
                                _Alignof(rmr_dial_plan));
    c->by_plan = c->plan != NULL;
    if (!c->by_plan)
        return; /* by name then */
    *c->plan = *told;
    for (size_t i = 0; i < c->plan->n; i++)
        c->plan->tries[i].addr.port = c->port;
    out->plan = c->plan;
    out->timeout = plan_timeout(c->plan);
}

bool rmr_ctl_wants_stream(rmr_ctl *c, rmr_time now, rmr_dial *out)
{
    if (c->busy)
        return false;
    c->now = now > c->now ? now : c->now;
    wake(c);
    if (c->phase != PH_WANT || c->want_close)
        return false;
    memset(out, 0, sizeof *out);
    (void)snprintf(out->host, sizeof out->host, "%s", rmr_text_kept(c->host));
    out->port = c->port;
    out->tls = c->https;
    out->timeout = CTL_SETUP_TIMEOUT;
    if (rmr_addr_parse_ip(rmr_bytes_str(out->host), &out->addrs[0]) == RMR_OK) {
        out->addrs[0].port = c->port;
        out->n_addrs = 1;
    }
    use_plan(c, out);
    c->phase = PH_DIALING;
    c->stats.connects++;
    c->busy = true;
    rmri_ctl_emit(c, RMR_CTL_CONNECTING, RMR_OK, "");
    c->busy = false;
    return true;
}

rmr_err rmr_ctl_stream_opened(rmr_ctl *c, rmr_time now)
{
    rmr_err e = enter(c, now);
    if (e)
        return e;
    if (c->phase != PH_DIALING) {
        c->busy = false;
        return RMR_E_STATE;
    }
    c->has_stream = true;
    c->setup_deadline = rmr_time_add(c->now, CTL_SETUP_TIMEOUT);
    rmri_ctl_conn_opened(c);
    return settle(c, RMR_OK);
}

void rmr_ctl_stream_closed(rmr_ctl *c, rmr_time now, rmr_err why,
                           const char *text)
{
    if (enter(c, now))
        return;
    bool dialing = c->phase == PH_DIALING;
    if (!dialing && !c->has_stream) { /* the one that we gave up */
        c->want_close = false;
        c->busy = false;
        return;
    }
    c->has_stream = false;
    if (dialing)
        rmri_ctl_die(c, why ? why : RMR_E_CLOSED, "%s", text ? text : "");
    else
        rmri_ctl_conn_eof(c, why, text ? text : "");
    (void)settle(c, RMR_OK);
}

bool rmr_ctl_wants_close(rmr_ctl *c)
{
    bool want = c->want_close;
    c->want_close = false;
    return want;
}

/* ---- pumps ------------------------------------------------------------ */

rmr_err rmr_ctl_read(rmr_ctl *c, rmr_time now, rmr_buf in)
{
    rmr_err e = enter(c, now);
    if (e)
        return e;
    if (!c->has_stream) {
        c->busy = false;
        return RMR_E_CLOSED;
    }
    c->stats.rx_bytes += in.len;
    rmri_ctl_conn_read(c, in);
    rmri_ctl_h2_kick(c);
    return settle(c, RMR_OK);
}

rmr_err rmri_ctl_work_new(rmr_ctl *c)
{
    if (!c->work)
        c->work =
            rmr_alloc_raw(&c->env.alloc, sizeof *c->work, _Alignof(ctl_work));
    return c->work ? RMR_OK : RMR_E_NOMEM;
}

void rmri_ctl_work_free(rmr_ctl *c)
{
    rmr_release_wiped(&c->env.alloc, c->work, sizeof *c->work);
    c->work = NULL;
    c->hello_len = 0;
}

rmr_err rmri_ctl_out_new(rmr_ctl *c)
{
    c->out_len = c->out_pos = 0;
    if (!c->out)
        c->out = rmr_alloc_raw(&c->env.alloc, RMR_TS_FRAME_MAX, 1);
    return c->out ? RMR_OK : RMR_E_NOMEM;
}

void rmri_ctl_out_free(rmr_ctl *c) /* it may be plain text of ours */
{
    rmr_release_wiped(&c->env.alloc, c->out, RMR_TS_FRAME_MAX);
    c->out = NULL;
    c->out_len = c->out_pos = 0;
}

/* What stands in c->out, as much as fits. */
static void copy_out(rmr_ctl *c, rmr_buf dst, size_t *len)
{
    size_t n = c->out_len - c->out_pos, room = dst.len - *len;
    n = n < room ? n : room;
    if (n)
        memcpy(dst.ptr + *len, c->out + c->out_pos, n);
    *len += n;
    c->out_pos += n;
    if (c->out_pos == c->out_len)
        rmri_ctl_out_free(c);
}

rmr_err rmri_ctl_write_plain(rmr_ctl *c, rmr_buf dst, size_t *len)
{
    copy_out(c, dst, len);
    if ((c->phase == PH_EARLY || c->phase == PH_HTTP2) && !c->dying)
        return rmri_ctl_noise_write(c, dst, len);
    return RMR_OK;
}

rmr_err rmr_ctl_write(rmr_ctl *c, rmr_time now, rmr_buf dst, size_t *len)
{
    *len = 0;
    rmr_err e = enter(c, now);
    if (e)
        return e;
    if (!c->has_stream) {
        c->busy = false;
        return RMR_OK;
    }
    rmri_ctl_h2_kick(c);
    e = c->ws ? rmri_ctl_ws_write(c, dst, len)
              : rmri_ctl_write_plain(c, dst, len);
    if (e) {
        rmri_ctl_die(c, e, "%s", "");
        *len = 0; /* what was ready goes with its stream */
    }
    c->stats.tx_bytes += *len;
    e = settle(c, e);
    return e || c->has_stream ? e : RMR_E_CLOSED; /* it goes on by name */
}

rmr_time rmr_ctl_next_deadline(const rmr_ctl *c)
{
    switch (c->phase) {
    case PH_IDLE:
        return c->retry_at;
    case PH_KEY:
    case PH_UPGRADE:
    case PH_NOISE:
        return c->setup_deadline;
    case PH_EARLY:
    case PH_HTTP2:
        return rmri_ctl_h2_deadline(c);
    default:
        return RMR_TIME_NEVER;
    }
}

/* Some servers do not even close when they can't open our message. */
static void setup_timed_out(rmr_ctl *c)
{
    if (c->phase == PH_NOISE)
        rmri_ctl_handshake_failed(c, "no answer to the handshake for 10 s");
    else
        rmri_ctl_die(c, RMR_E_CTL_SILENT, "no answer to %s for 10 s",
                     c->phase == PH_KEY       ? "the request for its key"
                     : c->phase == PH_UPGRADE ? "the protocol upgrade"
                                              : "the handshake");
}

rmr_err rmr_ctl_handle_deadline(rmr_ctl *c, rmr_time now)
{
    rmr_err e = enter(c, now);
    if (e)
        return e;
    wake(c);
    if (c->phase >= PH_KEY && c->phase <= PH_EARLY &&
        c->now >= c->setup_deadline)
        setup_timed_out(c);
    if (c->phase == PH_EARLY || c->phase == PH_HTTP2)
        rmri_ctl_h2_handle_deadline(c);
    rmri_ctl_h2_kick(c);
    (void)settle(c, RMR_OK);
    return RMR_OK;
}

/* ---- submit ----------------------------------------------------------- */

void rmr_ctl_set_wall(rmr_ctl *c, rmr_time now, uint64_t unix_ns)
{
    c->now = now > c->now ? now : c->now;
    c->wall_ns = unix_ns;
    c->wall_at = c->now;
}

/* Forgets the registration that runs, and the login that it waited for. */
static void register_anew(rmr_ctl *c)
{
    c->need_register = true;
    c->register_at = 0;
    rmri_ctl_clear_auth_url(c);
    c->login_is_old = false;
    c->same_url = 0;
    if (c->req[REQ_REGISTER].stream)
        rmri_ctl_h2_cancel(c, REQ_REGISTER);
}

rmr_err rmr_ctl_set_node_key(rmr_ctl *c, rmr_time now,
                             const uint8_t node_public[RMR_KEY_LEN],
                             const uint8_t old_public[RMR_KEY_LEN])
{
    if (is_zero(node_public))
        return RMR_E_INVAL;
    memcpy(c->node_key, node_public, RMR_KEY_LEN);
    memcpy(c->old_node_key, old_public, RMR_KEY_LEN);
    c->key_is_new = true;
    c->logging_out = false;
    register_anew(c);
    if (c->phase == PH_FAILED)
        rmr_ctl_retry(c, now);
    return RMR_OK;
}

rmr_err rmr_ctl_keep_node_key(rmr_ctl *c)
{
    if (!c->key_is_new || !c->has_map_key)
        return RMR_E_STATE;
    register_anew(c);
    memcpy(c->node_key, c->map_key, RMR_KEY_LEN);
    memset(c->old_node_key, 0, RMR_KEY_LEN);
    c->key_is_new = c->need_register = false;
    c->registered = true;
    return RMR_OK;
}

void rmr_ctl_release(rmr_ctl *c)
{
    c->is_held = false;
}

void rmr_ctl_logout(rmr_ctl *c, rmr_time now)
{
    (void)rmr_ctl_keep_node_key(c);
    register_anew(c);
    c->logging_out = true;
    rmr_ctl_retry(c, now);
}

void rmr_ctl_retry(rmr_ctl *c, rmr_time now)
{
    c->now = now > c->now ? now : c->now;
    if (c->phase != PH_FAILED && c->phase != PH_IDLE)
        return;
    c->phase = PH_WANT;
    memset(c->failures, 0, sizeof c->failures);
    c->plan_tried = false;
}

void rmr_ctl_get_stats(const rmr_ctl *c, rmr_ctl_stats *out)
{
    *out = c->stats;
}
