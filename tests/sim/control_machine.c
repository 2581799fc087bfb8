#include "control_machine.h"

#include "ctl_server.h"

#include <remora/cursor.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zstd.h>

#define CONNS 192
#define LISTENER 1

typedef struct conn {
    bool used, reads, sending, is_dead;
    uint64_t id;
    server s;
    int node; /* of the map stream; -1: none */
} conn;

typedef struct known {
    bool is_known;
    char key[65], disco[65];
    char endpoints[CM_TEXT];
    char routes[512]; /* that it offers: a list of JSON texts, or "" */
    int home;
    uint64_t end;      /* of the key, Unix s; 0: none */
    uint64_t each_end; /* of each later key */
    int keys;          /* so many */
} known;

struct control_machine {
    bool listens;
    rmr_addr at;
    char *derp_map;
    conn conns[CONNS];
    int n_conns; /* no more places were ever used */
    known nodes[CM_NODES];
    bool is_refused[CM_NODES]; /* its routes are not approved */
    int fill;                  /* peers that are no hosts, in every map */
    const char *reg_body;      /* as in ctl_server.h */
};

/* ---- what nodes say ------------------------------------------------------ */

/* The text behind "name":, between two marks; false: it is not there. */
static bool field(const char *body, const char *name, const char *open,
                  const char *close, char *dst, size_t cap)
{
    char find[64];
    (void)snprintf(find, sizeof find, "\"%s\":%s", name, open);
    const char *at = strstr(body, find);
    if (!at)
        return false;
    at += strlen(find);
    const char *end = strstr(at, close);
    if (!end || (size_t)(end - at) >= cap)
        abort();
    memcpy(dst, at, (size_t)(end - at));
    dst[end - at] = '\0';
    return true;
}

static int number(const char *body, const char *name)
{
    char find[64];
    (void)snprintf(find, sizeof find, "\"%s\":", name);
    const char *at = strstr(body, find);
    return at ? atoi(at + strlen(find)) : 0;
}

/* Host names are "n" and a digit. */
static int node_of(const char *body)
{
    char name[32];
    if (!field(body, "Hostname", "\"n", "\"", name, sizeof name))
        abort();
    int i = atoi(name);
    if (i < 0 || i >= CM_NODES)
        abort();
    return i;
}

static void learn(known *n, const char *body)
{
    char before[sizeof n->key];
    n->is_known = true;
    memcpy(before, n->key, sizeof before);
    (void)field(body, "NodeKey", "\"nodekey:", "\"", n->key, sizeof n->key);
    if (strcmp(before, n->key) != 0) {
        n->end = n->each_end;
        n->keys++;
    }
    (void)field(body, "DiscoKey", "\"discokey:", "\"", n->disco,
                sizeof n->disco);
    /* An IPv6 endpoint has brackets of its own. */
    char list[CM_TEXT - 2];
    bool has = field(body, "Endpoints", "[\"", "\"]", list, sizeof list);
    (void)snprintf(n->endpoints, sizeof n->endpoints, has ? "\"%s\"" : "%s",
                   has ? list : "");
    char offered[sizeof n->routes - 3];
    has = field(body, "RoutableIPs", "[", "]", offered, sizeof offered);
    (void)snprintf(n->routes, sizeof n->routes, has ? ",%s" : "%s",
                   has ? offered : "");
    if (strstr(body, "\"PreferredDERP\":"))
        n->home = number(body, "PreferredDERP");
}

/* ---- what they are told -------------------------------------------------- */

static void put_end(char *dst, size_t cap, uint64_t unix_s)
{
    time_t t = (time_t)unix_s;
    struct tm tm;
    dst[0] = '\0';
    if (unix_s && gmtime_r(&t, &tm))
        (void)strftime(dst, cap, ",\"KeyExpiry\":\"%Y-%m-%dT%H:%M:%SZ\"", &tm);
}

