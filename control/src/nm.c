/* The netmap: its life, its frames, and looking at it. */
#include "nm_internal.h"

#include <remora/text.h>

#include <string.h>

/* ---- life ------------------------------------------------------------- */

static void *counted_alloc(void *user, size_t size, size_t align)
{
    rmr_nm *nm = (rmr_nm *)user;
    void *p = nm->env.alloc.alloc(nm->env.alloc.user, size, align);
    if (p)
        nm->stats.memory_bytes += size;
    return p;
}

static void counted_release(void *user, void *ptr, size_t size)
{
    rmr_nm *nm = (rmr_nm *)user;
    if (ptr)
        nm->stats.memory_bytes -= size;
    nm->env.alloc.release(nm->env.alloc.user, ptr, size);
}

void rmr_nm_config_init(rmr_nm_config *cfg, size_t struct_size)
{
    memset(cfg, 0, struct_size);
    cfg->struct_size = (uint32_t)struct_size;
    if (struct_size >= offsetof(rmr_nm_config, callbacks))
        cfg->max_peers = 100000;
}

static bool eq_cap(const void *user, uint64_t value, const void *key,
                   size_t len)
{
    const char *name = rmri_nm_cap_name((const rmr_nm *)user, (uint16_t)value);
    return strlen(name) == len && memcmp(name, key, len) == 0;
}

static void read_vectors_free(rmr_nm *nm)
{
    rmri_nm_draft_free(&nm->read->draft, &nm->alloc);
    rmri_nm_draft_free(&nm->read->work, &nm->alloc);
    rmri_nm_rule_draft_free(nm);
    rmri_nm_dns_discard(nm);
}

/* What was written is wiped, as a frame is short and the room for it is not. */
static void read_free(rmr_nm *nm)
{
    nm_read *r = nm->read;
    if (!r)
        return;
    read_vectors_free(nm);
    rmr_wipe(r->scratch, r->fed);
    if (r->raw.used)
        rmr_wipe(&r->raw, sizeof r->raw);
    if (r->pinged)
        rmr_wipe(&r->ping, sizeof r->ping);
    rmr_wipe(r, offsetof(nm_read, ping));
    rmr_release(&nm->alloc, r, sizeof *r);
    nm->read = NULL;
}

/* Errors: NOMEM. */
static rmr_err read_new(rmr_nm *nm)
{
    const rmr_json_bind_callbacks cb = {nm, rmri_nm_nest, rmri_nm_value};
    nm_read *r = rmr_alloc_raw(&nm->alloc, sizeof *r, _Alignof(nm_read));
    if (!r)
        return RMR_E_NOMEM;
    memset(r, 0, offsetof(nm_read, ping));
    r->raw.depth = 0;
    r->raw.used = false;
    rmr_json_bind_init(&r->json, rmr_buf_of(r->scratch, sizeof r->scratch),
                       rmri_nm_root, rmri_nm_n_root, &cb);
    rmr_json_bind_may_drop(&r->json, rmri_nm_may_drop);
    rmri_nm_draft_begin(&r->draft);
    nm->read = r;
    return RMR_OK;
}

static rmr_err init_parts(rmr_nm *nm)
{
    rmr_env env = nm->env;
    env.alloc = nm->alloc;
    rmr_err e = rmri_nm_indexes_init(nm);
    if (!e)
        e = rmr_hash_init(&nm->cap_index, &nm->alloc, &nm->env.rng,
                          NM_MAX_CAP_NAMES, eq_cap, nm);
    if (!e)
        e = rmr_filter_new(&nm->filter, &env);
    return e;
}

rmr_err rmr_nm_new(rmr_nm **out, const rmr_env *env, const rmr_nm_config *cfg)
{
    rmr_nm_config c;
    if (!out || !env || !cfg || cfg->struct_size < sizeof cfg->struct_size)
        return RMR_E_INVAL;
    rmr_nm_config_init(&c, sizeof c);
    memcpy(&c, cfg, cfg->struct_size < sizeof c ? cfg->struct_size : sizeof c);
    if (c.max_peers == 0)
        return RMR_E_INVAL;
    rmr_nm *nm = rmr_alloc_zero(&env->alloc, sizeof *nm, _Alignof(rmr_nm));
    if (!nm)
        return RMR_E_NOMEM;
    nm->env = *env;
    nm->alloc.alloc = counted_alloc;
    nm->alloc.release = counted_release;
    nm->alloc.user = nm;
    nm->stats.memory_bytes = sizeof *nm;
    nm->max_peers = c.max_peers;
    if (c.callbacks) {
        size_t n = c.callbacks->struct_size;
        memcpy(&nm->cb, c.callbacks, n < sizeof nm->cb ? n : sizeof nm->cb);
    }
    rmr_nm_stream_begin(nm);
    rmr_err e = init_parts(nm);
    if (e) {
        rmr_nm_free(nm);
        return e;
    }
    *out = nm;
    return RMR_OK;
}

