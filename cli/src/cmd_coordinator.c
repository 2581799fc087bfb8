/* remora coordinator: which of its words is meant. */
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "coord_admin.h"
#include "coord_args.h"
#include "help.h"
#include "print.h"

static bool is_one_of(const char *word, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strcmp(word, *words) == 0) {
            return true;
        }
    }
    return false;
}

int cli_coordinator(int argc, char **argv)
{
    static const char *const help[] = {"help", "--help", "-h", NULL};
    if (argc == 0) {
        cli_complain("coordinator needs a word, such as serve; see remora "
                     "coordinator --help");
        return CLI_EXIT_USAGE;
    }
    if (is_one_of(argv[0], help)) {
        (void)fputs(cli_help_coordinator, stdout);
        return CLI_EXIT_OK;
    }
    if (strcmp(argv[0], "serve") == 0) {
        return cli_coord_serve(argc, argv);
    }
    if (strcmp(argv[0], "configtest") == 0) {
        return cli_coord_configtest(argc, argv);
    }
    if (strcmp(argv[0], "init") == 0) {
        return cli_coord_init(argc, argv);
    }
    if (cli_coord_is_admin(argv[0])) {
        return cli_coord_admin(argc, argv);
    }
    cli_complain("coordinator knows no '%s'; see remora coordinator --help",
                 argv[0]);
    return CLI_EXIT_USAGE;
}
