/* Lists of tags and prefixes as text: people read the file, too. */
#include "sq_internal.h"

#include <string.h>

static void add_word(char text[SQ_LIST_TEXT], size_t *at, const char *word)
{
    size_t n = strlen(word);
    if (*at + n + 2 > SQ_LIST_TEXT)
        return; /* the server's limits are below that */
    if (*at)
        text[(*at)++] = ' ';
    memcpy(text + *at, word, n + 1);
    *at += n;
}

void rmri_sq_tags_text(char text[SQ_LIST_TEXT], const char *const *tags,
                       size_t n)
{
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; i < n; i++)
        add_word(text, &at, tags[i]);
}

void rmri_sq_prefixes_text(char text[SQ_LIST_TEXT], const rmr_prefix *p,
                           size_t n)
{
    char one[RMR_PREFIX_TEXT_MAX];
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; i < n; i++)
        add_word(text, &at, rmr_prefix_text(&p[i], one));
}

bool rmri_sq_words(char *text, const char **words, size_t most, size_t *n)
{
    *n = 0;
    for (char *p = text; *p;) {
        char *end = strchr(p, ' ');
        if (*n == most)
            return false;
        words[(*n)++] = p;
        if (!end)
            break;
        *end = '\0';
        p = end + 1;
    }
    return true;
}

bool rmri_sq_prefixes(char *text, rmr_prefix *p, size_t most, size_t *n)
{
    const char *words[SQ_MAX_ROUTES];
    if (most > SQ_MAX_ROUTES || !rmri_sq_words(text, words, most, n))
        return false;
    for (size_t i = 0; i < *n; i++) {
        if (rmr_prefix_parse(rmr_bytes_str(words[i]), &p[i]) != RMR_OK)
            return false;
    }
    return true;
}
