#include <remora/noise.h>
int main(void)
{
    static const uint8_t key[32] = {9};
    rmr_noise_config cfg = {.initiator = true, .local_private = key};
    static rmr_noise n;
    return rmr_noise_init(&n, &cfg) != RMR_E_INVAL;
}
