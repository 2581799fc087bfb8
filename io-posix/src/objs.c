/* What has an id: the table, deadlines, what changed in a turn.  Nothing here
 * or in a turn looks at all of them: 10,000 idle streams cost nothing. */
#include "posix_internal.h"

#include <stdlib.h>
#include <unistd.h>

static size_t chain_of(const rmr_posix *p, uint64_t id)
{
    /* Machines count their ids up; the top bit is the adapter's. */
    return (size_t)((id * 0x9e3779b97f4a7c15u) >> 32) & (p->cap_objs - 1);
}

obj *rmri_posix_find(const rmr_posix *p, const mach *m, uint64_t id)
{
    obj *o = p->hash[chain_of(p, id)];
    while (o && (o->id != id || o->m != m))
        o = o->next_hash;
    return o;
}

static void hash_in(rmr_posix *p, obj *o)
{
    obj **chain = &p->hash[chain_of(p, o->id)];
    o->next_hash = *chain;
    *chain = o;
}

static void hash_out(rmr_posix *p, obj *o)
{
    obj **at = &p->hash[chain_of(p, o->id)];
    while (*at != o)
        at = &(*at)->next_hash;
    *at = o->next_hash;
}

bool rmri_posix_reserve(rmr_posix *p)
{
    size_t cap = p->cap_objs ? p->cap_objs * 2 : 32;
    if (p->n_objs < p->cap_objs)
        return true;
    if (!rmri_posix_poll_reserve(p, cap) ||
        rmr_timers_reserve(&p->timers, (uint32_t)cap) != RMR_OK)
        return false;
    obj **objs = realloc((void *)p->objs, cap * sizeof *objs);
    p->objs = objs ? objs : p->objs;
    obj **hash = objs ? calloc(cap, sizeof *hash) : NULL;
    if (!hash)
        return false;
    free((void *)p->hash);
    p->hash = hash;
    p->cap_objs = cap;
    for (size_t i = 0; i < p->n_objs; i++)
        hash_in(p, p->objs[i]);
    return true;
}

obj *rmri_posix_new(rmr_posix *p, mach *m, uint64_t id, obj_kind kind, int fd)
{
    obj *o = rmri_posix_reserve(p) ? calloc(1, sizeof *o) : NULL;
    if (!o) {
        if (fd >= 0)
            (void)close(fd);
        return NULL;
    }
    *o = (obj){.m = m, .id = id, .fd = fd, .kind = kind, .watched = -1};
    o->timer.owner = o;
    o->at = (uint32_t)p->n_objs;
    p->objs[p->n_objs++] = o;
    hash_in(p, o);
    m->n_objs++;
    rmri_posix_changed(p, o);
    return o;
}

void rmri_posix_drop(rmr_posix *p, obj *o)
{
    if (o->kind == OBJ_DEAD)
        return;
    if (o->kind == OBJ_STORE)
        rmri_posix_store_drop(p, o);
    if (o->kind == OBJ_LISTENER && o->name)
        (void)unlinkat(p->dir_fd, o->name, 0);
    rmri_posix_set_deadline(p, o, RMR_TIME_NEVER);
    rmri_posix_watch_drop(p, o);
    free(o->out);
    free(o->name);
    o->out = NULL;
    o->name = NULL;
    hash_out(p, o);
    p->objs[o->at] = p->objs[--p->n_objs];
    p->objs[o->at]->at = o->at;
    o->m->n_objs--;
    o->kind = OBJ_DEAD;
    rmri_posix_changed(p, o);
}

void rmri_posix_changed(rmr_posix *p, obj *o)
{
    if (o->is_changed)
        return;
    o->is_changed = true;
    o->next_changed = p->changed;
    p->changed = o;
}

void rmri_posix_settle(rmr_posix *p)
{
    while (p->changed) {
        obj *o = p->changed;
        p->changed = o->next_changed;
        o->is_changed = false;
        if (o->kind == OBJ_DEAD)
            free(o);
        else
            rmri_posix_watch_sync(p, o);
    }
}

void rmri_posix_set_deadline(rmr_posix *p, obj *o, rmr_time at)
{
    bool was_armed = rmr_timer_is_armed(&o->timer);
    /* There is room for each object: see reserve(). */
    (void)rmr_timers_set(&p->timers, &o->timer, at);
    if (o->kind != OBJ_LISTENER)
        return;
    p->n_resting -= was_armed;
    p->n_resting += rmr_timer_is_armed(&o->timer);
}
