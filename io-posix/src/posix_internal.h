/* What the parts of the adapter share. */
#ifndef REMORA_POSIX_INTERNAL_H
#define REMORA_POSIX_INTERNAL_H

#include <remora/posix.h>
#include <remora/timer.h>

#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#define PART_MAX ((size_t)64 * 1024) /* of a blob or a stream; a datagram */
#define NAME_SIZE 201                /* a blob's or an endpoint's, and NUL */
#define READY_MAX 256                /* sockets served in one turn */

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
    OBJ_DEAD = 64     /* closed; freed at the end of the turn       */
} obj_kind;

typedef enum icmp_form { /* how the host lets us have ICMP echo */
    ICMP_NONE = 0,
    ICMP_DGRAM,
    ICMP_RAW
} icmp_form;

typedef union os_addr {
    struct sockaddr sa;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un un;
} os_addr;

typedef struct obj { /* what has an id */
    mach *m;
    uint64_t id;
    struct obj *next_hash;    /* with the same hash of the id                */
    struct obj *next_changed; /* to be settled at the end of the turn        */
    uint32_t at;              /* its place in objs                           */
    int fd;
    obj_kind kind;
    short watched;   /* what the kernel watches for us; -1: nothing, see epoll.c */
    bool is_deaf;    /* no watcher can wait for it, see watch.c       */
    bool is_changed; /* in the list of the changed ones               */
    bool is_eof;     /* told                                          */
    bool is_hup;     /* poll knows nothing new until we want something */
    bool is_paused;  /* a listener, by ACCEPT_PAUSE                   */
    bool is_shut;    /* SHUTDOWN came; done when `out` is sent        */
    bool no_runs;    /* UDP: the host can't cut runs for this socket  */
    bool is_whole;   /* UDP: its datagrams are never fragmented       */
    uint8_t icmp;    /* enum icmp_form: an ICMP_OPEN's                */
    rmr_timer timer; /* connecting, closing, a listener's rest        */
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
    rmr_io_link of_addrs[64]; /* what they are on */
    rmr_addr servers[8];
    rmr_addr gateways[8];
    size_t n_addrs, n_servers, n_gateways;
    char search[512];
    char *hosts; /* malloc'd */
    size_t hosts_len;
    struct timespec seen[2]; /* when the two files were changed */
    rmr_time looked_at;
    rmr_time due; /* look again then, whatever else happens */
    int fd;       /* tells of changes; -1: none, we look by the clock */
} links;

typedef struct ready { /* what a wait found */
    obj *o;
    short revents;
} ready;

