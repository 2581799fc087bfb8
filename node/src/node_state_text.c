/* The state as text: a line with the version and a hash over all else, then one
 * JSON object.  Version 1 hashed the object alone and had no preferences; version
 * 2 had no tags, no pending login and no exit node's StableID.  A truncated or
 * altered text is told from a good one; a later version, whose fields we don't
 * know, too. */
#include "node_internal.h"

#include <remora/text.h>
#include <string.h>

static const char magic[] = "remora-state 3 ";
#define MAGIC_LEN (sizeof magic - 1)
#define VERSION_AT (MAGIC_LEN - 2)
#define HEAD_LEN (MAGIC_LEN + 2 * RMR_HASH_LEN + 1)

/* ---- reading ----------------------------------------------------------- */

enum {
    F_URL = 1,
    F_MACHINE,
    F_NODE,
    F_OLD_NODE,
    F_SERVER,
    F_REGISTERED,
    F_WEBSOCKET,
    F_LOGIN,
    F_STABLE_ID,
    F_AUTH_URL,
    F_HOME,
    F_FLOOR,
    F_PREFS,
    F_HOSTNAME,
    F_ROUTES,
    F_EXIT,
    F_ACCEPT_ROUTES,
    F_EXIT_NODE,
    F_EXIT_ID,
    F_ALLOW_LAN,
    F_DNS,
    F_SHIELDS,
    F_TAGS,
    F_WANTED
};

static const rmr_json_field prefs_fields[] = {
    {"hostname", F_HOSTNAME, NULL, 0},
    {"advertise_routes", F_ROUTES, NULL, 0},
    {"advertise_exit_node", F_EXIT, NULL, 0},
    {"accept_routes", F_ACCEPT_ROUTES, NULL, 0},
    {"exit_node", F_EXIT_NODE, NULL, 0},
    {"exit_node_id", F_EXIT_ID, NULL, 0},
    {"exit_node_allow_lan", F_ALLOW_LAN, NULL, 0},
    {"accept_dns", F_DNS, NULL, 0},
    {"shields_up", F_SHIELDS, NULL, 0},
    {"tags", F_TAGS, NULL, 0},
    {"wanted", F_WANTED, NULL, 0},
};

static const rmr_json_field state_fields[] = {
    {"control_url", F_URL, NULL, 0},
    {"machine_key", F_MACHINE, NULL, 0},
    {"node_key", F_NODE, NULL, 0},
    {"old_node_key", F_OLD_NODE, NULL, 0},
    {"server_key", F_SERVER, NULL, 0},
    {"registered", F_REGISTERED, NULL, 0},
    {"control_websocket", F_WEBSOCKET, NULL, 0},
    {"login", F_LOGIN, NULL, 0},
    {"stable_id", F_STABLE_ID, NULL, 0},
    {"auth_url", F_AUTH_URL, NULL, 0},
    {"home_derp", F_HOME, NULL, 0},
    {"wg_floor_unix_ns", F_FLOOR, NULL, 0},
    {"prefs", F_PREFS, prefs_fields,
     sizeof prefs_fields / sizeof prefs_fields[0]},
};

typedef struct reader {
    nd_keys *k;
    const rmr_alloc *alloc;
} reader;

static rmr_err key_of(rmr_bytes text, const char *prefix,
                      uint8_t key[RMR_KEY_LEN])
{
    size_t len = strlen(prefix);
    if (text.len != len + 2 * RMR_KEY_LEN || memcmp(text.ptr, prefix, len) != 0)
        return RMR_E_MALFORMED;
    return rmr_unhex(key, RMR_KEY_LEN,
                     rmr_bytes_of(text.ptr + len, text.len - len));
}

static rmr_err text_of(rmr_bytes text, char *dst, size_t cap)
{
    if (!text.ptr || text.len >= cap) /* no string, or too long */
        return RMR_E_MALFORMED;
    memcpy(dst, text.ptr, text.len);
    dst[text.len] = 0;
    return RMR_OK;
}

