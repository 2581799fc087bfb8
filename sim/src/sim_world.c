/* The world: made, freed, and what all hosts share. */
#include "sim_internal.h"

#include <string.h>

void rmr_sim_config_init(rmr_sim_config *cfg, size_t struct_size)
{
    memset(cfg, 0, sizeof *cfg);
    cfg->struct_size = (uint32_t)struct_size;
    cfg->seed = 1;
    cfg->start = RMR_SEC;
    cfg->wall_unix_ns = 1790000000u * RMR_SEC; /* September 2026 */
    cfg->stream_patience = 30 * RMR_SEC;
    cfg->stream_window = (size_t)256 * 1024;
    cfg->max_turns = 100000;
}

static rmr_err make(rmr_sim *s)
{
    s->scratch = rmri_sim_alloc(s, RMR_IO_SCRATCH_MIN);
    s->run = rmri_sim_alloc(s, RMR_IO_SCRATCH_MIN);
    if (s->c.on_tap)
        s->tap = rmri_sim_alloc(s, RMR_IO_SCRATCH_MIN);
    if (rmri_sim_grow(s, (void **)&s->nets, &s->cap_nets, 1, sizeof *s->nets))
        s->n_nets = 1; /* the Internet */
    (void)rmr_slots_init(&s->objects, &s->c.alloc, sizeof(sim_object),
                         UINT32_MAX);
    (void)rmr_slots_init(&s->streams, &s->c.alloc, sizeof(sim_stream),
                         UINT32_MAX);
    return s->failed;
}

rmr_err rmr_sim_new(rmr_sim **out, const rmr_sim_config *cfg)
{
    *out = NULL;
    if (!cfg->alloc.alloc || !cfg->alloc.release || !cfg->stream_window ||
        !cfg->max_turns || cfg->start == RMR_TIME_NEVER)
        return RMR_E_INVAL;
    rmr_sim *s = rmr_alloc_zero(&cfg->alloc, sizeof *s, 16);
    if (!s)
        return RMR_E_NOMEM;
    s->c = *cfg;
    s->now = cfg->start;
    s->rng = rmri_sim_mix(cfg->seed);
    rmr_err err = make(s);
    if (err)
        rmr_sim_free(s);
    else
        *out = s;
    return err;
}

void rmr_sim_free(rmr_sim *s)
{
    if (!s)
        return;
    rmr_alloc a = s->c.alloc;
    rmri_sim_heap_free(s);
    rmri_sim_streams_free(s);
    rmri_sim_programs_free(s);
    rmri_sim_hosts_free(s);
    rmri_sim_nets_free(s);
    rmri_sim_map_wipe(&s->by_addr, &a);
    rmr_release(&a, s->hosts_text, s->hosts_len);
    rmr_release(&a, s->scratch, RMR_IO_SCRATCH_MIN);
    rmr_release(&a, s->run, RMR_IO_SCRATCH_MIN);
    rmr_release(&a, s->tap, RMR_IO_SCRATCH_MIN);
    rmr_release(&a, s, sizeof *s);
}

rmr_err rmr_sim_set_hosts_text(rmr_sim *s, rmr_bytes text)
{
    uint8_t *copy = NULL;
    if (text.len) {
        copy = rmri_sim_alloc(s, text.len);
        if (!copy)
            return RMR_E_NOMEM;
        memcpy(copy, text.ptr, text.len);
    }
    rmr_release(&s->c.alloc, s->hosts_text, s->hosts_len);
    s->hosts_text = copy;
    s->hosts_len = text.len;
    rmri_sim_tell_hosts(s, 0, RMR_IO_LINKS);
    return s->failed;
}
