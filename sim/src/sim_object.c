/* What programs have open, by id and by port. */
#include "sim_internal.h"

#include <string.h>

sim_object *rmri_sim_object(const rmr_sim *s, uint64_t handle)
{
    return rmr_slots_get(&s->objects, handle);
}

sim_object *rmri_sim_object_of(const rmr_sim *s, uint32_t program, uint64_t id,
                               uint64_t *handle)
{
    *handle = rmri_sim_map_get(&s->by_id, program, id);
    return rmri_sim_object(s, *handle);
}

sim_object *rmri_sim_object_new(rmr_sim *s, sim_kind kind, uint32_t program,
                                uint64_t id, uint64_t *handle)
{
    sim_object *o = rmr_slots_new(&s->objects, handle);
    if (!o || !rmri_sim_map_put(&s->by_id, &s->c.alloc, program, id, *handle)) {
        rmri_sim_fail(s);
        return NULL;
    }
    o->kind = kind;
    o->program = program;
    o->id = id;
    o->host = rmri_sim_program(s, program)->host;
    return o;
}

/* ---- ports --------------------------------------------------------------- */

static uint64_t port_key(rmr_sim_host host, uint8_t proto)
{
    return (uint64_t)host << 8 | proto;
}

/* Local endpoints have a name where the others have a port. */
static uint64_t port_key2(const sim_object *o)
{
    if (o->proto == SIM_LOCAL)
        return o->name;
    return (uint64_t)o->local.family << 16 | o->local.port;
}

static uint64_t first_on_port(const rmr_sim *s, rmr_sim_host host,
                              uint8_t proto, const rmr_addr *local)
{
    return rmri_sim_map_get(&s->by_port, port_key(host, proto),
                            (uint64_t)local->family << 16 | local->port);
}

static bool overlaps(const rmr_addr *a, const rmr_addr *b)
{
    return rmri_sim_is_any(a) || rmri_sim_is_any(b) || rmr_addr_ip_eq(a, b);
}

static bool is_free(const rmr_sim *s, rmr_sim_host host, uint8_t proto,
                    const rmr_addr *local)
{
    uint64_t at = first_on_port(s, host, proto, local);
    for (const sim_object *o; (o = rmri_sim_object(s, at)) != NULL;
         at = o->next_bound)
        if (overlaps(&o->local, local))
            return false;
    return true;
}

static bool any_port(rmr_sim *s, sim_host *h, rmr_sim_host host, uint8_t proto,
                     rmr_addr *local)
{
    for (int i = 0; i < 100000; i++) {
        local->port = (uint16_t)(32768 + rmri_sim_next(&h->rng) % 28232);
        if (is_free(s, host, proto, local))
            return true;
    }
    return false;
}

rmr_err rmri_sim_bind(rmr_sim *s, uint64_t handle, uint8_t proto,
                      rmr_addr local)
{
    sim_object *o = rmri_sim_object(s, handle);
    sim_host *h = rmri_sim_host(s, o->host);
    if (proto != SIM_LOCAL) {
        if (local.family != RMR_AF_INET && local.family != RMR_AF_INET6)
            return RMR_E_UNSUPPORTED;
        if (!rmri_sim_is_any(&local) && !rmri_sim_host_has(h, &local))
            return RMR_E_UNREACHABLE;
        if (!local.port) {
            if (!any_port(s, h, o->host, proto, &local))
                return RMR_E_INUSE;
        } else if (!is_free(s, o->host, proto, &local)) {
            return RMR_E_INUSE;
        }
    }
    o->proto = proto;
    o->local = local;
    uint64_t k0 = port_key(o->host, proto), k1 = port_key2(o);
    o->next_bound = rmri_sim_map_get(&s->by_port, k0, k1);
    if (proto == SIM_LOCAL && o->next_bound)
        return RMR_E_INUSE;
    if (!rmri_sim_map_put(&s->by_port, &s->c.alloc, k0, k1, handle)) {
        rmri_sim_fail(s);
        return RMR_E_NOMEM;
    }
    o->is_bound = true;
    return RMR_OK;
}

static void unbind(rmr_sim *s, uint64_t handle, const sim_object *o)
{
    uint64_t k0 = port_key(o->host, o->proto), k1 = port_key2(o);
    uint64_t at = rmri_sim_map_get(&s->by_port, k0, k1);
    if (at == handle) {
        if (o->next_bound)
            (void)rmri_sim_map_put(&s->by_port, &s->c.alloc, k0, k1,
                                   o->next_bound);
        else
            rmri_sim_map_del(&s->by_port, k0, k1);
        return;
    }
    for (sim_object *x; (x = rmri_sim_object(s, at)) != NULL;
         at = x->next_bound) {
        if (x->next_bound == handle) {
            x->next_bound = o->next_bound;
            return;
        }
    }
}

/* The object that hears what comes to `local`; 0: none. */
uint64_t rmri_sim_bound(const rmr_sim *s, rmr_sim_host host, uint8_t proto,
                        const rmr_addr *local)
{
    uint64_t best = 0, at = first_on_port(s, host, proto, local);
    for (const sim_object *o; (o = rmri_sim_object(s, at)) != NULL;
         at = o->next_bound) {
        if (rmr_addr_ip_eq(&o->local, local))
            return at;
        if (rmri_sim_is_any(&o->local))
            best = at;
    }
    return best;
}

void rmri_sim_object_free(rmr_sim *s, uint64_t handle)
{
    sim_object *o = rmri_sim_object(s, handle);
    if (!o)
        return;
    if (o->is_bound)
        unbind(s, handle, o);
    rmri_sim_map_del(&s->by_id, o->program, o->id);
    rmr_release(&s->c.alloc, o->kept, o->kept_len);
    rmri_sim_socket_wipe(s, o);
    rmr_release(&s->c.alloc, o->waiting, SIM_BACKLOG * sizeof *o->waiting);
    rmr_slots_free(&s->objects, handle);
}
