/* Built as a library: its constructor resolves EARLY_NAME and connects to EARLY_PORT there, blocking and not, before
 * the program has begun and perhaps before any other library has. Says to stderr what it got. */
#include "probe.h"
#include <netdb.h>
#include <poll.h>

static const char *talk(const struct addrinfo *to, int nonblocking)
{
    int fd = socket(AF_INET, SOCK_STREAM | (nonblocking ? SOCK_NONBLOCK : 0), 0);
    int result = connect(fd, to->ai_addr, to->ai_addrlen);
    if (result < 0 && (!nonblocking || errno != EINPROGRESS))
        return errno_name(errno);
    struct pollfd one = {.fd = fd, .events = POLLOUT};
    poll(&one, 1, 60000);
    fcntl(fd, F_SETFL, 0);
    const char *said = echoes(fd, "early") ? "good" : "no echo";
    close(fd);
    return said;
}

__attribute__((constructor)) static void early(void)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *list = NULL;
    int code = getaddrinfo(getenv("EARLY_NAME"), getenv("EARLY_PORT"), &hints, &list);
    if (code != 0) {
        dprintf(2, "early: %s\n", gai_strerror(code));
        return;
    }
    const char *blocking = talk(list, 0);
    dprintf(2, "early: blocking %s, non-blocking %s\n", blocking, talk(list, 1));
    freeaddrinfo(list);
}

/* For a program that is linked with this library. */
int early_was_here(void) { return 0; }
