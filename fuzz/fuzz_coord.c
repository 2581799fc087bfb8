/*
 * The coordination server as its clients and its disk may treat it, over the
 * null ciphers: what is inside Noise is the fuzzer's.
 *
 * An input is a byte of options and a program of steps: connections with any
 * bytes, upgrades in both forms, frames of HTTP/2, registrations and maps of
 * several machines, made well or as JSON of the fuzzer's, receivers that stand
 * still, time, administration, a store that fails, memory that fails, a restart
 * from what was stored.  Checked behind each step: tables and memory keep their
 * bounds, counters only rise, no two nodes have a key, an address or a name in
 * common; in each frame of a map stream: it is JSON, and shows nobody that its
 * node may not see; at the end: all memory comes back, and the server begins
 * again from its store.
 */
#include "fuzz_coord_world.h"

#include <remora/text.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- what holds ----------------------------------------------------------- */

static bool same(const rmr_coord_node *a, const rmr_coord_node *b)
{
    return memcmp(a->node_key, b->node_key, RMR_KEY_LEN) == 0 ||
           rmr_addr_eq(&a->v4, &b->v4) || rmr_addr_eq(&a->v6, &b->v6) ||
           strcmp(a->given_name, b->given_name) == 0;
}

static void check_nodes(const world *w)
{
    rmr_coord_node a, b;
    for (uint64_t i = 0; rmr_coord_node_next(w->coord, i, &a) == RMR_OK;
         i = a.id) {
        for (uint64_t k = a.id; rmr_coord_node_next(w->coord, k, &b) == RMR_OK;
             k = b.id)
            need(!same(&a, &b));
    }
}

static void check(world *w)
{
    rmr_coord_stats s;
    if (!w->coord)
        return;
    rmr_coord_get_stats(w->coord, &s);
    need(s.nodes <= NODES_MAX && s.connections <= CONNECTIONS_MAX);
    need(s.online <= s.nodes && s.streams <= 4 * s.nodes);
    need(s.registers >= w->seen.registers && s.accepted >= w->seen.accepted &&
         s.bad_requests >= w->seen.bad_requests && s.frames >= w->seen.frames &&
         s.refused >= w->seen.refused && s.rejected >= w->seen.rejected &&
         s.displaced >= w->seen.displaced);
    w->seen = s;
    need(w->mem.live_bytes < (size_t)3 * 1024 * 1024);
    check_nodes(w);
}

/* ---- requests ------------------------------------------------------------- */

static void node_key(uint8_t key[RMR_KEY_LEN], unsigned number)
{
    memset(key, 0, RMR_KEY_LEN);
    key[0] = 7;
    key[31] = (uint8_t)(number % 8);
}

static const char *key_text(unsigned number)
{
    static char text[80];
    uint8_t key[RMR_KEY_LEN];
    memcpy(text, "nodekey:", 8);
    node_key(key, number);
    rmr_hex(text + 8, key, RMR_KEY_LEN);
    return text;
}

static const char *const hosts[] = {
    "a", "b.local", "", "\\u0000", "\\ud83d\\ude80", "x y_z@w", "-", "UPPER"};
static const char *const more[] = {"",
                                   ",\"Ephemeral\":true",
                                   ",\"Expiry\":\"1999-01-01T00:00:00Z\"",
                                   ",\"Expiry\":\"2026-12-31T00:00:00Z\"",
                                   ",\"Expiry\":\"2999-01-01T00:00:00Z\"",
                                   ",\"OldNodeKey\":\"nodekey:1\"",
                                   ",\"Auth\":null",
                                   ",\"Version\":112"};

/* which: machine's node key, auth key or followup, host, what more */
static void do_register(client *c, const uint8_t which[3])
{
    char body[1024], proof[160] = "";
    uint8_t key[RMR_KEY_LEN];
    unsigned by = which[1] % 8;
    if (by < 4)
        (void)snprintf(proof, sizeof proof, ",\"Auth\":{\"AuthKey\":\"%s\"}",
                       c->w->auth[by]);
    else if (by == 4)
        (void)snprintf(proof, sizeof proof,
                       ",\"Followup\":\"http://h/register/%s\"", c->w->login);
    (void)snprintf(body, sizeof body,
                   "{\"Version\":138,\"NodeKey\":\"%s\"%s,\"Hostinfo\":{"
                   "\"Hostname\":\"%s\",\"RoutableIPs\":[\"10.%u.0.0/16\"]}%s}",
                   key_text(which[0]), proof, hosts[which[1] / 8 % 8],
                   which[2] / 8 % 4, more[which[2] % 8]);
    node_key(key, which[0]);
    fw_ask(c, "/machine/register", rmr_bytes_str(body), key, false, false);
}