static rmr_err kept_of(reader *r, rmr_bytes text, char **dst, size_t cap)
{
    if (!text.ptr || text.len >= cap)
        return RMR_E_MALFORMED;
    return rmr_text_keep(dst, r->alloc, text);
}

static rmr_err home_of(rmr_bytes text, uint16_t *home)
{
    uint64_t v = 0;
    rmr_err err = rmr_parse_u64(text, UINT16_MAX, &v);
    *home = (uint16_t)v;
    return err;
}

static rmr_err route_of(reader *r, rmr_json_kind kind, rmr_bytes text)
{
    nd_prefs *p = &r->k->prefs;
    rmr_prefix all[RMR_NODE_MAX_ROUTES];
    size_t n = p->n_routes;
    if (kind != RMR_JSON_STRING || n >= RMR_NODE_MAX_ROUTES ||
        rmr_prefix_parse(text, &all[n]) != RMR_OK)
        return RMR_E_MALFORMED;
    if (n)
        memcpy(all, p->routes, n * sizeof *all);
    return rmri_node_prefs_routes(p, r->alloc, all, n + 1);
}

static rmr_err on_pref(reader *r, uint32_t id, rmr_json_kind kind,
                       rmr_bytes text)
{
    nd_prefs *p = &r->k->prefs;
    bool on = kind == RMR_JSON_TRUE;
    switch (id) {
    case F_HOSTNAME:
        return text.len ? text_of(text, p->hostname, sizeof p->hostname)
                        : RMR_E_MALFORMED;
    case F_ROUTES:
        return route_of(r, kind, text);
    case F_EXIT_NODE:
        return kept_of(r, text, &p->exit_node, RMR_NODE_MAX_EXIT_NODE + 1);
    case F_EXIT_ID:
        return text_of(text, p->exit_id, sizeof p->exit_id);
    case F_TAGS:
        return kind == RMR_JSON_STRING ? rmri_node_tags_add(p, r->alloc, text)
                                       : RMR_E_MALFORMED;
    case F_EXIT:
        p->advertise_exit_node = on;
        break;
    case F_ACCEPT_ROUTES:
        p->accept_routes = on;
        break;
    case F_ALLOW_LAN:
        p->exit_node_allow_lan = on;
        break;
    case F_DNS:
        p->accept_dns = on;
        break;
    case F_SHIELDS:
        p->shields_up = on;
        break;
    case F_WANTED:
        p->wanted = on;
        break;
    default:
        break;
    }
    return RMR_OK;
}

static rmr_err on_value(void *user, uint32_t id, rmr_json_kind kind,
                        rmr_bytes text)
{
    reader *r = user;
    nd_keys *k = r->k;
    switch (id) {
    case F_URL:
        return kept_of(r, text, &k->url, ND_URL_MAX);
    case F_MACHINE:
        return key_of(text, "privkey:", k->machine);
    case F_NODE:
        return key_of(text, "privkey:", k->node);
    case F_OLD_NODE:
        k->has_old_node = true;
        return key_of(text, "privkey:", k->old_node);
    case F_SERVER:
        k->has_server = true;
        return key_of(text, "mkey:", k->server);
    case F_REGISTERED:
        k->registered = kind == RMR_JSON_TRUE;
        return RMR_OK;
    case F_WEBSOCKET:
        k->websocket = kind == RMR_JSON_TRUE;
        return RMR_OK;
    case F_LOGIN:
        return kept_of(r, text, &k->login, ND_LOGIN_MAX);
    case F_STABLE_ID:
        return text_of(text, k->stable_id, sizeof k->stable_id);
    case F_AUTH_URL:
        return kept_of(r, text, &k->auth_url, ND_AUTH_URL_MAX);
    case F_HOME:
        return home_of(text, &k->home);
    case F_FLOOR:
        return rmr_parse_u64(text, UINT64_MAX, &k->wg_floor_unix_ns);
    default:
        return on_pref(r, id, kind, text);
    }
}

