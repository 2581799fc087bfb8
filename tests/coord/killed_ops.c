#include "killed_ops.h"

#include "wire_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 40     /* of each kind */
#define MACHINES 60 /* few, so that many a join is a rotation */

/* ---- what there is ------------------------------------------------------- */

static const json_t *some(test_rng *r, const json_t *list)
{
    size_t n = json_array_size(list);
    return n ? json_array_get(list, test_rng_u64(r) % n) : NULL;
}

static uint64_t id_of(const json_t *v)
{
    const char *t = json_string_value(json_object_get(v, "id"));
    return t ? strtoull(t, NULL, 10) : 0;
}

static const char *name_of(const json_t *v)
{
    const char *t = json_string_value(json_object_get(v, "name"));
    return t ? t : "";
}

static uint64_t number_of(const json_t *key)
{
    uint64_t id = id_of(key);
    return id < KEYS_MAX ? id : 0;
}

/* ---- making one ---------------------------------------------------------- */

static void mark_key(op *o)
{
    (void)snprintf(o->mark, sizeof o->mark, "nodekey:%060x%04x", 9, o->number);
}

void op_make(op *o, test_rng *r, const wire_state *is, const side *a,
             const side *b, unsigned number)
{
    static const op_kind often[] = {OP_KEY_ADD, OP_JOIN,        OP_JOIN,
                                    OP_JOIN,    OP_NODE_RENAME, OP_LOGIN};
    uint64_t bits = test_rng_u64(r);
    const json_t *user = some(r, is->users), *node = some(r, is->nodes);
    memset(o, 0, sizeof *o);
    o->number = number;
    o->kind = bits & 1 ? often[(bits >> 1) % (sizeof often / sizeof often[0])]
                       : (op_kind)((bits >> 1) % OP_KINDS);
    if (json_array_size(is->nodes) > MOST)
        o->kind = OP_NODE_REMOVE;
    else if (json_array_size(is->keys) > MOST)
        o->kind = OP_KEY_REMOVE;
    else if (json_array_size(is->users) > MOST)
        o->kind = OP_USER_REMOVE;
    o->machine = (unsigned)((bits >> 8) % MACHINES);
    o->id = id_of(o->kind <= OP_KEY_ADD ? user : node);
    (void)snprintf(o->user, sizeof o->user, "%.60s", name_of(user));
    o->key = number_of(some(r, is->keys));
    if (o->kind == OP_JOIN && (!a->keys[o->key][0] || !b->keys[o->key][0]))
        o->key = 0;
    if (o->kind == OP_JOIN || o->kind == OP_LOGIN)
        mark_key(o);
    else if (o->kind == OP_NODE_RENAME)
        (void)snprintf(o->mark, sizeof o->mark, "\"Name\":\"n%u.", number);
}

/* ---- doing it ------------------------------------------------------------ */

static int add_key(const op *o, side *s)
{
    char body[128];
    const char *answer;
    (void)snprintf(body, sizeof body,
                   "{\"user\":\"%llu\",\"reusable\":%s,"
                   "\"expiration\":\"2099-01-01T00:00:00Z\"}",
                   (unsigned long long)o->id, o->number % 3 ? "true" : "false");
    int status =
        wire_rest(s->socket, "POST", "/api/v1/preauthkey", body, &answer);
    if (status != 200)
        return status;
    json_t *all = json_loads(answer, 0, NULL);
    const json_t *key = json_object_get(all, "preAuthKey");
    uint64_t id = number_of(key);
    const char *text = json_string_value(json_object_get(key, "key"));
    if (id && text)
        (void)snprintf(s->keys[id], KEY_TEXT, "%s", text);
    json_decref(all);
    return status;
}

static void registration(const op *o, const char *auth, char *out, size_t cap)
{
    (void)snprintf(out, cap,
                   "{\"Version\":138,\"NodeKey\":\"nodekey:%060x%04x\"%s%s%s,"
                   "\"Hostinfo\":{\"Hostname\":\"host-%u\",\"OS\":\"linux\","
                   "\"RoutableIPs\":[\"10.%u.0.0/16\"]}}",
                   9, o->number, auth ? ",\"Auth\":{\"AuthKey\":\"" : "",
                   auth ? auth : "", auth ? "\"}" : "", o->number,
                   o->number % 200);
}

