/* ECN bits of an inner packet (RFC 3168, RFC 6040), for hosts that carry them
 * over: out as they are, in as a mark. */
#include "wg_internal.h"

enum { NOT_ECT = 0, CE = 3 };

uint8_t rmri_wg_ecn_of(const uint8_t *ip, size_t len)
{
    if (len >= 20 && ip[0] >> 4 == 4)
        return ip[1] & 3;
    if (len >= 40 && ip[0] >> 4 == 6)
        return ip[1] >> 4 & 3;
    return NOT_ECT;
}

/* The checksum after one word of the header grew by `more` (RFC 1624). */
static void fix_checksum(uint8_t *sum, uint16_t more)
{
    uint32_t s = (uint32_t)(uint16_t)~rmr_load_be16(sum) + more;
    s = (s & 0xffff) + (s >> 16);
    rmr_store_be16(sum, (uint16_t)~s);
}

void rmri_wg_ecn_mark(uint8_t *ip, size_t len)
{
    uint8_t was = rmri_wg_ecn_of(ip, len);
    if (was == NOT_ECT || was == CE) /* who takes no part can't be told */
        return;
    if (ip[0] >> 4 == 4) {
        ip[1] |= CE;
        fix_checksum(ip + 10, (uint16_t)(CE - was));
    } else {
        ip[1] |= CE << 4;
    }
}
