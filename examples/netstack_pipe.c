/* Two IP stacks joined by a pipe: one echoes over TCP what the other sends. */
#include <remora/netstack.h>
#include <remora/posix.h> /* for rmr_posix_env; any rmr_env will do */

#include <stdio.h>

#define TOTAL ((size_t)4 << 20)

typedef struct host {
    rmr_ns *ns;
    bool is_server, is_done;
    size_t received;
} host;

static rmr_time now = RMR_SEC; /* a clock that only this program moves */

/* Callbacks may submit and look; pump functions refuse inside them. */
static void on_accept(void *user, void *tag, rmr_ns_sock listener,
                      rmr_ns_sock sock, const rmr_addr *remote)
{
    (void)user, (void)tag, (void)listener, (void)sock, (void)remote;
} /* without on_accept nobody gets in */

/* Also when there is room to send again. */
static void on_readable(void *user, void *tag, rmr_ns_sock sock)
{
    host *h = user;
    rmr_bytes view;
    bool eof = false;
    (void)tag;
    while (!rmr_ns_tcp_peek(h->ns, sock, &view, &eof) && view.len > 0) {
        size_t n = view.len;
        if (h->is_server) /* what it can't send on stays unread */
            (void)rmr_ns_tcp_send(h->ns, now, sock, view, &n);
        if (n == 0 || rmr_ns_tcp_consume(h->ns, now, sock, n))
            return;
        h->received += n;
    }
    h->is_done = eof;
    if (eof)
        (void)rmr_ns_close(h->ns, now, sock);
}

static rmr_err open_host(host *h, const rmr_env *env, rmr_addr ip)
{
    rmr_ns_callbacks cb = {.struct_size = sizeof cb, .user = h};
    rmr_ns_config cfg;
    cb.on_accept = on_accept;
    cb.on_readable = cb.on_writable = on_readable;
    rmr_ns_config_init(&cfg, sizeof cfg);
    cfg.callbacks = &cb;
    rmr_err e = rmr_ns_new(&h->ns, env, &cfg, now);
    return e ? e : rmr_ns_addr_add(h->ns, &ip);
}

/* The turn of one stack; the pipe leads straight into the other. */
static rmr_err turn(host *from, host *to, bool *is_quiet)
{
    uint8_t packet[1280]; /* the MTU */
    rmr_err e = rmr_ns_handle_deadline(from->ns, now);
    for (size_t len = 1; !e && len > 0; *is_quiet = *is_quiet && len == 0) {
        e = rmr_ns_write_pkt(from->ns, now, rmr_buf_of(packet, 1280), &len);
        if (len > 0)
            (void)rmr_ns_read_pkt(to->ns, now, rmr_bytes_of(packet, len));
    }
    return e;
}

int main(void)
{
    rmr_env env = rmr_posix_env();
    host a = {.ns = NULL}, b = {.is_server = true};
    rmr_addr at = rmr_addr_v4(10, 0, 0, 2, 7);
    static const uint8_t text[8192] = "hello";
    rmr_ns_sock sock;
    size_t sent = 0;
    rmr_err e = open_host(&a, &env, rmr_addr_v4(10, 0, 0, 1, 0));
    if (!e && !(e = open_host(&b, &env, at)) &&
        !(e = rmr_ns_tcp_listen(b.ns, &at, NULL, &sock)))
        e = rmr_ns_tcp_connect(a.ns, now, NULL, &at, NULL, &sock);
    while (!e && !a.is_done && now < 60 * RMR_SEC) {
        bool is_quiet = true;
        size_t n = 0; /* what fits; nothing before it is connected: STATE */
        if (sent < TOTAL)
            (void)rmr_ns_tcp_send(a.ns, now, sock, rmr_bytes_of(text, 8192),
                                  &n);
        sent += n;
        if (sent >= TOTAL)
            (void)rmr_ns_tcp_shutdown(a.ns, now, sock);
        if (!(e = turn(&a, &b, &is_quiet)))
            e = turn(&b, &a, &is_quiet);
        if (is_quiet) /* nothing happens until a deadline */
            now = rmr_time_min(rmr_ns_next_deadline(a.ns),
                               rmr_ns_next_deadline(b.ns));
    }
    printf("%zu of %zu bytes came back\n", a.received, sent);
    rmr_ns_free(a.ns);
    rmr_ns_free(b.ns);
    return sent >= TOTAL && a.received == sent ? 0 : 1;
}
