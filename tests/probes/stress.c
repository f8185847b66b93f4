/* stress HOST PORT REFUSING SECONDS THREADS [children-do-not-ask|storm]: every thread makes connects, and does with each
 * something at random (with the one word, forked children do not take the SO_ERROR of a connect; with the other, signals
 * interrupt all calls). All bytes are checked; at the end nothing may be left. Prints what happened, and each kind of
 * mistake with its number. */
#include "probe.h"
#include <dirent.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <time.h>

enum { LARGEST = 6000, PATIENCE_MS = 60000 };

/* Repeat a call that a signal has interrupted. */
#define AGAIN(call)                                                                                                    \
    ({                                                                                                                 \
        __typeof__(call) result_;                                                                                      \
        do                                                                                                             \
            result_ = (call);                                                                                          \
        while (result_ < 0 && errno == EINTR);                                                                         \
        result_;                                                                                                       \
    })

static struct address good, refusing;
static time_t end;
static int shared_epoll, children_ask, stormy;

/* What happened, and what must not happen. */
static _Atomic long connected, failed, cancelled, forked, hung, wrong_bytes, lied, stolen;

static unsigned pick(unsigned *seed, unsigned of) { return (unsigned)rand_r(seed) % of; }

/* Wait until the socket is writable, in one of many ways. 0: it hung. */
static int await(int fd, unsigned *seed)
{
    struct epoll_event event = {.events = EPOLLOUT, .data.fd = fd};
    struct timeval limit = {.tv_sec = PATIENCE_MS / 1000};
    struct pollfd one = {.fd = fd, .events = POLLOUT};
    fd_set out;
    int own, ready;
    switch (pick(seed, 5)) {
    case 0:
        if (fd >= FD_SETSIZE)
            return 1;
        FD_ZERO(&out);
        FD_SET(fd, &out);
        return AGAIN(select(fd + 1, NULL, &out, NULL, &limit)) == 1;
    case 1:
        event.events |= EPOLLET;
        /* fall through */
    case 2:
        own = epoll_create1(EPOLL_CLOEXEC);
        epoll_ctl(own, EPOLL_CTL_ADD, fd, &event);
        if (pick(seed, 2))
            epoll_ctl(own, EPOLL_CTL_MOD, fd, &event);
        ready = AGAIN(epoll_wait(own, &event, 1, PATIENCE_MS));
        close(own);
        return ready == 1;
    case 3:
        /* Registered in an instance that no thread waits on; the registration ends with the socket. */
        epoll_ctl(shared_epoll, EPOLL_CTL_ADD, fd, &event);
        /* fall through */
    default:
        return AGAIN(poll(&one, 1, PATIENCE_MS)) == 1;
    }
}

static int error_of(int fd)
{
    int error = -1;
    socklen_t length = sizeof error;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    return error;
}

/* Send and get back bytes that no other connection has. */
static void talk(int fd, unsigned *seed)
{
    unsigned char sent[LARGEST], back[LARGEST];
    size_t length = 1 + pick(seed, LARGEST), out = 0, in = 0;
    for (size_t i = 0; i < length; i++)
        sent[i] = (unsigned char)rand_r(seed);
    while (in < length) {
        struct pollfd one = {.fd = fd, .events = (short)(POLLIN | (out < length ? POLLOUT : 0))};
        if (AGAIN(poll(&one, 1, PATIENCE_MS)) != 1) {
            hung++;
            return;
        }
        if (out < length && one.revents & POLLOUT) {
            ssize_t more = send(fd, sent + out, length - out, MSG_NOSIGNAL | MSG_DONTWAIT);
            out += more > 0 ? (size_t)more : 0;
        }
        if (one.revents & (POLLIN | POLLHUP | POLLERR)) {
            ssize_t more = recv(fd, back + in, length - in, MSG_DONTWAIT);
            if (more == 0 || (more < 0 && errno != EAGAIN)) {
                wrong_bytes++;
                return;
            }
            in += more > 0 ? (size_t)more : 0;
        }
    }
    wrong_bytes += memcmp(sent, back, length) != 0;
}

/* The fd of a cancelled connect, reused for another file at once, must remain that file's. */
static void reuse(int fd)
{
    char byte = 'x';
    int pair[2];
    if (pipe2(pair, O_CLOEXEC) != 0)
        return;
    (void)fd;
    usleep(2000);
    stolen += write(pair[1], &byte, 1) != 1 || read(pair[0], &byte, 1) != 1;
    close(pair[0]);
    close(pair[1]);
}

