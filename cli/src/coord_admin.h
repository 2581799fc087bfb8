/*
 * The words of `remora coordinator` that ask a running server: users,
 * preauthkeys, nodes, apikeys, policy, auth, health.
 */
#ifndef CLI_COORD_ADMIN_H
#define CLI_COORD_ADMIN_H

/** argv[0] is the word.  Returns the exit code and has said what there is to
 *  say. */
int cli_coord_admin(int argc, char **argv);

#endif