static void do_map(client *c, const uint8_t which[3])
{
    char body[1024];
    uint8_t key[RMR_KEY_LEN];
    bool stream = which[1] & 1, zstd = (which[1] & 6) == 6;
    (void)snprintf(
        body, sizeof body,
        "{\"Version\":%u,\"NodeKey\":\"%s\",\"Stream\":%s,\"ReadOnly\":%s,"
        "\"OmitPeers\":%s,\"Compress\":\"%s\",\"DiscoKey\":\"discokey:%062u%02u"
        "\",\"Endpoints\":[\"192.0.2.%u:41641\"],\"Hostinfo\":{\"Hostname\":"
        "\"%s\",\"NetInfo\":{\"PreferredDERP\":%u}}}",
        113 + which[2] / 64, key_text(which[0]), stream ? "true" : "false",
        which[1] & 8 ? "true" : "false", which[1] & 16 ? "true" : "false",
        zstd ? "zstd" : "", 0u, which[2] % 4, which[2] % 3,
        hosts[which[1] / 32], which[2] / 8 % 4);
    node_key(key, which[0]);
    fw_ask(c, "/machine/map", rmr_bytes_str(body), key, stream, zstd);
}

/* About a connection by SSH: from, to, as whom, by which id; or a decision. */
static void do_check(client *c, const uint8_t which[3])
{
    static const char *const users[] = {"dev", "root", "%00", "a+b"};
    char path[256], id[64] = "";
    if (which[0] & 1) {
        (void)rmr_coord_check_decide(c->w->coord, c->w->check, which[0] & 2);
        return;
    }
    if (which[0] & 2)
        (void)snprintf(id, sizeof id, "&auth_id=%s",
                       which[0] & 4 ? "hskey-authreq-" : c->w->check);
    (void)snprintf(path, sizeof path,
                   "/machine/ssh/action/%u/to/%u?local_user=%s%s",
                   which[1] % 16, which[2] % 16, users[which[0] >> 3 & 3], id);
    fw_get(c, path);
}

/* JSON of the fuzzer's: 1 to 7 stand for node keys, 14 to 17 for auth keys, 18
 * for the last login. */
static size_t spell(const world *w, const uint8_t *p, size_t n, char *out,
                    size_t cap)
{
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        char one[2] = {(char)p[i], 0};
        const char *t = p[i] >= 1 && p[i] <= 7     ? key_text(p[i])
                        : p[i] >= 14 && p[i] <= 17 ? w->auth[p[i] - 14]
                        : p[i] == 18               ? w->login
                                                   : one;
        size_t k = t == one ? 1 : strlen(t);
        if (len + k > cap)
            break;
        memcpy(out + len, t, k);
        len += k;
    }
    return len;
}

static void do_json(client *c, const char *path, const uint8_t *p, size_t n)
{
    static char body[16384];
    static const uint8_t none[RMR_KEY_LEN];
    size_t len = spell(c->w, p, n, body, sizeof body);
    fw_ask(c, path, rmr_bytes_of((const uint8_t *)body, len), none, false,
           false);
}

/* ---- frames of HTTP/2 ----------------------------------------------------- */

/* Its own HTTP/2 would not understand what is answered to others' frames. */
static void say_inside(client *c, const uint8_t *p, size_t n)
{
    rmr_h2 *h2 = c->h2;
    c->h2 = NULL;
    rmr_h2_free(h2);
    fw_inside(c, p, n);
}

static void do_frame(client *c, const uint8_t head[4], const uint8_t *p,
                     size_t n)
{
    uint8_t f[9 + 255] = {0, 0, (uint8_t)n, head[0], head[1],
                          0, 0, head[2],    head[3]};
    memcpy(f + 9, p, n);
    say_inside(c, f, 9 + n);
}