static void put_node(bytes *b, const control_machine *c, int i)
{
    const known *n = &c->nodes[i];
    char text[CM_TEXT + 2048], end[64];
    put_end(end, sizeof end, n->end);
    int len = snprintf(
        text, sizeof text,
        "{\"ID\":%d,\"StableID\":\"s%d\",\"Name\":\"n%d.ex.com.\",\"User\":1,"
        "\"Key\":\"nodekey:%s\",\"DiscoKey\":\"discokey:%s\",\"Addresses\":["
        "\"100.64.0.%d/32\"],\"AllowedIPs\":[\"100.64.0.%d/"
        "32\"%s],\"Endpoints\":"
        "[%s],\"HomeDERP\":%d,\"DERP\":\"127.3.3.40:%d\",\"Cap\":138,"
        "\"MachineAuthorized\":true%s}",
        i + 1, i + 1, i, n->key, n->disco, i + 1, i + 1,
        c->is_refused[i] ? "" : n->routes, n->endpoints, n->home, n->home, end);
    bytes_add(b, text, (size_t)len);
}

/* Peer number i that is no host. */
static void put_filler(bytes *b, int i, bool is_first)
{
    char text[1024];
    int len = snprintf(
        text, sizeof text,
        "%s{\"ID\":%d,\"StableID\":\"f%d\",\"Name\":\"f%d.ex.com.\",\"User\":"
        "1,\"Key\":\"nodekey:%064x\",\"DiscoKey\":\"discokey:%064x\","
        "\"Addresses\":[\"100.65.%d.%d/32\"],\"AllowedIPs\":[\"100.65.%d.%d/"
        "32\"],\"Endpoints\":[\"192.0.2.%d:41641\"],\"HomeDERP\":1,\"Cap\":138,"
        "\"MachineAuthorized\":true}",
        is_first ? "" : ",", 1000 + i, i, i, (unsigned)i + 7,
        (unsigned)i + 9000, i / 250, i % 250 + 1, i / 250, i % 250 + 1,
        i % 250 + 1);
    bytes_add(b, text, (size_t)len);
}

static void put_peers(bytes *b, const control_machine *c, int but)
{
    bool is_first = true;
    for (int i = 0; i < CM_NODES; i++) {
        if (i == but || !c->nodes[i].is_known)
            continue;
        if (!is_first)
            bytes_add(b, ",", 1);
        put_node(b, c, i);
        is_first = false;
    }
    for (int i = 0; i < c->fill; i++, is_first = false)
        put_filler(b, i, is_first);
}

static void put(bytes *b, const char *text)
{
    bytes_add(b, text, strlen(text));
}

/* With the widest window that a client takes: 8 MiB. */
static void frame_wide(bytes *frames, const char *json)
{
    size_t len = strlen(json), cap = ZSTD_compressBound(len);
    uint8_t *p = malloc(cap), head[4];
    ZSTD_CCtx *z = ZSTD_createCCtx();
    if (!p || !z)
        abort();
    (void)ZSTD_CCtx_setParameter(z, ZSTD_c_windowLog, 23);
    size_t n = ZSTD_compress2(z, p, cap, json, len);
    if (ZSTD_isError(n))
        abort();
    rmr_store_le32(head, (uint32_t)n);
    bytes_add(frames, head, sizeof head);
    bytes_add(frames, p, n);
    (void)ZSTD_freeCCtx(z);
    free(p);
}

static void whole_map(const control_machine *c, int i, bytes *frames)
{
    bytes b = {0};
    put(&b, "{\"Node\":");
    put_node(&b, c, i);
    put(&b, ",\"Peers\":[");
    put_peers(&b, c, i);
    put(&b, "],\"Domain\":\"ex.com\",\"DERPMap\":");
    put(&b, c->derp_map);
    put(&b, ",\"PacketFilter\":[{\"SrcIPs\":[\"*\"],\"DstPorts\":[{\"IP\":"
            "\"*\",\"Ports\":{\"First\":0,\"Last\":65535}}]}]}");
    bytes_add(&b, "", 1);
    if (c->fill)
        frame_wide(frames, (const char *)b.p);
    else
        frame_zstd(frames, (const char *)b.p);
    bytes_free(&b);
}