void rmr_nm_free(rmr_nm *nm)
{
    if (!nm)
        return;
    for (size_t i = 0; i < nm->n_peers; i++)
        rmri_nm_peer_free(nm, nm->peers[i]);
    rmr_release(&nm->alloc, nm->peers, nm->cap_peers * sizeof *nm->peers);
    rmri_nm_peer_free(nm, nm->self);
    for (int i = 0; i < NM_INDEXES; i++)
        rmr_hash_wipe(&nm->index[i]);
    rmr_hash_wipe(&nm->cap_index);
    for (size_t i = 0; i < nm->cap_names.len / sizeof(char *); i++) {
        char *name = ((char **)(void *)nm->cap_names.p)[i];
        rmr_release(&nm->alloc, name, strlen(name) + 1);
    }
    rmri_ctl_vec_free(&nm->cap_names, &nm->alloc);
    rmri_ctl_vec_free(&nm->gone, &nm->alloc);
    read_free(nm);
    rmri_nm_derp_free(nm);
    rmri_nm_rules_free(nm);
    rmri_nm_misc_free(nm);
    rmri_nm_dns_free(nm);
    rmri_nm_plan_free(nm);
    (void)rmr_text_keep(&nm->domain, &nm->alloc, rmr_bytes_str(""));
    rmri_nm_ghosts_free(nm);
    rmr_filter_free(nm->filter);
    rmr_alloc a = nm->env.alloc;
    rmr_release_wiped(&a, nm, sizeof *nm);
}

/* ---- helpers of the decoder ------------------------------------------- */

void rmri_nm_drop(rmr_nm *nm)
{
    nm->stats.dropped_elements++;
}

void rmri_nm_text(rmr_nm *nm, char *dst, size_t cap, rmr_bytes text)
{
    dst[0] = '\0';
    if (text.len == 0)
        return;
    if (text.len >= cap || rmri_ctl_has_byte(text, 0)) {
        rmri_nm_drop(nm);
        return;
    }
    memcpy(dst, text.ptr, text.len);
    dst[text.len] = '\0';
}

bool rmri_nm_frame_had_node(const rmr_nm *nm)
{
    return nm->had_node;
}

bool rmri_nm_frame_was_keepalive(const rmr_nm *nm)
{
    return nm->keepalive;
}

/* ---- frames ----------------------------------------------------------- */

void rmr_nm_stream_begin(rmr_nm *nm)
{
    nm->stream_pending = true;
    nm->lock_warned = false;
}

void rmr_nm_frame_begin(rmr_nm *nm, uint64_t now_unix_ns)
{
    if (nm->busy)
        return;
    read_free(nm);
    nm->beat = false;
    rmri_nm_derp_discard(nm);
    rmri_nm_rules_discard(nm);
    rmri_nm_dns_discard(nm);
    nm->in_frame = true;
    nm->frame_err = RMR_OK;
    nm->keepalive = nm->full_list = nm->had_node = false;
    nm->saw_dns = nm->saw_health = false;
    nm->unsaved |= nm->changed;
    nm->changed = 0;
    nm->section = 0;
    nm->sleep_seconds = 0;
    nm->saw_changed = false;
    rmri_nm_ghosts_free(nm);
    /* 0 is "never"; the marks of 2^32 frames ago are not told apart. */
    nm->frame = nm->frame >= UINT32_MAX - 1 ? 1 : nm->frame + 1;
    nm->message_frame++;
    nm->now = now_unix_ns;
}

/* What a server writes each minute to say that it is there. */
static const char beat[] = "{\"KeepAlive\":true}";

static bool is_beat(rmr_bytes json)
{
    return json.len == sizeof beat - 1 &&
           memcmp(json.ptr, beat, sizeof beat - 1) == 0;
}

