/*
 * The words of `remora coordinator` that ask a running server: users,
 * preauthkeys, nodes, apikeys, policy, auth, health.
 */
#ifndef CLI_COORD_ADMIN_H
#define CLI_COORD_ADMIN_H

#include <stdbool.h>

/** Is this one of the words, or another name of one? */
bool cli_coord_is_admin(const char *word);
/** argv[0] is the word.  Returns the exit code and has said what there is to
 *  say. */
int cli_coord_admin(int argc, char **argv);

#endif
