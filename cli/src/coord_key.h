/*
 * A private key in a file, as Headscale and derper keep theirs: a word and 64
 * hex digits.
 */
#ifndef CLI_COORD_KEY_H
#define CLI_COORD_KEY_H

#include <remora/crypto.h>

/** Reads "privkey:" and the digits; where there is no such file, it is made
 *  (0600) with a new key.  What is no key is told and never overwritten.
 *  \return false: `error` holds a sentence.  The caller wipes the key. */
bool cli_coord_key_file(const char *path, const rmr_env *env,
                        uint8_t key[RMR_KEY_LEN], char *error, size_t cap);

#endif
