/*
 * remora/machine.h - what every machine needs: objects, streams, names.
 *
 * A machine (remora/io.h) speaks in ids, operations and events.  The kit keeps
 * its objects (UDP and ICMP sockets, listeners, streams, blobs), queues their
 * operations fairly, and hands each event to the object's owner.  On top are
 * links: a stream to a host that is resolved, connected, led through a proxy
 * and wrapped in TLS as an rmr_dial says, for a layer that reads and writes
 * bytes.  The node, the relay and others are built on it.
 *
 * It is no machine itself: the owner passes events, operations and deadlines
 * through, and adds its own.  It knows no protocol above TLS.
 *
 * Source: remora/io.h; RFC 9110 9.3.6 (CONNECT).
 * Threading: one kit, one thread.  Memory: from rmr_env; an object takes about
 * 250 bytes, a link 0.9 KiB (1 KiB more while it connects) and, while it is
 * open, its TLS: 4 KiB, and 17 KiB more while it is in use.  A link that finds
 * no memory then ends, NOMEM.
 * Time: ns, given with each call; an earlier `now` counts as the latest seen.
 *
 *     rmr_mc_config cfg;
 *     rmr_mc_config_init(&cfg, sizeof cfg);
 *     cfg.anchors = anchors;
 *     if (rmr_mc_new(&mc, &env, &cfg)) fail();
 *     rmr_mc_link *l = rmr_mc_link_new(mc, &my_layer_ops, my_layer);
 *     rmr_mc_link_dial(l, now, &dial);
 *     // event:           rmr_mc_event(mc, now, ev);
 *     // next_op:         rmr_mc_pump(mc, now);
 *     //                  if (rmr_mc_next_op(mc, now, scratch, op)) return;
 *     // next_deadline:   rmr_mc_next_deadline(mc)
 *     // handle_deadline: rmr_mc_handle_deadline(mc, now);
 *     rmr_mc_free(mc);
 */
#ifndef REMORA_MACHINE_H
#define REMORA_MACHINE_H

#include <remora/base.h>
#include <remora/dial.h>
#include <remora/io.h>
#include <remora/tls.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rmr_mc rmr_mc;
typedef struct rmr_mc_io rmr_mc_io;     /* valid until closed, or failed     */
typedef struct rmr_mc_link rmr_mc_link;

/* ---- the kit ----------------------------------------------------------- */

/* An HTTP proxy, for every link.  Texts are copied. */
typedef struct rmr_mc_proxy {
    const char *host;          /* NULL or "": none                           */
    uint16_t port;
    const char *authorization; /* NULL, or "user:password" for Basic         */
    /* Hosts that are dialled without it, as in the variable NO_PROXY: names
     * (with all names below them), address literals, prefixes, or "*"; divided
     * by commas or spaces. */
    const char *no_proxy;
} rmr_mc_proxy;

typedef struct rmr_mc_config {
    uint32_t struct_size;
    uint32_t max_objects;             /* sockets, streams, blobs; 8192       */
    const rmr_tls_anchors *anchors;   /* of links; retained, may be NULL     */
    const rmr_gcm *gcm;               /* for their TLS, likewise             */
    rmr_mc_proxy proxy;
    void *user;
    /* Something came in, or went out: layers may have more to do.  Each event
     * calls it, but those of a link whose layer has a stir of its own. */
    void (*on_stir)(void *user);
} rmr_mc_config;

/** Sets every field to its default.
 *  Effects: on *cfg.  Errors: none.  Source: contract, sized structs. */
RMR_API void rmr_mc_config_init(rmr_mc_config *cfg, size_t struct_size);
/** Makes a kit without objects.
 *  Effects: draws random bytes for its tables.
 *  Errors: INVAL (struct_size, a proxy's text too long), NOMEM, RNG.
 *  Lifetime: cfg->anchors, gcm and user until free; env is copied.
 *  Source: none. */
