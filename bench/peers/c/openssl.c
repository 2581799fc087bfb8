/* OpenSSL's EVP ChaCha20-Poly1305: seal and open in place, one message at a
 * time; the key is set once. */
#include "peer.h"

#include <openssl/evp.h>

#define MAX 1420
#define TAG 16

typedef struct aead {
    EVP_CIPHER_CTX *seal, *open;
    uint64_t counter;
    int size;
    unsigned char buf[MAX + TAG];
} aead;

static void must(int ok)
{
    if (ok != 1)
        peer_die("OpenSSL refused");
}

static void nonce_of(unsigned char n[12], uint64_t counter)
{
    memset(n, 0, 4);
    for (int i = 0; i < 8; i++)
        n[4 + i] = (unsigned char)(counter >> 8 * i);
}

static void one(aead *a)
{
    unsigned char n[12];
    int len = 0;
    nonce_of(n, a->counter++);
    must(EVP_EncryptInit_ex(a->seal, NULL, NULL, NULL, n));
    must(EVP_EncryptUpdate(a->seal, a->buf, &len, a->buf, a->size));
    must(EVP_EncryptFinal_ex(a->seal, a->buf + len, &len));
    must(EVP_CIPHER_CTX_ctrl(a->seal, EVP_CTRL_AEAD_GET_TAG, TAG,
                             a->buf + a->size));
    must(EVP_DecryptInit_ex(a->open, NULL, NULL, NULL, n));
    must(EVP_CIPHER_CTX_ctrl(a->open, EVP_CTRL_AEAD_SET_TAG, TAG,
                             a->buf + a->size));
    must(EVP_DecryptUpdate(a->open, a->buf, &len, a->buf, a->size));
    must(EVP_DecryptFinal_ex(a->open, a->buf + len, &len));
}

static void step(void *user, uint64_t *ops, uint64_t *bytes)
{
    aead *a = user;
    for (int i = 0; i < 1000; i++)
        one(a);
    *ops += 1000;
    *bytes += 1000 * (uint64_t)a->size;
}

int main(int argc, char **argv)
{
    static const int sizes[] = {64, 1280, 1420};
    static const unsigned char key[32] = {7};
    peer_args args = peer_parse(argc, argv);
    static aead a;
    a.seal = EVP_CIPHER_CTX_new();
    a.open = EVP_CIPHER_CTX_new();
    if (!a.seal || !a.open)
        peer_die("no memory");
    must(EVP_EncryptInit_ex(a.seal, EVP_chacha20_poly1305(), NULL, key, NULL));
    must(EVP_DecryptInit_ex(a.open, EVP_chacha20_poly1305(), NULL, key, NULL));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char name[32];
        a.size = sizes[i];
        snprintf(name, sizeof name, "aead/openssl/%d", a.size);
        peer_run(&args, name, step, &a);
    }
    EVP_CIPHER_CTX_free(a.seal);
    EVP_CIPHER_CTX_free(a.open);
    return 0;
}
