/* The signals of a command that runs until it is told to end. */
#include "signals.h"

#include <signal.h>
#include <string.h>

/* Signal handlers have no argument. */
static rmr_posix *volatile adapter;
static volatile sig_atomic_t reload_wanted;

static void on_stop(int sig)
{
    (void)sig;
    if (adapter != NULL) {
        rmr_posix_request_stop(adapter);
    }
}

static void on_reload(int sig)
{
    (void)sig;
    reload_wanted = 1;
    if (adapter != NULL) {
        rmr_posix_wake(adapter);
    }
}

/* What is read at the start goes on behind it (SA_RESTART); the adapter's wait
 * ends by its wake. */
void cli_signals_reloads(void)
{
    struct sigaction sa;
    memset(&sa, 0, sizeof sa);
    (void)sigemptyset(&sa.sa_mask);
    sa.sa_flags = SA_RESTART;
    sa.sa_handler = on_reload;
    (void)sigaction(SIGHUP, &sa, NULL);
}

void cli_signals_catch(rmr_posix *p)
{
    struct sigaction sa;
    adapter = p;
    memset(&sa, 0, sizeof sa);
    (void)sigemptyset(&sa.sa_mask);
    sa.sa_handler = on_stop;
    sa.sa_flags = (int)SA_RESETHAND; /* a second one is the default's */
    (void)sigaction(SIGINT, &sa, NULL);
    (void)sigaction(SIGTERM, &sa, NULL);
}

void cli_signals_release(void)
{
    (void)signal(SIGINT, SIG_DFL);
    (void)signal(SIGTERM, SIG_DFL);
    adapter = NULL;
}

bool cli_signals_reload(void)
{
    if (reload_wanted == 0) {
        return false;
    }
    reload_wanted = 0; /* one that comes just before is this one */
    return true;
}
