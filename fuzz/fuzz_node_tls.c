/* TLS that copies: what node and machine call of remora/tls.h, in the place of
 * the real one.  Each side says one byte first, 0x16; then all is plaintext.
 * Anything else from the server is an untrusted certificate. */
#include <remora/tls.h>

#include <string.h>

#define ROOM ((size_t)16384)

struct rmr_tls {
    rmr_env env;
    bool hello_sent, is_open, is_shut;
    rmr_err dead;
    size_t in_len, out_len;
    uint8_t in[ROOM], out[ROOM];
};

struct rmr_tls_anchors {
    rmr_env env;
};

struct rmr_tls_pool { /* of nothing: each connection has its own room */
    rmr_env env;
};

const char *rmr_tls_err_text(rmr_err e)
{
    return rmr_err_name(e);
}

rmr_err rmr_tls_anchors_new(rmr_tls_anchors **out, const rmr_env *env)
{
    *out = rmr_alloc_zero(&env->alloc, sizeof **out, _Alignof(rmr_tls_anchors));
    if (!*out)
        return RMR_E_NOMEM;
    (*out)->env = *env;
    return RMR_OK;
}

void rmr_tls_anchors_free(rmr_tls_anchors *a)
{
    if (!a)
        return;
    rmr_alloc alloc = a->env.alloc;
    rmr_release(&alloc, a, sizeof *a);
}

rmr_err rmr_tls_pool_new(rmr_tls_pool **out, const rmr_env *env,
                         size_t max_bufs)
{
    (void)max_bufs;
    *out = rmr_alloc_zero(&env->alloc, sizeof **out, _Alignof(rmr_tls_pool));
    if (!*out)
        return RMR_E_NOMEM;
    (*out)->env = *env;
    return RMR_OK;
}

void rmr_tls_pool_free(rmr_tls_pool *p)
{
    if (!p)
        return;
    rmr_alloc alloc = p->env.alloc;
    rmr_release(&alloc, p, sizeof *p);
}

void rmr_tls_pool_trim(rmr_tls_pool *p, size_t keep)
{
    (void)p;
    (void)keep;
}

bool rmr_tls_is_starved(const rmr_tls *t)
{
    (void)t;
    return false;
}

rmr_err rmr_tls_anchors_add_pem(rmr_tls_anchors *a, rmr_bytes pem,
                                size_t *added, size_t *skipped)
{
    (void)a;
    (void)pem;
    *added = 1;
    *skipped = 0;
    return RMR_OK;
}

void rmr_tls_config_init(rmr_tls_config *cfg, size_t struct_size)
{
    memset(cfg, 0, struct_size);
    cfg->struct_size = (uint32_t)struct_size;
}

rmr_err rmr_tls_client_new(rmr_tls **out, const rmr_env *env,
                           const rmr_tls_config *cfg)
{
    (void)cfg;
    *out = rmr_alloc_zero(&env->alloc, sizeof **out, _Alignof(rmr_tls));
    if (!*out)
        return RMR_E_NOMEM;
    (*out)->env = *env;
    return RMR_OK;
}

void rmr_tls_free(rmr_tls *t)
{
    if (!t)
        return;
    rmr_alloc alloc = t->env.alloc;
    rmr_release_wiped(&alloc, t, sizeof *t);
}

rmr_err rmr_tls_read(rmr_tls *t, rmr_bytes in, size_t *consumed)
{
    *consumed = 0;
    if (!t->dead && !t->is_open && in.len) {
        t->is_open = in.ptr[0] == 0x16;
        t->dead = t->is_open ? RMR_OK : RMR_E_TLS_UNKNOWN_CA;
        *consumed = 1;
        in = rmr_bytes_of(in.ptr + 1, in.len - 1);
    }
    if (t->dead)
        return t->dead;
    size_t n = in.len < ROOM - t->in_len ? in.len : ROOM - t->in_len;
    if (n)
        memcpy(t->in + t->in_len, in.ptr, n);
    t->in_len += n;
    *consumed += n;
    return RMR_OK;
}

rmr_err rmr_tls_read_eof(rmr_tls *t)
{
    if (!t->dead)
        t->dead = t->is_shut ? RMR_E_CLOSED : RMR_E_TLS_TRUNCATED;
    return t->dead == RMR_E_CLOSED ? RMR_OK : t->dead;
}

rmr_err rmr_tls_write(rmr_tls *t, rmr_buf dst, size_t *len)
{
    *len = 0;
    if (t->dead)
        return t->dead;
    if (!t->hello_sent && dst.len) {
        t->hello_sent = true;
        dst.ptr[0] = 0x16;
        *len = 1;
        return RMR_OK;
    }
    *len = dst.len < t->out_len ? dst.len : t->out_len;
    if (*len)
        memcpy(dst.ptr, t->out, *len);
    t->out_len -= *len;
    memmove(t->out, t->out + *len, t->out_len);
    return RMR_OK;
}

rmr_err rmr_tls_reserve(rmr_tls *t, rmr_buf *place)
{
    *place =
        rmr_buf_of(t->out + t->out_len, t->is_open ? ROOM - t->out_len : 0);
    return t->dead ? t->dead : t->is_shut ? RMR_E_CLOSED : RMR_OK;
}

rmr_err rmr_tls_commit(rmr_tls *t, size_t n)
{
    if (n > ROOM - t->out_len)
        return RMR_E_STATE;
    t->out_len += n;
    return RMR_OK;
}

rmr_err rmr_tls_peek(const rmr_tls *t, rmr_buf *view)
{
    *view = rmr_buf_of((uint8_t *)(uintptr_t)t->in, t->in_len);
    return t->in_len ? RMR_OK : t->dead;
}

rmr_err rmr_tls_consume(rmr_tls *t, size_t n)
{
    if (n > t->in_len)
        return RMR_E_INVAL;
    t->in_len -= n;
    memmove(t->in, t->in + n, t->in_len);
    return RMR_OK;
}

rmr_err rmr_tls_shutdown(rmr_tls *t)
{
    t->is_shut = true;
    return t->dead;
}

bool rmr_tls_is_open(const rmr_tls *t)
{
    return t->is_open;
}

bool rmr_tls_is_closed(const rmr_tls *t)
{
    return t->dead != RMR_OK;
}
