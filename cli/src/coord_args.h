/*
 * The options of serve, configtest and init.
 */
#ifndef CLI_COORD_ARGS_H
#define CLI_COORD_ARGS_H

#include <remora/base.h>

typedef struct cli_coord_args {
    const char *word;   /* argv[0] */
    const char *config; /* NULL: not said */
    const char *dir, *server_url, *listen; /* init; NULL: not said */
    bool json;          /* serve */
    bool help;
    char error[320];
} cli_coord_args;

/** argv[0] is the word.  False: `error` is set. */
bool cli_coord_args_parse(cli_coord_args *a, int argc, char **argv);

int cli_coord_serve(int argc, char **argv);
int cli_coord_configtest(int argc, char **argv);
int cli_coord_init(int argc, char **argv);

#endif
