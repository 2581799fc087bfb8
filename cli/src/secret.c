/* Auth keys and passwords: copied once, wiped everywhere else. */
#include "secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"

#define KEY_FILE_MAX ((size_t)4096)

extern char **environ;

char *cli_secret_take(char *text)
{
    size_t len = strlen(text);
    char *copy = malloc(len + 1);
    if (copy != NULL) {
        memcpy(copy, text, len + 1);
    }
    rmr_wipe(text, len);
    return copy;
}

char *cli_secret_take_env(const char *name)
{
    size_t n = strlen(name);
    /* Through environ and not getenv(): its result may not be written to. */
    for (char **e = environ; e != NULL && *e != NULL; e++) {
        if (strncmp(*e, name, n) == 0 && (*e)[n] == '=') {
            return (*e)[n + 1] == '\0' ? NULL : cli_secret_take(*e + n + 1);
        }
    }
    return NULL;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

char *cli_secret_read_file(const char *path, char *error, size_t cap)
{
    cli_file f;
    char *secret = NULL;
    size_t from = 0, to;

    if (!cli_file_read(&f, path, KEY_FILE_MAX, error, cap)) {
        return NULL;
    }
    while (from < f.len && is_space(f.data[from])) {
        from++;
    }
    to = from;
    while (to < f.len && !is_space(f.data[to])) {
        to++;
    }
    if (to == from) {
        (void)snprintf(error, cap,
                       "%s holds no auth key; put the key alone "
                       "on its first line",
                       path);
    } else if ((secret = malloc(to - from + 1)) == NULL) {
        (void)snprintf(error, cap, "out of memory");
    } else {
        memcpy(secret, f.data + from, to - from);
        secret[to - from] = '\0';
    }
    cli_file_free(&f);
    return secret;
}

void cli_secret_free(char *secret)
{
    if (secret != NULL) {
        rmr_wipe(secret, strlen(secret));
        free(secret);
    }
}
