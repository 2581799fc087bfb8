/* Batches over any table. */
#include <remora/crypto.h>

void rmr_aead_seal_n(const rmr_aead *aead, rmr_aead_item *items, size_t n)
{
    if (aead->seal_n) {
        aead->seal_n(aead->self, items, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        rmr_aead_item *it = &items[i];
        aead->seal(aead->self, it->ctx, it->counter, it->buf, it->len);
        it->err = RMR_OK;
    }
}

void rmr_aead_open_n(const rmr_aead *aead, rmr_aead_item *items, size_t n)
{
    if (aead->open_n) {
        aead->open_n(aead->self, items, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        rmr_aead_item *it = &items[i];
        it->err =
            aead->open(aead->self, it->ctx, it->counter, it->buf, it->len);
    }
}
