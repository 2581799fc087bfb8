/* TLS errors, for the user. */
#include <remora/tls.h>

const char *rmr_tls_err_text(rmr_err e)
{
    switch (e) {
    case RMR_E_TLS_PROTOCOL:
        return "no TLS 1.2 with a cipher suite that both sides know, or a "
               "broken record";
    case RMR_E_TLS_UNKNOWN_CA:
        return "the certificate was not issued by a trusted authority";
    case RMR_E_TLS_NAME:
        return "the certificate is another host's";
    case RMR_E_TLS_EXPIRED:
        return "the certificate is expired or not yet valid; is the clock "
               "right?";
    case RMR_E_TLS_PIN:
        return "the certificate is not the pinned one";
    case RMR_E_TLS_CERT:
        return "the certificate chain is broken or of an unknown kind";
    case RMR_E_TLS_ALERT:
        return "the peer refused the TLS connection";
    case RMR_E_TLS_KEY:
        return "there is no private key that can be used: RSA of 2,048 to "
               "4,096 bits or EC, not encrypted";
    case RMR_E_TLS_KEY_MATCH:
        return "the private key is not the one of the certificate";
    case RMR_E_TLS_TRUNCATED:
        return "the connection was cut in the middle of TLS";
    default:
        return rmr_err_name(e);
    }
}
