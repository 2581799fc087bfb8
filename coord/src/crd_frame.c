/* One frame of a map stream: what its client does not know yet. */
#include "crd_internal.h"

#include <remora/cursor.h>

#include <string.h>

#define FRONT 4 /* the length, little endian */

/* ---- the frame's bytes --------------------------------------------------- */

void rmri_crd_out_begin(crd_out *o, rmr_coord *c, crd_buf *to, bool zstd)
{
    static const uint8_t length[FRONT];
    memset(o, 0, sizeof *o);
    o->c = c;
    o->to = to;
    o->zstd = zstd;
    o->start = to->len;
    o->err = rmri_crd_buf_add(c, to, rmr_bytes_of(length, FRONT));
    if (zstd)
        rmri_crd_zstd_begin(c->zstd);
    rmr_jw_init(&o->w, rmr_buf_of(c->scratch, CRD_SCRATCH));
}

static void pass_on(crd_out *o, rmr_bytes part, bool last)
{
    if (o->err != RMR_OK)
        return;
    rmri_crd_pace_made(o->c, part.len);
    if (o->zstd)
        o->err = rmri_crd_zstd_feed(o->c->zstd, part, last, o->c, o->to);
    else
        o->err = rmri_crd_buf_add(o->c, o->to, part);
}

void rmri_crd_out_raw(crd_out *o, rmr_bytes json)
{
    rmr_jw_raw(&o->w, rmr_bytes_of(NULL, 0));
    pass_on(o, rmr_jw_take(&o->w), false);
    pass_on(o, json, false);
}

/* An element has half of the scratch, then. */
void rmri_crd_out_flush(crd_out *o)
{
    if (o->w.len >= CRD_SCRATCH / 2)
        pass_on(o, rmr_jw_take(&o->w), false);
}

rmr_err rmri_crd_out_end(crd_out *o)
{
    size_t len;
    rmr_err e = rmr_jw_end(&o->w, &len);
    if (o->err == RMR_OK)
        o->err = e;
    if (o->err == RMR_OK)
        pass_on(o, rmr_bytes_of(o->c->scratch, len), true);
    if (o->err != RMR_OK) {
        o->to->len = o->start;
        return o->err;
    }
    size_t n = o->to->len - o->start;
    rmr_store_le32(o->to->p + o->start, (uint32_t)(n - FRONT));
    o->c->count.frames++;
    o->c->count.frame_bytes += n;
    return RMR_OK;
}

/* As RFC 8878 3.1.1 has it: a frame of one segment, its size, and a last block
 * that is raw, for so few bytes can't be compressed.  Most frames are these, and
 * the encoder would sweep its tables through the cache for each. */
#define KEEPALIVE "{\"KeepAlive\":true}"
_Static_assert(sizeof KEEPALIVE - 1 == 0x12, "the two sizes below");
static const char raw_keepalive[] =
    "\x28\xb5\x2f\xfd\x20\x12\x91\0\0" KEEPALIVE;

rmr_err rmri_crd_put_keepalive(rmr_coord *c, crd_buf *to, bool zstd)
{
    uint8_t frame[FRONT + sizeof raw_keepalive];
    const char *from = zstd ? raw_keepalive : KEEPALIVE;
    size_t n = zstd ? sizeof raw_keepalive - 1 : sizeof KEEPALIVE - 1;
    rmr_store_le32(frame, (uint32_t)n);
    memcpy(frame + FRONT, from, n);
    c->count.frames++;
    c->count.frame_bytes += FRONT + n;
    return rmri_crd_buf_add(c, to, rmr_bytes_of(frame, FRONT + n));
}

/* ---- peers --------------------------------------------------------------- */

typedef void (*each_fn)(crd_out *o, const crd_stream *s, const crd_node *n);

