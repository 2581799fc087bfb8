/* The command `remora`. */
#include <signal.h>
#include <stdio.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "args.h"
#include "commands.h"
#include "help.h"
#include "print.h"

static int run(cli_args *a)
{
    switch (a->command) {
    case CLI_UP:
        return cli_up(a);
    case CLI_STATUS:
        return cli_status(a);
    case CLI_PING:
        return cli_ping(a);
    case CLI_NETCHECK:
        return cli_netcheck(a);
    case CLI_DEBUG:
        return cli_debug(a);
    case CLI_NC:
        return cli_nc(a);
    case CLI_DOWN:
        return cli_down(a);
    case CLI_LOGOUT:
        return cli_logout(a);
    case CLI_SET:
        return cli_set(a);
    case CLI_WHOIS:
        return cli_whois(a);
    case CLI_METRICS:
        return cli_metrics(a);
    case CLI_CAPTURE:
        return cli_capture(a);
    case CLI_RELAY:
        return cli_relay(a->rest_argc, a->rest_argv);
    case CLI_COORDINATOR:
        return cli_coordinator(a->rest_argc, a->rest_argv);
    case CLI_VERSION:
        (void)puts("remora " REMORA_VERSION);
        return CLI_EXIT_OK;
    case CLI_HELP:
    case CLI_NONE:
        break;
    }
    (void)fputs(cli_help_text(a->topic), stdout);
    return CLI_EXIT_OK;
}

int main(int argc, char **argv)
{
    cli_args args;
    int code;

#ifdef __GLIBC__
    /* What reads a netmap is large and freed again: back to the system then. */
    (void)mallopt(M_MMAP_THRESHOLD, 64 * 1024);
#endif
    (void)signal(SIGPIPE, SIG_IGN);
    if (cli_args_parse(&args, argc, argv)) {
        code = run(&args);
        if (fflush(stdout) != 0 && code == CLI_EXIT_OK) {
            cli_complain("can't write the output");
            code = CLI_EXIT_FAILED;
        }
    } else {
        cli_complain("%s", args.error);
        code = CLI_EXIT_USAGE;
    }
    cli_args_free(&args);
    return code;
}