RMR_API rmr_err rmr_mc_new(rmr_mc **out, const rmr_env *env,
                           const rmr_mc_config *cfg);
/** Frees it and its objects, without a word to their owners.  NULL is allowed.
 *  Effects: links must have been freed before.  Errors: none.
 *  Source: none. */
RMR_API void rmr_mc_free(rmr_mc *mc);
/** Takes an event of the machine's: WALL and LINKS for itself (the owner may
 *  look at them too), the others for their object.
 *  Effects: calls on_stir, or the stir of a link's layer, and then the object's
 *  owner.  Errors: UNKNOWN: an object that is gone, or none of ours; no harm is
 *  done.
 *  Source: remora/io.h. */
RMR_API rmr_err rmr_mc_event(rmr_mc *mc, rmr_time now, const rmr_io_event *ev);
/** Opens and closes the resolver's sockets as it needs them; before next_op,
 *  whenever something happened.
 *  Effects: makes operations.  Errors: none.  Source: RFC 5452 9.2. */
RMR_API void rmr_mc_pump(rmr_mc *mc, rmr_time now);
/** Gives one operation; false: there is none now.
 *  Effects: owners produce their bytes into scratch.  Errors: none.
 *  Source: remora/io.h. */
RMR_API bool rmr_mc_next_op(rmr_mc *mc, rmr_time now, rmr_buf scratch,
                            rmr_io_op *op);
/** The earliest deadline of links and questions.
 *  Effects: none.  Errors: none.  Source: contract T4. */
RMR_API rmr_time rmr_mc_next_deadline(const rmr_mc *mc);
/** Ends what ran out of time.
 *  Effects: calls the owners of links.  Errors: none.
 *  Source: contract T5. */
RMR_API void rmr_mc_handle_deadline(rmr_mc *mc, rmr_time now);
/** The time of day, unix ns, as WALL told it; 0 + elapsed before.
 *  Effects: none.  Errors: none.  Source: contract T6. */
RMR_API uint64_t rmr_mc_wall(const rmr_mc *mc, rmr_time now);
/** Objects that are in memory.
 *  Effects: none.  Errors: none.  Source: none. */
RMR_API size_t rmr_mc_objects(const rmr_mc *mc);

/* ---- objects ----------------------------------------------------------- */

typedef enum rmr_mc_io_kind {
    RMR_MC_UDP,
    RMR_MC_ICMP,
    RMR_MC_LISTENER,
    RMR_MC_STREAM,
    RMR_MC_LOAD,
    RMR_MC_STORE
} rmr_mc_io_kind;

/* What the owner of an object hears.  Members that can't come are NULL. */
typedef struct rmr_mc_io_ops {
    void (*opened)(void *owner, rmr_time now, const rmr_addr *local);
    /* It could not be opened, was reset, or (blobs) failed; the object is gone
     * after this call. */
    void (*failed)(void *owner, rmr_time now, rmr_err why);
    void (*bytes)(void *owner, rmr_time now, rmr_buf data);
    void (*eof)(void *owner, rmr_time now);
    void (*accepted)(void *owner, rmr_time now, uint64_t child,
                     const rmr_addr *remote);
    void (*accept_failed)(void *owner, rmr_time now, rmr_err why);
    void (*datagrams)(void *owner, rmr_time now, const rmr_addr *from,
                      rmr_buf data, uint32_t seg_size);
    /* A stream's bytes, or a blob's part, into scratch; 0: none now.  It may
     * let the object go. */
    size_t (*produce)(void *owner, rmr_time now, rmr_buf scratch);
    /* One UDP_SEND (addr, data, seg_size) into op; false: none now.  It may
     * name another socket in op->id. */
    bool (*produce_udp)(void *owner, rmr_time now, rmr_buf scratch,
                        rmr_io_op *op);
    /* LOAD: a part; more: others follow.  After the last the object is gone. */
    void (*loaded)(void *owner, rmr_time now, rmr_bytes part, bool more);
    /* STORE: durable; the object is gone. */
    void (*stored)(void *owner, rmr_time now);
    /* UDP: a datagram could not be sent. */
    void (*send_failed)(void *owner, rmr_time now, const rmr_addr *to,
                        rmr_err why);
    /* A stream: what produce gave last has been taken by the host. */
    void (*sent)(void *owner, rmr_time now);
    /* Bytes came, or may be sent again: in place of on_stir.  NULL: on_stir. */
    void (*stir)(void *owner);
} rmr_mc_io_ops;

