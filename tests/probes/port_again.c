/* port_again HOST PORT ROUNDS [close|dup2|close_range]: connect without blocking from a port, wait, close, and again from
 * the same port. Prints how many connects ended well, how many in ECONNREFUSED, and how often the port was still in use at
 * bind. With the last argument the socket is closed in that way while its connect is pending. */
#include "probe.h"
#include <poll.h>

int main(int count, char **words)
{
    if (count != 4 && count != 5)
        give_up("usage: port_again HOST PORT ROUNDS [close|dup2|close_range]");
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
        if (count == 5) {
            /* Some a little later: the connection to the proxy is there then. */
            usleep((useconds_t)(round % 10) * 50);
            if (strcmp(words[4], "dup2") == 0)
                dup2(2, fd);
            else if (strcmp(words[4], "close_range") == 0)
                close_range((unsigned)fd, (unsigned)fd, 0);
            close(fd);
            continue;
        }
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
