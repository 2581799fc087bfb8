/* A node that echoes TCP on port 7, whatever adapter runs it. */
#include "echo.h"

#include <remora/crypto.h>
#include <remora/posix.h> /* its clock and memory, which io-gcd has too */

#include <stdio.h>

static rmr_node *node;
static rmr_node_conn listener;

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

static rmr_bytes read_file(const char *path, char *dst, size_t cap)
{
    FILE *f = path ? fopen(path, "r") : NULL;
    size_t n = f ? fread(dst, 1, cap, f) : 0;
    if (f)
        (void)fclose(f);
    return rmr_bytes_of(dst, n);
}

rmr_err echo_new(rmr_node **out, const char *control_url, const char *auth_key,
                 const char *ca_file)
{
    static char ca[1 << 20];
    rmr_node_callbacks cb = {.struct_size = sizeof cb, .on_event = on_event};
    rmr_node_config cfg;
    rmr_env env = rmr_posix_env();
    cb.on_accept = on_accept;
    cb.on_readable = cb.on_writable = echo;
    rmr_node_config_init(&cfg, sizeof cfg);
    cfg.control_url = control_url;
    cfg.auth_key = auth_key;
    cfg.hostname = "echo";
    cfg.ca_pem = read_file(ca_file, ca, sizeof ca);
    cfg.callbacks = &cb;
    rmr_err e = rmr_crypto_init();
    if (e == RMR_OK)
        e = rmr_node_new(&node, &env, &cfg, rmr_posix_now());
    *out = node;
    return e;
}
