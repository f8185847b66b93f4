/* fake_datagrams NAME HOW…: sends a byte on a datagram socket to the address that getaddrinfo gives for NAME, once for each
 * HOW; one line, `HOW -> RESULT`, for each, and at last how many bytes arrived at a socket that is bound to that address.
 * The address must be one of this machine's, such as 127.x.y.z.
 *
 *   sendto sendmsg sendmmsg connect raw mapped     the ways there are
 *   nofamily           sendto, with the family AF_UNSPEC, which UDP takes for AF_INET
 *   v6                 to the IPv6 address for NAME
 *   together           sendmmsg: a byte to ::1 before it
 *   control controlmany    sendmsg and sendmmsg, with control data (IP_TTL)
 *   controlnofamily controlmanynofamily    the same, with the family AF_UNSPEC
 *   longmsg longmmsg   sendmsg and sendmmsg, with a msg_namelen beyond all addresses
 *   flagged flaggednofamily flaggedmany    with MSG_FASTOPEN, which is nothing to UDP: sendto, nofamily, together
 *   flaggedconnected   the same as flagged, on a socket that is connected to another
 *   many:COUNT:AT      sendmmsg of COUNT messages: one, the AT-th from 0, to the fake IP, the others to ::1; -2 unless
 *                      msg_len is set for exactly the messages that were sent
 *   constant           sendmmsg whose headers cannot be written to
 *   connected          sendto without an address, on a socket that is connected to ::1
 *   dissolved          connect, with the family AF_UNSPEC
 *   stream             sendto on a TCP socket that is not connected
 *   unix bad closed    on a unix socket, on a pipe, on an fd that is not open
 *   wild null short    a pointer to a page that is not there, NULL with a length, a length of 4 */
#include "probe.h"

#include <netdb.h>
#include <sys/mman.h>

static struct address fake;

static struct address resolved(const char *name, int family)
{
    struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_DGRAM}, *list;
    if (getaddrinfo(name, "9", &hints, &list) != 0)
        give_up(name);
    struct address found = {.length = list->ai_addrlen};
    memcpy(&found.storage, list->ai_addr, list->ai_addrlen);
    freeaddrinfo(list);
    return found;
}

static long send_message(int fd, struct address *to, int many, int flags)
{
    struct iovec byte = {"x", 1};
    struct mmsghdr messages[2] = {0};
    struct address here = address_of("::1", "9");
    struct address *all[2] = {many == 2 ? &here : to, to};
    for (int i = 0; i < 2; i++)
        messages[i].msg_hdr = (struct msghdr){.msg_name = &all[i]->any, .msg_namelen = all[i]->length, .msg_iov = &byte, .msg_iovlen = 1};
    return many ? sendmmsg(fd, messages, (unsigned)many, flags) : sendmsg(fd, &messages[0].msg_hdr, flags);
}

static long send_with_control(int fd, struct address *to, int many)
{
    struct iovec byte = {"x", 1};
    union { char bytes[CMSG_SPACE(sizeof(int))]; struct cmsghdr header; } control = {0};
    control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_TTL};
    memcpy(CMSG_DATA(&control.header), &(int){9}, sizeof(int));
    struct mmsghdr message = {.msg_hdr = {
        .msg_name = &to->any, .msg_namelen = to->length, .msg_iov = &byte, .msg_iovlen = 1,
        .msg_control = &control, .msg_controllen = sizeof control,
    }};
    return many ? sendmmsg(fd, &message, 1, 0) : sendmsg(fd, &message.msg_hdr, 0);
}

static long send_many(int count, int at, struct address *to)
{
    static struct mmsghdr messages[2000];
    struct iovec byte = {"x", 1};
    struct address here = address_of("::1", "9");
    for (int i = 0; i < count; i++)
        messages[i] = (struct mmsghdr){
            .msg_hdr = {.msg_name = i == at ? &to->any : &here.any, .msg_namelen = here.length, .msg_iov = &byte, .msg_iovlen = 1},
            .msg_len = 77,
        };
    long sent = sendmmsg(socket(AF_INET6, SOCK_DGRAM, 0), messages, (unsigned)count, 0);
    for (int i = 0; i < count; i++)
        if (messages[i].msg_len != (i < sent ? 1u : 77u))
            return -2;
    return sent;
}

static long send_constant(struct address *to)
{
    struct iovec byte = {"x", 1};
    struct mmsghdr *messages = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    messages->msg_hdr = (struct msghdr){.msg_name = &to->any, .msg_namelen = to->length, .msg_iov = &byte, .msg_iovlen = 1};
    mprotect(messages, 4096, PROT_READ);
    return sendmmsg(socket(to->any.sa_family, SOCK_DGRAM, 0), messages, 1, 0);
}