struct rmr_posix {
    rmr_log log;
    char *dir;
    int dir_fd;
    bool no_links, no_offload, portable, dir_shared;
    bool has_room;       /* a descriptor was freed: listeners try again */
    bool is_woken;       /* by rmr_posix_wake                           */
    bool has_link_news;  /* from links.fd                               */
    rmr_err first_result;
    mach *machs;
    uint64_t n_machs, n_accepted; /* ever */
    obj **objs;                   /* in no order */
    obj **hash;                   /* cap_objs chains, by id */
    obj *changed;
    size_t n_objs, cap_objs; /* the latter a power of two */
    size_t n_resting;        /* listeners without descriptors */
    rmr_timers timers;
    int epoll_fd;       /* -1: by poll(2) */
    rmr_posix_watcher watcher; /* while epoll_fd is -1; watch NULL: none */
    size_t n_closing;          /* descriptors that it still holds        */
    size_t n_deaf;             /* streams that it can't watch ...        */
    rmr_time deaf_due;         /* ... and when they are looked at        */
    struct pollfd *fds; /* for poll: of wake, of links, of each of objs */
    size_t cap_fds, poll_at; /* where the next turn begins with taking */
    ready ready[READY_MAX];
    size_t n_ready;
    rmr_time now;
    uint64_t wall_base; /* wall clock minus `now`, as told last */
    links links;
    rmr_posix_stats stats;
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
rmri_posix_op rmri_posix_stop;

/* objs.c */
bool rmri_posix_reserve(rmr_posix *p);
/* NULL: no memory; fd was closed then. */
obj *rmri_posix_new(rmr_posix *p, mach *m, uint64_t id, obj_kind kind, int fd);
obj *rmri_posix_find(const rmr_posix *p, const mach *m, uint64_t id);
/* Its place is free at once, its memory after settle(): others may still hold
 * the pointer in this turn. */
void rmri_posix_drop(rmr_posix *p, obj *o);
/* What is to be watched of it may be another: settle() will see. */
void rmri_posix_changed(rmr_posix *p, obj *o);
void rmri_posix_settle(rmr_posix *p);
void rmri_posix_set_deadline(rmr_posix *p, obj *o, rmr_time at);

/* poll.c: fills ready, is_woken and has_link_news; -1 and errno */
int rmri_posix_wait(rmr_posix *p, int timeout_ms);
bool rmri_posix_poll_reserve(rmr_posix *p, size_t n_objs);
/* What to wait for; -1: for nothing, not even for errors. */
short rmri_posix_watch_of(const obj *o);

/* watch.c */
/* `fd` stays where it is: epoll tells it from objects by its address. */
void rmri_posix_watch_fd(rmr_posix *p, int *fd);
void rmri_posix_watch_sync(rmr_posix *p, obj *o);
/* Epoll refused: without it from now on. */
void rmri_posix_watch_anew(rmr_posix *p);
/* Nothing when fd is -1. */
void rmri_posix_watch_close(rmr_posix *p, int fd, bool is_watched);
void rmri_posix_watch_drop(rmr_posix *p, obj *o);
void rmri_posix_watch_looked(rmr_posix *p);

/* epoll.c, where there is epoll, else plain.c */
void rmri_posix_epoll_open(rmr_posix *p);
void rmri_posix_epoll_watch_fd(rmr_posix *p, int *fd);
void rmri_posix_epoll_sync(rmr_posix *p, obj *o);
void rmri_posix_epoll_forget(rmr_posix *p, obj *o);
int rmri_posix_epoll_wait(rmr_posix *p, int timeout_ms);

/* sock.c: addresses and descriptors of the system */
rmr_addr rmri_posix_from_os(const os_addr *a);
/* 0 and errno: there is no such address. */
socklen_t rmri_posix_to_os(os_addr *out, const rmr_addr *a);
bool rmri_posix_would_block(int e);
/* -1: closes it and keeps errno. */
int rmri_posix_unless(bool failed, int fd);
/* Not blocking, and closed by exec. */
int rmri_posix_set_up(int fd);
int rmri_posix_socket(int family, int type, int protocol);
void rmri_posix_set_option(int fd, int level, int name, int value);
/* The object of an operation that opens; FAILED and NULL: fd is -1, or there
 * is no memory. */
obj *rmri_posix_opened(rmr_posix *p, mach *m, const rmr_io_op *op,
                       obj_kind kind, int fd);
void rmri_posix_tell_kind(rmr_posix *p, const obj *o, rmr_io_event_kind kind);
void rmri_posix_tell_opened(rmr_posix *p, const obj *o);
/* What the socket did not take stays in `out`; false: no memory for it. */
bool rmri_posix_keep(obj *o, rmr_bytes rest);
rmr_bytes rmri_posix_kept(const obj *o);

/* udp.c */
rmri_posix_op rmri_posix_udp_open, rmri_posix_udp_send, rmri_posix_icmp_open;
void rmri_posix_udp_write(rmr_posix *p, obj *o, rmr_bytes rest);
void rmri_posix_udp_read(rmr_posix *p, obj *o);

/* offload.c: many datagrams a call, where the host has that, else plain.c */
void rmri_posix_offload_open(rmr_posix *p, obj *o);
/* Bytes of `len` that one call can send; no more than a datagram: plainly. */
size_t rmri_posix_offload_run(const obj *o, size_t len);
ssize_t rmri_posix_offload_send(const obj *o, const os_addr *to, socklen_t len,
                                rmr_bytes run);
/* As recvfrom; *seg_size: 0, or that of a run. */
ssize_t rmri_posix_offload_recv(const obj *o, rmr_buf dst, os_addr *from,
                                uint32_t *seg_size);

/* icmp.c: an echo reply's place within what was received; false: it is none */
int rmri_posix_icmp_socket(uint8_t family, uint8_t *form);
bool rmri_posix_icmp_reply(const obj *o, rmr_buf *data);

/* net.c */
short rmri_posix_wants(const obj *o);
void rmri_posix_ready(rmr_posix *p, obj *o, short revents);
void rmri_posix_expire(rmr_posix *p, obj *o);
rmri_posix_op rmri_posix_connect, rmri_posix_listen, rmri_posix_pause,
    rmri_posix_read, rmri_posix_send, rmri_posix_shutdown, rmri_posix_close,
    rmri_posix_abort;

/* files.c */
rmr_err rmri_posix_open_dir(rmr_posix *p, const char *dir);
bool rmri_posix_name(rmr_bytes name, char out[NAME_SIZE]);
rmri_posix_op rmri_posix_load, rmri_posix_store;
void rmri_posix_store_drop(const rmr_posix *p, const obj *o);

/* links.c */
void rmri_posix_links_open(rmr_posix *p, bool by_clock);
void rmri_posix_links_close(rmr_posix *p);
/* What links.fd said; looks when it is time, and tells what changed. */
void rmri_posix_links_news(rmr_posix *p);
void rmri_posix_links_check(rmr_posix *p);
void rmri_posix_links_tell(rmr_posix *p, mach *m);
void rmri_posix_read_resolv(links *l, const char *path);

/* netlink.c on Linux, route.c on Apple's and BSD, else plain_links.c.  A
 * descriptor that tells of changes; -1: the host has nothing of the kind. */
int rmri_posix_routes_open(void);
size_t rmri_posix_gateways(rmr_addr *out, size_t max);
/* All, of interfaces that are up; false: the host does not say. */
bool rmri_posix_own_addrs(rmr_addr *out, rmr_io_link *of_out, size_t max,
                          size_t *n);

#endif