/** Connects a stream to an address, or to a local endpoint's name.
 *  Effects: an operation; later opened or failed.
 *  Errors: NULL: no memory, too many objects, or the name is too long.
 *  Lifetime: ops and owner as long as the object.  Source: remora/io.h. */
RMR_API rmr_mc_io *rmr_mc_connect(rmr_mc *mc, const rmr_addr *to,
                                  const char *name, rmr_dur timeout,
                                  const rmr_mc_io_ops *ops, void *owner);
/** Listens at an address, or at a local endpoint's name.
 *  Effects: as connect.  Errors: as connect.  Lifetime: as connect.
 *  Source: remora/io.h. */
RMR_API rmr_mc_io *rmr_mc_listen(rmr_mc *mc, const rmr_addr *at,
                                 const char *name, const rmr_mc_io_ops *ops,
                                 void *owner);
/** Streams of a listener are reset when what they sent stays unacknowledged for
 *  `most`; at once behind rmr_mc_listen.
 *  Effects: none else; hosts that can't do it don't.  Errors: none.
 *  Source: remora/io.h, LISTEN; RFC 5482. */
RMR_API void rmr_mc_listen_acked(rmr_mc_io *listener, rmr_dur most);
/** Opens a UDP socket; port 0: any.
 *  Effects: as connect.  Errors: as connect.  Source: remora/io.h. */
RMR_API rmr_mc_io *rmr_mc_udp(rmr_mc *mc, const rmr_addr *at,
                              const rmr_mc_io_ops *ops, void *owner);
/** Wishes that a UDP socket's datagrams are never fragmented; in the turn that
 *  opened it.
 *  Effects: on the operation.  Errors: none.  Source: remora/io.h. */
RMR_API void rmr_mc_io_dont_fragment(rmr_mc_io *io);
/** True when the host does so; known when it is open.
 *  Effects: none.  Errors: none.  Source: remora/io.h. */
RMR_API bool rmr_mc_io_is_whole(const rmr_mc_io *io);
/** Opens a socket for ICMP echo messages of at->family.
 *  Effects: as connect; UNSUPPORTED or DENIED on many hosts.
 *  Errors: as connect.  Source: remora/io.h. */
RMR_API rmr_mc_io *rmr_mc_icmp(rmr_mc *mc, const rmr_addr *at,
                               const rmr_mc_io_ops *ops, void *owner);
/** Takes an accepted stream.
 *  Effects: none.  Errors: NULL: no memory; the stream is given back then.
 *  Source: remora/io.h. */
RMR_API rmr_mc_io *rmr_mc_adopt(rmr_mc *mc, uint64_t child,
                                const rmr_mc_io_ops *ops, void *owner);
/** Gives an accepted stream back: it is reset.
 *  Effects: an operation.  Errors: none.  Source: remora/io.h. */
RMR_API void rmr_mc_refuse(rmr_mc *mc, uint64_t child);
/** Loads a blob: ops->loaded, or failed (NOTFOUND: there is none).
 *  Effects: as connect.  Errors: as connect.  Source: remora/io.h. */
RMR_API rmr_mc_io *rmr_mc_load(rmr_mc *mc, const char *name,
                               const rmr_mc_io_ops *ops, void *owner);
/** Stores a blob; ops->produce gives the parts and says
 *  rmr_mc_io_last_part with the last one.
 *  Effects: as connect.  Errors: as connect.  Source: remora/io.h. */
