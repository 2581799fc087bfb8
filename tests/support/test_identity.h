/*
 * A server's certificate and key where no file can be read: self.pem and ec.key
 * of tests/vectors/tls, for derp.test and 192.0.2.1.  They serve for nothing
 * else.
 */
#ifndef REMORA_TEST_IDENTITY_H
#define REMORA_TEST_IDENTITY_H

static const char test_identity_cert[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBSDCB8KADAgECAhRVHxAy96rWUXX4o/xthzv6DPdpYjAKBggqhkjOPQQDAjAU\n"
    "MRIwEAYDVQQDDAlkZXJwLnRlc3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEwMDAxMDEw\n"
    "MDAwMDBaMBQxEjAQBgNVBAMMCWRlcnAudGVzdDBZMBMGByqGSM49AgEGCCqGSM49\n"
    "AwEHA0IABLVgjmuRXMcH+OvEgj1c/pjOkvyxWWNC97VOSIdDTnTjVgYPHxoGdZ/z\n"
    "JqOqL964LzI8Zr7p7gz/3wmDxP3IjtijHjAcMBoGA1UdEQQTMBGCCWRlcnAudGVz\n"
    "dIcEwAACATAKBggqhkjOPQQDAgNHADBEAiB9laI3rKWqkplcj07K5i4YhBrS9T6p\n"
    "nGmRkTh+9c16CAIgOd62RdJnbFwjD5D+W6nWdeszNeLlxhcmcFHVAFJwFog=\n"
    "-----END CERTIFICATE-----\n";

static const char test_identity_key[] =
    "-----BEGIN EC PRIVATE KEY-----\n"
    "MHcCAQEEIOQ/fyNUoSbf1EiYuiGDALewsvyIEE8obaOxnaJ7KaDXoAoGCCqGSM49\n"
    "AwEHoUQDQgAEtWCOa5Fcxwf468SCPVz+mM6S/LFZY0L3tU5Ih0NOdONWBg8fGgZ1\n"
    "n/Mmo6ov3rgvMjxmvunuDP/fCYPE/ciO2A==\n"
    "-----END EC PRIVATE KEY-----\n";

#endif
