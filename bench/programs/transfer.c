/* transfer HOST PORT BYTES: reads what the server sends, which must be BYTES. Prints MiB per second. */
#include "bench.h"

int main(int count, char **words)
{
    if (count != 4)
        give_up("usage: transfer HOST PORT BYTES");
    static char buffer[256 * 1024];
    struct address to = address_of(words[1], words[2]);
    long long expected = atoll(words[3]), read = 0;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    double began = now_ns();
    connect_through_socks5(fd, &to);
    ssize_t got;
    while ((got = recv(fd, buffer, sizeof buffer, 0)) > 0)
        read += got;
    if (got < 0 || read != expected)
        give_up("recv: not all the bytes came");
    printf("%.1f\n", (double)read / (1 << 20) / (now_ns() - began) * 1e9);
    return 0;
}