/* Whether the child asks for SO_ERROR: the socket is one, and has its error for the first that asks. */
static int child(int fd, unsigned *seed)
{
    int asks = pick(seed, 2) != 0 && children_ask;
    forked++;
    pid_t pid = fork();
    if (pid == 0) {
        alarm(PATIENCE_MS / 1000);
        if (asks) {
            struct pollfd one = {.fd = fd, .events = POLLOUT};
            poll(&one, 1, 5);
            error_of(fd);
        }
        close(fd);
        _exit(0);
    }
    int status = -1;
    AGAIN(waitpid(pid, &status, 0));
    hung += status != 0;
    return asks;
}

/* One connection from its beginning to its end. */
static void one_connection(unsigned *seed)
{
    int to_good = pick(seed, 4) != 0, blocking = pick(seed, 6) == 0, copy = -1, asked = 0;
    const struct address *to = to_good ? &good : &refusing;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK), 0);
    if (pick(seed, 8) == 0)
        copy = dup(fd);
    int result = connect(fd, &to->any, to->length), error = result == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
        if (pick(seed, 8) == 0 && copy < 0)
            copy = dup(fd);
        if (pick(seed, 50) == 0)
            asked = child(fd, seed);
        if (pick(seed, 6) == 0) {
            if (pick(seed, 2))
                usleep(pick(seed, 5000));
            if (copy >= 0)
                close(copy);
            close(fd);
            cancelled++;
            reuse(fd);
            return;
        }
        if (copy >= 0 && pick(seed, 2)) {
            close(fd);
            fd = copy;
            copy = -1;
        }
        if (pick(seed, 6) == 0) {
            int off = 0;
            pick(seed, 2) ? (void)fcntl(fd, F_SETFL, 0) : (void)ioctl(fd, FIONBIO, &off);
        }
        if (!await(fd, seed))
            hung++;
        error = error_of(fd);
        struct address peer = {.length = sizeof peer.storage};
        int has_peer = getpeername(fd, &peer.any, &peer.length) == 0;
        if (asked && !has_peer && error == 0)
            error = ECONNREFUSED;
        lied += (error == 0) != has_peer;
    }
    if (error == 0) {
        connected++;
        lied += !to_good;
        talk(fd, seed);
    } else {
        failed++;
        lied += to_good && error != ECONNREFUSED && error != ECONNRESET;
    }
    if (copy >= 0)
        close(copy);
    close(fd);
}

static void *worker(void *argument)
{
    unsigned seed = (unsigned)(uintptr_t)argument;
    while (time(NULL) < end)
        one_connection(&seed);
    return NULL;
}

static int entries(const char *directory)
{
    DIR *open = opendir(directory);
    int count = -2; /* . and .. */
    while (open && readdir(open))
        count++;
    closedir(open);
    return count;
}

static void round_of(int threads, int seconds)
{
    pthread_t all[threads];
    end = time(NULL) + seconds;
    for (int i = 0; i < threads; i++)
        pthread_create(&all[i], NULL, worker, (void *)(uintptr_t)(time(NULL) * 1000 + i));
    while (stormy && time(NULL) < end) {
        usleep(500);
        pthread_kill(all[rand() % threads], SIGURG);
    }
    for (int i = 0; i < threads; i++)
        pthread_join(all[i], NULL);
    for (int i = 0; i < 1000 && entries("/proc/self/task") > 1; i++)
        usleep(10000);
}

static void on_signal(int signal) { (void)signal; }

int main(int count, char **arguments)
{
    if (count != 6 && count != 7)
        give_up("HOST PORT REFUSING SECONDS THREADS [children-do-not-ask|storm]");
    children_ask = count == 6 || strcmp(arguments[6], "children-do-not-ask") != 0;
    stormy = count == 7 && strcmp(arguments[6], "storm") == 0;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGURG, &action, NULL);
    good = address_of(arguments[1], arguments[2]);
    refusing = address_of(arguments[1], arguments[3]);
    int seconds = atoi(arguments[4]), threads = atoi(arguments[5]);
    shared_epoll = epoll_create1(EPOLL_CLOEXEC);
    round_of(threads, 1); /* allocates what libc and the library keep */
    int descriptors = entries("/proc/self/fd");
    size_t used = mallinfo2().uordblks;
    round_of(threads, seconds);
    long grown = (long)mallinfo2().uordblks - (long)used;
    printf("connected %ld failed %ld cancelled %ld forked %ld grown %ld\n", connected, failed, cancelled, forked, grown);
    printf("hung %ld wrong_bytes %ld lied %ld stolen %ld threads %d descriptors %+d grown_much %d\n", hung, wrong_bytes,
           lied, stolen, entries("/proc/self/task"), entries("/proc/self/fd") - descriptors, grown > 256 * 1024);
    return 0;
}
