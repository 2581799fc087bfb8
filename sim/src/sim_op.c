/* Which part performs which operation. */
#include "sim_internal.h"

static void close_id(rmr_sim *s, uint32_t program, uint64_t id)
{
    uint64_t handle;
    sim_object *o = rmri_sim_object_of(s, program, id, &handle);
    if (rmri_sim_store_close(s, program, id) || !o) {
        rmri_sim_object_free(s, handle);
        return;
    }
    if (o->kind == SIM_END)
        rmri_sim_stream_close(s, o);
    else if (o->kind == SIM_LISTENER)
        rmri_sim_listener_close(s, handle);
    rmri_sim_object_free(s, handle);
}

static void perform_end(rmr_sim *s, const rmr_io_op *op, sim_object *o,
                        uint64_t handle)
{
    switch (op->kind) {
    case RMR_IO_READ:
        rmri_sim_stream_read(s, o, op->credit);
        break;
    case RMR_IO_STREAM_SEND:
        rmri_sim_stream_send(s, o, op->data);
        break;
    case RMR_IO_SHUTDOWN:
        rmri_sim_stream_shut(s, o);
        break;
    case RMR_IO_ABORT:
        rmri_sim_stream_abort(s, o, false);
        rmri_sim_object_free(s, handle);
        break;
    default:
        break;
    }
}

static void perform_on(rmr_sim *s, uint32_t program, const rmr_io_op *op)
{
    uint64_t handle;
    sim_object *o = rmri_sim_object_of(s, program, op->id, &handle);
    if (!o)
        return; /* closed, or reset by the far end: no harm */
    if (o->kind == SIM_END)
        perform_end(s, op, o, handle);
    else if (op->kind == RMR_IO_UDP_SEND && o->kind == SIM_SOCKET)
        rmri_sim_udp_send(s, o, handle, op);
    else if (op->kind == RMR_IO_ACCEPT_PAUSE && o->kind == SIM_LISTENER)
        o->is_paused = true;
    else if (op->kind == RMR_IO_ACCEPT_RESUME && o->kind == SIM_LISTENER)
        rmri_sim_resume(s, handle);
}

void rmri_sim_perform(rmr_sim *s, uint32_t program, const rmr_io_op *op)
{
    uint64_t handle;
    switch (op->kind) {
    case RMR_IO_UDP_OPEN:
    case RMR_IO_ICMP_OPEN:
        rmri_sim_udp_open(s, program, op);
        break;
    case RMR_IO_CONNECT:
        rmri_sim_connect(s, program, op);
        break;
    case RMR_IO_LISTEN:
        rmri_sim_listen(s, program, op);
        break;
    case RMR_IO_LOAD:
        rmri_sim_load(s, program, op);
        break;
    case RMR_IO_STORE:
        rmri_sim_store(s, program, op);
        break;
    case RMR_IO_CLOSE:
        close_id(s, program, op->id);
        break;
    case RMR_IO_RESOLVE:
        if (rmri_sim_object_new(s, SIM_REQUEST, program, op->id, &handle))
            rmri_sim_answer(s, program, RMR_IO_FAILED, op->id,
                            RMR_E_UNSUPPORTED);
        break;
    default:
        perform_on(s, program, op);
        break;
    }
}
