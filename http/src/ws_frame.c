/* Frame heads and masks: bytes to a struct and back, no state.
 * Source: RFC 6455 5.2, 5.3, 5.5, 7.4. */
#include <string.h>
#include "ws_internal.h"

#define FINAL 0x80u
#define RESERVED 0x70u
#define MASKED 0x80u
#define LEN_16 126u
#define LEN_64 127u

void rmri_ws_mask(uint8_t *p, size_t len, const uint8_t mask[4], uint64_t at)
{
    uint8_t turned[8];
    for (unsigned i = 0; i < 8; i++)
        turned[i] = mask[(at + i) % 4];
    uint64_t key, word;
    memcpy(&key, turned, sizeof key);
    for (; len >= 8; p += 8, len -= 8) {
        memcpy(&word, p, sizeof word);
        word ^= key;
        memcpy(p, &word, sizeof word);
    }
    for (size_t i = 0; i < len; i++)
        p[i] ^= turned[i];
}

size_t rmri_ws_head_len(const uint8_t *head)
{
    unsigned len = head[1] & ~MASKED;
    return 2u +
           (len == LEN_16   ? 2u
            : len == LEN_64 ? 8u
                            : 0u) +
           (head[1] & MASKED ? 4u : 0u);
}

static bool opcode_is_known(unsigned opcode)
{
    return opcode <= RMRI_WS_BINARY ||
           (opcode >= RMRI_WS_CLOSE && opcode <= RMRI_WS_PONG);
}

/* The length in its smallest form; false for another. */
static bool read_length(const uint8_t *head, uint64_t *len)
{
    unsigned first = head[1] & ~MASKED;
    *len = first;
    if (first == LEN_16) {
        *len = (uint64_t)head[2] << 8 | head[3];
        return *len >= LEN_16;
    }
    if (first != LEN_64)
        return true;
    *len = 0;
    for (unsigned i = 0; i < 8; i++)
        *len = *len << 8 | head[2 + i];
    return *len > UINT16_MAX && *len >> 63 == 0;
}

rmr_err rmri_ws_head_parse(const uint8_t *head, bool from_client,
                           rmri_ws_frame *out)
{
    memset(out, 0, sizeof *out);
    out->opcode = head[0] & 0x0f;
    out->final = head[0] & FINAL;
    out->masked = head[1] & MASKED;
    bool control = out->opcode >= RMRI_WS_CLOSE;
    if (head[0] & RESERVED || !opcode_is_known(out->opcode) ||
        out->masked != from_client || !read_length(head, &out->left) ||
        (control && (!out->final || out->left > RMRI_WS_CONTROL_DATA)))
        return RMR_E_WS_PROTOCOL;
    if (out->masked)
        memcpy(out->mask, head + rmri_ws_head_len(head) - 4, 4);
    return RMR_OK;
}

size_t rmri_ws_head_build(uint8_t *dst, uint8_t opcode, size_t len,
                          const uint8_t *mask)
{
    size_t n = 2;
    dst[0] = (uint8_t)(FINAL | opcode);
    dst[1] = (uint8_t)(len < LEN_16 ? len : LEN_16);
    if (len >= LEN_16) {
        dst[2] = (uint8_t)(len >> 8);
        dst[3] = (uint8_t)len;
        n = 4;
    }
    if (mask) {
        dst[1] |= MASKED;
        memcpy(dst + n, mask, 4);
        n += 4;
    }
    return n;
}

bool rmri_ws_code_is_valid(unsigned code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}
