/* Reads the notation of scenarios.scn. */
#include "scn_world.h"

#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool scn_is_word(const char *s, const char *what)
{
    return strncmp(s, what, strlen(what)) == 0;
}

static uint8_t flags_of(const char *s)
{
    static const char names[] = "FSRP.UEC"; /* from the lowest bit */
    uint8_t f = 0;
    for (; *s && *s != '-'; s++) {
        const char *at = strchr(names, *s);
        if (at)
            f = (uint8_t)(f | 1u << (at - names));
    }
    return f;
}

static bool parse_sack(const char *s, scn_seg *g)
{
    while (*s && g->n_sack < 8) {
        char *end;
        g->sack[g->n_sack++] = (uint32_t)strtoul(s, &end, 10);
        if (*end == '-' || *end == ',')
            end++;
        s = end;
    }
    return g->n_sack % 2 == 0;
}

static bool parse_field(scn_world *w, char *f, scn_seg *g)
{
    if (f[0] == '/') {
        g->step = (uint32_t)atoi(f + 1);
    } else if (scn_is_word(f, "ecr-")) {
        g->echo_back = (uint32_t)atoi(f + 4);
    } else if (scn_is_word(f, "mss")) {
        g->has_mss = true;
        g->mss = (uint32_t)atoi(f + 3);
    } else if (scn_is_word(f, "ws")) {
        g->want_ws = true;
        g->has_ws = f[2] != 0;
        g->ws = (uint32_t)atoi(f + 2);
    } else if (!strcmp(f, "sok")) {
        g->sok = true;
    } else if (scn_is_word(f, "ts*:")) {
        g->has_ts = g->any_ts = g->ts_echo = true;
        g->echo = (uint32_t)atoi(f + 4);
    } else if (scn_is_word(f, "ts")) {
        g->has_ts = true;
        g->any_ts = f[2] == 0;
        g->ts = (uint32_t)atoi(f + 2);
    } else if (!strcmp(f, "nots")) {
        g->no_ts = true;
    } else if (!strcmp(f, "nosack")) {
        g->no_sack = true;
    } else if (!strcmp(f, "nows")) {
        g->no_ws = true;
    } else if (!strcmp(f, "nosok")) {
        g->no_sok = true;
    } else if (!strcmp(f, "bad")) {
        g->bad_sum = true;
    } else if (!strcmp(f, "src=dst")) {
        g->src_is_dst = true;
    } else if (scn_is_word(f, "sack")) {
        return parse_sack(f + 4, g);
    } else if (scn_is_word(f, "raw")) {
        g->raw_len = test_unhex(g->raw, sizeof g->raw, f + 3);
    } else if (scn_is_word(f, "urg")) {
        g->urg = (uint32_t)atoi(f + 3);
    } else if (scn_is_word(f, "off=")) {
        g->has_off = true;
        g->off = (uint32_t)atoi(f + 4);
        char *len = strstr(f, "len=");
        g->has_len = len != NULL;
        g->len = len ? (uint32_t)atoi(len + 4) : 0;
    } else if (f[0] == 'a') {
        g->has_ack = true;
        g->ack = (uint32_t)strtol(f + 1, NULL, 10);
    } else if (f[0] == 'w') {
        g->has_wnd = true;
        g->wnd_above = f[1] == '>';
        g->wnd = (uint32_t)atoi(f + (g->wnd_above ? 2 : 1));
    } else {
        return scn_bad(w, "what is \"%s\"?", f);
    }
    return true;
}

/* "FLAGS seq[:end] field ..." */
bool scn_parse_seg(scn_world *w, const char *text, scn_seg *g)
{
    char copy[256], *save = NULL;
    memset(g, 0, sizeof *g);
    (void)snprintf(copy, sizeof copy, "%s", text);
    char *word = strtok_r(copy, " ", &save);
    if (!word)
        return scn_bad(w, "%s", "no flags");
    g->flags = flags_of(word);
    word = strtok_r(NULL, " ", &save);
    if (!word)
        return scn_bad(w, "%s", "no sequence number");
    g->any_seq = word[0] == '*';
    char *end;
    g->seq = g->end = g->any_seq ? 0 : (uint32_t)strtoul(word, &end, 10);
    if (!g->any_seq && *end == ':') {
        g->has_end = true;
        g->end = (uint32_t)strtoul(end + 1, NULL, 10);
    }
    while ((word = strtok_r(NULL, " ", &save)))
        if (!parse_field(w, word, g))
            return false;
    return true;
}

bool scn_parse_icmp(scn_world *w, const char *text, scn_icmp *i)
{
    int used = 0;
    memset(i, 0, sizeof *i);
    if (sscanf(text, "%u/%u %n", &i->type, &i->code, &used) != 2)
        return scn_bad(w, "%s", "no type and code");
    const char *rest = text + used;
    if (sscanf(rest, "mtu%u %n", &i->mtu, &used) == 1)
        rest += used;
    if (sscanf(rest, "seq%u", &i->seq) != 1)
        return scn_bad(w, "%s", "no sequence number");
    return true;
}