/* To all but node `but`. */
static void tell(control_machine *c, bytes *text, int but)
{
    bytes frame = {0};
    bytes_add(text, "", 1);
    frame_zstd(&frame, (const char *)text->p);
    for (int k = 0; k < c->n_conns; k++) {
        conn *to = &c->conns[k];
        if (to->used && to->node >= 0 && to->node != but && to->s.map_stream)
            server_map_send(&to->s, frame.p, frame.len);
    }
    bytes_free(text);
    bytes_free(&frame);
}

static void tell_others(control_machine *c, int i)
{
    bytes b = {0};
    put(&b, "{\"PeersChanged\":[");
    put_node(&b, c, i);
    put(&b, "]}");
    tell(c, &b, i);
}

void control_machine_fill(control_machine *c, int n)
{
    c->fill = n;
}

void control_machine_churn(control_machine *c, int from, int n, bool come)
{
    bytes b = {0};
    char text[32];
    put(&b, come ? "{\"PeersChanged\":[" : "{\"PeersRemoved\":[");
    for (int i = from; i < from + n; i++) {
        if (come) {
            put_filler(&b, i, i == from);
            continue;
        }
        (void)snprintf(text, sizeof text, "%s%d", i > from ? "," : "",
                       1000 + i);
        put(&b, text);
    }
    put(&b, "]}");
    tell(c, &b, -1);
}

void control_machine_approve(control_machine *c, int i, bool yes)
{
    c->is_refused[i] = !yes;
    tell_others(c, i);
}

void control_machine_key_end(control_machine *c, int i, uint64_t unix_ns)
{
    bytes b = {0}, frame = {0};
    c->nodes[i].end = unix_ns / RMR_SEC;
    put(&b, "{\"Node\":");
    put_node(&b, c, i);
    put(&b, "}");
    bytes_add(&b, "", 1);
    frame_zstd(&frame, (const char *)b.p);
    for (int k = 0; k < c->n_conns; k++) {
        conn *to = &c->conns[k];
        if (to->used && to->node == i && to->s.map_stream)
            server_map_send(&to->s, frame.p, frame.len);
    }
    bytes_free(&b);
    bytes_free(&frame);
}

void control_machine_login(control_machine *c, bool is_wanted)
{
    c->reg_body = is_wanted ? "{\"AuthURL\":\"https://ex.com/a/1\"}" : NULL;
    for (int i = 0; i < c->n_conns; i++)
        c->conns[i].s.reg_body = c->reg_body;
}

void control_machine_keys_end(control_machine *c, int i, uint64_t unix_ns)
{
    c->nodes[i].each_end = unix_ns / RMR_SEC;
    control_machine_key_end(c, i, unix_ns);
}

int control_machine_keys(const control_machine *c, int i)
{
    return c->nodes[i].keys;
}

const char *control_machine_key(const control_machine *c, int i)
{
    return c->nodes[i].key;
}

static void on_map(void *user, server *s, const char *body, bytes *frames)
{
    control_machine *c = user;
    int i = node_of(body);
    known before = c->nodes[i];
    learn(&c->nodes[i], body);
    if (frames) {
        for (int k = 0; k < c->n_conns; k++)
            if (&c->conns[k].s == s)
                c->conns[k].node = i;
        whole_map(c, i, frames);
    }
    if (memcmp(&before, &c->nodes[i], sizeof before) != 0)
        tell_others(c, i);
}

/* ---- the machine --------------------------------------------------------- */

static conn *conn_of(control_machine *c, uint64_t id)
{
    for (int i = 0; i < c->n_conns; i++)
        if (c->conns[i].used && c->conns[i].id == id)
            return &c->conns[i];
    return NULL;
}

static void conn_free(conn *k)
{
    server_free(&k->s);
    memset(k, 0, sizeof *k);
}

static void accept_conn(control_machine *c, uint64_t id)
{
    for (int i = 0; i < CONNS; i++) {
        conn *k = &c->conns[i];
        if (k->used)
            continue;
        k->used = true;
        c->n_conns = i < c->n_conns ? c->n_conns : i + 1;
        k->id = id;
        k->node = -1;
        memset(k->s.key, 0x33, 32);
        rmr_key_clamp(k->s.key);
        k->s.on_map = on_map;
        k->s.reg_body = c->reg_body;
        k->s.user = c;
        k->s.open = true;
        return;
    }
    abort();
}

