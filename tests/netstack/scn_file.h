/* The lines of scenarios.scn. */
#ifndef TEST_SCN_FILE_H
#define TEST_SCN_FILE_H

#include <stdbool.h>
#include <stddef.h>

#define SCN_LINES 256
#define SCN_ID 8 /* with the NUL */

typedef struct scn_line {
    char id[SCN_ID];
    bool kernel; /* marked K */
    char *text;  /* "id [K] | title | steps" */
} scn_line;

typedef struct scn_file {
    scn_line v[SCN_LINES];
    size_t n;
} scn_file;

/* false: the file is not there, or a line is not as it should be; stderr says
 * which. */
bool scn_file_load(scn_file *f);
void scn_file_free(scn_file *f);
/* NULL: there is none of that name. */
const scn_line *scn_file_find(const scn_file *f, const char *id);

#endif
