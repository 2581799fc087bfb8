#include "srv_fixture.h"

static void add(char *text, size_t cap, const char *fmt, ...) RMR_PRINTF(3, 4);
static void add(char *text, size_t cap, const char *fmt, ...)
{
    va_list ap;
    size_t at = strlen(text);
    va_start(ap, fmt);
    int n = vsnprintf(text + at, cap - at, fmt, ap);
    va_end(ap);
    assert_true(n >= 0 && (size_t)n < cap - at);
}

static void name_of(const srv *s, const uint8_t *key, char name[8])
{
    (void)snprintf(name, 8, "?%02x", key[0]);
    for (int i = SRV_MAX; i-- > 0;) /* twins have the first one's name */
        if (memcmp(s->c[i].public_key, key, 32) == 0)
            (void)snprintf(name, 8, "%c", 'a' + i);
}

static int index_of(const srv *s, rmr_dsw_client h)
{
    for (int i = 0; i < SRV_MAX; i++)
        if (s->c[i].is_open && s->c[i].h.id == h.id)
            return i;
    fail_msg("an unknown client");
    return -1;
}

/* ---- the host's side ---------------------------------------------------- */

/* A pump function within a callback must refuse, and change nothing. */
static void pump_is_refused(srv *s, rmr_dsw_client h)
{
    uint8_t b[512];
    size_t n;
    assert_int_equal(rmr_dsw_read(s->sw, s->now, h, rmr_buf_of(b, 1), &n),
                     RMR_E_REENTRANT);
    assert_int_equal(n, 0);
    assert_int_equal(rmr_dsw_write(s->sw, s->now, h, rmr_buf_of(b, 512), &n),
                     RMR_E_REENTRANT);
    assert_int_equal(rmr_dsw_handle_deadline(s->sw, s->now), RMR_E_REENTRANT);
}

static void on_admit(void *user, rmr_dsw_client h, const rmr_dsw_info *info)
{
    srv *s = user;
    char name[8];
    name_of(s, info->key, name);
    assert_ptr_equal(info->tag, &s->c[index_of(s, h)]);
    add(s->log, sizeof s->log, "admit %s v%d%s\n", name, (int)info->version,
        info->is_prober ? " prober" : "");
    pump_is_refused(s, h);
    if (s->close_in_callback) {
        s->c[index_of(s, h)].is_open = false;
        assert_int_equal(rmr_dsw_client_close(s->sw, s->now, h, RMR_OK),
                         RMR_OK);
    } else if (s->admit >= 0) {
        rmr_err e = rmr_dsw_admit(s->sw, s->now, h, s->admit == 1);
        assert_true(e == RMR_OK || (e == RMR_E_NOMEM && s->mem.failed) ||
                    (e == RMR_E_RNG && s->rng.fail_at));
    }
}

static void on_forward(void *user, uint64_t forwarder, const uint8_t *src,
                       const uint8_t *dst, rmr_bytes packet)
{
    srv *s = user;
    char a[8], b[8];
    name_of(s, src, a);
    name_of(s, dst, b);
    add(s->log, sizeof s->log, "forward %u %s %s %.*s\n", (unsigned)forwarder,
        a, b, (int)packet.len, (const char *)packet.ptr);
    for (int i = 0; i < SRV_MAX; i++)
        if (s->c[i].is_open && memcmp(s->c[i].public_key, src, 32) == 0) {
            pump_is_refused(s, s->c[i].h);
            if (s->close_in_callback) {
                s->c[i].is_open = false;
                (void)rmr_dsw_client_close(s->sw, s->now, s->c[i].h, RMR_OK);
            }
        }
}

static rmr_err fill(void *user, uint8_t *dst, size_t len)
{
    srv *s = user;
    rmr_rng r = test_rng_table(&s->rng);
    if (s->script_at + len <= s->script_len) {
        memcpy(dst, s->script + s->script_at, len);
        s->script_at += len;
        return RMR_OK;
    }
    return r.fill(r.user, dst, len);
}