RMR_API rmr_mc_io *rmr_mc_store(rmr_mc *mc, const char *name,
                                const rmr_mc_io_ops *ops, void *owner);

/** There is something to send: produce is asked until it answers none.
 *  Effects: operations.  Errors: none.  Source: none. */
RMR_API void rmr_mc_io_output(rmr_mc_io *io);
/** Lets `total` bytes be outstanding: gives what is missing to that.
 *  Effects: an operation, unless the missing part is small.  Errors: none.
 *  Source: remora/io.h, READ. */
RMR_API void rmr_mc_io_credit(rmr_mc_io *io, size_t total);
/** Half-closes a stream behind what produce still gives.
 *  Effects: an operation.  Errors: none.  Source: remora/io.h. */
RMR_API void rmr_mc_io_shutdown(rmr_mc_io *io);
/** Closes in order.  The owner hears nothing more and forgets the object.
 *  Effects: an operation.  Errors: none.  Source: remora/io.h. */
RMR_API void rmr_mc_io_close(rmr_mc_io *io);
/** Resets a stream; else as close.
 *  Effects: an operation.  Errors: none.  Source: remora/io.h. */
RMR_API void rmr_mc_io_abort(rmr_mc_io *io);
/** Holds a listener's further streams back, or lets them come again.
 *  Effects: an operation.  Errors: none.  Source: remora/io.h. */
RMR_API void rmr_mc_io_pause(rmr_mc_io *io, bool on);
/** In a store's produce: this part is the last.
 *  Effects: none else.  Errors: none.  Source: remora/io.h. */
RMR_API void rmr_mc_io_last_part(rmr_mc_io *io);
/** Another owner hears of the object from now on.
 *  Effects: none else.  Errors: none.  Lifetime: as connect.
 *  Source: none. */
RMR_API void rmr_mc_io_hand_over(rmr_mc_io *io, const rmr_mc_io_ops *ops,
                                 void *owner);
/** Its id in the adapter's words.
 *  Effects: none.  Errors: none.  Source: remora/io.h. */
RMR_API uint64_t rmr_mc_io_id(const rmr_mc_io *io);
/** What it is.
 *  Effects: none.  Errors: none.  Source: none. */
RMR_API rmr_mc_io_kind rmr_mc_io_kind_of(const rmr_mc_io *io);
/** Has the adapter opened it?
 *  Effects: none.  Errors: none.  Source: remora/io.h, OPENED. */
RMR_API bool rmr_mc_io_is_open(const rmr_mc_io *io);
/** Is a STREAM_SEND under way, or a UDP socket full?
 *  Effects: none.  Errors: none.  Source: remora/io.h, SENT, BLOCKED. */
RMR_API bool rmr_mc_io_is_sending(const rmr_mc_io *io);

/* ---- links: a stream for a layer --------------------------------------- */

typedef struct rmr_mc_link_ops { /* the layer above the stream */
    void (*opened)(void *owner, rmr_time now);
    /* It could not be opened, or has ended (why RMR_OK: in order). */
    void (*closed)(void *owner, rmr_time now, rmr_err why, const char *text);
    /* Any error of these two: the link is dropped, and closed not called. */
    rmr_err (*read)(void *owner, rmr_time now, rmr_buf data);
    rmr_err (*write)(void *owner, rmr_time now, rmr_buf dst, size_t *len);
    /* Bytes came or went on the open stream: this layer may have more to do,
     * and what its callbacks make others do they tell themselves.  In place of
     * on_stir, and before read.  NULL: on_stir. */
    void (*stir)(void *owner);
} rmr_mc_link_ops;

/** Makes a link that is idle.
 *  Effects: none.  Errors: NULL: no memory.
 *  Lifetime: ops and owner until free.  Source: none. */
RMR_API rmr_mc_link *rmr_mc_link_new(rmr_mc *mc, const rmr_mc_link_ops *ops,
                                     void *owner);
