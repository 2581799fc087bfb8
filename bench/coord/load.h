/* coord_load's parts: clients of a coordination server, many in one thread.
 *   client.c  one client: remora's control client and its netmap on a stream
 *   crowd.c   all of them as a machine on io-posix; who sees whom
 *   meter.c   what the server uses; percentiles
 *   main.c    options, phases, what is printed
 */
#ifndef COORD_LOAD_H
#define COORD_LOAD_H

#include <remora/control.h>
#include <remora/crypto.h>
#include <remora/machine.h>
#include <remora/netmap.h>
#include <remora/posix.h>
#include <remora/timer.h>

typedef struct crowd crowd;

typedef struct client {
    crowd *all;
    struct client *next_dirty;
    uint32_t number, user;
    rmr_ctl *ctl;
    rmr_nm *nm;
    rmr_mc_io *io;
    rmr_timer timer;
    char hostname[24];
    uint16_t port; /* of its endpoint; 0: not told yet */
    uint64_t id;   /* as the server numbers it; 0: unknown */
    uint64_t *seen; /* a bit for each id: a peer that could be talked to */
    uint32_t n_seen;
    bool dirty, streams, fresh; /* fresh: no frame of this stream came yet */
    uint64_t heard;             /* the last change that it was told */
} client;

/* What peers are to be told: another port, or another host name. */
typedef struct change {
    uint64_t serial; /* 0: none is on its way */
    uint64_t node;   /* whose, by the server's number */
    bool is_name;
    uint16_t port;
    char name[24];
    rmr_time at;
    uint32_t n_heard;
    double *ms; /* room for one of each peer */
} change;

struct crowd {
    rmr_posix *posix;
    rmr_mc *mc;
    rmr_timers timers;
    const char *url;
    const char *const *auth_keys; /* one a user */
    uint32_t n, n_users;
    bool plain, open; /* no zstd; users see each other */
    client *clients;
    client *dirty;
    uint32_t n_complete; /* clients that see all they should */
    uint32_t n_streams, n_fresh;
    uint64_t n_lost; /* streams that broke */
    size_t words;    /* of client.seen */
    change change;
};

/* ---- client.c ---- */

/* Keys are drawn; it dials with the next turn. */
void client_start(client *c);
/* The stream is reset, and dialled again at once. */
void client_cut(client *c);
void client_pump(client *c, rmr_time now);
void client_free(client *c);
/* Another port, or name: the server is told with the next turn. */
void client_move(client *c, uint16_t port);
void client_rename(client *c, const char *name);
/* How many it should see. */
uint32_t client_wants(const client *c);

/* ---- crowd.c ---- */

void crowd_start(crowd *a);
void crowd_stir(client *c);
/* Turns until `done` says so; false: that took longer than `most`. */
bool crowd_run(crowd *a, bool (*done)(const crowd *a), rmr_dur most);
void crowd_free(crowd *a);
bool crowd_all_see_all(const crowd *a);
bool crowd_all_back(const crowd *a);
bool crowd_all_heard(const crowd *a);

/* ---- meter.c ---- */

double meter_cpu(int pid);                    /* seconds */
long meter_kib(int pid, const char *what);    /* "VmRSS", "VmHWM" */
double meter_stop(int pid, double most);      /* s, SIGTERM until its end */
double meter_rank(double *ms, size_t n, double share); /* sorts */
_Noreturn void die(const char *what, const char *why);

#endif
