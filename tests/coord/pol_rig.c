#include "pol_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server.h"

void pr_init(pol_rig *p, const rmr_coord_config *cfg)
{
    memset(p, 0, sizeof *p);
    rig_init(&p->r, cfg);
}

void pr_forget(pr_member *m)
{
    json_t **all[] = {&m->peers, &m->self,   &m->filter, &m->ssh,
                      &m->users, &m->relays, &m->dns,    &m->last};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        json_decref(*all[i]);
        *all[i] = NULL;
    }
}

void pr_leave(pr_member *m)
{
    if (!m->gone)
        rig_part(&m->cl);
    m->gone = true;
}

void pr_free(pol_rig *p)
{
    for (int i = 0; i < p->n; i++) {
        pr_forget(&p->m[i]);
        pr_leave(&p->m[i]);
    }
    rig_free(&p->r);
}

uint64_t pr_user(pol_rig *p, const char *name)
{
    return server_user(p->r.coord, name);
}

void pr_users(pol_rig *p)
{
    p->alice = pr_user(p, "alice");
    p->bob = pr_user(p, "bob");
    p->carol = pr_user(p, "carol");
}

void pr_begin(pol_rig *p)
{
    pr_init(p, NULL);
    pr_users(p);
}

/* ---- what is told -------------------------------------------------------- */

static const char *id_text(const json_t *id)
{
    static char text[24];
    (void)snprintf(text, sizeof text, "%lld",
                   (long long)json_integer_value(id));
    return text;
}

static void take(json_t **at, json_t *value)
{
    if (!value)
        return;
    json_decref(*at);
    *at = json_incref(value);
}

/* A patch says what is another, and no list of endpoints is one, too. */
static void patch(json_t *peer, const json_t *patch)
{
    static const char *const names[][2] = {
        {"DERPRegion", "HomeDERP"}, {"Cap", "Cap"},
        {"DiscoKey", "DiscoKey"},   {"Online", "Online"},
        {"LastSeen", "LastSeen"},   {"Endpoints", "Endpoints"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        json_t *v = json_object_get(patch, names[i][0]);
        if (v)
            json_object_set(peer, names[i][1], v);
    }
    if (json_array_size(json_object_get(patch, "Endpoints")) == 0)
        json_object_del(peer, "Endpoints");
    if (json_is_true(json_object_get(patch, "Online")))
        json_object_del(peer, "LastSeen");
}

/* Frames share nothing with what is kept: that is patched. */
static void put_peer(pr_member *m, const json_t *peer)
{
    json_object_set_new(m->peers, id_text(json_object_get(peer, "ID")),
                        json_deep_copy(peer));
}

static void take_peers(pr_member *m, const json_t *frame)
{
    size_t i;
    json_t *v;
    if (json_object_get(frame, "Peers"))
        json_object_clear(m->peers);
    json_array_foreach(json_object_get(frame, "PeersRemoved"), i, v)
    {
        /* Nobody is told of what it did not know. */
        assert_int_equal(json_object_del(m->peers, id_text(v)), 0);
        m->removed++;
    }
    json_array_foreach(json_object_get(frame, "Peers"), i, v)
    {
        put_peer(m, v);
    }
    json_array_foreach(json_object_get(frame, "PeersChanged"), i, v)
    {
        put_peer(m, v);
    }
    json_array_foreach(json_object_get(frame, "PeersChangedPatch"), i, v)
    {
        json_t *peer =
            json_object_get(m->peers, id_text(json_object_get(v, "NodeID")));
        assert_non_null(peer);
        patch(peer, v);
    }
}

static void take_users(pr_member *m, const json_t *frame)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(frame, "UserProfiles"), i, v)
    {
        json_object_set(m->users, id_text(json_object_get(v, "ID")), v);
    }
}

