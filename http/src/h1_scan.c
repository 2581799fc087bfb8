/*
 * The lines of a message head, before llhttp sees them.
 *
 * Some forms are read differently by different programs and so serve to
 * smuggle: folded lines (RFC 9112 5.2), which llhttp takes; a CR without LF
 * (2.2; CVE-2023-30589) and white space before a colon (5.1), which it takes
 * unless it was built to be strict.  This scan stops at the first of them, and
 * at the end of the head, so that the size of a head is known to the byte.
 */
#include "h1_internal.h"

enum { S_BEFORE, S_LINE, S_FIRST, S_NAME, S_VALUE, S_CR, S_LAST_CR };

static enum rmri_h1_scan_result scan_line_start(rmri_h1_scan *s, uint8_t c)
{
    switch (c) {
    case '\r':
        s->state = S_LAST_CR;
        return RMRI_H1_SCAN_MORE;
    case '\n':
        return RMRI_H1_SCAN_END;
    case ' ':
    case '\t':
    case ':': /* a name is never empty (RFC 9110 5.1); llhttp takes it */
        return RMRI_H1_SCAN_BAD;
    default:
        s->state = S_NAME;
        return RMRI_H1_SCAN_MORE;
    }
}

static enum rmri_h1_scan_result scan_byte(rmri_h1_scan *s, uint8_t c)
{
    switch (s->state) {
    case S_BEFORE: /* empty lines before a start line, RFC 9112 2.2 */
        if (c != '\r' && c != '\n')
            s->state = S_LINE;
        return RMRI_H1_SCAN_MORE;
    case S_FIRST:
        return scan_line_start(s, c);
    case S_CR:
    case S_LAST_CR:
        if (c != '\n')
            return RMRI_H1_SCAN_BAD;
        if (s->state == S_LAST_CR)
            return RMRI_H1_SCAN_END;
        s->state = S_FIRST;
        return RMRI_H1_SCAN_MORE;
    case S_NAME:
        if (c == ' ' || c == '\t')
            return RMRI_H1_SCAN_BAD;
        if (c == ':')
            s->state = S_VALUE;
        break;
    default:
        break;
    }
    if (c == '\r')
        s->state = S_CR;
    else if (c == '\n')
        s->state = S_FIRST;
    return RMRI_H1_SCAN_MORE;
}

size_t rmri_h1_scan_head(rmri_h1_scan *s, rmr_bytes in,
                         enum rmri_h1_scan_result *result)
{
    *result = RMRI_H1_SCAN_MORE;
    for (size_t i = 0; i < in.len; i++) {
        *result = scan_byte(s, in.ptr[i]);
        if (*result == RMRI_H1_SCAN_BAD)
            return i;
        if (*result == RMRI_H1_SCAN_END) {
            s->state = S_BEFORE;
            return i + 1;
        }
    }
    return in.len;
}
