/* What the parts of the adapter share. */
#ifndef REMORA_POSIX_INTERNAL_H
#define REMORA_POSIX_INTERNAL_H

#include <remora/handle.h>
#include <remora/hash.h>
#include <remora/posix.h>

#include <poll.h>
#include <stdatomic.h>
#include <time.h>

#define PART_MAX ((size_t)64 * 1024) /* of a blob, of a stream, a datagram */
#define NAME_MAX_LEN 200             /* of a blob or a local endpoint      */

typedef struct mach { /* a machine */
    struct mach *next;
    rmr_machine m;
    uint64_t serial; /* 1 for the first, whose result run() gives   */
    size_t n_objs;
    bool is_live;    /* false: it stopped; never called again       */
    bool has_more;   /* its operations were cut short this turn     */
} mach;

typedef enum obj_kind {
    OBJ_UDP,
    OBJ_LISTENER,
    OBJ_CONNECTING,
    OBJ_STREAM,
    OBJ_CLOSING, /* a stream after CLOSE, its id forgotten      */
    OBJ_STORE    /* a blob whose last part has not come         */
} obj_kind;

typedef struct obj { /* what has an id */
    mach *m;
    uint64_t id, handle;
    int fd;
    obj_kind kind;
    bool is_eof;     /* EOF was told                                  */
    bool is_hup;     /* poll has nothing new to say until we want more */
    bool is_paused;  /* a listener, by ACCEPT_PAUSE                   */
    bool wants_shut; /* SHUTDOWN once `out` is empty ...              */
    bool is_shut;    /* ... which has been done                       */
    rmr_time deadline; /* connecting, closing; a listener's rest       */
    size_t credit;
    uint8_t *out; /* what the socket did not take; NULL: nothing      */
    size_t out_len, out_at;
    rmr_addr to; /* UDP: where `out` goes, in what pieces             */
    uint32_t seg_size;
    char *name;  /* a local listener's or a blob's                    */
    rmr_err err; /* of a STORE whose last part has not come           */
} obj;

typedef struct links { /* as last told; all malloc'd */
    rmr_addr *addrs;
    size_t n_addrs;
    rmr_addr servers[8];
    size_t n_servers;
    char search[512];
    char *hosts;
    size_t hosts_len;
    struct timespec hosts_time, resolv_time;
} links;

struct rmr_posix {
    rmr_env env;
    char *dir;
    int dir_fd;
    bool no_links;
    mach *machs;
    uint64_t n_serials, n_accepted;
    rmr_slots objs;
    rmr_hash ids; /* (machine's serial, id) to the handle in objs */
    rmr_time now;
    uint64_t wall_base; /* wall clock minus `now`, as told last */
    rmr_time links_at;  /* when they were looked at last        */
    links links;
    int wake[2];
    atomic_int stop_asked;
    bool has_room; /* a descriptor was freed: listeners try again */
    rmr_err first_result;
    struct pollfd *fds;
    uint64_t *fd_objs; /* handles, beside fds */
    size_t cap_fds, n_turns;
    uint8_t in[PART_MAX + 1];
    uint8_t scratch[RMR_IO_SCRATCH_MIN];
};

/* posix.c */
rmr_err rmri_posix_err(int e);
void rmri_posix_tell(rmr_posix *p, mach *m, const rmr_io_event *ev);
void rmri_posix_answer(rmr_posix *p, mach *m, uint64_t id,
                       rmr_io_event_kind kind, rmr_err err);
void rmri_posix_end(rmr_posix *p, mach *m, rmr_err err, bool is_broken);
void rmri_posix_drain(rmr_posix *p, mach *m);
/* NULL: no memory; fd was closed then. */
obj *rmri_posix_obj(rmr_posix *p, mach *m, uint64_t id, obj_kind kind, int fd);
obj *rmri_posix_find(rmr_posix *p, const mach *m, uint64_t id);
/* Its id is nobody's from now on. */
void rmri_posix_forget(rmr_posix *p, const obj *o);
void rmri_posix_obj_free(rmr_posix *p, obj *o);

/* net.c */
short rmri_posix_wants(const obj *o);
void rmri_posix_ready(rmr_posix *p, obj *o, short revents);
void rmri_posix_expire(rmr_posix *p, obj *o);
void rmri_posix_udp_open(rmr_posix *p, mach *m, const rmr_io_op *op);
void rmri_posix_udp_send(rmr_posix *p, obj *o, const rmr_io_op *op);
void rmri_posix_connect(rmr_posix *p, mach *m, const rmr_io_op *op);
void rmri_posix_listen(rmr_posix *p, mach *m, const rmr_io_op *op);
void rmri_posix_send(rmr_posix *p, obj *o, rmr_bytes data);
void rmri_posix_shutdown(obj *o);
/* In order: what is queued is still sent. */
void rmri_posix_close(rmr_posix *p, obj *o);
void rmri_posix_abort(rmr_posix *p, obj *o);

/* blob.c */
rmr_err rmri_posix_open_dir(rmr_posix *p, const char *dir);
bool rmri_posix_name(rmr_bytes name, char out[NAME_MAX_LEN + 1]);
void rmri_posix_load(rmr_posix *p, mach *m, const rmr_io_op *op);
void rmri_posix_store(rmr_posix *p, mach *m, const rmr_io_op *op);
void rmri_posix_store_drop(rmr_posix *p, obj *o);

/* links.c */
void rmri_posix_links_check(rmr_posix *p);
void rmri_posix_links_tell(rmr_posix *p, mach *m);
void rmri_posix_links_free(links *l);

#endif
