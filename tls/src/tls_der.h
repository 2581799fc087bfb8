/* DER elements, read with a sticky cursor.  Source: X.690 8.1, 10.1. */
#ifndef RMRI_TLS_DER_H
#define RMRI_TLS_DER_H

#include <remora/cursor.h>

enum {
    RMRI_DER_BOOLEAN = 0x01,
    RMRI_DER_INTEGER = 0x02,
    RMRI_DER_OCTETS = 0x04,
    RMRI_DER_OID = 0x06,
    RMRI_DER_UTCTIME = 0x17,
    RMRI_DER_GENTIME = 0x18,
    RMRI_DER_SEQUENCE = 0x30,
    RMRI_DER_SET = 0x31
};

/* One element of any tag below 31.  After a failure r->failed is set, and tag
 * and content are empty. */
rmr_bytes rmri_der_next(rmr_rd *r, uint8_t *tag);
/* One element that must have this tag. */
rmr_bytes rmri_der_expect(rmr_rd *r, uint8_t tag);
/* One element of this tag where there is one; else no bytes, and *found is
 * false. */
rmr_bytes rmri_der_optional(rmr_rd *r, uint8_t tag, bool *found);
/* The content of a constructed element as a cursor of its own, which has
 * failed where r has. */
rmr_rd rmri_der_enter(rmr_rd *r, uint8_t tag);

#endif
