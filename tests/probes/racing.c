/* racing [late] HOW SEED COUNT DIRECT OTHER: COUNT calls, or more until both values were met, with an argument that a second
 * thread changes all the while, from one value to the other and back.
 *
 *   connect __connect sendto sendmsg sendmmsg     a TCP socket (the last three with MSG_FASTOPEN): DIRECT and OTHER are
 *                                                 IPv4 addresses of this machine
 *   udp_connect udp_sendto udp_sendmsg udp_sendmmsg    a datagram socket: ::1 and the IPv4 address that getaddrinfo gives
 *                                                 for OTHER
 *   getaddrinfo gethostbyname gethostbyname_r res_query res_send     DIRECT and OTHER are names of one length
 *
 * With `late` it is no thread that changes an address, but a tracer at the moment when the kernel is entered.
 *
 * Prints how many connections or datagrams arrived at either address, or how often a name got an address of the name
 * server's and how often a fake IP; and how many calls failed: `direct N other N failed N`. */
#include "probe.h"

#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <resolv.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifdef __GLIBC__
extern int __connect(int, const struct sockaddr *, socklen_t);
#else
#define __connect connect
#endif

static struct shared {
    struct address address;
    char name[64];
    unsigned char message[512];
    volatile int in_call;
} *shared;

static uint64_t values[2];
static const char *names[2];
static unsigned char messages[2][512];
static size_t message_length;
static volatile int stop;
static uint64_t seed;

static uint64_t drawn(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

static void set_address(int turn)
{
    struct address *to = &shared->address;
    if (to->any.sa_family == AF_INET)
        *(volatile uint32_t *)&to->v4.sin_addr = (uint32_t)values[turn];
    else
        *(volatile uint64_t *)&to->v6.sin6_addr.s6_addr[8] = values[turn];
}

static void *change(void *how)
{
    for (int turn = 0; !stop; turn ^= 1) {
        if (how == &shared->address) {
            set_address(turn);
        } else if (how == shared->name) {
            memcpy(shared->name, names[turn], strlen(names[turn]) + 1);
        } else {
            memcpy(shared->message, messages[turn], message_length);
        }
        for (uint64_t spins = drawn() % 256; spins > 0; spins--)
            __asm__ volatile("" ::: "memory");
    }
    return NULL;
}

/* Traces a child that goes on from here: at each call that takes an address it is there that the address changes. */
static void change_late(void)
{
    pid_t child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        return;
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_TRACESYSGOOD) < 0)
        give_up("ptrace");
    for (;;) {
        ptrace(PTRACE_SYSCALL, child, NULL, NULL);
        if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
            exit(WIFEXITED(status) ? WEXITSTATUS(status) : 3);
        struct { /* struct ptrace_syscall_info of linux/ptrace.h */
            uint8_t op, pad[3];
            uint32_t arch;
            uint64_t instruction, stack, number, arguments[6], more[2];
        } info;
        ptrace(PTRACE_GET_SYSCALL_INFO, child, (void *)sizeof info, &info);
        uint64_t called = info.number;
        if (shared->in_call && info.op == 1
            && (called == SYS_connect || called == SYS_sendto || called == SYS_sendmsg || called == SYS_sendmmsg))
            set_address(1);
    }
}

static int receiver(struct address *at, int type)
{
    int on = 1, fd = socket(at->any.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, &at->any, at->length) < 0 || (type == SOCK_STREAM && listen(fd, 4096) < 0)
        || getsockname(fd, &at->any, &at->length) < 0)
        give_up("receiver");
    return fd;
}

static int arrived(int fd, int type)
{
    char byte;
    int count = 0, one;
    if (type == SOCK_DGRAM) {
        while (recv(fd, &byte, 1, 0) >= 0)
            count++;
        return count;
    }
    while ((one = accept(fd, NULL, NULL)) >= 0) {
        close(one);
        count++;
    }
    return count;
}

static long call(const char *how, int fd, int flags)
{
    struct iovec byte = {"x", 1};
    struct address *to = &shared->address;
    struct mmsghdr several[3];
    for (int i = 0; i < 3; i++)
        several[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &to->any, .msg_namelen = to->length, .msg_iov = &byte, .msg_iovlen = 1}};
    if (strcmp(how, "connect") == 0)
        return connect(fd, &to->any, to->length) == 0 ? send(fd, "x", 1, MSG_NOSIGNAL) : -1;
    if (strcmp(how, "__connect") == 0)
        return __connect(fd, &to->any, to->length);
    if (strcmp(how, "sendto") == 0)
        return sendto(fd, "x", 1, flags, &to->any, to->length);
    if (strcmp(how, "sendmsg") == 0)
        return sendmsg(fd, &several[0].msg_hdr, flags);
    if (strcmp(how, "sendmmsg") == 0)
        return sendmmsg(fd, several, flags & MSG_FASTOPEN ? 1 : 3, flags);
    give_up(how);
    return -1;
}