/* A request's head by the letter, as a client of the fuzzer's frames has none
 * to make one. */
static void do_head(client *c, uint8_t stream, uint8_t flags)
{
    static const char *const heads[] = {
        "\x83\x86\x01\x01h\x04\x11/machine/register",
        "\x83\x86\x01\x01h\x04\x0c/machine/map", "\x82\x86\x01\x01h\x84",
        "\x83\x86\x01\x01h\x04\x0f/machine/whoami"};
    const char *t = heads[flags >> 4 & 3];
    const uint8_t head[4] = {1, flags & 5, 0, (uint8_t)(stream | 1)};
    do_frame(c, head, (const uint8_t *)t, strlen(t));
}

static void do_preface(client *c)
{
    static const uint8_t t[] =
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
    say_inside(c, t, sizeof t); /* with the NUL: SETTINGS of no entry */
}

/* ---- administration ------------------------------------------------------- */

static void on_node(world *w, uint8_t what, uint64_t id)
{
    static const char *const tags[] = {"tag:t", "tag:u"};
    static const char *const names[] = {"a", "b", "c-1", "-", ""};
    rmr_prefix p[2] = {{.family = RMR_AF_INET}, {.family = RMR_AF_INET}};
    p[1].ip[0] = 10;
    p[1].ip[1] = what / 8 % 4;
    p[1].bits = 16;
    switch (what % 8) {
    case 0:
        (void)rmr_coord_node_rename(w->coord, id, names[what / 8 % 5]);
        break;
    case 1:
        (void)rmr_coord_node_expire(w->coord, id, what / 8);
        break;
    case 2:
        (void)rmr_coord_node_remove(w->coord, id);
        break;
    case 3:
        (void)rmr_coord_node_set_tags(w->coord, id, tags, 1 + (what >> 3 & 1u));
        break;
    default:
        (void)rmr_coord_node_approve(w->coord, id, p, (what & 3u) % 3);
        break;
    }
}

static void on_others(world *w, uint8_t what, uint64_t id)
{
    static const char *const names[] = {"alice", "bob", "carol", "1"};
    uint64_t node;
    switch (what % 8) {
    case 0:
        (void)rmr_coord_login_approve(w->coord, w->login, id, &node);
        break;
    case 1:
        (void)rmr_coord_login_reject(w->coord, w->login);
        break;
    case 2:
        (void)rmr_coord_user_rename(w->coord, id, names[what / 8 % 4]);
        break;
    case 3:
        (void)rmr_coord_user_remove(w->coord, id);
        break;
    case 4:
        (void)rmr_coord_user_add(w->coord, names[what / 8 % 4], &node);
        break;
    case 5:
        (void)rmr_coord_key_expire(w->coord, id);
        break;
    case 6:
        (void)rmr_coord_key_remove(w->coord, id);
        break;
    default:
        (void)rmr_coord_commit(w->coord);
        break;
    }
}

static void set_policy(world *w, unsigned which)
{
    static const char *const texts[] = {
        "{", "{}",
        ("{\"acls\":[{\"action\":\"accept\",\"src\":[\"alice@\"],\"dst\":["
         "\"alice@:*\"]}],\"ssh\":[{\"action\":\"check\",\"src\":["
         "\"autogroup:member\"],\"dst\":[\"autogroup:self\"],\"users\":["
         "\"dev\"]}]}"),
        ("{\"tagOwners\":{\"tag:t\":[\"alice@\"]},\"acls\":[{\"action\":"
         "\"accept\",\"src\":[\"*\"],\"dst\":[\"tag:t:*\"]}]}")};
    unsigned n = which % FW_POLICIES;
    if (rmr_coord_set_policy(w->coord, rmr_bytes_str(texts[n]), NULL) != RMR_OK)
        return;
    need(n != FW_ISOLATED); /* it is no policy */
    w->policy = (fw_policy)n;
}

/* ---- the program ---------------------------------------------------------- */

static void leave(client *c, rmr_io_event_kind how)
{
    uint64_t id = c->id;
    world *w = c->w;
    if (!id)
        return;
    if (how == RMR_IO_RESET)
        fw_gone(c);
    fa_happens(&w->io, how, id);
    fw_turn(w);
}

