/*
 * remora/metrics.h - numbers as text that Prometheus reads, into a buffer.
 *
 * What does not fit is told at the end, once: nothing is written beyond the
 * buffer, and no call needs to be looked at on the way.
 *
 * Errors: rmr_mx_end alone has any.  Units: as the names of the numbers say.
 * Source: Prometheus' exposition formats, text 0.0.4.
 *
 *     rmr_mx m;
 *     rmr_mx_init(&m, dst);
 *     rmr_mx_value(&m, "frobs_total", "counter", "What was frobbed.", n);
 *     rmr_mx_family(&m, "frob_bytes", "gauge", "Their size.");
 *     rmr_mx_labelled(&m, "frob_bytes", "kind", "red", red);
 *     err = rmr_mx_end(&m, &len);
 */
#ifndef REMORA_METRICS_H
#define REMORA_METRICS_H

#include <remora/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rmr_mx { /* a writer; its fields are for reading alone */
    char *dst;
    size_t cap, len;
    bool failed;
} rmr_mx;

/** Begins a text in dst, which is retained until _end.               [submit]
 *  Effects: *m is overwritten.  Errors: none.  Source: none. */
RMR_API void rmr_mx_init(rmr_mx *m, rmr_buf dst);

/** HELP and TYPE, before the samples of `name`; kind is "counter", "gauge" or
 *  "histogram", help one line.                                       [submit]
 *  Effects: on the text.  Errors: none.  Source: text 0.0.4. */
RMR_API void rmr_mx_family(rmr_mx *m, const char *name, const char *kind,
                           const char *help);

/** A sample with one label; value without quotes and backslashes.    [submit]
 *  Effects: on the text.  Errors: none.  Source: text 0.0.4. */
RMR_API void rmr_mx_labelled(rmr_mx *m, const char *name, const char *label,
                             const char *value, uint64_t v);

/** A family of one sample without labels.                            [submit]
 *  Effects: on the text.  Errors: none.  Source: text 0.0.4. */
RMR_API void rmr_mx_value(rmr_mx *m, const char *name, const char *kind,
                          const char *help, uint64_t v);

/** Lines of any other form.                                          [submit]
 *  Effects: on the text.  Errors: none.  Source: text 0.0.4. */
RMR_API void rmr_mx_put(rmr_mx *m, const char *fmt, ...) RMR_PRINTF(2, 3);

/** The length of the text, which has no NUL; 0 after an error.       [submit]
 *  Effects: *len is written.  Errors: BUFSIZE (it did not fit).
 *  Source: none. */
RMR_API rmr_err rmr_mx_end(const rmr_mx *m, size_t *len);

#ifdef __cplusplus
}
#endif
#endif
