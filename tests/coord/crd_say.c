#include "crd_say.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void need(bool ok, const char *what)
{
    if (ok)
        return;
    (void)fprintf(stderr, "crd_say: %s\n", what);
    abort();
}

bool rig_says(const rig_answer *x, const char *text)
{
    return strstr(x->body, text) != NULL;
}

const char *rig_registration(const char *node, const char *auth,
                             const char *more)
{
    static char text[2048];
    (void)snprintf(text, sizeof text,
                   "{\"Version\":138,\"NodeKey\":\"%s\"%s%s%s%s,\"Hostinfo\":{"
                   "\"Hostname\":\"h\"}}",
                   node, auth ? ",\"Auth\":{\"AuthKey\":\"" : "",
                   auth ? auth : "", auth ? "\"}" : "", more);
    return text;
}

rig_answer *rig_register(rig_client *cl, const char *node, const char *auth,
                         const char *more)
{
    return rig_ask(cl, "/machine/register", rig_registration(node, auth, more));
}

void rig_enter(rig_client *cl, rig *r, uint8_t machine, const char *node,
               const char *auth)
{
    need(rig_join(cl, r, machine, 138), "the handshake");
    const rig_answer *x = rig_register(cl, node, auth, "");
    need(rig_says(x, "\"MachineAuthorized\":true"), x->body);
}

rig_answer *rig_stream(rig_client *cl, const char *node, bool zstd)
{
    char text[512];
    (void)snprintf(text, sizeof text,
                   "{\"Version\":138,\"NodeKey\":\"%s\",\"Stream\":true%s}",
                   node, zstd ? ",\"Compress\":\"zstd\"" : "");
    rig_answer *x = rig_ask(cl, "/machine/map", text);
    need(x->status == 200, "a map stream");
    return x;
}

const char *rig_frames(rig_answer *x)
{
    static char text[8192];
    size_t n = 0;
    for (size_t at = 0; at + 4 <= x->len;) {
        const uint8_t *p = (const uint8_t *)x->body + at;
        size_t len = p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16;
        need(at + 4 + len <= x->len && n + len + 2 < sizeof text, "a frame");
        memcpy(text + n, p + 4, len);
        n += len;
        text[n++] = '\n';
        at += 4 + len;
    }
    text[n] = '\0';
    x->len = 0;
    return text;
}