static void stand(client *c, bool on)
{
    world *w = c->w;
    c->stands = on;
    w->lags |= on;
    if (on || !c->sending)
        return;
    c->sending = false;
    fa_happens(&w->io, RMR_IO_SENT, c->id);
    fw_turn(w);
}

static size_t text_step(client *c, unsigned op, const uint8_t *p, size_t left)
{
    size_t n = 0;
    while (n < left && p[n])
        n++;
    if (op == 2)
        fw_say(c, p, n);
    else
        do_json(c, op == 3 ? "/machine/register" : "/machine/map", p, n);
    return n < left ? n + 1 : n;
}

static void plain_step(world *w, client *c, unsigned op, const uint8_t *p)
{
    switch (op) {
    case 5:
        fw_connect(c, p[0], p[1]);
        break;
    case 6:
        fw_connect(c, 0, p[2]);
        fw_join(c, p[0] % 4, p[1]);
        break;
    case 7:
        do_register(c, p);
        break;
    case 8:
        do_map(c, p);
        break;
    case 9:
        do_head(c, p[0], p[1]);
        break;
    case 10:
        do_preface(c);
        break;
    case 11:
        stand(c, p[0] & 1);
        break;
    case 12:
        leave(c, p[0] & 1 ? RMR_IO_EOF : RMR_IO_RESET);
        break;
    case 13:
        fa_pass(&w->io, (p[0] + 60 * (rmr_dur)p[1]) * RMR_SEC);
        break;
    case 14:
        w->mem.fail_at = p[0] ? w->mem.calls + p[0] : 0;
        break;
    case 15:
        w->store.fails = p[0] & 1;
        break;
    case 16:
        on_node(w, p[0], p[1]);
        break;
    case 17:
        on_others(w, p[0], p[1]);
        break;
    case 18:
        fw_restart(w);
        break;
    case 19:
        if (c->h2)
            (void)rmr_h2_cancel(c->h2, 1 + 2 * (p[0] % 16));
        break;
    case 20:
        w->io.wall += (uint64_t)p[0] * 3600 * RMR_SEC;
        fa_happens(&w->io, RMR_IO_WALL, 0);
        break;
    case 21:
        if (p[0] == 0xff)
            fa_happens(&w->io, RMR_IO_STOP_REQUEST, 0);
        else
            do_check(c, p);
        break;
    case 23:
        set_policy(w, p[0]);
        break;
    case 22:
        if (w->io.n_doors) {
            fa_happens(&w->io, RMR_IO_ACCEPT_FAILED,
                       w->io.door[p[0] % FA_DOORS]);
        }
        break;
    default:
        break;
    }
}

/* Steps 0 and 1 take bytes by number, 2 to 4 up to a NUL, the others three. */
static size_t step(world *w, const uint8_t *p, size_t left)
{
    client *c = &w->c[p[1] % CLIENTS];
    unsigned op = p[0] % 24;
    uint8_t args[4] = {0};
    size_t n = p[1] / CLIENTS * 4u;
    if (op < 2) {
        size_t head = op == 1 ? 4 : 0;
        if (left < 2 + head)
            return left;
        n = n < left - 2 - head ? n : left - 2 - head;
        if (op == 0)
            say_inside(c, p + 2, n);
        else
            do_frame(c, p + 2, p + 6, n);
        return 2 + head + n;
    }
    if (op < 5)
        return 2 + text_step(c, op, p + 2, left - 2);
    n = left - 2 < 3 ? left - 2 : 3;
    memcpy(args, p + 2, n);
    plain_step(w, c, op, args);
    return 2 + n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static world w;
    if (size < 3 || size > 4096)
        return 0;
    fw_begin(&w, data[0]);
    data++;
    size--;
    while (size > 1 && !w.io.stopped) {
        size_t used = step(&w, data, size);
        fw_turn(&w);
        for (int i = 0; i < CLIENTS; i++)
            fw_pump(&w.c[i]);
        check(&w);
        data += used;
        size -= used;
    }
    w.mem.fail_at = 0;
    if (!w.io.stopped)
        fw_restart(&w);
    fw_end(&w);
    return 0;
}
