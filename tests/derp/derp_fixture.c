#include "derp_fixture.h"

/* ---- what the client says ---------------------------------------------- */

static void add(fixture *f, const char *fmt, ...) RMR_PRINTF(2, 3);
static void add(fixture *f, const char *fmt, ...)
{
    va_list ap;
    size_t at = strlen(f->log);
    va_start(ap, fmt);
    (void)vsnprintf(f->log + at, sizeof f->log - at, fmt, ap);
    va_end(ap);
}

/* A pump function within a callback must refuse, and change nothing. */
static void pump_is_refused(fixture *f)
{
    uint8_t b[8];
    size_t n;
    assert_int_equal(rmr_derp_read(f->d, f->now, rmr_buf_of(b, 1)),
                     RMR_E_REENTRANT);
    assert_int_equal(rmr_derp_write(f->d, f->now, rmr_buf_of(b, 8), &n),
                     RMR_E_REENTRANT);
    assert_int_equal(rmr_derp_handle_deadline(f->d, f->now), RMR_E_REENTRANT);
    assert_int_equal(rmr_derp_stream_opened(f->d, f->now), RMR_E_REENTRANT);
    rmr_derp_stream_closed(f->d, f->now, RMR_E_RESET);
}

static void on_up(void *user)
{
    fixture *f = user;
    assert_true(rmr_derp_is_up(f->d));
    pump_is_refused(f);
    add(f, "up\n");
}

static void on_down(void *user, rmr_err why)
{
    fixture *f = user;
    assert_false(rmr_derp_is_up(f->d));
    if (f->d->fatal == RMR_OK)
        pump_is_refused(f);
    add(f, "down %s\n",
        why == RMR_E_DERP_UPGRADE ? "upgrade"
        : why == RMR_E_DERP_LOGIN ? "login"
        : why == RMR_E_DERP_FRAME ? "frame"
        : why == RMR_OK           ? "idle"
                                  : rmr_err_name(why));
}

static void on_packet(void *user, const uint8_t src[RMR_KEY_LEN],
                      rmr_buf packet)
{
    fixture *f = user;
    add(f, "packet %02x %u:", src[0], (unsigned)packet.len);
    for (size_t i = 0; i < packet.len && i < 8; i++)
        add(f, "%02x", packet.ptr[i]);
    add(f, "\n");
    f->last_packet = packet.ptr;
    memset(packet.ptr, 0xee, packet.len); /* it is writable */
    pump_is_refused(f);
    if (f->in_packet)
        f->in_packet(f);
}

static void on_peer_gone(void *user, const uint8_t key[RMR_KEY_LEN],
                         uint8_t reason)
{
    add(user, "gone %02x %u\n", key[0], reason);
}

static void on_health(void *user, rmr_bytes text)
{
    add(user, "health '%.*s'\n", (int)text.len,
        text.len ? (const char *)text.ptr : "");
}

static rmr_err fill(void *user, uint8_t *dst, size_t len)
{
    fixture *f = user;
    rmr_rng r = test_rng_table(&f->rng);
    if (f->script_at + len <= f->script_len) {
        memcpy(dst, f->script + f->script_at, len);
        f->script_at += len;
        return RMR_OK;
    }
    return r.fill(r.user, dst, len);
}

/* ---- life ------------------------------------------------------------- */

void fx_prepare(fixture *f, bool always_on, size_t n_nodes)
{
    memset(f, 0, sizeof *f);
    test_rng_seed(&f->rng, 42);
    f->env = test_env(&f->mem, &f->rng, NULL);
    f->env.rng.fill = fill;
    f->env.rng.user = f;
    f->now = 5000 * RMR_SEC;
    f->vectors = tv_load("derp.json");
    for (size_t i = 0; i < n_nodes; i++) {
        (void)snprintf(f->nodes[i].dial.host, RMR_HOST_MAX, "%sderp.example",
                       i ? (const char *[]){"", "b.", "c.", "d."}[i] : "");
        (void)snprintf(f->nodes[i].name, sizeof f->nodes[i].name, "900%c",
                       (char)('a' + (int)i));
        f->nodes[i].dial.port = 443;
        f->nodes[i].dial.tls = true;
    }
    f->cb.struct_size = sizeof f->cb;
    f->cb.user = f;
    f->cb.on_up = on_up;
    f->cb.on_down = on_down;
    f->cb.on_packet = on_packet;
    f->cb.on_peer_gone = on_peer_gone;
    f->cb.on_health = on_health;
    rmr_derp_config_init(&f->cfg, sizeof f->cfg);
    fx_key(f, "clientA", "private", f->cfg.private_key);
    f->cfg.nodes = f->nodes;
    f->cfg.n_nodes = n_nodes;
    f->cfg.always_on = always_on;
    f->cfg.callbacks = &f->cb;
}