static rmr_err feed(rmr_nm *nm, rmr_bytes json)
{
    nm_read *r = nm->read;
    size_t room = sizeof r->scratch - r->fed;
    r->fed += json.len < room ? json.len : room;
    return rmr_json_bind_feed(&r->json, json);
}

/* The reader, from the frame's first byte on. */
static rmr_err need_reader(rmr_nm *nm)
{
    if (nm->read)
        return RMR_OK;
    rmr_err e = read_new(nm);
    if (e || !nm->beat)
        return e;
    nm->beat = false;
    return feed(nm, rmr_bytes_str(beat));
}

rmr_err rmr_nm_frame_feed(rmr_nm *nm, rmr_bytes json)
{
    if (nm->busy)
        return RMR_E_REENTRANT;
    if (!nm->in_frame)
        return RMR_E_STATE;
    if (nm->frame_err)
        return nm->frame_err;
    nm->stats.bytes += json.len;
    if (!nm->read && !nm->beat && is_beat(json)) {
        nm->beat = true;
        return RMR_OK;
    }
    nm->frame_err = need_reader(nm);
    if (!nm->frame_err)
        nm->frame_err = feed(nm, json);
    return nm->frame_err;
}

static void tell_frame(rmr_nm *nm)
{
    if (!nm->cb.on_frame)
        return;
    nm->busy = true;
    nm->cb.on_frame(nm->cb.user, nm->changed);
    nm->busy = false;
}

/* What can be done only when the whole frame was read. */
static rmr_err finish(rmr_nm *nm)
{
    rmr_err e, compiled = RMR_OK;
    /* A first frame without a Node is none: the client drops such a stream,
     * and what an earlier one told still holds. */
    nm->first_frame = nm->stream_pending && nm->had_node;
    if (nm->full_list || nm->first_frame)
        rmri_nm_sweep(nm);
    if (nm->first_frame)
        rmri_nm_misc_first_frame(nm);
    e = rmri_nm_rules_apply(nm);
    if (e)
        nm->recompile = true;
    if (nm->recompile)
        compiled = rmri_nm_rules_compile(nm);
    nm->recompile = e != RMR_OK || compiled != RMR_OK;
    nm->stream_pending = nm->stream_pending && !nm->had_node;
    return e ? e : compiled;
}

rmr_err rmr_nm_frame_end(rmr_nm *nm)
{
    if (nm->busy)
        return RMR_E_REENTRANT;
    if (!nm->in_frame)
        return RMR_E_STATE;
    nm->in_frame = false;
    rmri_nm_ghosts_free(nm);
    nm->keepalive = nm->keepalive || nm->beat;
    if (!nm->frame_err && !nm->beat)
        nm->frame_err = need_reader(nm);
    if (!nm->frame_err && !nm->beat)
        nm->frame_err = rmr_json_bind_end(&nm->read->json);
    read_free(nm);
    if (nm->frame_err) {
        rmri_nm_derp_discard(nm);
        rmri_nm_rules_discard(nm);
        rmri_nm_dns_discard(nm);
        return nm->frame_err;
    }
    nm->stats.frames++;
    if (nm->keepalive)
        nm->changed |= RMR_NM_KEEPALIVE;
    else
        nm->frame_err = finish(nm);
    tell_frame(nm);
    return nm->frame_err;
}

/* ---- looking ---------------------------------------------------------- */

bool rmr_nm_self(const rmr_nm *nm, rmr_nm_node *out)
{
    if (nm->self)
        rmri_nm_view(nm, nm->self, out);
    return nm->self != NULL;
}

size_t rmr_nm_peer_count(const rmr_nm *nm)
{
    return nm->n_peers;
}

static bool show(const rmr_nm *nm, const nm_peer *p, rmr_nm_node *out)
{
    if (p)
        rmri_nm_view(nm, p, out);
    return p != NULL;
}

bool rmr_nm_peer(const rmr_nm *nm, uint64_t id, rmr_nm_node *out)
{
    return show(nm, rmri_nm_find(nm, id), out);
}

static bool by_index(const rmr_nm *nm, int kind, const void *key, size_t len,
                     rmr_nm_node *out)
{
    uint64_t v;
    if (!rmr_hash_get(&nm->index[kind], key, len, &v))
        return false;
    return show(nm, (const nm_peer *)(uintptr_t)v, out);
}

