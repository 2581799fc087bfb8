/* Blobs in memory: LOAD, STORE, and the test's own look at them. */
#include "sim_internal.h"

#include <string.h>

#define PART ((size_t)64 * 1024)

/* A file's name without a path, and not hidden: as io-posix wants it. */
bool rmri_sim_name_ok(rmr_bytes name)
{
    if (!name.len || name.len >= sizeof((sim_blob *)0)->name ||
        name.ptr[0] == '.')
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] == '/' || name.ptr[i] == '\0')
            return false;
    return true;
}

static bool is_named(const sim_blob *b, rmr_bytes name)
{
    return rmr_bytes_eq_str(name, b->name);
}

static sim_blob **find(sim_host *h, rmr_bytes name)
{
    sim_blob **b = &h->blobs;
    while (*b && !is_named(*b, name))
        b = &(*b)->next;
    return b;
}

static void blob_free(rmr_sim *s, sim_blob *b)
{
    rmr_release(&s->c.alloc, b->data, b->cap);
    rmr_release(&s->c.alloc, b, sizeof *b);
}

static sim_blob *blob_new(rmr_sim *s, rmr_bytes name)
{
    sim_blob *b = rmri_sim_alloc(s, sizeof *b);
    if (b)
        memcpy(b->name, name.ptr, name.len);
    return b;
}

/* A blob is a long part or two and a short one. */
static bool append(rmr_sim *s, sim_blob *b, rmr_bytes data)
{
    size_t need = b->len + data.len;
    if (need > b->cap) {
        size_t cap = need + need / 8 + 64;
        uint8_t *p = rmr_alloc_raw(&s->c.alloc, cap, 1);
        if (!p) {
            rmri_sim_fail(s);
            return false;
        }
        if (b->len)
            memcpy(p, b->data, b->len);
        rmr_release(&s->c.alloc, b->data, b->cap);
        b->data = p;
        b->cap = cap;
    }
    if (data.len)
        memcpy(b->data + b->len, data.ptr, data.len);
    b->len = need;
    return true;
}

/* The finished blob takes the place of the old one. */
static void put(rmr_sim *s, sim_host *h, sim_blob *b)
{
    sim_blob **at = find(h, rmr_bytes_str(b->name)), *old = *at;
    b->program = 0;
    b->next = old ? old->next : NULL;
    *at = b;
    if (old)
        blob_free(s, old);
}

/* ---- LOAD ---------------------------------------------------------------- */

void rmri_sim_load(rmr_sim *s, uint32_t program, const rmr_io_op *op)
{
    uint64_t handle;
    const sim_object *o =
        rmri_sim_object_new(s, SIM_REQUEST, program, op->id, &handle);
    if (!o)
        return;
    sim_host *h = rmri_sim_host(s, o->host);
    bool is_ok = rmri_sim_name_ok(op->name);
    const sim_blob *b = is_ok ? *find(h, op->name) : NULL;
    if (!b) {
        rmri_sim_answer(s, program, RMR_IO_FAILED, op->id,
                        is_ok ? RMR_E_NOTFOUND : RMR_E_UNSUPPORTED);
        return;
    }
    size_t at = 0;
    rmr_io_event ev;
    memset(&ev, 0, sizeof ev);
    ev.kind = RMR_IO_LOADED;
    ev.id = op->id;
    do {
        size_t n = b->len - at < PART ? b->len - at : PART;
        ev.more = at + n < b->len;
        rmri_sim_tell(s, program, &ev, rmr_bytes_of(b->data + at, n));
        at += n;
    } while (at < b->len);
}

/* ---- STORE --------------------------------------------------------------- */

static sim_blob **store_of(sim_program *p, uint64_t id)
{
    sim_blob **b = &p->stores;
    while (*b && (*b)->id != id)
        b = &(*b)->next;
    return b;
}

