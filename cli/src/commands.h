/*
 * The commands.  Each returns the exit code and has said what there is to say.
 */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "args.h"

enum { CLI_EXIT_OK = 0, CLI_EXIT_FAILED = 1, CLI_EXIT_USAGE = 2 };

int cli_up(cli_args *a);
int cli_status(const cli_args *a);
int cli_ping(const cli_args *a);
int cli_netcheck(const cli_args *a);
int cli_debug(const cli_args *a);
int cli_nc(const cli_args *a);
int cli_down(const cli_args *a);
int cli_logout(const cli_args *a);
int cli_set(const cli_args *a);
int cli_whois(const cli_args *a);
int cli_metrics(const cli_args *a);
int cli_capture(const cli_args *a);
/** Parses its own options: what follows "relay". */
int cli_relay(int argc, char **argv);
/** Likewise: what follows "coordinator". */
int cli_coordinator(int argc, char **argv);

#endif
