/* fastopen HOW HOST PORT TEXT: connect and send in one call, then print what comes back.
 * HOW: sendto, sendmsg, sendmmsg (with MSG_FASTOPEN), two (messages by one sendmmsg), longmsg, longmmsg (with a msg_namelen beyond all addresses), option (TCP_FASTOPEN_CONNECT, then connect and write). */
#include "probe.h"

int main(int count, char **words)
{
    if (count != 5)
        give_up("usage: fastopen HOW HOST PORT TEXT");
    const char *how = words[1], *text = words[4];
    struct address to = address_of(words[2], words[3]);
    size_t length = strlen(text);
    alarm(120);
    int fd = socket(to.any.sa_family, SOCK_STREAM, 0);

    struct iovec half[2] = {{(void *)text, length / 2}, {(void *)(text + length / 2), length - length / 2}};
    struct mmsghdr message[2] = {
        {.msg_hdr = {.msg_name = &to.any, .msg_namelen = to.length, .msg_iov = half, .msg_iovlen = 2}},
        {.msg_hdr = {.msg_iov = half, .msg_iovlen = 2}},
    };
    long sent = -1;
    size_t back = length;
    if (strncmp(how, "long", 4) == 0)
        message[0].msg_hdr.msg_namelen = 200;
    if (strcmp(how, "sendto") == 0) {
        sent = sendto(fd, text, length, MSG_FASTOPEN | MSG_NOSIGNAL, &to.any, to.length);
    } else if (strcmp(how, "sendmsg") == 0 || strcmp(how, "longmsg") == 0) {
        sent = sendmsg(fd, &message[0].msg_hdr, MSG_FASTOPEN | MSG_NOSIGNAL);
    } else if (strcmp(how, "sendmmsg") == 0 || strcmp(how, "longmmsg") == 0) {
        sent = sendmmsg(fd, message, 1, MSG_FASTOPEN | MSG_NOSIGNAL);
        printf("lengths %u\n", sent > 0 ? message[0].msg_len : 0);
    } else if (strcmp(how, "two") == 0) {
        sent = sendmmsg(fd, message, 2, MSG_FASTOPEN | MSG_NOSIGNAL);
    } else if (strcmp(how, "option") == 0) {
        int on = 1;
        printf("setsockopt %d\n", setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof on));
        int result = connect(fd, &to.any, to.length);
        printf("connect %d\n", result);
        sent = write(fd, text, length);
    } else {
        give_up(how);
    }
    printf("%s %ld %s\n", how, sent, sent < 0 ? errno_name(errno) : "");
    if (sent < 0)
        return 0;
    char answer[4096];
    size_t got = 0;
    ssize_t more;
    while (got < back && (more = recv(fd, answer + got, back - got, 0)) > 0)
        got += (size_t)more;
    printf("back %.*s\n", (int)got, answer);
    return 0;
}