/* Some program of the host writes that blob. */
static bool is_busy(const rmr_sim *s, rmr_sim_host host, rmr_bytes name)
{
    for (size_t i = 0; i < s->n_programs; i++)
        if (s->programs[i]->host == host)
            for (const sim_blob *b = s->programs[i]->stores; b; b = b->next)
                if (is_named(b, name))
                    return true;
    return false;
}

/* A store that can't be is taken to its last part all the same: FAILED comes
 * then.  Such a one has no name. */
static sim_blob *store_begin(rmr_sim *s, uint32_t program, const rmr_io_op *op)
{
    uint64_t handle;
    sim_program *p = rmri_sim_program(s, program);
    bool is_ok = rmri_sim_name_ok(op->name);
    rmr_bytes name = is_ok ? op->name : rmr_bytes_str("");
    bool is_taken = is_ok && is_busy(s, p->host, op->name);
    if (!rmri_sim_object_new(s, SIM_REQUEST, program, op->id, &handle))
        return NULL;
    sim_blob *b = blob_new(s, is_taken ? rmr_bytes_str("") : name);
    if (!b)
        return NULL;
    b->id = op->id;
    b->program = is_taken ? 1 : 0; /* why it fails */
    b->next = p->stores;
    p->stores = b;
    return b;
}

void rmri_sim_store(rmr_sim *s, uint32_t program, const rmr_io_op *op)
{
    sim_program *p = rmri_sim_program(s, program);
    sim_blob *b = *store_of(p, op->id);
    if (!b)
        b = store_begin(s, program, op);
    if (!b || (b->name[0] && !append(s, b, op->data)) || op->more)
        return;
    sim_blob **at = store_of(p, op->id);
    *at = b->next;
    if (!b->name[0]) {
        rmri_sim_answer(s, program, RMR_IO_FAILED, op->id,
                        b->program ? RMR_E_INUSE : RMR_E_UNSUPPORTED);
        blob_free(s, b);
        return;
    }
    put(s, rmri_sim_host(s, p->host), b);
    rmri_sim_answer(s, program, RMR_IO_STORED, op->id, RMR_OK);
}

bool rmri_sim_store_close(rmr_sim *s, uint32_t program, uint64_t id)
{
    sim_blob **at = store_of(rmri_sim_program(s, program), id), *b = *at;
    if (!b)
        return false;
    *at = b->next;
    blob_free(s, b);
    return true;
}

void rmri_sim_stores_drop(rmr_sim *s, uint32_t program)
{
    sim_program *p = rmri_sim_program(s, program);
    while (p->stores) {
        sim_blob *b = p->stores;
        p->stores = b->next;
        blob_free(s, b);
    }
}

/* ---- from outside -------------------------------------------------------- */

bool rmr_sim_blob_get(const rmr_sim *s, rmr_sim_host host, const char *name,
                      rmr_bytes *out)
{
    sim_host *h = rmri_sim_host(s, host);
    const sim_blob *b = h ? *find(h, rmr_bytes_str(name)) : NULL;
    if (!b)
        return false;
    *out = rmr_bytes_of(b->data, b->len);
    return true;
}

static void remove_at(rmr_sim *s, sim_blob **at)
{
    sim_blob *b = *at;
    *at = b->next;
    blob_free(s, b);
}

rmr_err rmr_sim_blob_set(rmr_sim *s, rmr_sim_host host, const char *name,
                         rmr_bytes data)
{
    sim_host *h = rmri_sim_host(s, host);
    if (!h)
        return RMR_E_BADHANDLE;
    if (!name) {
        while (h->blobs)
            remove_at(s, &h->blobs);
        return RMR_OK;
    }
    rmr_bytes n = rmr_bytes_str(name);
    if (!rmri_sim_name_ok(n))
        return RMR_E_INVAL;
    if (!data.ptr) {
        sim_blob **at = find(h, n);
        if (*at)
            remove_at(s, at);
        return RMR_OK;
    }
    sim_blob *b = blob_new(s, n);
    if (!b || !append(s, b, data)) {
        if (b)
            blob_free(s, b);
        return RMR_E_NOMEM;
    }
    put(s, h, b);
    return RMR_OK;
}
