/* A tailnet node (echo.c) on io-posix.
 *   node_posix CONTROL-URL AUTH-KEY DIRECTORY [CA-FILE] */
#include "echo.h"

#include <remora/posix.h>

#include <signal.h>
#include <stdio.h>

static rmr_posix *loop;

static void on_signal(int sig)
{
    (void)sig;
    rmr_posix_request_stop(loop); /* async-signal-safe */
}

int main(int argc, char **argv)
{
    rmr_posix_config posix;
    rmr_node *node = NULL;
    if (argc < 4) {
        fprintf(stderr, "usage: node_posix URL AUTH-KEY DIRECTORY [CA-FILE]\n");
        return 2;
    }
    rmr_posix_config_init(&posix, sizeof posix);
    posix.dir = argv[3];
    rmr_err e = rmr_posix_new(&loop, &posix);
    if (!e && !(e = echo_new(&node, argv[1], argv[2], argv[4]))) {
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