static long attempt(const char *how)
{
    struct address to = fake;
    struct address six = address_of("::ffff:0.0.0.0", "0");
    memcpy(&six.v6.sin6_addr.s6_addr[12], &to.v4.sin_addr, 4);
    six.v6.sin6_port = to.v4.sin_port;
    int ends[2], fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (strcmp(how, "sendto") == 0)
        return sendto(fd, "x", 1, 0, &to.any, to.length);
    if (strcmp(how, "sendmsg") == 0)
        return send_message(fd, &to, 0, 0);
    if (strcmp(how, "sendmmsg") == 0)
        return send_message(fd, &to, 1, 0);
    if (strcmp(how, "together") == 0)
        return send_message(socket(AF_INET6, SOCK_DGRAM, 0), &six, 2, 0);
    if (strncmp(how, "control", 7) == 0) {
        if (strstr(how, "nofamily"))
            to.any.sa_family = AF_UNSPEC;
        return send_with_control(fd, &to, strstr(how, "many") != NULL);
    }
    if (strncmp(how, "long", 4) == 0) {
        to.length = 200;
        return send_message(fd, &to, strcmp(how, "longmmsg") == 0, 0);
    }
    if (strcmp(how, "flagged") == 0)
        return sendto(fd, "x", 1, MSG_FASTOPEN, &to.any, to.length);
    if (strcmp(how, "flaggednofamily") == 0) {
        to.any.sa_family = AF_UNSPEC;
        return sendto(fd, "x", 1, MSG_FASTOPEN, &to.any, to.length);
    }
    if (strcmp(how, "flaggedmany") == 0)
        return send_message(socket(AF_INET6, SOCK_DGRAM, 0), &six, 2, MSG_FASTOPEN);
    if (strcmp(how, "flaggedconnected") == 0) {
        struct address here = address_of("::1", "9");
        fd = socket(AF_INET6, SOCK_DGRAM, 0);
        connect(fd, &here.any, here.length);
        return sendto(fd, "x", 1, MSG_FASTOPEN, &six.any, six.length);
    }
    int count, at;
    if (sscanf(how, "many:%d:%d", &count, &at) == 2)
        return send_many(count, at, &six);
    if (strcmp(how, "constant") == 0) {
        struct address here = address_of("::1", "9");
        return send_constant(&here);
    }
    if (strcmp(how, "connect") == 0)
        return connect(fd, &to.any, to.length) == 0 ? send(fd, "x", 1, 0) : -1;
    if (strcmp(how, "raw") == 0)
        return sendto(socket(AF_INET, SOCK_RAW, 253), "x", 1, 0, &to.any, to.length);
    if (strcmp(how, "mapped") == 0)
        return sendto(socket(AF_INET6, SOCK_DGRAM, 0), "x", 1, 0, &six.any, six.length);
    if (strcmp(how, "nofamily") == 0) {
        to.any.sa_family = AF_UNSPEC;
        return sendto(fd, "x", 1, 0, &to.any, to.length);
    }
    if (strcmp(how, "dissolved") == 0) {
        to.any.sa_family = AF_UNSPEC;
        return connect(fd, &to.any, to.length);
    }
    if (strcmp(how, "connected") == 0) {
        struct address here = address_of("::1", "9");
        fd = socket(AF_INET6, SOCK_DGRAM, 0);
        connect(fd, &here.any, here.length);
        return sendto(fd, "x", 1, 0, NULL, 0);
    }
    if (strcmp(how, "stream") == 0)
        return sendto(socket(AF_INET, SOCK_STREAM, 0), "x", 1, MSG_NOSIGNAL, &to.any, to.length);
    if (strcmp(how, "unix") == 0)
        return sendto(socket(AF_UNIX, SOCK_DGRAM, 0), "x", 1, 0, &to.any, to.length);
    if (strcmp(how, "bad") == 0)
        return pipe(ends) == 0 ? sendto(ends[1], "x", 1, 0, &to.any, to.length) : -2;
    if (strcmp(how, "closed") == 0)
        return sendto(999, "x", 1, 0, &to.any, to.length);
    if (strcmp(how, "wild") == 0) {
        void *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return sendto(fd, "x", 1, 0, page, to.length);
    }
    if (strcmp(how, "null") == 0)
        return sendto(fd, "x", 1, 0, NULL, to.length);
    if (strcmp(how, "short") == 0)
        return sendto(fd, "x", 1, 0, &to.any, 4);
    give_up(how);
    return 0;
}

int main(int count, char **words)
{
    if (count < 3)
        give_up("usage: fake_datagrams NAME HOW…");
    fake = resolved(words[1], AF_INET);
    int receiver = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    fake.v4.sin_port = 0;
    if (bind(receiver, &fake.any, fake.length) < 0 || getsockname(receiver, &fake.any, &fake.length) < 0)
        give_up("bind");
    for (int i = 2; i < count; i++) {
        long result;
        errno = 0;
        if (strcmp(words[i], "v6") == 0) {
            struct address six = resolved(words[1], AF_INET6);
            result = sendto(socket(AF_INET6, SOCK_DGRAM, 0), "x", 1, 0, &six.any, six.length);
        } else {
            result = attempt(words[i]);
        }
        printf("%s -> %ld%s%s\n", words[i], result, result < 0 ? " " : "", result < 0 ? errno_name(errno) : "");
    }
    char byte;
    int arrived = 0;
    while (recv(receiver, &byte, 1, 0) == 1)
        arrived++;
    printf("arrived -> %d\n", arrived);
    return 0;
}
