#include "wire_client.h"

#include <remora/text.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "support.h"

#define PATIENCE 20000 /* ms: longer means that the server hangs */

void (*wire_sent)(void);

static void sent(void)
{
    if (wire_sent)
        wire_sent();
}

static void need(bool ok, const char *what)
{
    if (ok)
        return;
    (void)fprintf(stderr, "wire_client: %s\n", what);
    abort();
}

/* ---- sockets ------------------------------------------------------------- */

static bool send_all(int fd, const void *p, size_t n)
{
    const char *at = p;
    while (n > 0) {
        ssize_t k = send(fd, at, n, MSG_NOSIGNAL);
        if (k <= 0)
            return false;
        at += k;
        n -= (size_t)k;
    }
    return true;
}

/* 0: the end. */
static size_t receive(int fd, void *p, size_t n, int wait_ms)
{
    struct pollfd f = {fd, POLLIN, 0};
    int k = poll(&f, 1, wait_ms);
    need(k > 0 || wait_ms < PATIENCE, "the server hangs");
    if (k <= 0)
        return 0;
    ssize_t got = recv(fd, p, n, 0);
    return got > 0 ? (size_t)got : 0;
}

static int dial_local(const char *path)
{
    struct sockaddr_un a;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    memset(&a, 0, sizeof a);
    a.sun_family = AF_UNIX;
    (void)snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    need(fd >= 0, "socket");
    if (connect(fd, (const struct sockaddr *)&a, sizeof a) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

static int dial_tcp(uint16_t port)
{
    struct sockaddr_in a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET;
    a.sin_port = htons(port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    need(fd >= 0, "socket");
    if (connect(fd, (const struct sockaddr *)&a, sizeof a) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

/* ---- REST ---------------------------------------------------------------- */

/* The body of a text of HTTP/1.1 with "Connection: close", by chunks or not. */
static char *unchunk(char *text)
{
    char *body = strstr(text, "\r\n\r\n");
    if (!body)
        return NULL;
    body += 4;
    char *to = body, *from = body;
    if (!strstr(text, "Transfer-Encoding: chunked"))
        return body;
    for (;;) {
        char *end;
        unsigned long n = strtoul(from, &end, 16);
        if (end == from || strncmp(end, "\r\n", 2) != 0)
            return NULL;
        if (n == 0)
            break;
        if (strlen(end + 2) < n)
            return NULL;
        memmove(to, end + 2, n);
        to += n;
        from = end + 2 + n + 2;
    }
    *to = '\0';
    return body;
}

static bool is_whole(const char *text, const char *body)
{
    const char *n = strstr(text, "Content-Length: ");
    return !n || n > body || strtoul(n + 16, NULL, 10) == strlen(body);
}

int wire_rest(const char *socket_path, const char *method, const char *path,
              const char *body, const char **answer)
{
    static char text[WIRE_BODY];
    char head[512];
    size_t len = 0, n;
    int fd = dial_local(socket_path), status = 0;
    if (answer)
        *answer = "";
    if (fd < 0)
        return 0;
    (void)snprintf(head, sizeof head,
                   "%s %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
                   "Content-Type: application/json\r\nContent-Length: %zu\r\n"
                   "\r\n",
                   method, path, strlen(body));
    if (send_all(fd, head, strlen(head)) && send_all(fd, body, strlen(body))) {
        sent();
        while ((n = receive(fd, text + len, sizeof text - 1 - len, PATIENCE)))
            len += n;
    }
    (void)close(fd);
    need(len < sizeof text - 1, "more than fits");
    text[len] = '\0';
    char *from = unchunk(text);
    if (!from || !is_whole(text, from) ||
        sscanf(text, "HTTP/1.1 %d", &status) != 1)
        return 0;
    if (answer)
        *answer = from;
    return status;
}

/* ---- TS2021 -------------------------------------------------------------- */

static void on_head(void *user, void *tag, int32_t id, uint16_t status,
                    const rmr_header *h, size_t n)
{
    wire_node *w = user;
    (void)h;
    (void)n;
    (void)id;
    if (tag == w)
        w->status = status;
}

static void on_body(void *user, void *tag, int32_t id, rmr_bytes data)
{
    wire_node *n = user;
    bool map = tag == &n->stream;
    char *to = map ? n->seen : n->body;
    size_t *len = map ? &n->seen_len : &n->len;
    size_t cap = map ? WIRE_BODY : sizeof n->body;
    if (tag && *len + data.len < cap) {
        memcpy(to + *len, data.ptr, data.len);
        *len += data.len;
        to[*len] = '\0';
    }
    (void)rmr_h2_consume(n->h2, id, data.len);
}

static void on_close(void *user, void *tag, int32_t id, rmr_err why)
{
    wire_node *n = user;
    (void)id;
    (void)why;
    if (tag == n)
        n->over = true;
    else if (tag == &n->stream)
        n->stream_over = true;
}

/* Reads up to the end of a head; what is behind it comes later. */
static bool read_head(int fd, char *text, size_t cap)
{
    size_t len = 0;
    while (len < cap - 1) {
        if (!receive(fd, text + len, 1, PATIENCE))
            return false;
        text[++len] = '\0';
        if (len >= 4 && strcmp(text + len - 4, "\r\n\r\n") == 0)
            return true;
    }
    return false;
}

static bool read_all(int fd, uint8_t *p, size_t n)
{
    size_t k = 1;
    for (size_t at = 0; at < n && k > 0; at += k)
        k = receive(fd, p + at, n - at, PATIENCE);
    return k > 0;
}

static bool server_key(uint16_t port, uint8_t key[RMR_KEY_LEN])
{
    static const char ask[] = "GET /key?v=138 HTTP/1.1\r\nHost: h\r\n"
                              "Connection: close\r\n\r\n";
    char text[2048], *at;
    size_t len = 0, n;
    int fd = dial_tcp(port);
    if (fd < 0)
        return false;
    if (send_all(fd, ask, sizeof ask - 1)) {
        while ((n = receive(fd, text + len, sizeof text - 1 - len, PATIENCE)))
            len += n;
    }
    (void)close(fd);
    text[len] = '\0';
    at = strstr(text, "\"publicKey\":\"mkey:");
    return at && strlen(at) > 18 + 64 &&
           rmr_unhex(key, RMR_KEY_LEN,
                     rmr_bytes_of((const uint8_t *)at + 18, 64)) == RMR_OK;
}

static bool shake(wire_node *n, uint16_t port)
{
    uint8_t key[RMR_KEY_LEN], got[RMR_TS_RESP_LEN];
    char head[1024];
    if (!server_key(port, key) || (n->fd = dial_tcp(port)) < 0)
        return false;
    ts_client_begin(&n->ts, key, n->machine, 138);
    ts_client_head(&n->ts, head);
    return send_all(n->fd, head, strlen(head)) &&
           read_head(n->fd, head, sizeof head) &&
           strncmp(head, "HTTP/1.1 101", 12) == 0 &&
           read_all(n->fd, got, sizeof got) && ts_client_welcome(&n->ts, got);
}

bool wire_join(wire_node *n, uint16_t port, uint8_t machine)
{
    rmr_env env = test_env(NULL, NULL, NULL);
    rmr_h2_config cfg;
    memset(n, 0, sizeof *n);
    n->fd = -1;
    n->machine = machine;
    n->seen = calloc(1, WIRE_BODY);
    need(n->seen != NULL, "memory");
    if (!shake(n, port)) {
        wire_part(n);
        return false;
    }
    memset(&cfg, 0, sizeof cfg);
    cfg.callbacks.user = n;
    cfg.callbacks.on_head = on_head;
    cfg.callbacks.on_body = on_body;
    cfg.callbacks.on_close = on_close;
    need(rmr_h2_client_new(&n->h2, &env, &cfg) == RMR_OK, "h2");
    return true;
}

static bool write_out(wire_node *n)
{
    uint8_t frame[RMR_TS_FRAME_MAX];
    size_t len;
    while ((len = ts_client_say(&n->ts, n->h2, frame)) > 0) {
        if (!send_all(n->fd, frame, len))
            return false;
    }
    return true;
}

static rmr_err on_plain(void *user, rmr_buf plain)
{
    wire_node *n = user;
    return rmr_h2_read(n->h2, rmr_bytes_of(plain.ptr, plain.len));
}

/* False: the connection ended. */
static bool read_in(wire_node *n, int wait_ms)
{
    uint8_t buf[8192];
    size_t len = receive(n->fd, buf, sizeof buf, wait_ms);
    if (len == 0)
        return false;
    need(rmr_ts_record_read(&n->ts.record, rmr_buf_of(buf, len), on_plain, n) ==
             RMR_OK,
         "the server's records are broken");
    return write_out(n);
}

static void end(wire_node *n)
{
    if (n->fd >= 0)
        (void)close(n->fd);
    n->fd = -1;
}

int wire_ask(wire_node *n, const char *path, const char *body)
{
    int32_t id;
    if (n->fd < 0)
        return 0;
    n->over = false;
    n->status = 0;
    n->len = 0;
    n->body[0] = '\0';
    need(rmr_h2_request(n->h2, "POST", "h", path, NULL, 0, rmr_bytes_str(body),
                        n, &id) == RMR_OK,
         "request");
    bool alive = write_out(n);
    sent();
    while (alive && !n->over)
        alive = read_in(n, PATIENCE);
    if (alive)
        return n->status;
    end(n);
    return n->over ? n->status : 0;
}

void wire_say(wire_node *n, const char *path, const char *body)
{
    int32_t id;
    if (n->fd < 0 || rmr_h2_request(n->h2, "POST", "h", path, NULL, 0,
                                    rmr_bytes_str(body), NULL, &id) != RMR_OK)
        return;
    if (!write_out(n))
        end(n);
}

bool wire_map(wire_node *n, const char *body)
{
    if (n->fd < 0 ||
        rmr_h2_request(n->h2, "POST", "h", "/machine/map", NULL, 0,
                       rmr_bytes_str(body), &n->stream, &n->stream) != RMR_OK ||
        !write_out(n))
        return false;
    while (n->seen_len == 0) {
        if (!read_in(n, PATIENCE)) {
            end(n);
            return false;
        }
    }
    return true;
}

void wire_hear(wire_node *n, int wait_ms)
{
    while (n->fd >= 0) {
        struct pollfd f = {n->fd, POLLIN, 0};
        if (poll(&f, 1, wait_ms) <= 0)
            return;
        if (!read_in(n, 0))
            end(n);
        wait_ms = 0;
    }
}

void wire_part(wire_node *n)
{
    end(n);
    rmr_ts_record_wipe(&n->ts.record);
    rmr_h2_free(n->h2);
    n->h2 = NULL;
    free(n->seen);
    n->seen = NULL;
}
