/* What the parts of the adapter share. */
#ifndef REMORA_POSIX_INTERNAL_H
#define REMORA_POSIX_INTERNAL_H

#include <remora/posix.h>

#include <poll.h>
#include <stdatomic.h>
#include <time.h>

#define PART_MAX ((size_t)64 * 1024) /* of a blob or a stream; a datagram */
#define NAME_SIZE 201                /* a blob's or an endpoint's, and NUL */

typedef struct mach { /* a machine */
    struct mach *next;
    rmr_machine m;
    uint64_t serial; /* 1: the first, whose result run() gives */
    size_t n_objs;
    bool is_live;  /* false: it stopped and is never called again */
    bool has_more; /* its operations were cut short this turn     */
} mach;

typedef enum obj_kind {
    OBJ_UDP = 1,
    OBJ_LISTENER = 2,
    OBJ_CONNECTING = 4,
    OBJ_STREAM = 8,
    OBJ_STORE = 16, /* a blob whose last part has not come */
    OBJ_ANY = 31,
    OBJ_CLOSING = 32, /* a stream after CLOSE: without an id        */
    OBJ_DEAD = 64     /* closed; swept away at the end of the turn  */
} obj_kind;

typedef struct obj { /* what has an id */
    mach *m;
    uint64_t id;
    int fd;
    obj_kind kind;
    bool is_eof;       /* told                                          */
    bool is_hup;       /* poll knows nothing new until we want something */
    bool is_paused;    /* a listener, by ACCEPT_PAUSE                   */
    bool is_shut;      /* SHUTDOWN came; done when `out` is sent        */
    rmr_time deadline; /* connecting, closing, a listener's rest        */
    size_t credit;
    uint8_t *out; /* what the socket did not take; NULL: nothing   */
    size_t out_len, out_at;
    rmr_addr to; /* UDP: where `out` goes, in what pieces          */
    uint32_t seg_size;
    char *name;  /* of a local listener, of a blob to be stored    */
    rmr_err err; /* STORE: told after the last part                */
} obj;

typedef struct links { /* as told last */
    rmr_addr addrs[64];
    rmr_addr servers[8];
    size_t n_addrs, n_servers;
    char search[512];
    char *hosts; /* malloc'd */
    size_t hosts_len;
    struct timespec seen[2]; /* when the two files were changed */
    rmr_time looked_at;
} links;

struct rmr_posix {
    rmr_log log;
    char *dir;
    int dir_fd;
    bool no_links;
    bool has_room; /* a descriptor was freed: listeners try again */
    rmr_err first_result;
    mach *machs;
    uint64_t n_machs, n_accepted; /* ever */
    obj **objs; /* in no order; ids beside them, to be searched fast */
    uint64_t *ids;
    struct pollfd *fds; /* fds[0] is for wake, fds[i + 1] for objs[i] */
    size_t n_objs, cap_objs, n_turns;
    rmr_time now;
    uint64_t wall_base; /* wall clock minus `now`, as told last */
    links links;
    int wake[2];
    atomic_int stop_asked;
    uint8_t in[PART_MAX];
    uint8_t scratch[RMR_IO_SCRATCH_MIN];
};

typedef void rmri_posix_op(rmr_posix *p, mach *m, obj *o, const rmr_io_op *op);

/* posix.c */
rmr_err rmri_posix_err(int e);
rmr_io_event rmri_posix_event(rmr_io_event_kind kind, uint64_t id, rmr_err e);
void rmri_posix_tell(rmr_posix *p, mach *m, rmr_io_event ev);
void rmri_posix_drain(rmr_posix *p, mach *m);
/* NULL: no memory; fd was closed then. */
obj *rmri_posix_new(rmr_posix *p, mach *m, uint64_t id, obj_kind kind, int fd);
obj *rmri_posix_find(const rmr_posix *p, const mach *m, uint64_t id);
void rmri_posix_drop(rmr_posix *p, obj *o);
rmri_posix_op rmri_posix_stop;

/* net.c */
short rmri_posix_wants(const obj *o);
void rmri_posix_ready(rmr_posix *p, obj *o, short revents);
void rmri_posix_expire(rmr_posix *p, obj *o);
rmri_posix_op rmri_posix_udp_open, rmri_posix_udp_send, rmri_posix_connect,
    rmri_posix_listen, rmri_posix_pause, rmri_posix_read, rmri_posix_send,
    rmri_posix_shutdown, rmri_posix_close, rmri_posix_abort;

/* files.c */
rmr_err rmri_posix_open_dir(rmr_posix *p, const char *dir);
bool rmri_posix_name(rmr_bytes name, char out[NAME_SIZE]);
rmri_posix_op rmri_posix_load, rmri_posix_store;
void rmri_posix_store_drop(const rmr_posix *p, const obj *o);

/* links.c */
void rmri_posix_links_check(rmr_posix *p);
void rmri_posix_links_tell(rmr_posix *p, mach *m);
void rmri_posix_read_resolv(links *l, const char *path);

#endif
