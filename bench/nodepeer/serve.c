/* The services: echo 7, discard 9, source 19, HTTP 80.  The client says how
 * much it wants by closing its side, as with the classic services. */
#include "nodepeer.h"

#include <stdlib.h>
#include <string.h>

typedef struct served { /* an accepted connection; the ports' are listeners */
    uint16_t port;
    bool is_listener, has_ended;
    char request[512];
    size_t request_len;
    uint64_t left; /* HTTP: bytes of the body to send */
} served;

static served listeners[] = {{.port = 7, .is_listener = true},
                             {.port = 9, .is_listener = true},
                             {.port = 19, .is_listener = true},
                             {.port = 80, .is_listener = true}};

bool is_served(const void *tag)
{
    return tag != NULL;
}

void serve_start(void)
{
    for (size_t i = 0; i < sizeof listeners / sizeof *listeners; i++) {
        rmr_node_conn c;
        rmr_err e = rmr_node_listen(node, rmr_posix_now(), listeners[i].port,
                                    &listeners[i], &c);
        if (e != RMR_OK)
            die("listen", e);
    }
}

void serve_accept(void *listener_tag, rmr_node_conn c)
{
    const served *l = listener_tag;
    served *s = calloc(1, sizeof *s);
    if (!s) {
        (void)rmr_node_abort(node, rmr_posix_now(), c);
        return;
    }
    s->port = l->port;
    (void)rmr_node_set_tag(node, c, s);
    serve_turn(s, c);
}

void serve_closed(void *tag)
{
    served *s = tag;
    if (!s->is_listener)
        free(s);
}

/* The handle is stale after it: no callback comes. */
static void leave(served *s, rmr_node_conn c)
{
    (void)rmr_node_close(node, rmr_posix_now(), c);
    free(s);
}

static size_t send_some(rmr_node_conn c, const uint8_t *p, size_t len)
{
    size_t taken = 0;
    (void)rmr_node_send(node, rmr_posix_now(), c, rmr_bytes_of(p, len), &taken);
    return taken;
}

/* What does not fit stays unread, so that the sender waits. */
static void echo(served *s, rmr_node_conn c)
{
    rmr_bytes view;
    bool eof = false;
    size_t taken = 1;
    while (taken && !rmr_node_peek(node, c, &view, &eof) && view.len) {
        taken = send_some(c, view.ptr, view.len);
        (void)rmr_node_consume(node, rmr_posix_now(), c, taken);
    }
    if (eof)
        leave(s, c);
}

/* One byte at the end, so that a sender can time the delivery. */
static void discard(served *s, rmr_node_conn c)
{
    rmr_bytes view;
    bool eof = false;
    while (!rmr_node_peek(node, c, &view, &eof) && view.len)
        (void)rmr_node_consume(node, rmr_posix_now(), c, view.len);
    if (!eof)
        return;
    (void)send_some(c, (const uint8_t *)".", 1);
    leave(s, c);
}

static void source(rmr_node_conn c)
{
    while (send_some(c, block, sizeof block) == sizeof block)
        continue;
}

/* Reads a request; its body's length, or 0 and a greeting is sent. */
static bool take_request(served *s, rmr_node_conn c, bool *eof)
{
    rmr_bytes view;
    char head[160];
    while (!rmr_node_peek(node, c, &view, eof) && view.len) {
        size_t room = sizeof s->request - 1 - s->request_len;
        size_t n = view.len < room ? view.len : room;
        if (n == 0) { /* too long: none of ours */
            *eof = true;
            return false;
        }
        memcpy(s->request + s->request_len, view.ptr, n);
        s->request_len += n;
        (void)rmr_node_consume(node, rmr_posix_now(), c, n);
        const char *end = strstr(s->request, "\r\n\r\n");
        if (!end)
            continue;
        const char *path = strchr(s->request, '/');
        s->left = path ? strtoull(path + 1, NULL, 10) : 0;
        bool is_hello = s->left == 0;
        int len = snprintf(head, sizeof head,
                           "HTTP/1.1 200 OK\r\nContent-Length: %llu\r\n\r\n%s",
                           is_hello ? 6 : (unsigned long long)s->left,
                           is_hello ? "hello\n" : "");
        (void)send_some(c, (const uint8_t *)head, (size_t)len);
        memset(s->request, 0, sizeof s->request);
        s->request_len = 0;
        return true;
    }
    return false;
}

static void http(served *s, rmr_node_conn c)
{
    bool eof = false;
    do {
        while (s->left) {
            size_t want =
                s->left < sizeof block ? (size_t)s->left : sizeof block;
            size_t taken = send_some(c, block, want);
            s->left -= taken;
            if (taken < want)
                return;
        }
    } while (take_request(s, c, &eof));
    if (eof)
        leave(s, c);
}

void serve_turn(void *tag, rmr_node_conn c)
{
    served *s = tag;
    switch (s->port) {
    case 7:
        echo(s, c);
        break;
    case 9:
        discard(s, c);
        break;
    case 19:
        source(c);
        break;
    default:
        http(s, c);
        break;
    }
}
