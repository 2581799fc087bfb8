/* What the files of the HTTP/1.1 parser and builder share. */
#ifndef RMRI_H1_INTERNAL_H
#define RMRI_H1_INTERNAL_H

#include <remora/http1.h>

typedef struct rmri_h1_scan {
    uint8_t state; /* zero: before a start line */
} rmri_h1_scan;

enum rmri_h1_scan_result {
    RMRI_H1_SCAN_MORE, /* all is well, the head goes on   */
    RMRI_H1_SCAN_END,  /* the head ends here              */
    RMRI_H1_SCAN_BAD   /* the next byte must not be there */
};

/* How many bytes may be given to llhttp now. */
size_t rmri_h1_scan_head(rmri_h1_scan *s, rmr_bytes in,
                         enum rmri_h1_scan_result *result);

bool rmri_h1_is_one_of(const char *set, uint8_t c);
/* The length up to the first of `stops`, or all. */
size_t rmri_h1_span_until(rmr_bytes text, const char *stops);

/* RFC 9110 5.6.2. */
bool rmri_h1_is_token(rmr_bytes text);
/* No CR, LF or NUL. */
bool rmri_h1_is_value(rmr_bytes text);

#endif
