/* What the probes share: addresses from text, errno names, the echo check. */
#ifndef PROBE_H
#define PROBE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "musl.h"

/* Any address a probe uses, with the length that belongs to it. */
struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un un;
        struct sockaddr_storage storage;
    };
    socklen_t length;
};

/* End the probe: it was called with wrong arguments, or its set-up failed. */
static inline void give_up(const char *what)
{
    fprintf(stderr, "probe: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* HOST is a numeric IPv4 or IPv6 address, or the path of a unix socket. */
static inline struct address address_of(const char *host, const char *port)
{
    struct address result = {0};
    if (host[0] == '/') {
        result.un.sun_family = AF_UNIX;
        snprintf(result.un.sun_path, sizeof result.un.sun_path, "%s", host);
        result.length = sizeof result.un;
    } else if (strchr(host, ':')) {
        result.v6.sin6_family = AF_INET6;
        result.v6.sin6_port = htons((uint16_t)atoi(port));
        result.length = sizeof result.v6;
        if (inet_pton(AF_INET6, host, &result.v6.sin6_addr) != 1)
            give_up(host);
    } else {
        result.v4.sin_family = AF_INET;
        result.v4.sin_port = htons((uint16_t)atoi(port));
        result.length = sizeof result.v4;
        if (inet_pton(AF_INET, host, &result.v4.sin_addr) != 1)
            give_up(host);
    }
    return result;
}

static inline const char *errno_name(int number)
{
    const char *name = strerrorname_np(number);
    return name ? name : "0";
}

/* A connected socket, or -1 with errno and no fd left open. */
static inline int dial(const struct address *to)
{
    int fd = socket(to->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, &to->any, to->length) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* 1 if an echo server returns what it is sent, byte for byte. */
static inline int echoes(int fd, const char *text)
{
    char back[256];
    size_t length = strlen(text), got = 0;
    if (send(fd, text, length, MSG_NOSIGNAL) != (ssize_t)length)
        return 0;
    while (got < length) {
        ssize_t more = recv(fd, back + got, length - got, 0);
        if (more <= 0)
            return 0;
        got += (size_t)more;
    }
    return memcmp(back, text, length) == 0;
}

#endif
