/* The store's parts.  One file a subject:
 *   sq.c          life; begin, commit, rollback
 *   sq_file.c     what is asked of the file and its folder
 *   sq_migrate.c  the tables and their versions
 *   sq_rows.c     rows: put, del, load
 *   sq_text.c     lists of tags and prefixes as text
 */
#ifndef REMORA_STORE_SQLITE_INTERNAL_H
#define REMORA_STORE_SQLITE_INTERNAL_H

#include <remora/store_sqlite.h>

#include <sqlite3.h>

#define SQ_APP_ID 0x726d7263 /* "rmrc", in the file's head */
#define SQ_MAX_ROUTES (RMR_COORD_MAX_ROUTES + 1)
/* Of a list as text: tags or prefixes. */
#define SQ_LIST_TEXT (SQ_MAX_ROUTES * 64)

struct rmr_store_sqlite {
    sqlite3 *db;
    char why[RMR_STORE_SQLITE_WHY];
    sqlite3_stmt *begin, *commit, *rollback;
    sqlite3_stmt *put[RMR_COORD_ROW_KINDS + 1], *del[RMR_COORD_ROW_KINDS + 1];
};

/* SQLite's code as ours; with its words in s->why. */
rmr_err rmri_sq_err(rmr_store_sqlite *s, int code);
rmr_err rmri_sq_exec(rmr_store_sqlite *s, const char *sql);
/* The first column of a statement's only row. */
rmr_err rmri_sq_int(rmr_store_sqlite *s, const char *sql, int64_t *out);
void rmri_sq_say(rmr_store_sqlite *s, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;

/* Makes the file where it is missing.  Errors: as open says. */
rmr_err rmri_sq_file_check(rmr_store_sqlite *s, const char *path);

/* Step i brings version i to i + 1, in a transaction of its own with its
 * number. */
rmr_err rmri_sq_migrate(rmr_store_sqlite *s, const char *const *steps, int n);
extern const char *const rmri_sq_steps[RMR_STORE_SQLITE_SCHEMA];

rmr_err rmri_sq_rows_prepare(rmr_store_sqlite *s);
void rmri_sq_rows_free(rmr_store_sqlite *s);
rmr_err rmri_sq_put(void *user, const rmr_coord_row *row);
rmr_err rmri_sq_del(void *user, rmr_coord_row_kind kind, uint64_t id);
rmr_err rmri_sq_load(void *user, rmr_coord_row_sink sink, void *ctx);

/* Words with blanks between them, into text; it holds what there can be. */
void rmri_sq_tags_text(char text[SQ_LIST_TEXT], const char *const *tags,
                       size_t n);
void rmri_sq_prefixes_text(char text[SQ_LIST_TEXT], const rmr_prefix *p,
                           size_t n);
/* Cuts text into words.  False: there are too many. */
bool rmri_sq_words(char *text, const char **words, size_t most, size_t *n);
bool rmri_sq_prefixes(char *text, rmr_prefix *p, size_t most, size_t *n);

#endif
