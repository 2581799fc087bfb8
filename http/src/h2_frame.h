/* The buffer in which nghttp2 packs a frame, shared by sessions.
 *
 * A session takes it once, when it is made, and keeps its address for good; but
 * it uses it from the moment a frame is packed until the last of its bytes is
 * handed out, and then has nothing more to write.  So between two calls of
 * write at such a point what stands there is no one's.  Where a call ends
 * before that (dst was full) the bytes are kept aside and put back before the
 * next. */
#ifndef RMRI_H2_FRAME_H
#define RMRI_H2_FRAME_H

#include <nghttp2/nghttp2.h>
#include <remora/h2.h>

/* nghttp2 asks for 16,394 bytes (1.52): a frame's head, a pad length, its
 * most payload; what is larger is not lent. */
#define RMRI_H2_FRAME_MIN 16384u
#define RMRI_H2_FRAME_LEN 16640u

struct rmr_h2_frame {
    rmr_alloc alloc;
    bool busy; /* a session writes */
    RMR_ALIGNAS(16) uint8_t bytes[RMRI_H2_FRAME_LEN];
};

typedef struct rmri_h2_lend { /* a session's memory, and its share of one */
    rmr_alloc alloc;
    rmr_h2_frame *frame; /* NULL: none is shared */
    bool making;         /* the session is being made */
    bool has;            /* it was given the frame */
    bool inside;         /* of nghttp2, which may write to it */
    uint8_t *kept;       /* of a frame that was not handed out whole */
    uint8_t *other;      /* of one that writes, and called us from there */
} rmri_h2_lend;

/* nghttp2's memory out of l, which must stay where it is. */
nghttp2_mem rmri_h2_mem(rmri_h2_lend *l);
/* Around each call of nghttp2_session_mem_send, and around what makes the
 * session (a client's puts its preface there).  Errors: NOMEM; neither may be
 * called. */
rmr_err rmri_h2_lend_begin(rmri_h2_lend *l, bool making);
/* \param needed  Bytes of the frame are still to come.
 * Errors: NOMEM; they are lost. */
rmr_err rmri_h2_lend_end(rmri_h2_lend *l, bool needed);
/* When the session is gone. */
void rmri_h2_lend_free(rmri_h2_lend *l);

#endif