static void take_frame(pr_member *m, json_t *frame)
{
    json_t *filter =
        json_object_get(json_object_get(frame, "PacketFilters"), "base");
    if (json_object_get(frame, "KeepAlive"))
        return;
    m->frames++;
    m->filters += filter != NULL;
    m->selves += json_object_get(frame, "Node") != NULL;
    take(&m->filter, filter);
    take(&m->self, json_object_get(frame, "Node"));
    take(&m->ssh, json_object_get(frame, "SSHPolicy"));
    take(&m->relays, json_object_get(frame, "DERPMap"));
    take(&m->dns, json_object_get(frame, "DNSConfig"));
    take(&m->last, frame);
    take_users(m, frame);
    take_peers(m, frame);
}

static void read_frames(pr_member *m)
{
    rig_answer *x = m->map;
    size_t at = 0;
    while (x && at + 4 <= x->len) {
        const uint8_t *b = (const uint8_t *)x->body + at;
        size_t len = b[0] | (size_t)b[1] << 8 | (size_t)b[2] << 16;
        assert_true(at + 4 + len <= x->len);
        json_t *frame =
            json_loadb((const char *)b + 4, len, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(frame);
        take_frame(m, frame);
        json_decref(frame);
        at += 4 + len;
    }
    if (x)
        x->len = 0;
}

void pr_news(pol_rig *p)
{
    rig_turn(&p->r);
    for (int i = 0; i < p->n; i++) {
        pr_member *m = &p->m[i];
        m->frames = m->filters = m->selves = m->removed = 0;
        if (m->gone)
            continue;
        rig_pump(&m->cl);
        if (!m->map || !m->map->over)
            read_frames(m);
    }
}

/* ---- members ------------------------------------------------------------- */

static const char *node_key(const pr_member *m, const pol_rig *p)
{
    static char text[80];
    (void)snprintf(text, sizeof text, "nodekey:%064d",
                   p->base + (int)(m - p->m) + 11);
    return text;
}

pr_member *pr_join(pol_rig *p, const char *host, uint64_t user, const char *tag,
                   const char *hostinfo)
{
    char key[RMR_COORD_KEY_TEXT], text[1024];
    uint64_t id;
    rmr_coord_node n;
    pr_member *m = &p->m[p->n++];
    rmr_coord_key_wish w = {.user = user, .tags = &tag, .n_tags = tag != NULL};
    assert_true(p->n <= PR_MEMBERS);
    memset(m, 0, sizeof *m);
    (void)snprintf(m->host, sizeof m->host, "%s", host);
    m->peers = json_object();
    m->users = json_object();
    assert_int_equal(rmr_coord_key_add(p->r.coord, &w, key, &id), RMR_OK);
    assert_true(rig_join(&m->cl, &p->r, (uint8_t)(p->base + p->n), 138));
    (void)snprintf(text, sizeof text,
                   "{\"Version\":138,\"NodeKey\":\"%s\",\"Auth\":{\"AuthKey\":"
                   "\"%s\"},\"Hostinfo\":{\"Hostname\":\"%s\"%s}}",
                   node_key(m, p), key, host, hostinfo);
    rig_answer *a = rig_ask(&m->cl, "/machine/register", text);
    rig_wait(&p->r, RMR_MS); /* until it is stored */
    rig_pump(&m->cl);
    assert_int_equal(a->status, 200);
    a->body[a->len] = '\0';
    assert_non_null(strstr(a->body, "\"MachineAuthorized\":true"));
    for (uint64_t at = 0; rmr_coord_node_next(p->r.coord, at, &n) == RMR_OK;
         at = n.id)
        m->id = n.id;
    (void)snprintf(text, sizeof text,
                   "{\"Version\":138,\"NodeKey\":\"%s\",\"Stream\":true,"
                   "\"Hostinfo\":{\"Hostname\":\"%s\"%s}}",
                   node_key(m, p), host, hostinfo);
    m->map = rig_ask(&m->cl, "/machine/map", text);
    assert_int_equal(m->map->status, 200);
    pr_news(p);
    return m;
}

void pr_update(pol_rig *p, pr_member *m, const char *hostinfo)
{
    char text[1024];
    (void)snprintf(text, sizeof text,
                   "{\"Version\":138,\"NodeKey\":\"%s\",\"OmitPeers\":true,"
                   "\"Hostinfo\":{\"Hostname\":\"%s\"%s}}",
                   node_key(m, p), m->host, hostinfo);
    assert_int_equal(rig_ask(&m->cl, "/machine/map", text)->status, 200);
    m->cl.n_answers--;
    pr_news(p);
}

static rig_answer *stream(pol_rig *p, pr_member *m, const char *more)
{
    char text[256];
    (void)snprintf(text, sizeof text,
                   "{\"Version\":138,\"NodeKey\":\"%s\",\"Stream\":true%s}",
                   node_key(m, p), more);
    rig_answer *x = rig_ask(&m->cl, "/machine/map", text);
    assert_int_equal(x->status, 200);
    return x;
}

void pr_wake(pol_rig *p, pr_member *m)
{
    uint8_t machine = (uint8_t)(p->base + (int)(m - p->m) + 1);
    pr_forget(m);
    m->peers = json_object();
    m->users = json_object();
    assert_true(rig_join(&m->cl, &p->r, machine, 138));
    m->gone = false;
    m->map = stream(p, m, "");
    pr_news(p);
}

void pr_look_afresh(pol_rig *p, pr_member *m, pr_member *into)
{
    memset(into, 0, sizeof *into);
    into->peers = json_object();
    into->users = json_object();
    into->map = stream(p, m, ",\"ReadOnly\":true");
    read_frames(into);
    assert_int_equal(into->frames, 1);
    assert_int_equal(rmr_h2_cancel(m->cl.h2, into->map->id), RMR_OK);
    rig_pump(&m->cl);
    m->cl.n_answers--; /* there are not many; one is that of its own stream */
}

static const json_t *peer(const pr_member *m, const char *host)
{
    const char *key;
    json_t *v;
    size_t n = strlen(host);
    json_object_foreach(m->peers, key, v)
    {
        const char *name = json_string_value(json_object_get(v, "Name"));
        if (strncmp(name, host, n) == 0 && name[n] == '.')
            return v;
    }
    return NULL;
}

bool pr_sees(const pr_member *m, const char *host)
{
    return peer(m, host) != NULL;
}

char *pr_allowed(const pr_member *m, const char *host)
{
    const json_t *n = peer(m, host);
    return n ? json_dumps(json_object_get(n, "AllowedIPs"), JSON_COMPACT)
             : NULL;
}

void pr_expect_allowed(const pr_member *m, const char *host, const char *want)
{
    char *is = pr_allowed(m, host);
    assert_non_null(is);
    assert_string_equal(is, want);
    free(is);
}

rmr_err pr_tag(pol_rig *p, const pr_member *m, const char *name)
{
    return rmr_coord_node_set_tags(p->r.coord, m->id, &name, 1);
}

void pr_expect(const json_t *is, const char *want)
{
    json_t *w = json_loads(want, JSON_DECODE_ANY, NULL);
    assert_non_null(w);
    if (!json_equal(is, w)) {
        char *text = json_dumps(is, JSON_COMPACT | JSON_ENCODE_ANY);
        fail_msg("is   %s\nwant %s", text ? text : "nothing", want);
    }
    json_decref(w);
}

void pr_policy(pol_rig *p, const char *text)
{
    rmr_pol_why why;
    if (rmr_coord_set_policy(p->r.coord, rmr_bytes_str(text), &why) != RMR_OK)
        fail_msg("line %u: %s", why.line, why.text);
    pr_news(p);
}

int pr_rest(pol_rig *p, const char *method, const char *path, const char *body,
            char *answer, size_t cap)
{
    char head[512];
    rig_conn *c = rig_open_at(&p->r, 1);
    (void)snprintf(head, sizeof head,
                   "%s %s HTTP/1.1\r\nHost: h\r\nContent-Type: "
                   "application/json\r\nContent-Length: %zu\r\n\r\n",
                   method, path, body ? strlen(body) : 0);
    rig_text(&p->r, c, head);
    if (body)
        rig_text(&p->r, c, body);
    size_t n = c->n_got < cap - 1 ? c->n_got : cap - 1;
    memcpy(answer, c->got, n);
    answer[n] = '\0';
    rig_leave(&p->r, c, true);
    return n > 12 ? atoi(answer + 9) : 0;
}