/* The JSON behind the head; its hash has been checked. */
rmr_err rmri_node_state_parse_body(nd_keys *k, const rmr_alloc *a,
                                   rmr_bytes body)
{
    uint8_t scratch[ND_AUTH_URL_MAX + 64]; /* the longest text */
    reader r = {k, a};
    static const uint8_t zero[RMR_KEY_LEN];
    rmr_json_bind b;
    rmr_json_bind_callbacks cb = {0};
    cb.user = &r;
    cb.value = on_value;
    memset(k, 0, sizeof *k);
    rmri_node_prefs_default(&k->prefs);
    rmr_json_bind_init(&b, rmr_buf_of(scratch, sizeof scratch), state_fields,
                       sizeof state_fields / sizeof state_fields[0], &cb);
    rmr_err err = rmr_json_bind_feed(&b, body);
    if (err == RMR_OK)
        err = rmr_json_bind_end(&b);
    rmr_wipe(scratch, sizeof scratch);
    if (err == RMR_OK && (memcmp(k->machine, zero, sizeof zero) == 0 ||
                          memcmp(k->node, zero, sizeof zero) == 0))
        err = RMR_E_MALFORMED;
    if (err)
        rmri_node_keys_wipe(k, a);
    return err;
}

void rmri_node_keys_wipe(nd_keys *k, const rmr_alloc *a)
{
    (void)rmr_text_keep(&k->url, a, rmr_bytes_str(""));
    (void)rmr_text_keep(&k->login, a, rmr_bytes_str(""));
    (void)rmr_text_keep(&k->auth_url, a, rmr_bytes_str(""));
    rmri_node_prefs_wipe(&k->prefs, a);
    rmr_wipe(k, sizeof *k);
}

/* The first line, with a NUL: its magic, the hash, a newline. */
static void state_head(char head[HEAD_LEN + 1], const char *line,
                       rmr_bytes hashed, rmr_bytes body)
{
    uint8_t hash[RMR_HASH_LEN];
    rmr_blake2s_256(hash, hashed, body);
    memcpy(head, line, MAGIC_LEN);
    rmr_hex(head + MAGIC_LEN, hash, RMR_HASH_LEN);
    head[HEAD_LEN - 1] = '\n';
    head[HEAD_LEN] = 0;
}

/* Version 1 hashed the body alone; all others, and all later ones, hash the first
 * line's beginning too. */
static bool is_whole(rmr_bytes text, char version)
{
    char head[HEAD_LEN + 1], line[MAGIC_LEN + 1];
    memcpy(line, magic, sizeof line);
    line[VERSION_AT] = version;
    state_head(head, line, rmr_bytes_of(line, version == '1' ? 0 : MAGIC_LEN),
               rmr_bytes_of(text.ptr + HEAD_LEN, text.len - HEAD_LEN));
    return memcmp(text.ptr, head, HEAD_LEN) == 0;
}

rmr_err rmri_node_state_parse(nd_keys *k, const rmr_alloc *a, rmr_bytes text,
                              bool *is_old)
{
    memset(k, 0, sizeof *k);
    *is_old = false;
    if (text.len < HEAD_LEN)
        return RMR_E_MALFORMED;
    char version = (char)text.ptr[VERSION_AT];
    if (version < '1' || version > '9' || !is_whole(text, version))
        return RMR_E_MALFORMED;
    if (version > magic[VERSION_AT])
        return RMR_E_NODE_STATE_NEWER;
    *is_old = version < magic[VERSION_AT];
    return rmri_node_state_parse_body(
        k, a, rmr_bytes_of(text.ptr + HEAD_LEN, text.len - HEAD_LEN));
}

/* ---- writing ----------------------------------------------------------- */

