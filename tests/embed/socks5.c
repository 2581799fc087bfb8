#include <remora/socks5.h>
int main(void)
{
    static rmr_socks5 s;
    return rmr_socks5_init(&s, 0, 0) != RMR_OK;
}
