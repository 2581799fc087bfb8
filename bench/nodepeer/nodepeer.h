/* What the parts of nodepeer share: see main.c. */
#ifndef NODEPEER_H
#define NODEPEER_H

#include <remora/node.h>
#include <remora/posix.h>

#include <stdio.h>

#define BLOCK_LEN ((size_t)256 * 1024)

typedef struct flags { /* as tsnetpeer's */
    const char *name, *control, *authkey, *dir, *to, *what, *path;
    long mb, nconn, nrr;
    bool ephemeral, verbose, warm, quit;
} flags;

extern flags opt;
extern rmr_node *node;
extern rmr_posix *loop;
extern uint8_t block[BLOCK_LEN]; /* printable, as tsnetpeer's */

/* report.c */
double now_s(void);
double cpu_s(void);
void memory_mib(double *rss, double *hwm);
/* Begins a line of JSON with the field `what`; end_line adds the memory. */
void begin_line(const char *what);
void number(const char *key, double v);
void text(const char *key, const char *v);
void end_line(void);
/* n, p50_us, p99_us, max_us; sorts them. */
void percentiles(double *us, size_t n);
/* Ends the process: something that was to be measured did not work. */
void die(const char *what, rmr_err e);

/* serve.c */
void serve_start(void);
void serve_accept(void *listener_tag, rmr_node_conn c);
/* A connection that was accepted may be read or written. */
void serve_turn(void *tag, rmr_node_conn c);
void serve_closed(void *tag);
bool is_served(const void *tag);

/* client.c */
void client_start(void);
/* When client_tick wants to be called; RMR_TIME_NEVER: not at all. */
rmr_time client_deadline(void);
void client_tick(rmr_time now);
void client_connected(rmr_node_conn c);
void client_turn(rmr_node_conn c);
void client_closed(rmr_node_conn c, rmr_err why);

#endif