static void put_key(rmr_jw *w, const char *name, const char *prefix,
                    const uint8_t key[RMR_KEY_LEN])
{
    char text[16 + 2 * RMR_KEY_LEN + 1];
    size_t len = strlen(prefix);
    memcpy(text, prefix, len);
    rmr_hex(text + len, key, RMR_KEY_LEN);
    rmr_jw_kstr(w, name, text);
    rmr_wipe(text, sizeof text);
}

static void put_tags(rmr_jw *w, const nd_prefs *p)
{
    const char *tags[ND_MAX_TAGS];
    size_t n = rmri_node_tags(p, tags);
    rmr_jw_key(w, "tags");
    rmr_jw_array(w);
    for (size_t i = 0; i < n; i++)
        rmr_jw_str(w, tags[i]);
    rmr_jw_array_end(w);
}

static void put_prefs(rmr_jw *w, const nd_prefs *p)
{
    char text[RMR_PREFIX_TEXT_MAX];
    rmr_jw_key(w, "prefs");
    rmr_jw_object(w);
    rmr_jw_kstr(w, "hostname", p->hostname);
    rmr_jw_key(w, "advertise_routes");
    rmr_jw_array(w);
    for (size_t i = 0; i < p->n_routes; i++)
        rmr_jw_str(w, rmr_prefix_text(&p->routes[i], text));
    rmr_jw_array_end(w);
    rmr_jw_kbool(w, "advertise_exit_node", p->advertise_exit_node);
    rmr_jw_kbool(w, "accept_routes", p->accept_routes);
    rmr_jw_kstr(w, "exit_node", rmr_text_kept(p->exit_node));
    rmr_jw_kstr(w, "exit_node_id", p->exit_id);
    rmr_jw_kbool(w, "exit_node_allow_lan", p->exit_node_allow_lan);
    rmr_jw_kbool(w, "accept_dns", p->accept_dns);
    rmr_jw_kbool(w, "shields_up", p->shields_up);
    put_tags(w, p);
    rmr_jw_kbool(w, "wanted", p->wanted);
    rmr_jw_object_end(w);
}

rmr_err rmri_node_state_text(const nd_keys *k, rmr_buf dst, size_t *len)
{
    char head[HEAD_LEN + 1];
    rmr_jw w;
    if (dst.len < HEAD_LEN)
        return RMR_E_BUFSIZE;
    rmr_jw_init(&w, rmr_buf_of(dst.ptr + HEAD_LEN, dst.len - HEAD_LEN));
    rmr_jw_object(&w);
    rmr_jw_kstr(&w, "control_url", rmr_text_kept(k->url));
    put_key(&w, "machine_key", "privkey:", k->machine);
    put_key(&w, "node_key", "privkey:", k->node);
    if (k->has_old_node)
        put_key(&w, "old_node_key", "privkey:", k->old_node);
    if (k->has_server)
        put_key(&w, "server_key", "mkey:", k->server);
    rmr_jw_kbool(&w, "registered", k->registered);
    if (k->websocket)
        rmr_jw_kbool(&w, "control_websocket", true);
    rmr_jw_kstr(&w, "login", rmr_text_kept(k->login));
    rmr_jw_kstr(&w, "stable_id", k->stable_id);
    rmr_jw_kstr(&w, "auth_url", rmr_text_kept(k->auth_url));
    rmr_jw_ku64(&w, "home_derp", k->home);
    rmr_jw_ku64(&w, "wg_floor_unix_ns", k->wg_floor_unix_ns);
    put_prefs(&w, &k->prefs);
    rmr_jw_object_end(&w);
    rmr_err err = rmr_jw_end(&w, len);
    if (err != RMR_OK)
        return err;
    state_head(head, magic, rmr_bytes_of(magic, MAGIC_LEN),
               rmr_bytes_of(dst.ptr + HEAD_LEN, *len));
    memcpy(dst.ptr, head, HEAD_LEN);
    *len += HEAD_LEN;
    return RMR_OK;
}
