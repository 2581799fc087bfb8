#include "api_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server.h"

/* ---- asking -------------------------------------------------------------- */

void ar_free(ar_answer *a)
{
    free(a->body);
    memset(a, 0, sizeof *a);
}

static void take_body(ar_answer *a, const char *p, size_t n)
{
    a->body = calloc(1, n + 1);
    assert_non_null(a->body);
    if (!strstr(a->head, "Transfer-Encoding: chunked")) {
        memcpy(a->body, p, n);
        a->len = n;
        return;
    }
    for (;;) {
        char *end;
        unsigned long len = strtoul(p, &end, 16);
        assert_memory_equal(end, "\r\n", 2);
        p = end + 2;
        memcpy(a->body + a->len, p, len);
        a->len += len;
        p += len;
        assert_memory_equal(p, "\r\n", 2);
        p += 2;
        if (len == 0)
            break;
    }
}

void ar_read(rig_conn *c, ar_answer *a)
{
    memset(a, 0, sizeof *a);
    c->got[c->n_got] = 0;
    const char *t = (const char *)c->got, *end = strstr(t, "\r\n\r\n");
    if (!end)
        return;
    size_t n = (size_t)(end + 4 - t);
    assert_true(n < sizeof a->head);
    memcpy(a->head, t, n);
    a->status = atoi(t + 9);
    const char *type = strstr(a->head, "Content-Type: ");
    if (type)
        (void)sscanf(type + 14, "%95[^\r]", a->type);
    take_body(a, t + n, c->n_got - n);
}

void ar_ask(api_rig *api, int where, const char *method, const char *path,
            const char *auth, const char *body, ar_answer *a)
{
    static char text[1 << 16];
    rig_conn *c = rig_open_at(&api->r, where);
    (void)snprintf(text, sizeof text,
                   "%s %s HTTP/1.1\r\nHost: h\r\n%s%s%s%sContent-Length: "
                   "%zu\r\n\r\n%s",
                   method, path, auth ? "Authorization: " : "",
                   auth ? auth : "", auth ? "\r\n" : "",
                   body ? "Content-Type: application/json\r\n" : "",
                   body ? strlen(body) : 0, body ? body : "");
    rig_text(&api->r, c, text);
    ar_read(c, a);
    rig_leave(&api->r, c, true);
}

const char *ar_bearer(const api_rig *api)
{
    static char text[128];
    (void)snprintf(text, sizeof text, "Bearer %s", api->key);
    return text;
}

int ar_status(api_rig *api, const char *method, const char *path,
              const char *body)
{
    ar_answer a;
    ar_ask(api, AR_MAIN, method, path, ar_bearer(api), body, &a);
    int status = a.status;
    ar_free(&a);
    return status;
}

/* ---- a tailnet ----------------------------------------------------------- */

void ar_init(api_rig *api)
{
    rmr_coord_config cfg;
    rmr_addr metrics = rmr_addr_v4(127, 0, 0, 1, 9090);
    uint64_t id;
    rig_config(&cfg);
    cfg.socket_name = "coord.sock";
    cfg.metrics_listen = &metrics;
    cfg.version = "v1.2.3";
    rig_init(&api->r, &cfg);
    assert_int_equal(api->r.n_listeners, 3);
    assert_int_equal(rmr_coord_api_key_add(api->r.coord, AR_END, api->key, &id),
                     RMR_OK);
}

void ar_join(api_rig *api, uint8_t machine, const char *host, uint64_t user,
             const char *tag, const char *more)
{
    char key[RMR_COORD_KEY_TEXT], text[1024];
    rmr_coord_key_wish w = {.user = user,
                            .tags = &tag,
                            .n_tags = tag != NULL,
                            .expiry_unix_ns = AR_END};
    server_key(api->r.coord, &w, key);
    assert_true(rig_join(&api->client, &api->r, machine, 138));
    (void)snprintf(text, sizeof text,
                   "{\"Version\":138,\"NodeKey\":\"nodekey:%064u\",\"Auth\":{"
                   "\"AuthKey\":\"%s\"},\"Hostinfo\":{\"Hostname\":\"%s\"%s}}",
                   10u + machine, key, host, more);
    rig_answer *a = rig_ask(&api->client, "/machine/register", text);
    assert_int_equal(a->status, 200);
    rig_part(&api->client);
}

void ar_wait(api_rig *api, uint8_t machine, const char *host)
{
    char text[512];
    assert_true(rig_join(&api->client, &api->r, machine, 138));
    (void)snprintf(text, sizeof text,
                   "{\"Version\":138,\"NodeKey\":\"nodekey:%064u\","
                   "\"Hostinfo\":{\"Hostname\":\"%s\"}}",
                   10u + machine, host);
    (void)rig_ask(&api->client, "/machine/register", text);
    rig_part(&api->client);
}

void ar_settle(api_rig *api)
{
    static const char *const names[] = {"alice", "bob", "carol", "dave"};
    for (size_t i = 0; i < 4; i++)
        (void)server_user(api->r.coord, names[i]);
    assert_int_equal(rmr_coord_user_describe(api->r.coord, 2, "Bob",
                                             "bob@example.test",
                                             "http://127.0.0.1/p.png"),
                     RMR_OK);
}
