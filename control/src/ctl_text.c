/* What the client says to the user, and how it tells faults apart. */
#include "ctl_internal.h"

#include <string.h>

const char *rmr_ctl_err_text(rmr_err e)
{
    switch (e) {
    case RMR_E_CTL_HTTP:
        return "the server answered as no control server does: check the URL, "
               "and whether a proxy redirects";
    case RMR_E_CTL_PROXY:
        return "a reverse proxy strips the Upgrade header: let it pass "
               "\"Upgrade: tailscale-control-protocol\" on POST /ts2021";
    case RMR_E_CTL_GATEWAY:
        return "the proxy could not reach the control server, or refuses "
               "upgrades: check the server behind it";
    case RMR_E_CTL_HANDSHAKE:
        return "the Noise handshake failed: the server has another key, or "
               "does not accept capability version 138";
    case RMR_E_CTL_REWRITTEN:
        return "something between us and the server rewrites the stream: "
               "check proxies and virus scanners on the way";
    case RMR_E_CTL_SILENT:
        return "the control server does not answer: check the network and the "
               "server";
    case RMR_E_CTL_MAP:
        return "the control server sent a map that can't be read: update it, "
               "or report this";
    case RMR_E_CTL_ENDED:
        return "the control server ended the connection; it is tried again";
    case RMR_E_CTL_REFUSED:
        return "the control server refuses this node: see its words";
    case RMR_E_CTL_AUTH_KEY:
        return "the auth key is not accepted: make a new one";
    case RMR_E_CTL_NEEDS_LOGIN:
        return "a login is needed: give an auth key, or open the URL that is "
               "told";
    case RMR_E_CTL_KEY_CHANGED:
        return "the control server has another key than before, and plain http "
               "can't prove that it is the same server: if it was set up anew, "
               "use --accept-control-key";
    case RMR_E_CTL_TOO_OLD:
        return "the control server is too old: it has no Noise key; update it";
    case RMR_E_CTL_TOO_NEW:
        return "the control server does not accept capability version 138 "
               "any more: update this program";
    case RMR_E_CTL_LOCKED:
        return "tailnet lock is on: this client can't sign its key, so it "
               "can't join";
    case RMR_E_CTL_KEY_EXPIRED:
        return "the node key has expired: log in again, or give an auth key";
    default:
        return rmr_err_name(e);
    }
}

rmr_err rmri_ctl_classify_upgrade(uint16_t status, rmr_bytes body)
{
    if ((status == 400 || status == 500) &&
        (rmri_ctl_contains(body, "next protocol") ||
         rmri_ctl_contains(body, "Internal error")))
        return RMR_E_CTL_PROXY;
    if (status == 426 || (status >= 501 && status <= 504) ||
        (status >= 520 && status <= 529))
        return RMR_E_CTL_GATEWAY;
    return RMR_E_CTL_HTTP;
}

bool rmri_ctl_is_version_refusal(uint16_t status, rmr_bytes body)
{
    return status == 400 &&
           rmri_ctl_contains(body, "unsupported client version");
}
