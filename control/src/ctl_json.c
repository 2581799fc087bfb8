/* The bodies of RegisterRequest and MapRequest. */
#include "ctl_internal.h"

#include <remora/text.h>

#include <stdio.h>
#include <string.h>

static void put_key(rmr_jw *w, const char *name, const char *prefix,
                    const uint8_t key[RMR_KEY_LEN])
{
    char text[96], hex[2 * RMR_KEY_LEN + 1];
    (void)snprintf(text, sizeof text, "%s%s", prefix,
                   rmr_hex(hex, key, RMR_KEY_LEN));
    rmr_jw_kstr(w, name, text);
}

static void put_tags(rmr_jw *w, const rmr_ctl *c)
{
    if (!c->tags)
        return;
    rmr_jw_key(w, "RequestTags");
    rmr_jw_array(w);
    for (const char *t = c->tags; *t; t += strlen(t) + 1)
        rmr_jw_str(w, t);
    rmr_jw_array_end(w);
}

/* \param net  With NetInfo, which a register request does not need. */
static void put_hostinfo(rmr_jw *w, const rmr_ctl *c, bool net)
{
    rmr_jw_key(w, "Hostinfo");
    rmr_jw_object(w);
    rmr_jw_kstr(w, "IPNVersion", rmr_text_kept(c->product));
    rmr_jw_kstr(w, "OS", rmr_text_kept(c->os));
    if (c->os_version)
        rmr_jw_kstr(w, "OSVersion", c->os_version);
    rmr_jw_kstr(w, "Hostname", rmr_text_kept(c->hostname));
    if (c->shields_up)
        rmr_jw_kbool(w, "ShieldsUp", true);
    put_tags(w, c);
    rmr_jw_kbool(w, "NoLogsNoSupport", true);
    rmr_jw_kbool(w, "Userspace", true);
    rmr_jw_kbool(w, "UserspaceRouter", true);
    rmri_ctl_put_routes(w, c);
    if (net)
        rmri_ctl_net_put_info(w, &c->net);
    rmr_jw_object_end(w);
}

static void put_register(rmr_jw *w, const rmr_ctl *c)
{
    put_key(w, "OldNodeKey", "nodekey:", c->old_node_key);
    if (rmri_ctl_sends_auth_key(c)) {
        rmr_jw_key(w, "Auth");
        rmr_jw_object(w);
        rmr_jw_kstr(w, "AuthKey", c->auth_key);
        rmr_jw_object_end(w);
    }
    /* A time in the past: to log out. */
    rmr_jw_kstr(w, "Expiry",
                c->logging_out ? "1970-01-01T00:02:03Z"
                               : "0001-01-01T00:00:00Z");
    rmr_jw_kstr(w, "Followup", rmri_ctl_auth_url(c));
    if (c->ephemeral)
        rmr_jw_kbool(w, "Ephemeral", true);
}

/* Some servers apply what a stream request says, so it too has all that is
 * known. */
static void put_map(rmr_jw *w, const rmr_ctl *c, bool stream)
{
    if (c->compress)
        rmr_jw_kstr(w, "Compress", "zstd");
    rmr_jw_kbool(w, "KeepAlive", true);
    put_key(w, "DiscoKey", "discokey:", c->disco_key);
    if (stream)
        rmr_jw_kbool(w, "Stream", true);
    else
        rmr_jw_kbool(w, "OmitPeers", true);
    rmri_ctl_net_put_endpoints(w, &c->net);
}

rmr_err rmri_ctl_body(rmr_ctl *c, ctl_body what, rmr_buf dst, size_t *len)
{
    rmr_jw w;
    rmr_jw_init(&w, dst);
    rmr_jw_object(&w);
    rmr_jw_kint(&w, "Version", RMR_CTL_CAPABILITY);
    put_key(&w, "NodeKey", "nodekey:",
            what == BODY_REGISTER ? c->node_key : rmri_ctl_map_key(c));
    if (what == BODY_REGISTER)
        put_register(&w, c);
    else
        put_map(&w, c, what == BODY_MAP);
    put_hostinfo(&w, c, what != BODY_REGISTER);
    rmr_jw_object_end(&w);
    return rmr_jw_end(&w, len);
}

/* An auth key may be in it.  Only what was written is touched; of one that did
 * not fit, nobody knows how much that is. */
void rmri_ctl_body_free(rmr_ctl *c, uint8_t *body, size_t len)
{
    rmr_wipe(body, len ? len : CTL_BODY_MAX);
    rmr_release(&c->env.alloc, body, CTL_BODY_MAX);
}
