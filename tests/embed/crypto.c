#include <remora/crypto.h>
int main(void)
{
    return rmr_crypto_init() != RMR_OK;
}
