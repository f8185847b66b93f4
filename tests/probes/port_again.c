/* port_again HOST PORT ROUNDS: connect without blocking from a port, wait, close, and again from the same port. Prints
 * how many connects ended well, how many in ECONNREFUSED, and how often the port was still in use at bind. */
#include "probe.h"
#include <poll.h>

int main(int count, char **words)
{
    if (count != 4)
        give_up("usage: port_again HOST PORT ROUNDS");
    alarm(60);
    struct address to = address_of(words[1], words[2]);
    struct address from = address_of("127.0.0.1", "0");
    int connected = 0, refused = 0, in_use = 0;
    for (int round = 0; round < atoi(words[3]); round++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        /* Nothing of the connection stays behind: no TIME_WAIT. */
        struct linger reset = {.l_onoff = 1, .l_linger = 0};
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) != 0)
            give_up("socket");
        if (bind(fd, &from.any, from.length) != 0) {
            if (errno != EADDRINUSE)
                give_up("bind");
            in_use++;
            close(fd);
            continue;
        }
        if (getsockname(fd, &from.any, &from.length) != 0)
            give_up("getsockname");
        if (connect(fd, &to.any, to.length) != 0 && errno != EINPROGRESS && errno != ECONNREFUSED)
            give_up("connect");
        struct pollfd one = {.fd = fd, .events = POLLOUT};
        if (poll(&one, 1, 20000) != 1)
            give_up("poll");
        int error;
        socklen_t length = sizeof error;
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0)
            give_up("SO_ERROR");
        connected += error == 0 && one.revents == POLLOUT;
        refused += error == ECONNREFUSED;
        close(fd);
    }
    printf("connected %d refused %d in_use %d\n", connected, refused, in_use);
    return 0;
}