static void write_all(srv *s, srv_client *c)
{
    size_t n = 1, room = s->room ? s->room : 16384;
    uint8_t *buf = malloc(room);
    assert_non_null(buf);
    while (n) {
        assert_int_equal(
            rmr_dsw_write(s->sw, s->now, c->h, rmr_buf_of(buf, room), &n),
            RMR_OK);
        assert_true(n <= room);
        if (c->out_len + n > c->out_cap) {
            c->out_cap = (c->out_len + n) * 2;
            c->out = realloc(c->out, c->out_cap);
            assert_non_null(c->out);
        }
        if (n)
            memcpy(c->out + c->out_len, buf, n);
        c->out_len += n;
        assert_int_equal(rmr_dsw_wrote(s->sw, s->now, c->h, n), RMR_OK);
    }
    free(buf);
}

static void close_as_told(srv *s, srv_client *c, rmr_err why)
{
    size_t n;
    uint8_t b[512];
    /* No output after a close, and nothing is taken. */
    assert_int_equal(
        rmr_dsw_write(s->sw, s->now, c->h, rmr_buf_of(b, sizeof b), &n),
        RMR_OK);
    assert_int_equal(n, 0);
    assert_int_equal(rmr_dsw_read(s->sw, s->now, c->h, rmr_buf_of(b, 9), &n),
                     RMR_E_CLOSED);
    assert_int_equal(n, 9);
    add(s->log, sizeof s->log, "close %c %s\n", 'a' + (int)(c - s->c),
        why == RMR_E_DERP_LOGIN   ? "login"
        : why == RMR_E_DERP_FRAME ? "frame"
                                  : rmr_err_name(why));
    c->is_open = false;
    assert_int_equal(rmr_dsw_client_close(s->sw, s->now, c->h, RMR_OK), RMR_OK);
    assert_int_equal(rmr_dsw_client_close(s->sw, s->now, c->h, RMR_OK),
                     RMR_E_BADHANDLE);
}

void sv_pump(srv *s)
{
    rmr_dsw_ready r;
    for (int i = 0; i < SRV_MAX; i++)
        if (s->c[i].is_ready && !s->c[i].is_blocked && s->c[i].is_open) {
            s->c[i].is_ready = false;
            write_all(s, &s->c[i]);
        }
    while (rmr_dsw_next_ready(s->sw, &r)) {
        srv_client *c = &s->c[index_of(s, r.client)];
        assert_ptr_equal(r.tag, c);
        assert_true(r.what != 0);
        if (r.what & RMR_DSW_CLOSE) {
            assert_int_equal(r.what, RMR_DSW_CLOSE);
            close_as_told(s, c, r.why);
            continue;
        }
        if (r.what & RMR_DSW_READ) {
            uint8_t *kept = c->kept;
            size_t n = c->kept_len;
            c->kept = NULL;
            c->kept_len = 0;
            (void)sv_feed(s, (int)(c - s->c), kept, n);
            free(kept);
        }
        if (!c->is_open)
            continue;
        if (r.what & RMR_DSW_WRITE)
            c->is_ready = c->is_blocked;
        if ((r.what & RMR_DSW_WRITE) && !c->is_blocked)
            write_all(s, c);
    }
}

/* ---- life ------------------------------------------------------------- */

static void get_key(srv *s, const char *name, int i)
{
    tv *k = tv_get(tv_get(s->vectors, "keys"), name);
    (void)tv_get_hex(k, "private", s->c[i].private_key, 32);
    (void)tv_get_hex(k, "public", s->c[i].public_key, 32);
}