static rmr_err on_event(void *self, rmr_time now, const rmr_io_event *ev)
{
    control_machine *c = self;
    conn *k = conn_of(c, ev->id);
    (void)now;
    switch (ev->kind) {
    case RMR_IO_OPENED:
        c->at = ev->addr;
        break;
    case RMR_IO_ACCEPTED:
        accept_conn(c, ev->child);
        break;
    case RMR_IO_BYTES:
        if (k)
            server_input(&k->s, ev->data.ptr, ev->data.len);
        break;
    case RMR_IO_SENT:
        if (k)
            k->sending = false;
        break;
    case RMR_IO_EOF:
        if (k)
            k->is_dead = true;
        break;
    case RMR_IO_RESET:
        if (k)
            conn_free(k);
        break;
    default:
        break;
    }
    return RMR_OK;
}

static bool conn_op(conn *k, rmr_buf scratch, rmr_io_op *op)
{
    op->id = k->id;
    if (k->is_dead) {
        op->kind = RMR_IO_ABORT;
        conn_free(k);
        return true;
    }
    if (!k->reads) {
        k->reads = true;
        op->kind = RMR_IO_READ;
        op->credit = SIZE_MAX;
        return true;
    }
    server_output(&k->s);
    if (k->sending || !k->s.out.len)
        return false;
    size_t n = k->s.out.len < 32768 ? k->s.out.len : 32768;
    memcpy(scratch.ptr, k->s.out.p, n);
    memmove(k->s.out.p, k->s.out.p + n, k->s.out.len - n);
    k->s.out.len -= n;
    k->sending = true;
    op->kind = RMR_IO_STREAM_SEND;
    op->data = rmr_bytes_of(scratch.ptr, n);
    return true;
}

static rmr_err on_next_op(void *self, rmr_time now, rmr_buf scratch,
                          rmr_io_op *op)
{
    control_machine *c = self;
    (void)now;
    memset(op, 0, sizeof *op);
    if (!c->listens) {
        c->listens = true;
        op->kind = RMR_IO_LISTEN;
        op->id = LISTENER;
        op->addr = c->at;
        return RMR_OK;
    }
    for (int i = 0; i < c->n_conns; i++)
        if (c->conns[i].used && conn_op(&c->conns[i], scratch, op))
            return RMR_OK;
    op->kind = RMR_IO_NONE;
    return RMR_OK;
}

static rmr_time on_next_deadline(const void *self)
{
    (void)self;
    return RMR_TIME_NEVER;
}

static rmr_err on_deadline(void *self, rmr_time now)
{
    (void)self;
    (void)now;
    return RMR_OK;
}

control_machine *control_machine_new(const char *derp_map)
{
    control_machine *c = calloc(1, sizeof *c);
    if (!c || !(c->derp_map = strdup(derp_map)))
        abort();
    c->at = rmr_addr_v4(0, 0, 0, 0, 80);
    return c;
}

void control_machine_listen(control_machine *c, rmr_addr at)
{
    c->at = at;
}

uint16_t control_machine_port(const control_machine *c)
{
    return c->listens ? c->at.port : 0;
}

void control_machine_derp_map(control_machine *c, const char *derp_map)
{
    bytes b = {0};
    free(c->derp_map);
    if (!(c->derp_map = strdup(derp_map)))
        abort();
    put(&b, "{\"DERPMap\":");
    put(&b, derp_map);
    put(&b, "}");
    tell(c, &b, -1);
}

void control_machine_free(control_machine *c)
{
    for (int i = 0; i < c->n_conns; i++)
        if (c->conns[i].used)
            conn_free(&c->conns[i]);
    free(c->derp_map);
    free(c);
}

rmr_machine control_machine_machine(control_machine *c)
{
    rmr_machine m = {c, on_event, on_next_op, on_next_deadline, on_deadline};
    return m;
}
