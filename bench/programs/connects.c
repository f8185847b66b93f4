/* connects HOST PORT TIMES: socket, connect and close, one after the other. Prints the connects per second, and the
   microseconds of the first, which is not among them: on it, libraries make what they need only once. */
#include "bench.h"

static void connect_once(const struct address *to)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        give_up("socket");
    connect_by_hand(fd, to);
    close(fd);
}

int main(int count, char **words)
{
    if (count != 4)
        give_up("usage: connects HOST PORT TIMES");
    struct address to = address_of(words[1], words[2]);
    int times = atoi(words[3]);
    double began = now_ns();
    connect_once(&to);
    double first = now_ns() - began;
    began += first;
    for (int i = 0; i < times; i++)
        connect_once(&to);
    printf("%.1f %.1f\n", times / (now_ns() - began) * 1e9, first / 1e3);
    return 0;
}
