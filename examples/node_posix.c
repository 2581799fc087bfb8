/* A tailnet node on poll(2) that echoes TCP on port 7.
 *   node_posix CONTROL-URL AUTH-KEY CA-FILE STATE-DIRECTORY */
#define _POSIX_C_SOURCE 200809L
#include <remora/crypto.h>
#include <remora/node.h>
#include <remora/posix.h>

#include <signal.h>
#include <stdio.h>

static rmr_node *node;
static rmr_node_conn listener;
static rmr_posix *loop;

static void on_signal(int sig)
{
    (void)sig;
    rmr_posix_request_stop(loop); /* async-signal-safe */
}

static void on_event(void *user, const rmr_node_event *ev)
{
    (void)user;
    printf("%s %s\n", rmr_node_state_name(rmr_node_get_state(node)),
           ev->text ? ev->text : "");
    if (ev->kind == RMR_NODE_EV_RUNNING &&
        !rmr_node_listen(node, rmr_posix_now(), 7, NULL, &listener))
        printf("echoing as %s, port 7\n", ev->hostname);
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
    rmr_posix_config posix;
    rmr_node_config cfg;
    rmr_env env = rmr_posix_env();
    if (argc != 5) {
        fprintf(stderr, "usage: node_posix URL AUTH-KEY CA-FILE DIRECTORY\n");
        return 2;
    }
    cb.on_accept = on_accept;
    cb.on_readable = cb.on_writable = echo;
    rmr_posix_config_init(&posix, sizeof posix);
    posix.dir = argv[4];
    rmr_node_config_init(&cfg, sizeof cfg);
    cfg.control_url = argv[1];
    cfg.auth_key = argv[2];
    cfg.hostname = "echo";
    cfg.ca_pem = rmr_bytes_of(ca, read_file(argv[3], ca, sizeof ca));
    cfg.callbacks = &cb;
    rmr_err e = rmr_crypto_init();
    if (!e && !(e = rmr_posix_new(&loop, &posix)) &&
        !(e = rmr_node_new(&node, &env, &cfg, rmr_posix_now()))) {
        rmr_machine m = rmr_node_machine(node);
        (void)signal(SIGINT, on_signal);
        (void)signal(SIGTERM, on_signal);
        if (!(e = rmr_posix_add(loop, &m)))
            e = rmr_posix_run(loop);
    }
    if (e)
        fprintf(stderr, "%s\n", rmr_node_err_text(e));
    rmr_posix_free(loop); /* first: it holds the machine */
    rmr_node_free(node);
    return e ? 1 : 0;
}
