/* The least that joins a tailnet and serves TCP: what comes to port 9 is
 * discarded.
 *   AUTH_KEY=... minimal CONTROL-URL DIRECTORY [CA-FILE]
 * The directory keeps the node's keys; the file holds the certificates (PEM)
 * that an https control server is checked by. */
#define _POSIX_C_SOURCE 200809L
#include <remora/crypto.h>
#include <remora/node.h>
#include <remora/posix.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define DISCARD 9

typedef struct app {
    rmr_node *node;
    rmr_node_conn listener;
} app;

static rmr_posix *loop; /* for the signal handler, which has no argument */

static void on_signal(int sig)
{
    (void)sig;
    rmr_posix_request_stop(loop); /* async-signal-safe */
}

static void on_event(void *user, const rmr_node_event *ev)
{
    app *a = user;
    if (ev->kind == RMR_NODE_EV_TROUBLE || ev->kind == RMR_NODE_EV_FAILED)
        fprintf(stderr, "minimal: %s\n", ev->text);
    /* It may run more than once: from the cached netmap, then from control. */
    if (ev->kind != RMR_NODE_EV_RUNNING || a->listener.id != 0)
        return;
    rmr_err e =
        rmr_node_listen(a->node, rmr_posix_now(), DISCARD, NULL, &a->listener);
    char ip[RMR_ADDR_TEXT_MAX] = "";
    if (ev->n_ips > 0)
        (void)rmr_addr_ip_text(&ev->ips[0], ip);
    printf("%s as %s after %llu ms\n", e ? rmr_node_err_text(e) : "discarding",
           ip, (unsigned long long)(ev->took / RMR_MS));
    (void)fflush(stdout);
}

/* Who accepts nothing has whoever connects reset. */
static void on_accept(void *user, void *tag, rmr_node_conn conn,
                      const rmr_addr *remote)
{
    (void)user, (void)tag, (void)conn, (void)remote;
}

/* Reading is what opens the sender's window: what is not consumed waits. */
static void on_readable(void *user, void *tag, rmr_node_conn conn)
{
    app *a = user;
    rmr_time now = rmr_posix_now();
    rmr_bytes view;
    bool eof = false;
    (void)tag;
    while (!rmr_node_peek(a->node, conn, &view, &eof) && view.len > 0)
        (void)rmr_node_consume(a->node, now, conn, view.len);
    if (eof)
        (void)rmr_node_close(a->node, now, conn);
}

/* The whole file, to be freed; nothing where it can't be read. */
static rmr_bytes read_file(const char *path)
{
    FILE *f = path ? fopen(path, "r") : NULL;
    long len = f && !fseek(f, 0, SEEK_END) ? ftell(f) : -1;
    uint8_t *p = len > 0 ? malloc((size_t)len) : NULL;
    size_t n = 0;
    if (p) {
        rewind(f);
        n = fread(p, 1, (size_t)len, f);
    }
    if (f)
        (void)fclose(f);
    return rmr_bytes_of(p, n);
}

static rmr_err start(app *a, char **argv)
{
    rmr_node_callbacks cb = {.struct_size = sizeof cb, .user = a};
    rmr_env env = rmr_posix_env();
    rmr_posix_config posix;
    rmr_node_config cfg;
    cb.on_event = on_event;
    cb.on_accept = on_accept;
    cb.on_readable = on_readable;
    rmr_posix_config_init(&posix, sizeof posix);
    posix.dir = argv[2];
    rmr_node_config_init(&cfg, sizeof cfg);
    cfg.control_url = argv[1];
    cfg.auth_key = getenv("AUTH_KEY");
    cfg.hostname = "minimal";
    cfg.callbacks = &cb;
    cfg.ca_pem = read_file(argv[3]);
    rmr_err e = rmr_crypto_init();
    if (!e)
        e = rmr_posix_new(&loop, &posix);
    if (!e)
        e = rmr_node_new(&a->node, &env, &cfg, rmr_posix_now());
    free((void *)(uintptr_t)cfg.ca_pem.ptr);
    if (e)
        return e;
    rmr_machine m = rmr_node_machine(a->node);
    return rmr_posix_add(loop, &m);
}

int main(int argc, char **argv)
{
    app a = {0};
    if (argc != 3 && argc != 4) {
        fprintf(stderr, "usage: minimal CONTROL-URL DIRECTORY [CA-FILE]\n");
        return 2;
    }
#ifdef __GLIBC__
    /* What reads a netmap is large and freed again: back to the system then. */
    (void)mallopt(M_MMAP_THRESHOLD, 64 * 1024);
#endif
    rmr_err e = start(&a, argv); /* argv[argc] is NULL: no CA-FILE */
    if (!e) {
        (void)signal(SIGINT, on_signal);
        (void)signal(SIGTERM, on_signal);
        e = rmr_posix_run(loop);
    }
    if (e)
        fprintf(stderr, "minimal: %s\n", rmr_node_err_text(e));
    rmr_posix_free(loop); /* first: it holds the machine */
    rmr_node_free(a.node);
    return e ? 1 : 0;
}
