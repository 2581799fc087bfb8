/* RFC 3339 times.  Days are counted from the first of March, so that the leap
 * day is the last of its year. */
#include <remora/text.h>

#define NS_PER_SEC 1000000000u
#define LAST_YEAR 2261 /* the last whole year within int64 nanoseconds */

/* `n` digits at *at; false when there are fewer. */
static bool digits(rmr_bytes text, size_t *at, size_t n, uint32_t *out)
{
    uint32_t v = 0;
    for (size_t i = 0; i < n; i++, (*at)++) {
        if (*at >= text.len || text.ptr[*at] < '0' || text.ptr[*at] > '9')
            return false;
        v = v * 10 + (uint32_t)(text.ptr[*at] - '0');
    }
    *out = v;
    return true;
}

static bool literal(rmr_bytes text, size_t *at, char c)
{
    uint8_t got = *at < text.len ? text.ptr[*at] : 0;
    /* RFC 3339 5.6: "T" and "Z" may be lower case. */
    if (c == 'T' || c == 'Z')
        got &= 0xdf;
    if (got != (uint8_t)c)
        return false;
    (*at)++;
    return true;
}

static bool leap_year(uint32_t y)
{
    return y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
}

static uint32_t days_in_month(uint32_t y, uint32_t m)
{
    if (m == 2)
        return leap_year(y) ? 29 : 28;
    return m == 4 || m == 6 || m == 9 || m == 11 ? 30 : 31;
}

/* Days from 1970-01-01 to a date of the years 0 to 9999. */
static int64_t days_from_date(uint32_t y, uint32_t m, uint32_t d)
{
    if (m < 3) {
        m += 12;
        y += 399; /* a year back, and 400 ahead to stay positive */
    } else {
        y += 400;
    }
    int64_t year = y;
    int64_t days = year * 365 + year / 4 - year / 100 + year / 400 +
                   (153 * (int64_t)(m - 3) + 2) / 5 + d - 1;
    return days - 719468 - 146097;
}

static bool parse_fraction(rmr_bytes text, size_t *at, uint32_t *ns)
{
    uint32_t v = 0, scale = NS_PER_SEC;
    size_t start = *at;
    for (; *at < text.len; (*at)++) {
        uint8_t c = text.ptr[*at];
        if (c < '0' || c > '9')
            break;
        scale /= 10; /* digits below a nanosecond are dropped */
        v += (uint32_t)(c - '0') * scale;
    }
    *ns = v;
    return *at > start;
}

/* "Z" or "+hh:mm", to seconds east. */
static bool parse_offset(rmr_bytes text, size_t *at, int64_t *seconds)
{
    uint32_t h, m;
    *seconds = 0;
    if (literal(text, at, 'Z'))
        return true;
    bool west = literal(text, at, '-');
    if (!west && !literal(text, at, '+'))
        return false;
    if (!digits(text, at, 2, &h) || !literal(text, at, ':') ||
        !digits(text, at, 2, &m) || h > 23 || m > 59)
        return false;
    *seconds = (int64_t)h * 3600 + (int64_t)m * 60;
    if (west)
        *seconds = -*seconds;
    return true;
}

rmr_err rmr_parse_time(rmr_bytes text, uint64_t *unix_ns)
{
    uint32_t year, month, day, hour, minute, sec, ns = 0;
    int64_t east;
    size_t at = 0;
    bool ok = digits(text, &at, 4, &year) && literal(text, &at, '-') &&
              digits(text, &at, 2, &month) && literal(text, &at, '-') &&
              digits(text, &at, 2, &day) && literal(text, &at, 'T') &&
              digits(text, &at, 2, &hour) && literal(text, &at, ':') &&
              digits(text, &at, 2, &minute) && literal(text, &at, ':') &&
              digits(text, &at, 2, &sec);
    if (ok && literal(text, &at, '.'))
        ok = parse_fraction(text, &at, &ns);
    if (!ok || !parse_offset(text, &at, &east) || at != text.len)
        return RMR_E_MALFORMED;
    /* 60 is a leap second, which Unix time counts as the next. */
    if (month < 1 || month > 12 || day < 1 ||
        day > days_in_month(year, month) || hour > 23 || minute > 59 ||
        sec > 60)
        return RMR_E_MALFORMED;
    int64_t s = days_from_date(year, month, day) * 86400 +
                (int64_t)hour * 3600 + (int64_t)minute * 60 + sec - east;
    if (s < 0)
        *unix_ns = 0;
    else if (s >= days_from_date(LAST_YEAR + 1, 1, 1) * 86400)
        *unix_ns = INT64_MAX;
    else
        *unix_ns = (uint64_t)s * NS_PER_SEC + ns;
    return RMR_OK;
}

/* n digits and what follows them. */
static char *put(char *p, uint64_t v, size_t n, char then)
{
    for (size_t i = n; i-- > 0; v /= 10)
        p[i] = (char)('0' + v % 10);
    p[n] = then;
    return p + n + 1;
}

char *rmr_time_text(uint64_t unix_ns, char dst[RMR_TIME_TEXT_MAX])
{
    uint64_t ms = unix_ns / 1000000;
    uint64_t sec = ms / 1000 % 86400;
    /* From days to a date: eras of 400 years, then the year of the era (the
     * inverse of days_from_date). */
    uint64_t days = ms / 1000 / 86400 + 719468;
    uint64_t era = days / 146097, in_era = days % 146097;
    uint64_t year =
        (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    uint64_t in_year = in_era - (365 * year + year / 4 - year / 100);
    uint64_t m = (5 * in_year + 2) / 153;
    uint64_t day = in_year - (153 * m + 2) / 5 + 1;
    uint64_t month = m < 10 ? m + 3 : m - 9;
    year += era * 400 + (month <= 2 ? 1 : 0);
    char *p = put(dst, year, 4, '-');
    p = put(p, month, 2, '-');
    p = put(p, day, 2, 'T');
    p = put(p, sec / 3600, 2, ':');
    p = put(p, sec / 60 % 60, 2, ':');
    p = put(p, sec % 60, 2, '.');
    p = put(p, ms % 1000, 3, 'Z');
    *p = '\0';
    return dst;
}
