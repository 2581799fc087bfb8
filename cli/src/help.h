/*
 * What `remora help` prints.
 */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include "args.h"

/** CLI_NONE: about the whole command. */
const char *cli_help_text(cli_command topic);

/* help_relay.c */
extern const char cli_help_relay[];
/* help_coordinator.c */
extern const char cli_help_coordinator[];
extern const char cli_help_coord_serve[];
extern const char cli_help_coord_configtest[];
extern const char cli_help_coord_init[];

#endif
