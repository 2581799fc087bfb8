#include "wire_state.h"

#include "wire_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is another in each run, or is stored only in time. */
static void plain(json_t *v)
{
    static const char *const gone[] = {"createdAt", "lastSeen", "key",
                                       "discoKey", "online"};
    const char *name;
    json_t *child;
    void *next;
    size_t i;
    if (json_is_array(v)) {
        json_array_foreach(v, i, child) plain(child);
    }
    if (!json_is_object(v))
        return;
    for (i = 0; i < sizeof gone / sizeof gone[0]; i++)
        (void)json_object_del(v, gone[i]);
    const char *end = json_string_value(json_object_get(v, "expiration"));
    if (end) /* of keys: in 2099, or now, by who ended it */
        (void)json_object_set_new(
            v, "expiration",
            json_string(strncmp(end, "2099", 4) ? "past" : "later"));
    if (json_is_string(json_object_get(v, "expiry")))
        (void)json_object_set_new(v, "expiry", json_string("set"));
    json_object_foreach_safe(v, next, name, child) plain(child);
}

static json_t *list(const char *path, const char *what, const char *name)
{
    char url[64];
    const char *body;
    (void)snprintf(url, sizeof url, "/api/v1/%s", what);
    if (wire_rest(path, "GET", url, "", &body) != 200)
        return NULL;
    json_t *all = json_loads(body, 0, NULL);
    json_t *found = json_incref(json_object_get(all, name));
    json_decref(all);
    if (!json_is_array(found)) {
        (void)fprintf(stderr, "wire_state: %s: %s\n", what, body);
        abort();
    }
    plain(found);
    return found;
}

bool wire_state_get(wire_state *s, const char *path)
{
    memset(s, 0, sizeof *s);
    s->users = list(path, "user", "users");
    s->nodes = s->users ? list(path, "node", "nodes") : NULL;
    s->keys = s->nodes ? list(path, "preauthkey", "preAuthKeys") : NULL;
    if (!s->keys) {
        wire_state_free(s);
        return false;
    }
    json_t *all =
        json_pack("{sOsOsO}", "1", s->users, "2", s->nodes, "3", s->keys);
    s->text = json_dumps(all, JSON_SORT_KEYS | JSON_INDENT(1));
    json_decref(all);
    return true;
}

void wire_state_free(wire_state *s)
{
    json_decref(s->users);
    json_decref(s->nodes);
    json_decref(s->keys);
    free(s->text);
    memset(s, 0, sizeof *s);
}
