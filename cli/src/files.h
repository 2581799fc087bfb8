/*
 * Files and directories of the host that the command itself looks at.
 */
#ifndef CLI_FILES_H
#define CLI_FILES_H

#include <remora/base.h>

typedef struct cli_file {
    uint8_t *data;
    size_t len;
} cli_file;

/** A whole file of at most `max` bytes.  False: `error` holds a sentence. */
bool cli_file_read(cli_file *f, const char *path, size_t max, char *error,
                   size_t cap);
/** Wipes and frees. */
void cli_file_free(cli_file *f);

/** A new file of mode 0600 with these bytes, or none: written aside, made
 *  durable, and put in place only where there is no file of that name.  False:
 *  `error` holds a sentence. */
bool cli_file_create(const char *path, rmr_bytes data, char *error, size_t cap);

/** The certificates to trust: `ca_file`, or the system's bundle.  The system
 *  may have none (empty then, true).  False: `error` holds a sentence. */
bool cli_ca_read(cli_file *f, const char *ca_file, char *error, size_t cap);

/** \param given  --state-dir, or NULL for the default: $XDG_STATE_HOME/remora,
 *                ~/.local/state/remora.  False: `error` holds a sentence. */
bool cli_state_dir(const char *given, char *dst, size_t dst_cap, char *error,
                   size_t cap);
/** Makes the directories above `path` where they are missing.  What can't be
 *  made is left to whoever uses `path`. */
void cli_make_parents(const char *path);
/** Makes the directory that `path` is in where it is missing, for its owner
 *  alone, and those above it. */
void cli_make_private_dir(const char *path);
/** The same for a directory that others may look into. */
void cli_make_shared_dir(const char *path);
/** Why `dir` can't be the state directory, in one sentence. */
void cli_state_dir_why(const char *dir, char *dst, size_t cap);

#endif
