/* The allocator, generator and log that tests and fuzz targets share. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__has_include)
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#endif
#endif
#ifndef VALGRIND_MAKE_MEM_DEFINED
#define VALGRIND_MAKE_MEM_DEFINED(p, n) 0
#endif

#define FRESH 0xa5
#define FREED 0x5a

/* Stands right before each block. */
typedef struct block {
    void *start; /* what free() wants */
    size_t size;
    uint64_t magic;
} block;

#define MAGIC 0x72656d6f72612121

_Static_assert(sizeof(block) <= 32, "the head fits before a block");

static void die(const char *what)
{
    (void)fprintf(stderr, "tests/support: %s\n", what);
    abort();
}

/* ---- memory ----------------------------------------------------------- */

static void *alloc_fn(void *user, size_t size, size_t align)
{
    test_alloc *a = user;
    if (size == 0)
        die("allocation of no bytes");
    if (align == 0 || (align & (align - 1)) != 0 || align > 4096)
        die("alignment is not a power of two");
    if (a) {
        a->calls++;
        if (a->fail_at && (a->calls == a->fail_at ||
                           (a->fail_after && a->calls > a->fail_at))) {
            a->failed++;
            return NULL;
        }
    }
    /* Room before the block for its head.  The block ends where malloc's ends,
     * so that a sanitizer sees the first byte too many. */
    size_t room = align > 32 ? align : 32;
    if (size > SIZE_MAX / 2)
        return NULL;
    uint8_t *start =
        align > 16
            ? aligned_alloc(align, (room + size + align - 1) / align * align)
            : malloc(room + size);
    if (!start)
        return NULL;
    uint8_t *p = start + room;
    block head = {start, size, MAGIC};
    memcpy(p - sizeof head, &head, sizeof head);
    memset(p, FRESH, size);
    if (a) {
        a->live_blocks++;
        a->live_bytes += size;
        if (a->live_bytes > a->peak_bytes)
            a->peak_bytes = a->live_bytes;
    }
    return p;
}

static size_t count_secret(const test_alloc *a, const uint8_t *p, size_t size)
{
    size_t found = 0;
    if (!a->secret || a->secret_len == 0)
        return 0;
    (void)VALGRIND_MAKE_MEM_DEFINED(p, size); /* what was never written too */
    for (size_t i = 0; i + a->secret_len <= size; i++)
        found += memcmp(p + i, a->secret, a->secret_len) == 0;
    return found;
}

static void release_fn(void *user, void *ptr, size_t size)
{
    test_alloc *a = user;
    block head;
    if (!ptr)
        return;
    memcpy(&head, (uint8_t *)ptr - sizeof head, sizeof head);
    if (head.magic != MAGIC)
        die("release of what was not allocated");
    if (head.size != size)
        die("release with another size than at the allocation");
    if (a) {
        if (a->live_blocks == 0 || a->live_bytes < size)
            die("release to another allocator");
        a->leaks += count_secret(a, ptr, size);
        a->live_blocks--;
        a->live_bytes -= size;
    }
    memset((uint8_t *)ptr - sizeof head, FREED, sizeof head + size);
    free(head.start);
}

rmr_alloc test_alloc_table(test_alloc *a)
{
    rmr_alloc t = {alloc_fn, release_fn, a};
    return t;
}

/* ---- randomness ------------------------------------------------------- */

static uint64_t rotl(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

void test_rng_seed(test_rng *r, uint64_t seed)
{
    memset(r, 0, sizeof *r);
    for (size_t i = 0; i < 4; i++) { /* splitmix64 */
        seed += 0x9e3779b97f4a7c15;
        uint64_t z = seed;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
        z = (z ^ z >> 27) * 0x94d049bb133111eb;
        r->s[i] = z ^ z >> 31;
    }
}

uint64_t test_rng_u64(test_rng *r)
{
    uint64_t *s = r->s; /* xoshiro256** */
    uint64_t out = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return out;
}

static rmr_err rng_fill(void *user, uint8_t *dst, size_t len)
{
    test_rng *r = user;
    r->calls++;
    if (r->fail_at && r->calls == r->fail_at)
        return RMR_E_RNG;
    while (len) {
        uint64_t v = test_rng_u64(r);
        for (size_t i = 0; i < 8 && len; i++, len--) {
            *dst++ = (uint8_t)v;
            v >>= 8;
        }
    }
    return RMR_OK;
}

/* For test_env without a generator: one for the process, so that two objects
 * do not draw the same keys. */
static test_rng *default_rng(void)
{
    static test_rng r;
    static bool is_seeded;
    if (!is_seeded) {
        test_rng_seed(&r, 1);
        is_seeded = true;
    }
    return &r;
}

rmr_rng test_rng_table(test_rng *r)
{
    rmr_rng t = {rng_fill, r ? r : default_rng()};
    return t;
}

/* ---- log -------------------------------------------------------------- */

static void log_write(void *user, rmr_log_level level, const char *layer,
                      const char *msg, size_t len)
{
    test_log *l = user;
    if (strlen(msg) != len)
        die("a log line with a NUL inside, or of the wrong length");
    if (strchr(msg, '\n'))
        die("a log line with a newline");
    size_t room = sizeof l->text - l->len;
    int n =
        snprintf(l->text + l->len, room, "%d %s %s\n", (int)level, layer, msg);
    /* What does not fit is dropped whole. */
    if (n > 0 && (size_t)n < room)
        l->len += (size_t)n;
    else
        l->text[l->len] = '\0';
}

rmr_log test_log_table(test_log *l, rmr_log_level max)
{
    rmr_log t = {l ? log_write : NULL, l, l ? max : RMR_LOG_OFF};
    if (l)
        memset(l, 0, sizeof *l);
    return t;
}

bool test_log_has(const test_log *l, const char *needle)
{
    return strstr(l->text, needle) != NULL;
}

rmr_env test_env(test_alloc *a, test_rng *r, test_log *l)
{
    rmr_env env;
    env.alloc = test_alloc_table(a);
    env.rng = test_rng_table(r);
    env.log = test_log_table(l, RMR_LOG_TRACE);
    return env;
}

/* ---- hex -------------------------------------------------------------- */

static unsigned hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (unsigned)(c - 'a' + 10);
    if (c >= 'A' && c <= 'F')
        return (unsigned)(c - 'A' + 10);
    die("not a hex digit");
    return 0;
}

size_t test_unhex(uint8_t *dst, size_t cap, const char *hex)
{
    size_t len = strlen(hex);
    if (len % 2)
        die("odd number of hex digits");
    if (len / 2 > cap)
        die("hex is longer than its place");
    for (size_t i = 0; i < len / 2; i++)
        dst[i] =
            (uint8_t)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
    return len / 2;
}
