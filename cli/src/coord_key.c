/* A private key in a file. */
#include "coord_key.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <remora/text.h>

#include "files.h"

static const char word[] = "privkey:";

#define TEXT_LEN (sizeof word - 1 + 2 * RMR_KEY_LEN)

static bool parse(const cli_file *f, uint8_t key[RMR_KEY_LEN])
{
    size_t len = f->len;
    while (len > 0 && (f->data[len - 1] == '\n' || f->data[len - 1] == '\r')) {
        len--;
    }
    return len == TEXT_LEN && memcmp(f->data, word, sizeof word - 1) == 0 &&
           rmr_unhex(key, RMR_KEY_LEN,
                     rmr_bytes_of(f->data + sizeof word - 1,
                                  2 * RMR_KEY_LEN)) == RMR_OK;
}

static bool make_key(const char *path, const rmr_env *env,
                     uint8_t key[RMR_KEY_LEN], char *error, size_t cap)
{
    char text[TEXT_LEN + 1];
    bool ok;
    if (rmr_key_generate(&env->rng, key) != RMR_OK) {
        (void)snprintf(error, cap, "the system gives no random bytes");
        return false;
    }
    memcpy(text, word, sizeof word - 1);
    (void)rmr_hex(text + sizeof word - 1, key, RMR_KEY_LEN);
    ok = cli_file_create(path, rmr_bytes_of(text, TEXT_LEN), error, cap);
    rmr_wipe(text, sizeof text);
    return ok;
}

static bool is_closed(const char *path, char *error, size_t cap)
{
    struct stat st;
    if (stat(path, &st) != 0 || (st.st_mode & 077) == 0) {
        return true;
    }
    (void)snprintf(error, cap,
                   "%s, a private key, is open to other users; close it with "
                   "chmod 600",
                   path);
    return false;
}

bool cli_coord_key_file(const char *path, const rmr_env *env,
                        uint8_t key[RMR_KEY_LEN], char *error, size_t cap)
{
    struct stat st;
    cli_file f;
    bool ok;
    if (stat(path, &st) != 0 && errno == ENOENT) {
        return make_key(path, env, key, error, cap);
    }
    if (!is_closed(path, error, cap) ||
        !cli_file_read(&f, path, 4096, error, cap)) {
        return false;
    }
    ok = parse(&f, key);
    cli_file_free(&f);
    if (!ok) {
        (void)snprintf(error, cap,
                       "%s holds no private key: privkey: and 64 hex digits",
                       path);
    }
    return ok;
}