static void race_of_addresses(int is_late, const char *how, int count, const char *direct, const char *other)
{
    int type = strncmp(how, "udp_", 4) == 0 ? SOCK_DGRAM : SOCK_STREAM, failed = 0, got[2] = {0}, at[2];
    struct address to[2];
    if (type == SOCK_STREAM) {
        to[0] = address_of(direct, "0");
        at[0] = receiver(&to[0], type);
        to[1] = address_of(other, "0");
        to[1].v4.sin_port = to[0].v4.sin_port;
        at[1] = receiver(&to[1], type);
        for (int i = 0; i < 2; i++)
            values[i] = to[i].v4.sin_addr.s_addr;
    } else {
        struct addrinfo hints = {.ai_family = AF_INET}, *list;
        if (getaddrinfo(other, NULL, &hints, &list) != 0)
            give_up(other);
        to[0] = address_of("::1", "0");
        at[0] = receiver(&to[0], type);
        memcpy(&to[1].v4, list->ai_addr, to[1].length = list->ai_addrlen);
        to[1].v4.sin_port = to[0].v6.sin6_port;
        at[1] = receiver(&to[1], type);
        struct address mapped = address_of("::ffff:0.0.0.0", "0");
        memcpy(&mapped.v6.sin6_addr.s6_addr[12], &to[1].v4.sin_addr, 4);
        memcpy(&values[0], &to[0].v6.sin6_addr.s6_addr[8], 8);
        memcpy(&values[1], &mapped.v6.sin6_addr.s6_addr[8], 8);
    }
    shared->address = to[0];
    pthread_t thread;
    if (is_late)
        change_late();
    else
        pthread_create(&thread, NULL, change, &shared->address);
    for (int i = 0; i < count || (!is_late && i < 100 * count && (!got[0] || !failed)); i++) {
        int fd = socket(shared->address.any.sa_family, type | SOCK_CLOEXEC, 0);
        if (is_late)
            set_address(0);
        shared->in_call = 1;
        failed += call(type == SOCK_DGRAM ? how + 4 : how, fd, MSG_NOSIGNAL | (type == SOCK_STREAM ? MSG_FASTOPEN : 0)) < 0;
        shared->in_call = 0;
        for (int which = 0; which < 2; which++)
            got[which] += arrived(at[which], type);
        close(fd);
    }
    stop = 1;
    if (!is_late)
        pthread_join(thread, NULL);
    for (int which = 0; which < 2; which++)
        got[which] += arrived(at[which], type);
    printf("direct %d other %d failed %d\n", got[0], got[1], failed);
}

static void race_of_names(const char *how, int count, const char *direct, const char *other)
{
    names[0] = direct;
    names[1] = other;
    strcpy(shared->name, direct);
    void *changed = shared->name;
    unsigned char answer[1024];
    if (strcmp(how, "res_send") == 0) {
        for (int i = 0; i < 2; i++)
            message_length = (size_t)res_mkquery(0, names[i], 1, 1, NULL, 0, NULL, messages[i], sizeof messages[i]);
        memcpy(shared->message, messages[0], message_length);
        changed = shared->message;
    }
    pthread_t thread;
    pthread_create(&thread, NULL, change, changed);
    int failed = 0, got[2] = {0};
    for (int i = 0; i < count || (i < 100 * count && (!got[0] || !got[1])); i++) {
        struct addrinfo hints = {.ai_family = AF_INET}, *list;
        struct hostent entry, *result;
        char buffer[1024];
        unsigned char *found = NULL;
        int error, length = -1;
        if (strcmp(how, "getaddrinfo") == 0) {
            if (getaddrinfo(shared->name, NULL, &hints, &list) == 0) {
                found = memcpy(answer, &((struct sockaddr_in *)list->ai_addr)->sin_addr, 4);
                freeaddrinfo(list);
            }
        } else if (strcmp(how, "gethostbyname") == 0) {
            if ((result = gethostbyname(shared->name)))
                found = (unsigned char *)result->h_addr_list[0];
        } else if (strcmp(how, "gethostbyname_r") == 0) {
            if (gethostbyname_r(shared->name, &entry, buffer, sizeof buffer, &result, &error) == 0 && result)
                found = (unsigned char *)result->h_addr_list[0];
        } else if (strcmp(how, "res_query") == 0)
            length = res_query(shared->name, 1, 1, answer, sizeof answer);
        else
            length = res_send(shared->message, (int)message_length, answer, sizeof answer);
        if (length > 4)
            found = answer + length - 4;
        if (found)
            got[found[0] == 224]++;
        failed += !found;
    }
    stop = 1;
    pthread_join(thread, NULL);
    printf("direct %d other %d failed %d\n", got[0], got[1], failed);
}

int main(int count, char **words)
{
    int is_late = count == 7 && strcmp(words[1], "late") == 0;
    words += is_late;
    if (count - is_late != 6)
        give_up("usage: racing [late] HOW SEED COUNT DIRECT OTHER");
    seed = strtoull(words[2], NULL, 10) * 0x9e3779b97f4a7c15 | 1;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    alarm(120);
    if (strncmp(words[1], "get", 3) == 0 || strncmp(words[1], "res", 3) == 0)
        race_of_names(words[1], atoi(words[3]), words[4], words[5]);
    else
        race_of_addresses(is_late, words[1], atoi(words[3]), words[4], words[5]);
    return 0;
}
