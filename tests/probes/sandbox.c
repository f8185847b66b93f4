/* sandbox NAME PORT RESTRICTION…: a program with few resources: it resolves NAME, connects to it and exchanges data, with a blocking
 * socket and then with a non-blocking one. Before that, each restriction is put on it:
 *
 *   deny CALL    the system call fails with EPERM (seccomp): clone, memfd_create, eventfd2…
 *   closed       no stdin, stdout and stderr; what is opened next gets their fds
 *   range        close_range(3, ~0)
 *   chroot PATH  its root is there
 *   files SPARE  this many fds can be opened beyond the one that this program needs itself
 *
 * Exit status: the sum of 1 for a name without an address, 2 and 4 for a blocking and a non-blocking connection that
 * does not work, 8 for an fd of the library's at the end. */
#include "probe.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netdb.h>
#include <poll.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static void deny(const char *name)
{
    static const struct { const char *name; unsigned calls[2]; } KNOWN[] = {
        {"clone", {SYS_clone, SYS_clone3}},          {"memfd_create", {SYS_memfd_create, SYS_memfd_create}},
        {"eventfd2", {SYS_eventfd2, SYS_eventfd2}},
        {"socketpair", {SYS_socketpair, SYS_socketpair}}, {"epoll_create1", {SYS_epoll_create1, SYS_epoll_create1}},
        {"prlimit64", {SYS_prlimit64, SYS_prlimit64}}, {"pwritev2", {SYS_pwritev2, SYS_pwritev2}},
    };
    size_t i = 0;
    while (i < sizeof KNOWN / sizeof KNOWN[0] && strcmp(KNOWN[i].name, name) != 0)
        i++;
    if (i == sizeof KNOWN / sizeof KNOWN[0])
        give_up(name);
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, KNOWN[i].calls[0], 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, KNOWN[i].calls[1], 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        give_up("seccomp");
}

static int lowest_free(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    close(fd);
    return fd;
}

static void limit_files(int spare)
{
    /* One for the socket of the program. */
    struct rlimit limit = {.rlim_cur = (rlim_t)(lowest_free() + 1 + spare)};
    limit.rlim_max = limit.rlim_cur;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        give_up("setrlimit");
}

static void restrict_to(char **words)
{
    while (*words) {
        const char *word = *words++;
        if (strcmp(word, "deny") == 0) {
            deny(*words++);
        } else if (strcmp(word, "closed") == 0) {
            close(0), close(1), close(2);
        } else if (strcmp(word, "range") == 0) {
            close_range(3, ~0U, 0);
        } else if (strcmp(word, "chroot") == 0) {
            if (chroot(*words++) != 0 || chdir("/") != 0)
                give_up("chroot");
        } else if (strcmp(word, "files") == 0) {
            limit_files(atoi(*words++));
        } else {
            give_up(word);
        }
    }
}

static int talks(const struct addrinfo *to, int nonblocking)
{
    int fd = socket(AF_INET, SOCK_STREAM | (nonblocking ? SOCK_NONBLOCK : 0), 0), error = 0;
    socklen_t length = sizeof error;
    int result = connect(fd, to->ai_addr, to->ai_addrlen);
    if (result < 0 && nonblocking && errno == EINPROGRESS) {
        struct pollfd one = {.fd = fd, .events = POLLOUT};
        poll(&one, 1, 60000);
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    } else if (result < 0) {
        error = errno;
    }
    fcntl(fd, F_SETFL, 0);
    int good = !error && echoes(fd, "from the sandbox");
    if (error)
        fprintf(stderr, "probe: connect: %s\n", errno_name(error));
    close(fd);
    return good;
}

int main(int count, char **words)
{
    if (count < 3)
        give_up("usage: sandbox NAME PORT RESTRICTION...");
    alarm(60);
    restrict_to(words + 3);
    int before = lowest_free(), wrong = 0;
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *list = NULL;
    int code = getaddrinfo(words[1], words[2], &hints, &list);
    if (code != 0) {
        fprintf(stderr, "probe: getaddrinfo: %s\n", gai_strerror(code));
        return 1;
    }
    wrong += talks(list, 0) ? 0 : 2;
    wrong += talks(list, 1) ? 0 : 4;
    freeaddrinfo(list);
    /* The helper of the last connect may need a moment to end. */
    for (int i = 0; i < 1000 && lowest_free() != before; i++)
        usleep(10000);
    return wrong + (lowest_free() == before ? 0 : 8);
}
