/* The state blob: what must outlive the process.  Its first line holds a hash
 * over the rest, so that a truncated or altered file is told from a good one
 * and never overwritten.  The text holds secret keys: it is wiped after use. */
#include "node_internal.h"

#include <remora/text.h>
#include <string.h>

#define STATE_NAME "remora.state"
#define STATE_MAX 8192
static const char magic[] = "remora-state 1 ";
#define HEAD_LEN (sizeof magic - 1 + 2 * RMR_HASH_LEN + 1)

static void text_free(rmr_node *n)
{
    rmr_release_wiped(&n->env.alloc, n->state_text, n->state_cap);
    n->state_text = NULL;
    n->state_cap = n->state_len = 0;
}

static bool text_new(rmr_node *n)
{
    text_free(n);
    n->state_text = rmr_alloc_zero(&n->env.alloc, STATE_MAX, 1);
    n->state_cap = n->state_text ? STATE_MAX : 0;
    return n->state_text != NULL;
}

void rmri_node_state_free(rmr_node *n)
{
    text_free(n);
}

/* The first line: magic, hash of the rest, newline; and a NUL. */
static void state_head(char head[HEAD_LEN + 1],
                       const uint8_t hash[RMR_HASH_LEN])
{
    memcpy(head, magic, sizeof magic - 1);
    rmr_hex(head + sizeof magic - 1, hash, RMR_HASH_LEN);
    head[HEAD_LEN - 1] = '\n';
    head[HEAD_LEN] = 0;
}

/* ---- reading ----------------------------------------------------------- */

enum {
    F_URL = 1,
    F_MACHINE,
    F_NODE,
    F_OLD_NODE,
    F_SERVER,
    F_REGISTERED,
    F_LOGIN,
    F_FLOOR
};

static const rmr_json_field state_fields[] = {
    {"control_url", F_URL, NULL, 0},   {"machine_key", F_MACHINE, NULL, 0},
    {"node_key", F_NODE, NULL, 0},     {"old_node_key", F_OLD_NODE, NULL, 0},
    {"server_key", F_SERVER, NULL, 0}, {"registered", F_REGISTERED, NULL, 0},
    {"login", F_LOGIN, NULL, 0},       {"wg_floor_unix_ns", F_FLOOR, NULL, 0},
};

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

static rmr_err on_value(void *user, uint32_t id, rmr_json_kind kind,
                        rmr_bytes text)
{
    nd_keys *k = user;
    switch (id) {
    case F_URL:
        return text_of(text, k->url, sizeof k->url);
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
    case F_LOGIN:
        return text_of(text, k->login, sizeof k->login);
    case F_FLOOR:
        return rmr_parse_u64(text, UINT64_MAX, &k->wg_floor_unix_ns);
    default:
        return RMR_OK;
    }
}

/* The JSON behind the head; its hash has been checked. */
rmr_err rmri_node_state_parse_body(nd_keys *k, rmr_bytes body)
{
    uint8_t scratch[600];
    static const uint8_t zero[RMR_KEY_LEN];
    rmr_json_bind b;
    rmr_json_bind_callbacks cb = {0};
    cb.user = k;
    cb.value = on_value;
    rmr_json_bind_init(&b, rmr_buf_of(scratch, sizeof scratch), state_fields,
                       sizeof state_fields / sizeof state_fields[0], &cb);
    rmr_err err = rmr_json_bind_feed(&b, body);
    if (err == RMR_OK)
        err = rmr_json_bind_end(&b);
    rmr_wipe(scratch, sizeof scratch);
    if (err == RMR_OK && (memcmp(k->machine, zero, sizeof zero) == 0 ||
                          memcmp(k->node, zero, sizeof zero) == 0))
        err = RMR_E_MALFORMED;
    return err;
}

rmr_err rmri_node_state_parse(nd_keys *k, rmr_bytes text)
{
    uint8_t hash[RMR_HASH_LEN];
    char head[HEAD_LEN + 1];
    if (text.len < HEAD_LEN)
        return RMR_E_MALFORMED;
    rmr_bytes body = rmr_bytes_of(text.ptr + HEAD_LEN, text.len - HEAD_LEN);
    rmr_blake2s_256(hash, body, rmr_bytes_of(NULL, 0));
    state_head(head, hash);
    if (memcmp(text.ptr, head, HEAD_LEN) != 0)
        return RMR_E_MALFORMED;
    return rmri_node_state_parse_body(k, body);
}

static void keys_new(rmr_node *n, rmr_time now)
{
    memset(&n->keys, 0, sizeof n->keys);
    if (rmr_key_generate(&n->env.rng, n->keys.machine) != RMR_OK ||
        rmr_key_generate(&n->env.rng, n->keys.node) != RMR_OK) {
        rmri_node_fail(n, now, RMR_E_RNG, NULL);
        return;
    }
    rmri_node_state_save(n);
    rmri_node_state_ready(n, now);
}

