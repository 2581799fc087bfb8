#include <remora/disco.h>
int main(void)
{
    static const uint8_t shared[RMR_KEY_LEN];
    rmr_disco_msg msg;
    return rmr_disco_open(rmr_bytes_str(""), shared, &msg) != RMR_E_MALFORMED;
}
