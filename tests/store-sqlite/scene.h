/* A folder with a database in it, for one test. */
#ifndef REMORA_TESTS_STORE_SQLITE_SCENE_H
#define REMORA_TESTS_STORE_SQLITE_SCENE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bare.h"
#include "memory_text.h"
#include "sq_internal.h"

typedef struct scene {
    char dir[64], path[80], log[96];
    char why[RMR_STORE_SQLITE_WHY];
    rmr_store_sqlite *db;
    rmr_coord_store table;
    test_alloc heap;
    test_rng rng;
} scene;

void scene_begin(scene *s);
/* Also forgets the files. */
void scene_end(scene *s);
rmr_err scene_try(scene *s, const rmr_store_sqlite_config *cfg);
void scene_open(scene *s); /* with a check of all pages */
void scene_close(scene *s);
rmr_coord *scene_coord(scene *s);
/* SQL by a connection of its own, while the store is closed. */
void scene_sql(scene *s, const char *sql);

#endif