/* What was refused in JSON counts as 400. */
static int join(const op *o, side *s, char *url, size_t cap)
{
    char body[512];
    wire_node n;
    registration(o, o->kind == OP_LOGIN ? NULL : s->keys[o->key], body,
                 sizeof body);
    if (!wire_join(&n, s->server.port, (uint8_t)(1 + o->machine)))
        return 0;
    int status = wire_ask(&n, "/machine/register", body);
    const char *at = strstr(n.body, "/register/");
    if (status == 200 && o->kind == OP_LOGIN)
        status = at ? 200 : 400;
    else if (status == 200 && !strstr(n.body, "\"MachineAuthorized\":true"))
        status = 400;
    if (at)
        (void)snprintf(url, cap, "%.38s", at + 10);
    wire_part(&n);
    return status;
}

static int login(const op *o, side *s)
{
    char id[40] = "", body[256];
    int status = join(o, s, id, sizeof id);
    if (status != 200)
        return status;
    (void)snprintf(body, sizeof body, "{\"user\":\"%s\",\"authId\":\"%s\"}",
                   o->user, id);
    return wire_rest(s->socket, "POST", "/api/v1/auth/register", body, NULL);
}

static int on_user(const op *o, side *s)
{
    char text[96];
    if (o->kind == OP_USER_ADD) {
        (void)snprintf(text, sizeof text, "{\"name\":\"u%u\"}", o->number);
        return wire_rest(s->socket, "POST", "/api/v1/user", text, NULL);
    }
    int n = snprintf(text, sizeof text, "/api/v1/user/%llu",
                     (unsigned long long)o->id);
    if (o->kind == OP_USER_REMOVE)
        return wire_rest(s->socket, "DELETE", text, "", NULL);
    (void)snprintf(text + n, sizeof text - (size_t)n, "/rename/r%u", o->number);
    return wire_rest(s->socket, "POST", text, "", NULL);
}

static int on_node(const op *o, side *s)
{
    char path[128], body[96] = "";
    static const char *const what[] = {"", "tags", "approve_routes", "expire"};
    int n = snprintf(path, sizeof path, "/api/v1/node/%llu",
                     (unsigned long long)o->id);
    if (o->kind == OP_NODE_REMOVE)
        return wire_rest(s->socket, "DELETE", path, "", NULL);
    if (o->kind == OP_NODE_RENAME)
        (void)snprintf(path + n, sizeof path - (size_t)n, "/rename/n%u",
                       o->number);
    else
        (void)snprintf(path + n, sizeof path - (size_t)n, "/%s",
                       what[o->kind - OP_NODE_RENAME]);
    if (o->kind == OP_NODE_TAGS)
        (void)snprintf(body, sizeof body, "{\"tags\":[\"tag:t%u\"]}",
                       o->number);
    else if (o->kind == OP_NODE_ROUTES)
        (void)snprintf(body, sizeof body, "{\"routes\":[\"10.%u.0.0/16\"]}",
                       o->number % 200);
    return wire_rest(s->socket, "POST", path, body, NULL);
}

int op_do(const op *o, side *s)
{
    char body[64], none[40];
    switch (o->kind) {
    case OP_KEY_ADD:
        return add_key(o, s);
    case OP_KEY_REMOVE:
        (void)snprintf(body, sizeof body, "/api/v1/preauthkey?id=%llu",
                       (unsigned long long)o->key);
        return wire_rest(s->socket, "DELETE", body, "", NULL);
    case OP_KEY_EXPIRE:
        (void)snprintf(body, sizeof body, "{\"id\":\"%llu\"}",
                       (unsigned long long)o->key);
        return wire_rest(s->socket, "POST", "/api/v1/preauthkey/expire", body,
                         NULL);
    case OP_JOIN:
        return o->key ? join(o, s, none, sizeof none) : 404;
    case OP_LOGIN:
        return login(o, s);
    case OP_USER_ADD:
    case OP_USER_RENAME:
    case OP_USER_REMOVE:
        return on_user(o, s);
    default:
        return on_node(o, s);
    }
}
