/* A tailnet node on libdispatch that echoes TCP on port 7.
 *   node_gcd CONTROL-URL AUTH-KEY STATE-DIRECTORY [CA-FILE] */
#define _POSIX_C_SOURCE 200809L
#include <remora/crypto.h>
#include <remora/gcd.h>
#include <remora/node.h>
#include <remora/posix.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static rmr_node *node;
static rmr_node_conn listener;
static rmr_gcd *gcd;
static dispatch_source_t signals[2];

static void on_event(void *user, const rmr_node_event *ev)
{
    (void)user;
    printf("%s %s\n", rmr_node_state_name(rmr_node_get_state(node)),
           ev->text ? ev->text : "");
    if (ev->kind == RMR_NODE_EV_RUNNING &&
        !rmr_node_listen(node, rmr_posix_now(), 7, NULL, &listener))
        printf("echoing as %s, port 7\n", ev->hostname);
    (void)fflush(stdout);
}

/* What does not fit stays unread, so that the sender waits. */
static void echo(void *user, void *tag, rmr_node_conn conn)
{
    rmr_bytes view;
    bool eof = false;
    size_t taken = 1;
    rmr_time now = rmr_posix_now();
    (void)user, (void)tag;
    while (taken > 0 && !rmr_node_peek(node, conn, &view, &eof) && view.len) {
        if (rmr_node_send(node, now, conn, view, &taken) ||
            rmr_node_consume(node, now, conn, taken))
            return;
    }
    if (eof)
        (void)rmr_node_close(node, now, conn);
}

static void on_accept(void *user, void *tag, rmr_node_conn conn,
                      const rmr_addr *remote)
{
    char text[RMR_ADDR_TEXT_MAX];
    (void)user, (void)tag, (void)conn;
    printf("a connection from %s\n", rmr_addr_text(remote, text));
}

/* On the queue, when the node has stopped. */
static void on_end(void *user, rmr_err result)
{
    (void)user;
    for (int i = 0; i < 2; i++) {
        dispatch_source_cancel(signals[i]);
        dispatch_release(signals[i]);
    }
    if (result)
        fprintf(stderr, "%s\n", rmr_node_err_text(result));
    exit(result ? 1 : 0);
}

static void on_signal(void *context)
{
    (void)context;
    rmr_gcd_request_stop(gcd); /* the node says goodbye; on_end follows */
}

static dispatch_source_t watch(int sig)
{
    dispatch_source_t s =
        dispatch_source_create(DISPATCH_SOURCE_TYPE_SIGNAL, (uintptr_t)sig, 0,
                               dispatch_get_main_queue());
    (void)signal(sig, SIG_IGN); /* the source sees it all the same */
    dispatch_source_set_event_handler_f(s, on_signal);
    dispatch_resume(s);
    return s;
}

static size_t read_file(const char *path, char *dst, size_t cap)
{
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(dst, 1, cap, f) : 0;
    if (f)
        (void)fclose(f);
    return n;
}

int main(int argc, char **argv)
{
    static char ca[1 << 20];
    rmr_node_callbacks cb = {.struct_size = sizeof cb, .on_event = on_event};
    rmr_gcd_config gc;
    rmr_node_config cfg;
    rmr_env env = rmr_posix_env();
    if (argc < 4) {
        fprintf(stderr, "usage: node_gcd URL AUTH-KEY DIRECTORY [CA-FILE]\n");
        return 2;
    }
    cb.on_accept = on_accept;
    cb.on_readable = cb.on_writable = echo;
    rmr_gcd_config_init(&gc, sizeof gc);
    gc.dir = argv[3];
    gc.queue = dispatch_get_main_queue();
    gc.on_end = on_end;
    rmr_node_config_init(&cfg, sizeof cfg);
    cfg.control_url = argv[1];
    cfg.auth_key = argv[2];
    cfg.hostname = "echo";
    if (argc > 4)
        cfg.ca_pem = rmr_bytes_of(ca, read_file(argv[4], ca, sizeof ca));
    cfg.callbacks = &cb;
    rmr_err e = rmr_crypto_init();
    if (!e && !(e = rmr_gcd_new(&gcd, &gc)) &&
        !(e = rmr_node_new(&node, &env, &cfg, rmr_posix_now()))) {
        rmr_machine m = rmr_node_machine(node);
        signals[0] = watch(SIGINT);
        signals[1] = watch(SIGTERM);
        if (!(e = rmr_gcd_add(gcd, &m)))
            dispatch_main(); /* never returns */
    }
    fprintf(stderr, "%s\n", rmr_node_err_text(e));
    return 1;
}