void sv_prepare(srv *s)
{
    memset(s, 0, sizeof *s);
    test_rng_seed(&s->rng, 7);
    s->env = test_env(&s->mem, &s->rng, NULL);
    s->env.rng.fill = fill;
    s->env.rng.user = s;
    s->now = 5000 * RMR_SEC;
    s->vectors = tv_load("derp.json");
    s->admit = 1;
    get_key(s, "clientA", 0);
    get_key(s, "clientB", 1);
    get_key(s, "meshClient", MESH_C);
    for (int i = 3; i < SRV_MAX; i++) {
        s->c[i].private_key[1] = (uint8_t)i;
        rmr_key_clamp(s->c[i].private_key);
        rmr_x25519_public(s->c[i].public_key, s->c[i].private_key);
    }
    s->cb.struct_size = sizeof s->cb;
    s->cb.user = s;
    s->cb.on_admit = on_admit;
    s->cb.on_forward = on_forward;
    rmr_dsw_config_init(&s->cfg, sizeof s->cfg);
    s->cfg.burst_time = 0; /* nothing keeps up while the clock stands */
    tv *keys = tv_get(s->vectors, "keys");
    (void)tv_get_hex(tv_get(keys, "server"), "private", s->cfg.private_key, 32);
    (void)tv_get_hex(keys, "meshKey", s->cfg.mesh_key, 32);
    s->cfg.callbacks = &s->cb;
}

void sv_make(srv *s)
{
    assert_int_equal(rmr_dsw_new(&s->sw, &s->env, &s->cfg, s->now), RMR_OK);
}

void sv_begin(srv *s)
{
    sv_prepare(s);
    sv_make(s);
}

void sv_end(srv *s)
{
    rmr_dsw_free(s->sw);
    s->sw = NULL;
    assert_int_equal(s->mem.live_blocks, 0);
    for (int i = 0; i < SRV_MAX; i++) {
        free(s->c[i].out);
        free(s->c[i].kept);
    }
    tv_free(s->vectors);
}

/* ---- the clients' side --------------------------------------------------- */

void sv_open(srv *s, int i)
{
    rmr_dsw_peer p;
    srv_client *c = &s->c[i];
    memset(&p, 0, sizeof p);
    p.addr = rmr_addr_v4(192, 0, 2, (uint8_t)(10 + i), (uint16_t)(41000 + i));
    p.tag = c;
    free(c->out);
    free(c->kept);
    c->out = c->kept = NULL;
    c->out_len = c->out_cap = c->kept_len = 0;
    c->is_blocked = c->is_ready = false;
    assert_false(c->is_open);
    c->is_open = true;
    assert_int_equal(rmr_dsw_client_open(s->sw, s->now, &p, &c->h), RMR_OK);
}

static void keep(srv_client *c, const uint8_t *p, size_t n)
{
    if (n == 0)
        return;
    c->kept = realloc(c->kept, c->kept_len + n);
    assert_non_null(c->kept);
    memcpy(c->kept + c->kept_len, p, n);
    c->kept_len += n;
}

rmr_err sv_feed(srv *s, int i, const void *data, size_t len)
{
    srv_client *c = &s->c[i];
    const uint8_t *p = data;
    rmr_err e = RMR_OK;
    while (len && e == RMR_OK && c->is_open && c->kept_len == 0) {
        size_t n = s->step && s->step < len ? s->step : len, used;
        uint8_t *copy = malloc(n);
        assert_non_null(copy);
        memcpy(copy, p, n);
        e = rmr_dsw_read(s->sw, s->now, c->h, rmr_buf_of(copy, n), &used);
        free(copy);
        assert_true(used <= n);
        assert_true(e == RMR_OK || used == n);
        p += used;
        len -= used;
        if (used < n) {
            keep(c, p, len);
            return e;
        }
    }
    if (e == RMR_OK && c->is_open)
        keep(c, p, len);
    return e;
}

rmr_err sv_frame(srv *s, int i, uint8_t type, const void *body, size_t len)
{
    uint8_t *f = malloc(5 + len);
    assert_non_null(f);
    f[0] = type;
    rmr_store_be32(f + 1, (uint32_t)len);
    if (len)
        memcpy(f + 5, body, len);
    rmr_err e = sv_feed(s, i, f, 5 + len);
    free(f);
    return e;
}

