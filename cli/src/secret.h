/*
 * Secrets that come as text: taken from where others can see them, and wiped
 * when they are no longer needed.
 */
#ifndef CLI_SECRET_H
#define CLI_SECRET_H

#include <remora/base.h>

/** Copies `text` and overwrites it; NULL when memory ran out (overwritten all
 *  the same). */
char *cli_secret_take(char *text);
/** The same for an environment variable; NULL when it is unset or empty. */
char *cli_secret_take_env(const char *name);
/** The first line of a file without the space around it.  NULL: `error` holds
 *  a sentence. */
char *cli_secret_read_file(const char *path, char *error, size_t cap);
/** Wipes and frees; NULL is allowed. */
void cli_secret_free(char *secret);

#endif
