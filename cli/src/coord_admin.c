/* Words that there are not yet. */
#include "coord_admin.h"

#include "commands.h"
#include "print.h"

int cli_coord_admin(int argc, char **argv)
{
    (void)argc;
    cli_complain("coordinator knows no '%s' yet; see remora coordinator --help",
                 argv[0]);
    return CLI_EXIT_USAGE;
}
