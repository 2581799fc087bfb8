/* The lines of scenarios.scn. */
#include "scn_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool add_line(scn_file *f, const char *text)
{
    char id[SCN_ID] = "", mark[2] = "";
    int n = sscanf(text, "%7s %1s", id, mark);
    if (n != 2 || f->n == SCN_LINES || !strchr("K|", mark[0]) ||
        scn_file_find(f, id))
        return false;
    scn_line *l = &f->v[f->n];
    l->text = malloc(strlen(text) + 1);
    if (!l->text)
        abort();
    memcpy(l->text, text, strlen(text) + 1);
    memcpy(l->id, id, sizeof id);
    l->kernel = mark[0] == 'K';
    f->n++;
    return true;
}

bool scn_file_load(scn_file *f)
{
    char buf[4096];
    bool good = true;
    memset(f, 0, sizeof *f);
    FILE *in = fopen(NS_SCENARIOS, "r");
    if (!in) {
        (void)fprintf(stderr, "no file %s\n", NS_SCENARIOS);
        return false;
    }
    while (good && fgets(buf, sizeof buf, in))
        if (buf[0] != '#' && buf[0] != '\n')
            good = add_line(f, buf);
    if (!good)
        (void)fprintf(stderr, "not a new scenario: %s", buf);
    (void)fclose(in);
    return good && f->n > 0;
}

void scn_file_free(scn_file *f)
{
    while (f->n)
        free(f->v[--f->n].text);
}

const scn_line *scn_file_find(const scn_file *f, const char *id)
{
    for (size_t i = 0; i < f->n; i++)
        if (!strcmp(f->v[i].id, id))
            return &f->v[i];
    return NULL;
}