rmr_err fx_make(fixture *f)
{
    return rmr_derp_new(&f->d, &f->env, &f->cfg, f->now);
}

void fx_begin(fixture *f, bool always_on)
{
    fx_prepare(f, always_on, 1);
    assert_int_equal(fx_make(f), RMR_OK);
}

void fx_end(fixture *f)
{
    rmr_derp_free(f->d);
    f->d = NULL;
    assert_int_equal(f->mem.live_blocks, 0);
    tv_free(f->vectors);
    f->vectors = NULL;
}

/* ---- vectors ---------------------------------------------------------- */

void fx_key(fixture *f, const char *name, const char *part, uint8_t *dst)
{
    tv *k = tv_get(tv_get(f->vectors, "keys"), name);
    assert_int_equal(tv_get_hex(k, part, dst, RMR_KEY_LEN), RMR_KEY_LEN);
}

tv *fx_case(fixture *f, const char *list, const char *name)
{
    tv *l = tv_get(f->vectors, list);
    for (size_t i = 0; i < tv_len(l); i++)
        if (strcmp(tv_get_str(tv_at(l, i), "name"), name) == 0)
            return tv_at(l, i);
    fail_msg("no vector %s", name);
    return NULL;
}

size_t fx_frame(fixture *f, const char *name, uint8_t *dst, size_t cap)
{
    return tv_get_hex(fx_case(f, "frames", name), "frame", dst, cap);
}

/* ---- bytes ------------------------------------------------------------ */

rmr_err fx_feed(fixture *f, const void *data, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, data, len);
    rmr_err e = rmr_derp_read(f->d, f->now, rmr_buf_of(copy, len));
    free(copy);
    return e;
}

rmr_err fx_feed_frame(fixture *f, const char *name)
{
    uint8_t frame[512];
    return fx_feed(f, frame, fx_frame(f, name, frame, sizeof frame));
}

void fx_drain(fixture *f, size_t size)
{
    size_t n;
    f->out_len = 0;
    do {
        assert_true(f->out_len + size <= sizeof f->out);
        assert_int_equal(rmr_derp_write(f->d, f->now,
                                        rmr_buf_of(f->out + f->out_len, size),
                                        &n),
                         RMR_OK);
        assert_true(n <= size);
        f->out_len += n;
    } while (n);
}

void fx_expect_out(fixture *f, const uint8_t *want, size_t len)
{
    fx_drain(f, 2000);
    assert_int_equal(f->out_len, len);
    assert_memory_equal(f->out, want, len);
}

void fx_expect_out_frame(fixture *f, const char *name)
{
    uint8_t frame[512];
    fx_expect_out(f, frame, fx_frame(f, name, frame, sizeof frame));
}

/* ---- stages ----------------------------------------------------------- */

void fx_dial(fixture *f)
{
    rmr_dial dial;
    assert_true(rmr_derp_wants_stream(f->d, f->now, &dial));
    assert_false(rmr_derp_wants_stream(f->d, f->now, &dial));
}

void fx_open(fixture *f)
{
    fx_dial(f);
    assert_int_equal(rmr_derp_stream_opened(f->d, f->now), RMR_OK);
}

void fx_greet(fixture *f)
{
    fx_open(f);
    fx_drain(f, 2000);
    assert_int_equal(fx_feed(f, HEAD_101, strlen(HEAD_101)), RMR_OK);
    assert_int_equal(fx_feed_frame(f, "server_key"), RMR_OK);
}

void fx_up(fixture *f)
{
    fx_greet(f);
    assert_int_equal(fx_feed_frame(f, "server_info"), RMR_OK);
    assert_true(rmr_derp_is_up(f->d));
    fx_drain(f, 2000);
    fx_log(f, "up\n");
}

/* ---- looking ---------------------------------------------------------- */

void fx_log(fixture *f, const char *want)
{
    assert_string_equal(f->log, want);
    f->log[0] = '\0';
}

void fx_pass(fixture *f, rmr_dur t)
{
    f->now += t;
    assert_int_equal(rmr_derp_handle_deadline(f->d, f->now), RMR_OK);
    assert_true(rmr_derp_next_deadline(f->d) > f->now);
}

rmr_derp_stats fx_stats(fixture *f)
{
    rmr_derp_stats s;
    rmr_derp_get_stats(f->d, &s);
    return s;
}