bool rmr_nm_peer_by_key(const rmr_nm *nm, const uint8_t key[RMR_KEY_LEN],
                        rmr_nm_node *out)
{
    return by_index(nm, NM_BY_KEY, key, RMR_KEY_LEN, out);
}

bool rmr_nm_peer_by_disco(const rmr_nm *nm, const uint8_t key[RMR_KEY_LEN],
                          rmr_nm_node *out)
{
    return by_index(nm, NM_BY_DISCO, key, RMR_KEY_LEN, out);
}

bool rmr_nm_peer_by_ip(const rmr_nm *nm, const rmr_addr *ip, rmr_nm_node *out)
{
    uint8_t key[17];
    key[0] = ip->family;
    memcpy(key + 1, ip->ip, 16);
    return by_index(nm, NM_BY_IP, key, sizeof key, out);
}

bool rmr_nm_peer_by_name(const rmr_nm *nm, const char *name, rmr_nm_node *out)
{
    char full[2 * NM_TEXT_MAX];
    size_t n = strlen(name);
    const char *suffix = rmr_nm_magic_suffix(nm);
    if (n && name[n - 1] == '.')
        n--;
    if (n == 0 || n >= NM_TEXT_MAX)
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = name[i];
        full[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    }
    if (by_index(nm, NM_BY_NAME, full, n, out))
        return true;
    if (rmri_ctl_has_byte(rmr_bytes_of(full, n), '.') || suffix[0] == '\0')
        return false;
    full[n++] = '.';
    size_t len = strlen(suffix);
    memcpy(full + n, suffix, len);
    return by_index(nm, NM_BY_NAME, full, n + len, out);
}

bool rmr_nm_next_peer(const rmr_nm *nm, uint64_t *pos, rmr_nm_node *out)
{
    if (*pos == UINT64_MAX)
        return false;
    size_t at = rmri_nm_lower_bound(nm, *pos + 1);
    if (at == nm->n_peers)
        return false;
    *pos = nm->peers[at]->id;
    rmri_nm_view(nm, nm->peers[at], out);
    return true;
}

size_t rmr_nm_derp_count(const rmr_nm *nm)
{
    return nm->n_regions;
}

bool rmr_nm_derp_at(const rmr_nm *nm, size_t i, rmr_nm_derp_region *out)
{
    if (i >= nm->n_regions)
        return false;
    const nm_region *r = &nm->regions[i];
    memset(out, 0, sizeof *out);
    out->id = r->id;
    out->code = r->code;
    out->name = r->name;
    out->latitude = r->latitude;
    out->longitude = r->longitude;
    out->score = rmri_nm_score_of(nm, r->id);
    out->no_measure_no_home = r->no_measure_no_home;
    out->avoid = r->avoid;
    out->nodes = (const rmr_nm_derp_node *)(const void *)r->nodes.p;
    out->n_nodes = r->nodes.len / sizeof(rmr_nm_derp_node);
    return true;
}

bool rmr_nm_derp_region_by_id(const rmr_nm *nm, uint16_t id,
                              rmr_nm_derp_region *out)
{
    for (size_t i = 0; i < nm->n_regions; i++) {
        if (nm->regions[i].id == id)
            return rmr_nm_derp_at(nm, i, out);
    }
    return false;
}

const char *rmr_nm_domain(const rmr_nm *nm)
{
    return rmr_text_kept(nm->domain);
}

const char *rmr_nm_magic_suffix(const rmr_nm *nm)
{
    nm_parts k;
    if (!nm->self)
        return "";
    rmri_nm_parts(nm->self, &k);
    for (const char *s = k.name; *s; s++) {
        if (*s == '.')
            return s + 1;
    }
    return "";
}

uint64_t rmr_nm_control_time(const rmr_nm *nm)
{
    return nm->control_time;
}

size_t rmr_nm_health_count(const rmr_nm *nm)
{
    return nm->n_health;
}

const char *rmr_nm_health_at(const rmr_nm *nm, size_t i)
{
    return i < nm->n_health ? nm->health[i].text : "";
}

struct rmr_filter *rmr_nm_filter(rmr_nm *nm)
{
    return nm->filter;
}

void rmr_nm_get_stats(const rmr_nm *nm, rmr_nm_stats *out)
{
    *out = nm->stats;
}
