#include "tls_pem.h"
#include <bearssl/bearssl.h>
#include <string.h>

/* BearSSL hands an object out in pieces. */
struct walk {
    br_pem_decoder_context dec;
    uint8_t *der; /* RMRI_PEM_DER_MAX */
    size_t len;
    bool too_long;
    rmri_pem_faults *faults;
    rmr_err (*each)(void *user, const rmri_pem_object *o);
    void *user;
};

static void take(void *user, const void *src, size_t len)
{
    struct walk *w = user;
    if (len > RMRI_PEM_DER_MAX - w->len) {
        w->too_long = true;
        return;
    }
    memcpy(w->der + w->len, src, len);
    w->len += len;
}

static rmr_err handle_event(struct walk *w)
{
    switch (br_pem_decoder_event(&w->dec)) {
    case BR_PEM_BEGIN_OBJ:
        w->len = 0;
        w->too_long = false;
        w->faults->cut = true;
        br_pem_decoder_setdest(&w->dec, take, w);
        return RMR_OK;
    case BR_PEM_END_OBJ: {
        rmri_pem_object o = {br_pem_decoder_name(&w->dec),
                             rmr_bytes_of(w->der, w->too_long ? 0 : w->len)};
        w->faults->cut = false;
        return w->each(w->user, &o);
    }
    case BR_PEM_ERROR:
        w->faults->broken++;
        w->faults->cut = false;
        return RMR_OK;
    default:
        return RMR_OK;
    }
}

static rmr_err feed(struct walk *w, rmr_bytes text)
{
    rmr_err e = RMR_OK;
    while (text.len && e == RMR_OK) {
        size_t n = br_pem_decoder_push(&w->dec, text.ptr, text.len);
        text.ptr += n;
        text.len -= n;
        e = handle_event(w);
    }
    return e;
}

rmr_err rmri_pem_walk(const rmr_alloc *alloc, rmr_bytes text,
                      rmr_err (*each)(void *user, const rmri_pem_object *o),
                      void *user, rmri_pem_faults *faults)
{
    struct walk w;
    memset(&w, 0, sizeof w);
    memset(faults, 0, sizeof *faults);
    w.der = rmr_alloc_zero(alloc, RMRI_PEM_DER_MAX, 1);
    if (!w.der)
        return RMR_E_NOMEM;
    w.faults = faults;
    w.each = each;
    w.user = user;
    br_pem_decoder_init(&w.dec);
    rmr_err e = feed(&w, text);
    if (e == RMR_OK) /* the last line may lack its end */
        e = feed(&w, rmr_bytes_str("\n"));
    rmr_release_wiped(alloc, w.der, RMRI_PEM_DER_MAX);
    rmr_wipe(&w, sizeof w); /* a private key came through it */
    return e;
}
