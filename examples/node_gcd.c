/* A tailnet node (echo.c) on libdispatch.
 *   node_gcd CONTROL-URL AUTH-KEY DIRECTORY [CA-FILE] */
#define _POSIX_C_SOURCE 200809L
#include "echo.h"

#include <remora/gcd.h>
#include <remora/posix.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static rmr_gcd *gcd;
static dispatch_source_t signals[2];

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

int main(int argc, char **argv)
{
    rmr_gcd_config cfg;
    rmr_node *node = NULL;
    if (argc < 4) {
        fprintf(stderr, "usage: node_gcd URL AUTH-KEY DIRECTORY [CA-FILE]\n");
        return 2;
    }
    rmr_gcd_config_init(&cfg, sizeof cfg);
    cfg.dir = argv[3];
    cfg.queue = dispatch_get_main_queue();
    cfg.on_end = on_end;
    cfg.portable = getenv("NODE_GCD_PORTABLE") != NULL; /* as on Apple's */
    rmr_err e = rmr_gcd_new(&gcd, &cfg);
    if (!e && !(e = echo_new(&node, argv[1], argv[2], argv[4]))) {
        rmr_machine m = rmr_node_machine(node);
        signals[0] = watch(SIGINT);
        signals[1] = watch(SIGTERM);
        if (!(e = rmr_gcd_add(gcd, &m)))
            dispatch_main(); /* never returns */
    }
    fprintf(stderr, "%s\n", rmr_node_err_text(e));
    return 1;
}
