/* The netmap's fixture. */
#include "nm_fixture.h"

#include <remora/filter.h>
#include <remora/text.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vectors.h"

char *nm_sample(const char *name, size_t *len)
{
    char path[128];
    (void)snprintf(path, sizeof path, "control/%s", name);
    return tv_bytes(path, len);
}

static void say(nm_seen *s, const char *fmt, ...) RMR_PRINTF(2, 3);
static void say(nm_seen *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(s->text + s->len, sizeof s->text - s->len, fmt, ap);
    va_end(ap);
    assert_true(n >= 0 && (size_t)n < sizeof s->text - s->len);
    s->len += (size_t)n;
}

static void on_peer(void *user, rmr_nm_change change, const rmr_nm_node *p,
                    const uint8_t old_key[RMR_KEY_LEN])
{
    nm_seen *s = user;
    rmr_nm_node again;
    bool there = rmr_nm_peer(s->nm, p->id, &again);
    assert_int_equal(there, change != RMR_NM_PEER_REMOVED);
    say(s, "%c%llu%s ", "+*-"[change], (unsigned long long)p -> id,
        memcmp(old_key, p->key, RMR_KEY_LEN) ? "k" : "");
    if (s->reenter)
        assert_int_equal(rmr_nm_frame_feed(s->nm, rmr_bytes_str("{")),
                         RMR_E_REENTRANT);
}

static void on_frame(void *user, uint32_t changed)
{
    static const char letters[] = "SPDNFUHK";
    nm_seen *s = user;
    say(s, "[");
    for (size_t i = 0; i < 8; i++) {
        if (changed >> i & 1)
            say(s, "%c", letters[i]);
    }
    say(s, "]");
    if (s->reenter)
        assert_int_equal(rmr_nm_frame_end(s->nm), RMR_E_REENTRANT);
}

static void on_ping(void *user, const rmr_nm_ping *p)
{
    say(user, "ping(%s,%d,%s)", p->url, p->url_is_noise, p->types);
}

static void on_pop(void *user, const char *url)
{
    say(user, "pop(%s)", url);
}

static void on_restarted(void *user, const rmr_nm_node *p)
{
    say(user, "r%llu ", (unsigned long long)p->id);
}

rmr_nm *nm_make(nm_seen *s, test_alloc *a, test_rng *rng)
{
    rmr_env env = test_env(a, rng, NULL);
    rmr_nm_callbacks cb = {sizeof cb, s,      on_peer,     on_frame,
                           on_ping,   on_pop, on_restarted};
    rmr_nm_config cfg;
    rmr_nm *nm = NULL;
    memset(s, 0, sizeof *s);
    rmr_nm_config_init(&cfg, sizeof cfg);
    assert_int_equal(cfg.max_peers, 100000);
    cfg.callbacks = &cb;
    if (rmr_nm_new(&nm, &env, &cfg) == RMR_OK)
        s->nm = nm;
    return nm;
}

const char *nm_frame(nm_seen *s, const char *json)
{
    s->len = 0;
    s->text[0] = '\0';
    rmr_err e = nm_feed(s->nm, NM_NOW, rmr_bytes_str(json), 0);
    if (e)
        say(s, "error %d", (int)e);
    return s->text;
}

const char *nm_send_sample(nm_seen *s, const char *name)
{
    size_t len;
    char *p = nm_sample(name, &len);
    (void)nm_frame(s, p);
    free(p);
    return s->text;
}

const char *nm_hex(const uint8_t *k)
{
    static char text[65];
    return rmr_hex(text, k, RMR_KEY_LEN);
}

const char *nm_prefixes(const rmr_prefix *p, size_t n)
{
    static char out[512];
    char text[RMR_PREFIX_TEXT_MAX];
    out[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        strcat(out, i ? " " : "");
        strcat(out, rmr_prefix_text(&p[i], text));
    }
    return out;
}

const char *nm_endpoints(const rmr_nm_node *n)
{
    static char out[512];
    char text[RMR_ADDR_TEXT_MAX];
    out[0] = '\0';
    for (size_t i = 0; i < n->n_endpoints; i++) {
        strcat(out, i ? " " : "");
        strcat(out, rmr_addr_text(&n->endpoints[i], text));
    }
    return out;
}

bool nm_passes(rmr_nm *nm, uint8_t src, uint8_t proto, uint16_t port)
{
    uint8_t p[40] = {0x45, 0, 0, 40, 0, 0, 0, 0, 64, proto};
    memcpy(p + 12, (uint8_t[]){100, 64, 0, src, 100, 64, 0, 5}, 8);
    p[20] = proto == 1 ? 8 : 0;
    p[22] = (uint8_t)(port >> 8);
    p[23] = (uint8_t)port;
    p[33] = 2;
    if (proto == 1)
        p[22] = p[23] = 0;
    return rmr_filter_check_in(rmr_nm_filter(nm), rmr_bytes_of(p, 40), false);
}

size_t nm_rules_count(rmr_nm *nm)
{
    return rmr_filter_rule_count(rmr_nm_filter(nm));
}
