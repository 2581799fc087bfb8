/* The relay's private key, where it is kept as a blob. */
#include "relay_internal.h"

#include <stdio.h>
#include <string.h>

static void done(void *user, rmr_time now, rmr_err err, const char *text,
                 const uint8_t *key)
{
    rmr_relay *r = user;
    char line[128];
    if (err == RMR_OK)
        memcpy(r->private_key, key, RMR_KEY_LEN);
    rmr_mc_key_free(r->key);
    r->key = NULL;
    if (err == RMR_OK) {
        rmri_relay_key_ready(r, now);
        return;
    }
    (void)snprintf(line, sizeof line, "the relay's key: %s", text);
    rmri_relay_fail(r, now, err, line);
}

void rmri_relay_key_load(rmr_relay *r, rmr_time now)
{
    rmr_err err = rmr_mc_key_load(&r->key, r->mc, RMR_RELAY_KEY_BLOB,
                                  "privkey:", done, r);
    if (err != RMR_OK)
        rmri_relay_fail(r, now, err, "the relay's key can't be read");
}
