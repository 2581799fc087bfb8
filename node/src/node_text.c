/* Sentences for the user: what happened, and what to do. */
#include "node_internal.h"

const char *rmr_node_state_name(rmr_node_state s)
{
    switch (s) {
    case RMR_NODE_STARTING:
        return "Starting";
    case RMR_NODE_NEEDS_LOGIN:
        return "NeedsLogin";
    case RMR_NODE_RUNNING:
        return "Running";
    case RMR_NODE_STOPPED:
        return "Stopped";
    case RMR_NODE_NEEDS_APPROVAL:
        return "NeedsMachineAuth";
    default:
        return "NoState";
    }
}

static const char *own_text(rmr_err e)
{
    switch (e) {
    case RMR_E_NODE_STATE_DAMAGED:
        return "the state file remora.state is damaged and was left as it is: "
               "restore it from a backup, or move it away and join again with "
               "an auth key";
    case RMR_E_NODE_STATE_WRITE:
        return "the state can't be written: check that the state directory "
               "is writable and the disk is not full";
    case RMR_E_NODE_STATE_READ:
        return "the state can't be read: check the permissions of the state "
               "directory";
    case RMR_E_NODE_LISTEN:
        return "a local address can't be listened on: choose another, or end "
               "what uses it";
    case RMR_E_NODE_OTHER_URL:
        return "the state directory belongs to another control server: give "
               "its URL, or choose another --state-dir";
    case RMR_E_NODE_CA:
        return "the CA file holds no usable certificate: give a PEM file";
    case RMR_E_NODE_IN_USE:
        return "another node runs with this state directory: stop it with "
               "`remora down`, or choose another --state-dir";
    case RMR_E_NODE_STATE_SEALED:
        return "the state is sealed by a key that was not given, and was left "
               "as it is: give the key that sealed it";
    case RMR_E_NODE_STATE_NEWER:
        return "the state was written by a later remora, and was left as it "
               "is: run that one, or a later";
    case RMR_E_NODE_STATE_PLAIN:
        return "the state is not sealed, though there is a key for it, and was "
               "left as it is: somebody may have put it there; if it is yours, "
               "allow a plain state for one start";
    default:
        return NULL;
    }
}

const char *rmr_node_err_text(rmr_err e)
{
    const char *text = own_text(e);
    if (text)
        return text;
    switch (-e / 1000) {
    case RMR_LAYER_CTL:
        return rmr_ctl_err_text(e);
    case RMR_LAYER_DERP:
        return rmr_derp_err_text(e);
    case RMR_LAYER_TLS:
        return rmr_tls_err_text(e);
    default:
        return rmr_err_name(e);
    }
}