static void for_each(crd_out *o, const crd_stream *s, const crd_set *set,
                     each_fn fn)
{
    for (size_t i = 0; i < set->n_words; i++) {
        for (uint64_t w = set->words[i]; w; w &= w - 1) {
            size_t slot = i * 64 + (size_t)__builtin_ctzll(w);
            const crd_node *n = slot < o->c->n_slots ? o->c->nodes[slot] : NULL;
            if (n)
                fn(o, s, n);
            rmri_crd_out_flush(o);
        }
    }
}

static void put_whole(crd_out *o, const crd_stream *s, const crd_node *n)
{
    rmri_crd_put_node(o, s->node, n);
}

static void put_patch(crd_out *o, const crd_stream *s, const crd_node *n)
{
    if (!rmri_crd_set_has(&s->whole, n->slot))
        rmri_crd_put_patch(&o->w, n);
}

/* Once a frame for each user; the tagged ones have one together. */
static void put_profile(crd_out *o, const crd_stream *s, const crd_node *n)
{
    rmr_coord *c = o->c;
    (void)s;
    bool tagged = rmri_crd_is_tagged(n) || !n->user;
    uint64_t *shown = tagged ? &c->tagged_shown : &n->user->shown;
    if (*shown == c->frame)
        return;
    *shown = c->frame;
    rmri_crd_put_profile(&o->w, n);
}

static void put_list(crd_out *o, const crd_stream *s, const char *name,
                     const crd_set *set, each_fn fn)
{
    rmr_jw_key(&o->w, name);
    rmr_jw_array(&o->w);
    for_each(o, s, set, fn);
    rmr_jw_array_end(&o->w);
}

static bool differ(const crd_set *a, const crd_set *b)
{
    for (size_t i = 0; i < a->n_words; i++) {
        if (a->words[i] & ~(i < b->n_words ? b->words[i] : 0))
            return true;
    }
    return false;
}

static void put_gone(crd_out *o, const crd_stream *s)
{
    rmr_jw_key(&o->w, "PeersRemoved");
    rmr_jw_array(&o->w);
    for (size_t i = 0; i < s->n_gone; i++) {
        rmr_jw_u64(&o->w, s->gone[i]);
        rmri_crd_out_flush(o);
    }
    rmr_jw_array_end(&o->w);
}

static void put_profiles(crd_out *o, const crd_stream *s, const crd_set *set)
{
    o->c->frame++;
    rmr_jw_key(&o->w, "UserProfiles");
    rmr_jw_array(&o->w);
    put_profile(o, s, s->node);
    for_each(o, s, set, put_profile);
    rmr_jw_array_end(&o->w);
}

/* ---- the rest ------------------------------------------------------------ */

static void put_self(crd_out *o, const crd_stream *s)
{
    rmr_jw_key(&o->w, "Node");
    rmri_crd_put_node(o, s->node, s->node);
    rmri_crd_out_flush(o);
    rmr_jw_key(&o->w, "DNSConfig");
    rmr_jw_raw(&o->w, rmr_bytes_str(o->c->dns));
}

static void put_derp_map(crd_out *o)
{
    if (!o->c->derp_map)
        return;
    rmr_jw_key(&o->w, "DERPMap");
    rmri_crd_out_raw(o, rmr_bytes_str(o->c->derp_map));
}

static void put_rules(crd_out *o, const crd_stream *s)
{
    if (s->has_filter) {
        rmr_jw_key(&o->w, "PacketFilters");
        rmr_jw_object(&o->w);
        rmr_jw_key(&o->w, "base");
        rmri_crd_out_raw(o, o->c->rules.filter);
        rmr_jw_object_end(&o->w);
    }
    if (s->has_ssh) {
        rmr_jw_key(&o->w, "SSHPolicy");
        rmri_crd_out_raw(o, o->c->rules.ssh);
    }
}

static void put_once(crd_out *o)
{
    rmr_jw_kstr(&o->w, "Domain", o->c->domain);
    rmr_jw_kbool(&o->w, "CollectServices", false);
    rmri_crd_out_flush(o);
}

static void put_time(crd_out *o)
{
    char text[RMR_TIME_TEXT_MAX];
    rmr_jw_kstr(&o->w, "ControlTime", rmr_time_text(rmri_crd_wall(o->c), text));
}

