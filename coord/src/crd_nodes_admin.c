/* What the program does with nodes: looks at them, names, tags, removes them. */
#include "crd_internal.h"

#include <string.h>

static void show(const crd_node *n, rmr_coord_node *out)
{
    memset(out, 0, sizeof *out);
    out->id = n->id;
    out->user = n->user ? n->user->id : 0;
    out->machine_key = n->machine;
    out->node_key = n->key;
    out->disco_key = n->disco;
    out->hostname = n->hostname;
    out->given_name = n->given;
    out->v4 = n->v4;
    out->v6 = n->v6;
    out->online = n->online;
    out->ephemeral = n->ephemeral;
    out->expired = n->expired;
    out->created_unix_ns = n->created;
    out->last_seen_unix_ns = n->last_seen;
    out->expiry_unix_ns = n->expiry;
    out->key = n->key_id;
    out->tags = (const char *const *)n->tags.p;
    out->n_tags = n->tags.n;
    out->endpoints = n->endpoints;
    out->n_endpoints = n->n_endpoints;
    out->home_derp = n->home_derp;
    out->capability = n->cap;
    out->announced = n->announced;
    out->n_announced = n->n_announced;
    out->approved = n->approved;
    out->n_approved = n->n_approved;
}

rmr_err rmr_coord_node_get(const rmr_coord *c, uint64_t id, rmr_coord_node *out)
{
    const crd_node *n = rmri_crd_node(c, id);
    if (!n)
        return RMR_E_NOTFOUND;
    show(n, out);
    return RMR_OK;
}

rmr_err rmr_coord_node_next(const rmr_coord *c, uint64_t after,
                            rmr_coord_node *out)
{
    const crd_node *n = rmri_crd_node_behind(c, after);
    if (!n)
        return RMR_E_NOTFOUND;
    show(n, out);
    return RMR_OK;
}

bool rmr_coord_has_node_key(const rmr_coord *c, const uint8_t key[RMR_KEY_LEN])
{
    return rmri_crd_node_by_key(c, key) != NULL;
}

rmr_err rmr_coord_node_rename(rmr_coord *c, uint64_t id, const char *label)
{
    crd_node *n = rmri_crd_node(c, id);
    rmr_bytes text = rmr_bytes_str(label);
    if (!n)
        return RMR_E_NOTFOUND;
    if (!rmri_crd_is_label(text))
        return RMR_E_INVAL;
    const crd_node *other = rmri_crd_node_named(c, text);
    if (other)
        return other == n ? RMR_OK : RMR_E_INUSE;
    if (rmri_crd_may_change(c) != RMR_OK)
        return RMR_E_IO;
    return rmri_crd_node_set_given(c, n, text);
}

rmr_err rmr_coord_node_expire(rmr_coord *c, uint64_t id, uint64_t at_unix_ns)
{
    crd_node *n = rmri_crd_node(c, id);
    if (!n)
        return RMR_E_NOTFOUND;
    if (rmri_crd_may_change(c) != RMR_OK)
        return RMR_E_IO;
    rmri_crd_node_set_expiry(c, n, at_unix_ns);
    rmri_crd_changed(c, n, CRD_WHOLE);
    return RMR_OK;
}

rmr_err rmr_coord_node_remove(rmr_coord *c, uint64_t id)
{
    crd_node *n = rmri_crd_node(c, id);
    if (!n)
        return RMR_E_NOTFOUND;
    if (rmri_crd_may_change(c) != RMR_OK)
        return RMR_E_IO;
    rmri_crd_node_remove(c, n);
    return RMR_OK;
}

rmr_err rmr_coord_node_set_tags(rmr_coord *c, uint64_t id,
                                const char *const *tags, size_t n_tags)
{
    crd_node *n = rmri_crd_node(c, id);
    if (!n)
        return RMR_E_NOTFOUND;
    if (n_tags == 0 || n_tags > RMR_COORD_MAX_TAGS)
        return RMR_E_INVAL;
    for (size_t i = 0; i < n_tags; i++) {
        if (!rmri_crd_is_tag(rmr_bytes_str(tags[i])))
            return RMR_E_INVAL;
    }
    if (rmri_crd_policy_refuses(c, NULL, tags, n_tags, NULL, 0))
        return RMR_E_DENIED;
    if (rmri_crd_may_change(c) != RMR_OK)
        return RMR_E_IO;
    return rmri_crd_node_tag(c, n, tags, n_tags);
}
