/* held_flags HOST PORT: a non-blocking connect, with FIOCLEX at the worst moment: when the socket is about to be
 * put back at its fd, and the old flag has been read already. A supervisor (seccomp_unotify(2)) stops it there.
 * Prints the flag, which must be the program's. */
#include "probe.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static int listener;
static atomic_int calls;

/* Every call goes on; the second, which puts the socket back, after a while. */
static void *supervise(void *none)
{
    for (;;) {
        struct seccomp_notif call = {0};
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0)
            continue;
        if (++calls == 2)
            usleep(300000);
        struct seccomp_notif_resp go_on = {.id = call.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &go_on);
    }
    return none;
}

int main(int count, char **words)
{
    if (count != 3)
        give_up("usage: held_flags HOST PORT");
    alarm(60);
    struct address to = address_of(words[1], words[2]);
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_dup3, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
    pthread_t thread;
    if (listener < 0 || pthread_create(&thread, NULL, supervise, NULL) != 0)
        give_up("seccomp");
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct pollfd one = {.fd = fd, .events = POLLOUT};
    int result = connect(fd, &to.any, to.length), error = errno;
    while (calls < 2)
        usleep(1000);
    ioctl(fd, FIOCLEX);
    poll(&one, 1, 20000);
    printf("%d %s, %s\n", result, errno_name(error), fcntl(fd, F_GETFD) & FD_CLOEXEC ? "cloexec" : "inherited");
    return 0;
}
