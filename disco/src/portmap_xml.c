/* A scanner for the few tags that a description and a SOAP answer hold.  No XML
 * library: what comes is often not well-formed, and none of what makes XML
 * dangerous (entities, DTDs, nesting, namespaces) is needed.  It keeps one name
 * and one text, both cut off, so a hostile document costs nothing but time. */
#include "portmap_internal.h"

#include <string.h>

enum {
    TEXT,
    OPENED,  /* behind "<" */
    NAME,    /* in a tag's name */
    INSIDE,  /* in a tag, behind its name */
    MARKUP,  /* behind "<!" or "<?" */
    COMMENT, /* until "-->" */
};

void rmri_pm_xml_init(pm_xml *x,
                      void (*on_end)(void *user, rmr_bytes name,
                                     rmr_bytes text),
                      void *user)
{
    memset(x, 0, sizeof *x);
    x->on_end = on_end;
    x->user = user;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The five entities of XML; all others stay as they are. */
static size_t unescape(char *s, size_t n)
{
    static const struct {
        const char *name;
        char is;
    } known[] = {{"&amp;", '&'},
                 {"&lt;", '<'},
                 {"&gt;", '>'},
                 {"&quot;", '"'},
                 {"&apos;", '\''}};
    size_t to = 0;
    for (size_t i = 0; i < n; to++) {
        char c = s[i++];
        for (size_t k = 0; c == '&' && k < 5; k++) {
            size_t len = strlen(known[k].name);
            if (n - i + 1 < len || memcmp(s + i - 1, known[k].name, len) != 0)
                continue;
            c = known[k].is;
            i += len - 1;
            break;
        }
        s[to] = c;
    }
    return to;
}

static void tell(pm_xml *x)
{
    const char *s = x->text;
    size_t n = x->is_leaf && !x->too_long ? unescape(x->text, x->n_text) : 0;
    while (n && is_space(s[n - 1]))
        n--;
    while (n && is_space(*s)) {
        s++;
        n--;
    }
    x->on_end(x->user, rmr_bytes_of(x->name, x->n_name), rmr_bytes_of(s, n));
}

static void tag_ends(pm_xml *x)
{
    if (x->closing)
        tell(x);
    x->is_leaf = !x->closing;
    x->n_text = 0;
    x->too_long = false;
    x->state = TEXT;
}

static void in_text(pm_xml *x, char c)
{
    if (c == '<') {
        x->state = OPENED;
        x->closing = false;
        x->n_name = x->dashes = 0;
        return;
    }
    if (x->n_text < sizeof x->text)
        x->text[x->n_text++] = c;
    else
        x->too_long = true;
}

static void in_name(pm_xml *x, char c)
{
    if (c == '>') {
        tag_ends(x);
    } else if (is_space(c) || c == '/') {
        x->state = INSIDE;
        x->quote = 0;
    } else if (c == ':') { /* the prefix does not matter */
        x->n_name = 0;
    } else if (x->n_name < sizeof x->name) {
        x->name[x->n_name++] = c;
    }
}

static void in_opened(pm_xml *x, char c)
{
    if (c == '/') {
        x->closing = true;
        x->state = NAME;
    } else if (c == '!' || c == '?') {
        x->state = MARKUP;
    } else {
        x->state = NAME;
        in_name(x, c);
    }
}

static void in_inside(pm_xml *x, char c)
{
    if (x->quote) {
        if (c == (char)x->quote)
            x->quote = 0;
    } else if (c == '"' || c == '\'') {
        x->quote = (uint8_t)c;
    } else if (c == '>') {
        tag_ends(x);
    }
}

static void in_markup(pm_xml *x, char c)
{
    if (x->state == MARKUP && c == '-' && ++x->dashes == 2)
        x->state = COMMENT;
    if (x->state == MARKUP && c == '>')
        x->state = TEXT;
}

static void in_comment(pm_xml *x, char c)
{
    /* From 2: the dashes of the beginning don't count. */
    if (c == '>' && x->dashes >= 4)
        x->state = TEXT;
    x->dashes = c == '-' ? (x->dashes < 4 ? x->dashes + 1 : 4) : 2;
}

void rmri_pm_xml_feed(pm_xml *x, rmr_bytes in)
{
    for (size_t i = 0; i < in.len; i++) {
        char c = (char)in.ptr[i];
        switch (x->state) {
        case TEXT:
            in_text(x, c);
            break;
        case OPENED:
            in_opened(x, c);
            break;
        case NAME:
            in_name(x, c);
            break;
        case INSIDE:
            in_inside(x, c);
            break;
        case MARKUP:
            in_markup(x, c);
            break;
        default:
            in_comment(x, c);
            break;
        }
    }
}
