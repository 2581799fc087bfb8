/* Metrics as text; see remora/metrics.h. */
#include <remora/metrics.h>

#include <stdarg.h>
#include <stdio.h>

void rmr_mx_init(rmr_mx *m, rmr_buf dst)
{
    m->dst = (char *)dst.ptr;
    m->cap = dst.len;
    m->len = 0;
    m->failed = dst.len == 0;
}

/* snprintf() wants room for a NUL, too. */
void rmr_mx_put(rmr_mx *m, const char *fmt, ...)
{
    va_list ap;
    if (m->failed)
        return;
    va_start(ap, fmt);
    int n = vsnprintf(m->dst + m->len, m->cap - m->len, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= m->cap - m->len)
        m->failed = true;
    else
        m->len += (size_t)n;
}

void rmr_mx_family(rmr_mx *m, const char *name, const char *kind,
                   const char *help)
{
    rmr_mx_put(m, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind);
}

void rmr_mx_labelled(rmr_mx *m, const char *name, const char *label,
                     const char *value, uint64_t v)
{
    rmr_mx_put(m, "%s{%s=\"%s\"} %llu\n", name, label, value,
               (unsigned long long)v);
}

void rmr_mx_value(rmr_mx *m, const char *name, const char *kind,
                  const char *help, uint64_t v)
{
    rmr_mx_family(m, name, kind, help);
    rmr_mx_put(m, "%s %llu\n", name, (unsigned long long)v);
}

rmr_err rmr_mx_end(const rmr_mx *m, size_t *len)
{
    *len = m->failed ? 0 : m->len;
    return m->failed ? RMR_E_BUFSIZE : RMR_OK;
}