size_t sv_build_login(srv *s, int i, const char *json, size_t len, uint8_t *dst)
{
    uint8_t shared[32];
    assert_int_equal(
        rmr_box_shared(shared, s->c[i].private_key, rmr_dsw_public_key(s->sw)),
        RMR_OK);
    rmri_derp_put_header(dst, RMR_DERP_CLIENT_INFO, 32 + 24 + 16 + len);
    memcpy(dst + 5, s->c[i].public_key, 32);
    memset(dst + 37, 0x11, 24);
    rmr_box_seal(dst + 61, shared, dst + 37, rmr_bytes_of(json, len));
    return 5 + 32 + 24 + 16 + len;
}

rmr_err sv_login(srv *s, int i, const char *json)
{
    uint8_t f[1024];
    size_t n = sv_build_login(s, i, json, strlen(json), f);
    return sv_feed(s, i, f, n);
}

void sv_up(srv *s, int i)
{
    sv_open(s, i);
    assert_int_equal(sv_login(s, i, "{\"version\":2,\"CanAckPings\":true}"),
                     RMR_OK);
    sv_expect(s, i, "key\ninfo\n");
    s->log[0] = '\0';
}

void sv_mesh(srv *s, int i)
{
    char json[128] = "{\"meshKey\":\"";
    for (int k = 0; k < 32; k++)
        add(json, sizeof json, "%02x", s->cfg.mesh_key[k]);
    add(json, sizeof json, "\",\"version\":2}");
    sv_open(s, i);
    assert_int_equal(sv_login(s, i, json), RMR_OK);
    sv_expect(s, i, "key\ninfo\n");
    sv_log(s, ""); /* not asked for */
}

void sv_close(srv *s, int i)
{
    s->c[i].is_open = false;
    assert_int_equal(rmr_dsw_client_close(s->sw, s->now, s->c[i].h, RMR_OK),
                     RMR_OK);
}

rmr_err sv_send_bytes(srv *s, int from, int to, const void *p, size_t n)
{
    uint8_t *body = malloc(32 + n);
    assert_non_null(body);
    memcpy(body, s->c[to].public_key, 32);
    if (n)
        memcpy(body + 32, p, n);
    rmr_err e = sv_frame(s, from, RMR_DERP_SEND_PACKET, body, 32 + n);
    free(body);
    return e;
}

rmr_err sv_send(srv *s, int from, int to, const char *text)
{
    return sv_send_bytes(s, from, to, text, strlen(text));
}

rmr_err sv_send_disco(srv *s, int from, int to, size_t n, uint8_t mark)
{
    uint8_t p[256] = {0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac};
    assert_true(n > 6 && n <= sizeof p);
    p[n - 1] = mark;
    return sv_send_bytes(s, from, to, p, n);
}

rmr_err sv_forward(srv *s, int via, int src, int dst, const char *text)
{
    uint8_t body[1024];
    size_t n = strlen(text);
    memcpy(body, s->c[src].public_key, 32);
    memcpy(body + 32, s->c[dst].public_key, 32);
    memcpy(body + 64, text, n);
    return sv_frame(s, via, RMR_DERP_FORWARD_PACKET, body, 64 + n);
}

/* ---- what a client got --------------------------------------------------- */

static void read_payload(char *text, size_t cap, const uint8_t *p, size_t n)
{
    bool plain = n <= 40;
    for (size_t i = 0; i < n; i++)
        plain = plain && p[i] > ' ' && p[i] <= '~';
    if (plain)
        add(text, cap, "%.*s\n", (int)n, (const char *)p);
    else
        add(text, cap, "%u bytes, last %u\n", (unsigned)n, p[n - 1]);
}

static void check_info(const srv *s, int i, const uint8_t *p, size_t n)
{
    uint8_t shared[32], copy[256];
    rmri_derp_server_info info;
    assert_true(n <= sizeof copy);
    memcpy(copy, p, n);
    assert_int_equal(
        rmr_box_shared(shared, s->c[i].private_key, rmr_dsw_public_key(s->sw)),
        RMR_OK);
    assert_true(rmri_derp_open_server_info(rmr_buf_of(copy, n), shared, &info));
    assert_int_equal(info.rate, 0);
}