static void load_failed(void *owner, rmr_time now, rmr_err why)
{
    rmr_node *n = owner;
    n->state_io = NULL;
    text_free(n);
    /* An adapter without blobs: the node lives as long as the process. */
    if (why == RMR_E_NOTFOUND || why == RMR_E_UNSUPPORTED)
        keys_new(n, now);
    else
        rmri_node_fail(n, now, RMR_E_NODE_STATE_READ, NULL);
}

static void load_part(void *owner, rmr_time now, rmr_bytes part, bool more)
{
    rmr_node *n = owner;
    if (part.len > n->state_cap - n->state_len)
        n->state_len = n->state_cap + 1; /* not one of ours */
    if (n->state_len <= n->state_cap) {
        memcpy(n->state_text + n->state_len, part.ptr, part.len);
        n->state_len += part.len;
    }
    if (more)
        return;
    n->state_io = NULL;
    rmr_err err = RMR_E_MALFORMED;
    if (n->state_len <= n->state_cap)
        err = rmri_node_state_parse(&n->keys,
                                    rmr_bytes_of(n->state_text, n->state_len));
    text_free(n);
    if (err != RMR_OK) {
        rmr_wipe(&n->keys, sizeof n->keys);
        rmri_node_fail(n, now, RMR_E_NODE_STATE_DAMAGED, NULL);
        return;
    }
    n->state_seen = true;
    rmri_node_state_ready(n, now);
}

static const rmr_mc_io_ops load_ops = {
    .failed = load_failed,
    .loaded = load_part,
};

void rmri_node_state_load(rmr_node *n)
{
    if (text_new(n))
        n->state_io = rmr_mc_load(n->mc, STATE_NAME, &load_ops, n);
    if (!n->state_io)
        rmri_node_fail(n, n->now, RMR_E_NOMEM, NULL);
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

static rmr_err state_build(rmr_node *n)
{
    nd_keys *k = &n->keys;
    rmr_jw w;
    size_t len = 0;
    if (n->wg) {
        rmr_wg_stats st;
        rmr_wg_get_stats(n->wg, &st);
        k->wg_floor_unix_ns = st.tai64n_floor_unix_ns;
    }
    rmr_jw_init(&w,
                rmr_buf_of(n->state_text + HEAD_LEN, n->state_cap - HEAD_LEN));
    rmr_jw_object(&w);
    rmr_jw_kstr(&w, "control_url", n->url[0] ? n->url : k->url);
    put_key(&w, "machine_key", "privkey:", k->machine);
    put_key(&w, "node_key", "privkey:", k->node);
    if (k->has_old_node)
        put_key(&w, "old_node_key", "privkey:", k->old_node);
    if (k->has_server)
        put_key(&w, "server_key", "mkey:", k->server);
    rmr_jw_kbool(&w, "registered", k->registered);
    rmr_jw_kstr(&w, "login", k->login);
    rmr_jw_ku64(&w, "wg_floor_unix_ns", k->wg_floor_unix_ns);
    rmr_jw_object_end(&w);
    rmr_err err = rmr_jw_end(&w, &len);
    if (err != RMR_OK)
        return err;
    uint8_t hash[RMR_HASH_LEN];
    char head[HEAD_LEN + 1];
    rmr_blake2s_256(hash, rmr_bytes_of(n->state_text + HEAD_LEN, len),
                    rmr_bytes_of(NULL, 0));
    state_head(head, hash);
    memcpy(n->state_text, head, HEAD_LEN);
    n->state_len = HEAD_LEN + len;
    return RMR_OK;
}

static void store_failed(void *owner, rmr_time now, rmr_err why)
{
    rmr_node *n = owner;
    n->state_io = NULL;
    text_free(n);
    if (why == RMR_E_UNSUPPORTED)
        return; /* an adapter without blobs */
    if (n->phase == ND_PHASE_UP && n->running_told)
        rmri_node_trouble(n, RMR_E_NODE_STATE_WRITE,
                          rmr_node_err_text(RMR_E_NODE_STATE_WRITE));
    else
        rmri_node_fail(n, now, RMR_E_NODE_STATE_WRITE, NULL);
}

static void store_done(void *owner, rmr_time now)
{
    rmr_node *n = owner;
    (void)now;
    n->state_io = NULL;
    text_free(n);
    if (n->state_dirty)
        rmri_node_state_save(n);
}

static size_t store_produce(void *owner, rmr_time now, rmr_buf scratch)
{
    rmr_node *n = owner;
    (void)now;
    memcpy(scratch.ptr, n->state_text, n->state_len);
    rmr_mc_io_last_part(n->state_io);
    return n->state_len;
}

static const rmr_mc_io_ops store_ops = {
    .failed = store_failed,
    .stored = store_done,
    .produce = store_produce,
};

void rmri_node_state_save(rmr_node *n)
{
    if (n->state_io) { /* one at a time; the next follows it */
        n->state_dirty = true;
        return;
    }
    n->state_dirty = false;
    if (!text_new(n) || state_build(n) != RMR_OK)
        text_free(n);
    else
        n->state_io = rmr_mc_store(n->mc, STATE_NAME, &store_ops, n);
    if (!n->state_io)
        rmri_node_trouble(n, RMR_E_NOMEM, "the state could not be saved");
}
