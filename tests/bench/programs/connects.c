/* connects HOST PORT TIMES: socket, connect and close, one after the other. Prints the connects per second. */
#include "bench.h"

int main(int count, char **words)
{
    if (count != 4)
        give_up("usage: connects HOST PORT TIMES");
    struct address to = address_of(words[1], words[2]);
    int times = atoi(words[3]);
    double began = now_ns();
    for (int i = 0; i < times; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
            give_up("socket");
        connect_by_hand(fd, &to);
        close(fd);
    }
    printf("%.1f\n", times / (now_ns() - began) * 1e9);
    return 0;
}
