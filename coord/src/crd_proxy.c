/* Who asks, where a proxy stands in between: what it says is believed of
 * trusted ones alone.  X-Forwarded-For counts first: nearly all proxies write
 * it, and many of them pass on an X-Real-IP that the client made up. */
#include "crd_internal.h"

#include <string.h>

static bool is_trusted(const rmr_coord *c, const rmr_addr *a)
{
    for (size_t i = 0; i < c->n_proxies; i++) {
        if (rmr_prefix_contains(&c->proxies[i], a))
            return true;
    }
    return false;
}

static rmr_bytes trim(rmr_bytes t)
{
    while (t.len && (t.ptr[0] == ' ' || t.ptr[0] == '\t'))
        t = rmr_bytes_of(t.ptr + 1, t.len - 1);
    while (t.len && (t.ptr[t.len - 1] == ' ' || t.ptr[t.len - 1] == '\t'))
        t.len--;
    return t;
}

/* An address, with a port or without; some write [2001:db8::1] for the latter. */
static bool parse(rmr_bytes t, rmr_addr *out)
{
    t = trim(t);
    if (t.len > 2 && t.ptr[0] == '[' && t.ptr[t.len - 1] == ']')
        t = rmr_bytes_of(t.ptr + 1, t.len - 2);
    return rmr_addr_parse_ip(t, out) == RMR_OK ||
           rmr_addr_parse(t, out) == RMR_OK;
}

/* The last entry of the list, which becomes shorter by it. */
static rmr_bytes last_of(rmr_bytes *list)
{
    size_t at = list->len;
    while (at && list->ptr[at - 1] != ',')
        at--;
    rmr_bytes entry = rmr_bytes_of(list->ptr + at, list->len - at);
    list->len = at ? at - 1 : 0;
    return entry;
}

/* Each proxy adds behind whom it heard: from the right, the first that is no
 * proxy of ours.  What is no address is where knowledge ends. */
static bool walk(const rmr_coord *c, rmr_bytes list, rmr_addr *client)
{
    while (list.len) {
        rmr_addr a;
        if (!parse(last_of(&list), &a))
            return false;
        *client = a;
        if (!is_trusted(c, &a))
            return false;
    }
    return true;
}

/* Headers of one name are one list, in their order. */
static bool forwarded_for(const rmr_coord *c, const rmr_h1_head *head,
                          rmr_addr *client)
{
    bool any = false;
    for (size_t i = head->n_headers; i-- > 0;) {
        const rmr_header *h = &head->headers[i];
        if (!rmr_bytes_eq_nocase(h->name, rmr_bytes_str("X-Forwarded-For")))
            continue;
        any = true;
        if (!walk(c, h->value, client))
            break;
    }
    return any;
}

static void find_client(crd_conn *n, const rmr_h1_head *head)
{
    rmr_coord *c = n->c;
    rmr_bytes real = rmr_h1_header(head, "X-Real-IP");
    n->client = n->remote;
    if (n->role != CRD_MAIN)
        return;
    if (!is_trusted(c, &n->remote)) {
        c->count.untrusted +=
            real.len || rmr_h1_header(head, "X-Forwarded-For").len;
        return;
    }
    if (!forwarded_for(c, head, &n->client) &&
        (!real.len || !parse(real, &n->client)))
        return;
    n->client.port = 0; /* not said, or of no use */
    c->count.forwarded++;
}

void rmri_crd_client(crd_conn *n, const rmr_h1_head *head)
{
    rmr_addr before = n->client;
    find_client(n, head);
    /* Among the strangers it counts for its client, not for the proxy. */
    if (!rmr_addr_ip_eq(&before, &n->client))
        rmri_crd_fair_leave(&n->c->strangers, &n->place);
}

rmr_err rmri_crd_proxies_take(rmr_coord *c, const rmr_coord_config *cfg)
{
    size_t size = cfg->n_proxies * sizeof *c->proxies;
    for (size_t i = 0; i < cfg->n_proxies; i++) {
        if (!cfg->proxies[i].bits)
            return RMR_E_INVAL;
    }
    if (!size)
        return RMR_OK;
    c->proxies = rmr_alloc_zero(&c->env.alloc, size, _Alignof(rmr_prefix));
    if (!c->proxies)
        return RMR_E_NOMEM;
    memcpy(c->proxies, cfg->proxies, size);
    c->n_proxies = cfg->n_proxies;
    return RMR_OK;
}

void rmri_crd_proxies_free(rmr_coord *c)
{
    rmr_release(&c->env.alloc, c->proxies, c->n_proxies * sizeof *c->proxies);
    c->proxies = NULL;
    c->n_proxies = 0;
}
