/* Request and response heads.  Source: RFC 9112 2.1, 3, 4, 5. */
#include <remora/cursor.h>
#include <string.h>
#include "h1_internal.h"

/* A request target: no white space, no control character (RFC 9112 3.2). */
static bool is_target(rmr_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= ' ' || text.ptr[i] == 0x7f)
            return false;
    }
    return text.len > 0;
}

static bool headers_fit(const rmr_header *headers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!rmri_h1_is_token(headers[i].name) ||
            !rmri_h1_is_value(headers[i].value))
            return false;
    }
    return true;
}

static void put_header(rmr_wr *w, rmr_bytes name, rmr_bytes value)
{
    rmr_wr_bytes(w, name.ptr, name.len);
    rmr_wr_str(w, ": ");
    rmr_wr_bytes(w, value.ptr, value.len);
    rmr_wr_str(w, "\r\n");
}

static rmr_err put_rest(rmr_wr *w, size_t *len, const rmr_header *headers,
                        size_t n_headers, const rmr_bytes *body)
{
    for (size_t i = 0; i < n_headers; i++)
        put_header(w, headers[i].name, headers[i].value);
    if (body)
        rmr_wr_fmt(w, "Content-Length: %llu\r\n",
                   (unsigned long long)body->len);
    rmr_wr_str(w, "\r\n");
    if (body)
        rmr_wr_bytes(w, body->ptr, body->len);
    rmr_err e = rmr_wr_end(w);
    if (e == RMR_OK)
        *len = w->len;
    return e;
}

rmr_err rmr_h1_build_request(rmr_buf dst, size_t *len, const char *method,
                             const char *target, const char *host,
                             const rmr_header *headers, size_t n_headers,
                             const rmr_bytes *body)
{
    *len = 0;
    if (!method || !target || !host ||
        !rmri_h1_is_token(rmr_bytes_str(method)) ||
        !is_target(rmr_bytes_str(target)) ||
        !rmri_h1_is_value(rmr_bytes_str(host)) ||
        !headers_fit(headers, n_headers))
        return RMR_E_INVAL;
    rmr_wr w = rmr_wr_of(dst);
    rmr_wr_str(&w, method);
    rmr_wr_str(&w, " ");
    rmr_wr_str(&w, target);
    rmr_wr_str(&w, " HTTP/1.1\r\n");
    put_header(&w, rmr_bytes_str("Host"), rmr_bytes_str(host));
    return put_rest(&w, len, headers, n_headers, body);
}

rmr_err rmr_h1_build_response(rmr_buf dst, size_t *len, uint16_t status,
                              const char *reason, const rmr_header *headers,
                              size_t n_headers, const rmr_bytes *body)
{
    *len = 0;
    if (status < 100 || status > 999 || !reason ||
        !rmri_h1_is_value(rmr_bytes_str(reason)) ||
        !headers_fit(headers, n_headers))
        return RMR_E_INVAL;
    rmr_wr w = rmr_wr_of(dst);
    rmr_wr_fmt(&w, "HTTP/1.1 %u ", (unsigned)status);
    rmr_wr_str(&w, reason);
    rmr_wr_str(&w, "\r\n");
    return put_rest(&w, len, headers, n_headers, body);
}