static rmr_err make(crd_stream *s)
{
    crd_out o;
    bool began = s->began;
    const crd_set *whole = began ? &s->whole : &s->told;
    rmri_crd_out_begin(&o, s->rpc->conn->c, &s->rpc->body, s->zstd);
    rmr_jw_object(&o.w);
    if (!began || s->map)
        put_derp_map(&o);
    if (!began)
        put_once(&o);
    if (!began || s->self)
        put_self(&o, s);
    put_rules(&o, s);
    if (began && s->n_gone)
        put_gone(&o, s);
    if (!rmri_crd_set_is_empty(whole))
        put_list(&o, s, began ? "PeersChanged" : "Peers", whole, put_whole);
    if (began && differ(&s->dirty, &s->whole))
        put_list(&o, s, "PeersChangedPatch", &s->dirty, put_patch);
    if (!began || s->self || !rmri_crd_set_is_empty(whole))
        put_profiles(&o, s, whole); /* its own may be another, too */
    put_time(&o);
    rmr_jw_object_end(&o.w);
    rmr_err e = rmri_crd_out_end(&o);
    if (e != RMR_OK)
        return e;
    rmri_crd_pace_took(s, false);
    rmri_crd_alike_keep(o.c,
                        rmr_bytes_of(o.to->p + o.start, o.to->len - o.start));
    return RMR_OK;
}

/* The frame that another stream got. */
static rmr_err repeat(crd_stream *s, rmr_bytes frame)
{
    rmr_coord *c = s->rpc->conn->c;
    rmr_err e = rmri_crd_buf_add(c, &s->rpc->body, frame);
    if (e != RMR_OK)
        return e;
    rmri_crd_pace_made(c, frame.len);
    rmri_crd_pace_took(s, true);
    c->count.frames++;
    c->count.frame_bytes += frame.len;
    c->count.repeated++;
    return RMR_OK;
}

static void clear(crd_set *s)
{
    if (s->n_words)
        memset(s->words, 0, s->n_words * sizeof *s->words);
}

static rmr_err remember(crd_stream *s)
{
    rmr_coord *c = s->rpc->conn->c;
    bool routes = !s->began || s->look || s->n_gone ||
                  (c->n_routers && rmri_crd_sets_meet(&s->whole, &c->routers));
    for (size_t i = 0; i < s->whole.n_words; i++) {
        for (uint64_t w = s->whole.words[i]; w; w &= w - 1) {
            uint32_t slot = (uint32_t)(i * 64 + (size_t)__builtin_ctzll(w));
            if (rmri_crd_set_add(c, &s->told, slot) != RMR_OK)
                return RMR_E_NOMEM;
        }
    }
    clear(&s->whole);
    clear(&s->dirty);
    rmr_release(&c->env.alloc, s->gone, s->cap_gone * sizeof *s->gone);
    s->gone = NULL;
    s->n_gone = s->cap_gone = 0;
    s->self = s->map = s->any = false;
    s->began = true;
    rmri_crd_sight_done(s, routes);
    return RMR_OK;
}

static bool says_nothing(const crd_stream *s)
{
    return s->began && !s->self && !s->map && !s->has_filter && !s->has_ssh &&
           !s->n_gone && rmri_crd_set_is_empty(&s->dirty);
}

void rmri_crd_frame(crd_stream *s, rmr_time now)
{
    if (s->broken || (s->began && !s->any) || !rmri_crd_pace_may_go(s, now))
        return;
    rmr_bytes made;
    rmr_err e = rmri_crd_sight(s);
    bool silent = e == RMR_OK && says_nothing(s);
    if (e == RMR_OK && !silent)
        e = rmri_crd_alike_find(s, &made) ? repeat(s, made) : make(s);
    if (e == RMR_OK)
        e = remember(s);
    if (e != RMR_OK)
        s->broken = true;
    if (!silent)
        rmri_crd_stream_keepalive(s, now);
}