static void read_present(const srv *s, char *text, size_t cap, const uint8_t *p)
{
    char name[8], at[RMR_ADDR_TEXT_MAX];
    rmr_addr a =
        rmr_addr_from_bytes(rmr_bytes_of(p + 32, 16), rmr_load_be16(p + 48));
    name_of(s, p, name);
    add(text, cap, "present %s %s %u\n", name, rmr_addr_text(&a, at), p[50]);
}

static void read_frame(const srv *s, int i, char *text, size_t cap,
                       const uint8_t *p, size_t n)
{
    char name[8];
    const uint8_t *b = p + 5;
    switch (p[0]) {
    case RMR_DERP_SERVER_KEY: {
        uint8_t key[32];
        assert_true(rmri_derp_parse_server_key(rmr_bytes_of(b, n), key));
        assert_memory_equal(key, rmr_dsw_public_key(s->sw), 32);
        add(text, cap, "key\n");
        break;
    }
    case RMR_DERP_SERVER_INFO:
        check_info(s, i, b, n);
        add(text, cap, "info\n");
        break;
    case RMR_DERP_RECV_PACKET:
        assert_true(n >= 32);
        name_of(s, b, name);
        add(text, cap, "%s: ", name);
        read_payload(text, cap, b + 32, n - 32);
        break;
    case RMR_DERP_PEER_GONE:
        assert_int_equal(n, 33);
        name_of(s, b, name);
        add(text, cap, "gone %s %u\n", name, b[32]);
        break;
    case RMR_DERP_PEER_PRESENT:
        assert_int_equal(n, 51);
        read_present(s, text, cap, b);
        break;
    case RMR_DERP_PONG:
        assert_int_equal(n, 8);
        add(text, cap, "pong %02x\n", b[0]);
        break;
    case RMR_DERP_KEEP_ALIVE:
        assert_int_equal(n, 0);
        add(text, cap, "keep\n");
        break;
    case RMR_DERP_HEALTH:
        add(text, cap, "health '%.*s'\n", (int)n, (const char *)b);
        break;
    case RMR_DERP_RESTARTING:
        assert_int_equal(n, 8);
        add(text, cap, "restarting %u %u\n", (unsigned)rmr_load_be32(b),
            (unsigned)rmr_load_be32(b + 4));
        break;
    default:
        fail_msg("frame type %u", p[0]);
    }
}

void sv_expect(srv *s, int i, const char *want)
{
    static char text[65536];
    srv_client *c = &s->c[i];
    text[0] = '\0';
    sv_pump(s);
    for (size_t at = 0; at < c->out_len;) {
        assert_true(c->out_len - at >= 5);
        size_t n = rmr_load_be32(c->out + at + 1);
        assert_true(c->out_len - at - 5 >= n);
        read_frame(s, i, text, sizeof text, c->out + at, n);
        at += 5 + n;
    }
    c->out_len = 0;
    assert_string_equal(text, want);
}

void sv_forget(srv *s, int i)
{
    sv_pump(s);
    s->c[i].out_len = 0;
}

void sv_log(srv *s, const char *want)
{
    sv_pump(s);
    assert_string_equal(s->log, want);
    s->log[0] = '\0';
}

void sv_pass(srv *s, rmr_dur t)
{
    s->now += t;
    assert_int_equal(rmr_dsw_handle_deadline(s->sw, s->now), RMR_OK);
    assert_true(rmr_dsw_next_deadline(s->sw) > s->now);
}

rmr_dsw_stats sv_stats(srv *s)
{
    rmr_dsw_stats st;
    rmr_dsw_get_stats(s->sw, &st);
    return st;
}

tv *sv_case(srv *s, const char *list, const char *name)
{
    tv *l = tv_get(s->vectors, list);
    for (size_t i = 0; i < tv_len(l); i++)
        if (strcmp(tv_get_str(tv_at(l, i), "name"), name) == 0)
            return tv_at(l, i);
    fail_msg("no vector %s", name);
    return NULL;
}
