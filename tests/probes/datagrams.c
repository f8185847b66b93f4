/* datagrams HOW PORT…: sends a byte from one UDP socket to each of these ports of loopback.
 * HOW: sendto, sendmsg, sendmmsg (a call for each), together (one sendmmsg for all). */
#include "probe.h"

int main(int count, char **words)
{
    if (count < 3 || count > 18)
        give_up("usage: datagrams HOW PORT…");
    const char *how = words[1];
    struct address to[16];
    struct mmsghdr messages[16] = {0};
    struct iovec byte = {"x", 1};
    int fd = socket(AF_INET, SOCK_DGRAM, 0), ports = count - 2;
    for (int i = 0; i < ports; i++) {
        to[i] = address_of("127.0.0.1", words[i + 2]);
        messages[i].msg_hdr = (struct msghdr){.msg_name = &to[i].any, .msg_namelen = to[i].length, .msg_iov = &byte, .msg_iovlen = 1};
    }
    if (strcmp(how, "together") == 0) {
        int sent = sendmmsg(fd, messages, (unsigned)ports, 0);
        printf("together -> %d%s%s\n", sent, sent < 0 ? " " : "", sent < 0 ? errno_name(errno) : "");
        return 0;
    }
    for (int i = 0; i < ports; i++) {
        long sent = strcmp(how, "sendto") == 0    ? sendto(fd, "x", 1, 0, &to[i].any, to[i].length)
                    : strcmp(how, "sendmsg") == 0 ? sendmsg(fd, &messages[i].msg_hdr, 0)
                                                  : sendmmsg(fd, &messages[i], 1, 0);
        printf("%s %s -> %ld%s%s\n", how, words[i + 2], sent, sent < 0 ? " " : "", sent < 0 ? errno_name(errno) : "");
    }
    return 0;
}
