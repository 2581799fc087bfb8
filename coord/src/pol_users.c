/* Users, and what names stand for. */
#include "pol_internal.h"

#include <string.h>

pol_user *rmri_pol_user(const rmr_pol_net *net, uint64_t id)
{
    uint32_t i = rmri_pol_lower(&net->users, id);
    if (i == net->users.n || (*POL_AT(pol_user *, &net->users, i))->id != id)
        return NULL;
    return *POL_AT(pol_user *, &net->users, i);
}

/* ---- tokens ----------------------------------------------------------------- */

static uint32_t token_at(const rmr_pol_net *net, rmr_bytes text, uint64_t id,
                         uint8_t kind)
{
    uint32_t lo = 0, hi = net->tokens.n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        const pol_token *t = POL_AT(pol_token, &net->tokens, mid);
        int c = rmri_pol_bytes_cmp(t->text, text);
        if (c == 0)
            c = t->user < id ? -1 : t->user > id ? 1 : t->kind - kind;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static rmr_bytes token_of(const pol_user *u, uint8_t kind)
{
    return kind == POL_TOKEN_PROVIDER ? u->provider
           : kind == POL_TOKEN_NAME   ? u->name
                                      : u->email;
}

static void add_tokens(rmr_pol_net *net, const pol_user *u)
{
    for (uint8_t k = 0; k < POL_TOKENS; k++) {
        rmr_bytes text = token_of(u, k);
        if (text.len == 0)
            continue;
        pol_token *t =
            rmri_pol_vec_insert(&net->tokens, token_at(net, text, u->id, k));
        *t = (pol_token){text, u->id, k};
    }
}

static void remove_tokens(rmr_pol_net *net, const pol_user *u)
{
    for (uint8_t k = 0; k < POL_TOKENS; k++) {
        rmr_bytes text = token_of(u, k);
        if (text.len)
            rmri_pol_vec_remove(&net->tokens, token_at(net, text, u->id, k));
    }
}

uint64_t rmri_pol_whose(const rmr_pol_net *net, rmr_bytes token,
                        bool *ambiguous)
{
    uint64_t user = 0;
    *ambiguous = false;
    for (uint32_t i = token_at(net, token, 0, 0); i < net->tokens.n; i++) {
        const pol_token *t = POL_AT(pol_token, &net->tokens, i);
        if (!rmr_bytes_eq(t->text, token))
            break;
        if (t->kind == POL_TOKEN_PROVIDER) {
            *ambiguous = false;
            return t->user;
        }
        *ambiguous |= user && t->user != user;
        user = t->user;
    }
    return *ambiguous ? 0 : user;
}

/* ---- users ---------------------------------------------------------------------- */

static pol_user *copy_user(const rmr_alloc *a, const rmr_pol_user *u)
{
    size_t size =
        sizeof(pol_user) + u->name.len + u->email.len + u->provider.len;
    pol_user *p = rmr_alloc_zero(a, size, 16);
    if (!p)
        return NULL;
    uint8_t *at = (uint8_t *)(p + 1);
    p->id = u->id;
    p->size = size;
    p->name = rmri_pol_put_text(&at, u->name);
    p->email = rmri_pol_put_text(&at, u->email);
    p->provider = rmri_pol_put_text(&at, u->provider);
    return p;
}

rmr_err rmr_pol_net_put_user(rmr_pol_net *net, const rmr_pol_user *user)
{
    if (user->id == 0 || user->name.len > RMR_POL_NAME_MAX ||
        user->email.len > RMR_POL_NAME_MAX ||
        user->provider.len > RMR_POL_NAME_MAX)
        return RMR_E_INVAL;
    pol_user *u = copy_user(&net->alloc, user);
    if (!u || !rmri_pol_vec_reserve(&net->users, &net->alloc, 1) ||
        !rmri_pol_vec_reserve(&net->tokens, &net->alloc, POL_TOKENS)) {
        if (u)
            rmr_release(&net->alloc, u, u->size);
        return RMR_E_NOMEM;
    }
    uint32_t i = rmri_pol_lower(&net->users, u->id);
    pol_user *old = rmri_pol_user(net, u->id);
    if (old) {
        remove_tokens(net, old);
        *POL_AT(pol_user *, &net->users, i) = u;
    } else {
        *(pol_user **)rmri_pol_vec_insert(&net->users, i) = u;
    }
    add_tokens(net, u);
    if (old)
        rmri_pol_comp_user(net->comp, net, old);
    rmri_pol_comp_user(net->comp, net, u);
    if (old)
        rmr_release(&net->alloc, old, old->size);
    return RMR_OK;
}

rmr_err rmr_pol_net_del_user(rmr_pol_net *net, uint64_t id)
{
    pol_user *u = rmri_pol_user(net, id);
    if (!u)
        return RMR_E_NOTFOUND;
    rmri_pol_vec_remove(&net->users, rmri_pol_lower(&net->users, id));
    remove_tokens(net, u);
    rmri_pol_comp_user(net->comp, net, u);
    rmr_release(&net->alloc, u, u->size);
    return RMR_OK;
}