/** Closes and frees it.  NULL is allowed.  Not inside one of its calls.
 *  Effects: as close.  Errors: none.  Source: none. */
RMR_API void rmr_mc_link_free(rmr_mc_link *l);
/** Goes to `to`: resolves, connects (each address 1.5 s; the second family
 *  200 ms behind the first, who opens first is taken), asks the proxy, makes
 *  TLS.  By to->plan it resolves nothing, and follows that.  A link that is not
 *  idle is closed first.
 *  Effects: later ops->opened or closed; closed may come inside the call.
 *  Errors: none here.  Source: remora/dial.h; RFC 8305 5; RFC 9110 9.3.6. */
RMR_API void rmr_mc_link_dial(rmr_mc_link *l, rmr_time now,
                              const rmr_dial *to);
/** Ends it without telling the layer.
 *  Effects: operations.  Errors: none.  Source: none. */
RMR_API void rmr_mc_link_close(rmr_mc_link *l, rmr_time now);
/** The layer has something to write.
 *  Effects: ops->write is asked with a later next_op.  Errors: none.
 *  Source: none. */
RMR_API void rmr_mc_link_output(rmr_mc_link *l);
/** Opened and not closed.
 *  Effects: none.  Errors: none.  Source: none. */
RMR_API bool rmr_mc_link_is_open(const rmr_mc_link *l);
/** The local address of its stream, family NONE while it has none: when the
 *  host's addresses changed, a stream of one that is gone is dead.
 *  Effects: none.  Errors: none.  Source: none. */
RMR_API rmr_addr rmr_mc_link_local(const rmr_mc_link *l);

/* ---- names ------------------------------------------------------------- */

typedef void (*rmr_mc_resolved_fn)(void *user, rmr_time now, rmr_err err,
                                   const rmr_addr *addrs, size_t n);
/** Resolves a host name, or reads an address, for who needs no stream.
 *  Effects: `done` is called once, perhaps inside this call, unless
 *  rmr_mc_resolve_cancel comes before.  *id is set before that.
 *  Errors: NOMEM, INVAL (no name), FULL; done is not called then.
 *  Lifetime: user until done; the addresses for the call.
 *  Source: RFC 1035. */
RMR_API rmr_err rmr_mc_resolve(rmr_mc *mc, rmr_time now, const char *name,
                               rmr_mc_resolved_fn done, void *user,
                               uint64_t *id);
/** The answer is not wanted any more.
 *  Effects: done is not called.  Errors: none; an unknown id is ignored.
 *  Source: none. */
RMR_API void rmr_mc_resolve_cancel(rmr_mc *mc, uint64_t id);

/* ---- a private key as a blob -------------------------------------------- */

typedef struct rmr_mc_key rmr_mc_key;
/* Once: the key, 32 bytes, lent for the call; or err, with the reason as text
 * for the user. */
typedef void (*rmr_mc_key_fn)(void *user, rmr_time now, rmr_err err,
                              const char *text, const uint8_t *key);
/** Loads an X25519 key of the form "<word><64 hex digits>", or makes one and
 *  stores it first.  A damaged blob is told, and left as it is.
 *  Effects: operations; draws randomness; `done` is called later.
 *  Errors: INVAL (blob above 31 or word above 15 bytes), NOMEM.
 *  Lifetime: user until `done` or free; free it after `done`, within it too.
 *  Source: RFC 7748 5. */
RMR_API rmr_err rmr_mc_key_load(rmr_mc_key **out, rmr_mc *mc, const char *blob,
                                const char *word, rmr_mc_key_fn done,
                                void *user);
/** Wipes and frees; NULL is allowed.  Before the kit is freed.
 *  Effects: `done` is not called any more.  Errors: none.
 *  Source: contract S2. */
RMR_API void rmr_mc_key_free(rmr_mc_key *k);

#ifdef __cplusplus
}
#endif
#endif
