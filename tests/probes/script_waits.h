/* Operations of socket_script.c that wait for events: poll, ppoll, select, pselect, epoll, io_uring; on the script's
 * thread, or on a thread of their own that is asleep while the script goes on. */
#ifndef SCRIPT_WAITS_H
#define SCRIPT_WAITS_H

#include "script.h"
#include <linux/io_uring.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <time.h>

enum { INSTANCES = 8, SLEEPERS = 8, PATIENCE_MS = 60000 };

static int epolls[INSTANCES];

/* poll and epoll have the same values for these (epoll_ctl(2)). */
static const struct name EVENTS[] = {
    {"IN", EPOLLIN}, {"OUT", EPOLLOUT}, {"PRI", EPOLLPRI}, {"ERR", EPOLLERR}, {"HUP", EPOLLHUP},
    {"RDHUP", EPOLLRDHUP}, {"ET", (int)EPOLLET}, {"ONESHOT", EPOLLONESHOT}, {"EXCLUSIVE", EPOLLEXCLUSIVE},
};
enum { EVENT_NAMES = sizeof EVENTS / sizeof EVENTS[0] };

/* IN+OUT+ET -> bits; - is none. */
static uint32_t events_of(const char *text)
{
    uint32_t bits = 0;
    while (strcmp(text, "-") != 0 && *text) {
        size_t length = strcspn(text, "+"), i = 0;
        while (i < EVENT_NAMES && (strlen(EVENTS[i].text) != length || strncmp(EVENTS[i].text, text, length) != 0))
            i++;
        if (i == EVENT_NAMES)
            give_up(text);
        bits |= (uint32_t)EVENTS[i].value;
        text += length + (text[length] == '+');
    }
    return bits;
}

static void append_events(char *text, uint32_t bits)
{
    const char *plus = "";
    for (size_t i = 0; i < EVENT_NAMES; i++)
        if (bits & (uint32_t)EVENTS[i].value) {
            strcat(strcat(text, plus), EVENTS[i].text);
            plus = "+";
        }
}

/* One wait, its parameters and what it gave. */
struct wait {
    char how[16];
    uint32_t events;
    int fd, ms;
    char answer[256];
    pthread_t thread;
};

static void wait_failed(struct wait *w) { snprintf(w->answer, sizeof w->answer, "-1 %s", errno_name(errno)); }

static void wait_poll(struct wait *w)
{
    struct pollfd one = {.fd = w->fd, .events = (short)w->events};
    struct timespec limit = {.tv_sec = w->ms / 1000, .tv_nsec = w->ms % 1000 * 1000000L};
    int ready = strcmp(w->how, "ppoll") == 0 ? ppoll(&one, 1, &limit, NULL) : poll(&one, 1, w->ms);
    if (ready < 0)
        wait_failed(w);
    else if (ready == 0)
        strcpy(w->answer, "nothing");
    else
        append_events(w->answer, (uint32_t)one.revents);
}

static void wait_select(struct wait *w)
{
    fd_set in, out, special;
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_ZERO(&special);
    if (w->events & EPOLLIN)
        FD_SET(w->fd, &in);
    if (w->events & EPOLLOUT)
        FD_SET(w->fd, &out);
    if (w->events & EPOLLPRI)
        FD_SET(w->fd, &special);
    struct timespec fine = {.tv_sec = w->ms / 1000, .tv_nsec = w->ms % 1000 * 1000000L};
    struct timeval coarse = {.tv_sec = w->ms / 1000, .tv_usec = w->ms % 1000 * 1000};
    int ready = strcmp(w->how, "pselect") == 0 ? pselect(w->fd + 1, &in, &out, &special, &fine, NULL)
                                               : select(w->fd + 1, &in, &out, &special, &coarse);
    if (ready < 0)
        wait_failed(w);
    else if (ready == 0)
        strcpy(w->answer, "nothing");
    else
        append_events(w->answer, (FD_ISSET(w->fd, &in) ? EPOLLIN : 0) | (FD_ISSET(w->fd, &out) ? EPOLLOUT : 0) |
                                     (FD_ISSET(w->fd, &special) ? EPOLLPRI : 0));
}

static int by_data(const void *a, const void *b)
{
    uint64_t one = ((const struct epoll_event *)a)->data.u64, two = ((const struct epoll_event *)b)->data.u64;
    return (one > two) - (one < two);
}

/* DATA:EVENTS of what is ready in the epoll instance w->fd. */
static void wait_epoll(struct wait *w)
{
    struct epoll_event found[8];
    int ready = epoll_wait(w->fd, found, 8, w->ms);
    if (ready < 0)
        return wait_failed(w);
    if (ready == 0)
        strcpy(w->answer, "nothing");
    qsort(found, (size_t)(ready < 0 ? 0 : ready), sizeof found[0], by_data);
    for (int i = 0; i < ready; i++) {
        size_t used = strlen(w->answer);
        snprintf(w->answer + used, sizeof w->answer - used, "%s%lu:", i ? " " : "", (unsigned long)found[i].data.u64);
        append_events(w->answer, found[i].events);
    }
}

/* A ring of two entries with one IORING_OP_POLL_ADD, io_uring_enter(2). */
static void wait_uring(struct wait *w)
{
    struct io_uring_params p = {0};
    int ring = (int)syscall(SYS_io_uring_setup, 2, &p);
    if (ring < 0)
        return wait_failed(w);
    size_t size = p.sq_off.array + p.sq_entries * sizeof(unsigned);
    size_t completions = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
    size = size > completions ? size : completions;
    char *rings = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
    struct io_uring_sqe *entry = mmap(NULL, p.sq_entries * sizeof *entry, PROT_READ | PROT_WRITE, MAP_SHARED, ring,
                                      IORING_OFF_SQES);
    if (rings == MAP_FAILED || entry == MAP_FAILED || !(p.features & IORING_FEAT_SINGLE_MMAP))
        give_up("io_uring");
    entry->opcode = IORING_OP_POLL_ADD;
    entry->fd = w->fd;
    entry->poll32_events = w->events;
    ((unsigned *)(rings + p.sq_off.array))[0] = 0;
    __atomic_store_n((unsigned *)(rings + p.sq_off.tail), 1, __ATOMIC_RELEASE);
    if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0) {
        wait_failed(w);
    } else {
        int result = ((struct io_uring_cqe *)(rings + p.cq_off.cqes))[0].res;
        errno = -result;
        if (result < 0)
            wait_failed(w);
        else
            append_events(w->answer, (uint32_t)result);
    }
    close(ring);
}

static void *wait_now(void *argument)
{
    struct wait *w = argument;
    if (strstr(w->how, "epoll"))
        wait_epoll(w);
    else if (strstr(w->how, "poll"))
        wait_poll(w);
    else if (strstr(w->how, "select"))
        wait_select(w);
    else
        wait_uring(w);
    return NULL;
}

/* HOW is poll, ppoll, select, pselect or uring, with EVENTS to wait for on the current socket; or epoll, with the
 * number of an instance. */
static struct wait wait_of(const char *how, const char *what, int ms)
{
    struct wait w = {.ms = ms};
    snprintf(w.how, sizeof w.how, "%s", how);
    if (strcmp(how, "epoll") == 0) {
        w.fd = epolls[value_of(what)];
    } else {
        w.fd = fd;
        w.events = events_of(what);
    }
    return w;
}

/* ready HOW EVENTS|INSTANCE MS */
static void op_ready(void)
{
    struct wait w = wait_of(words[1], words[2], value_of(words[3]));
    wait_now(&w);
    printf(" -> %s\n", w.answer);
}

static struct wait sleepers[SLEEPERS];
static int asleep_from, asleep_to;

/* asleep HOW EVENTS|INSTANCE [MS]: a thread that waits; `woken` tells what it saw, in the order of their start. */
static void op_asleep(void)
{
    struct wait *w = &sleepers[asleep_to++ % SLEEPERS];
    *w = wait_of(words[1], words[2], words[3] ? value_of(words[3]) : PATIENCE_MS);
    if (pthread_create(&w->thread, NULL, wait_now, w) != 0)
        give_up("pthread_create");
    usleep(50000); /* it is asleep by then; if not, the test is weaker, not wrong */
    say(0);
}

static void op_woken(void)
{
    struct wait *w = &sleepers[asleep_from++ % SLEEPERS];
    pthread_join(w->thread, NULL);
    printf(" -> %s\n", w->answer);
}

/* epoll INSTANCE */
static void op_epoll(void)
{
    /* The fd is not printed: it may vary. */
    epolls[value_of(words[1])] = epoll_create1(EPOLL_CLOEXEC);
    printf(" -> 0\n");
}

/* epoll_dup INSTANCE OTHER: another fd of one instance. */
static void op_epoll_dup(void)
{
    epolls[value_of(words[2])] = fcntl(epolls[value_of(words[1])], F_DUPFD_CLOEXEC, 0);
    printf(" -> 0\n");
}

static void op_epoll_close(void) { say(close(epolls[value_of(words[1])])); }

/* ctl INSTANCE add|mod|del [EVENTS [DATA]] on the current socket. */
static void op_ctl(void)
{
    int op = words[2][0] == 'a' ? EPOLL_CTL_ADD : words[2][0] == 'm' ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;
    struct epoll_event event = {.events = words[3] ? events_of(words[3]) : 0,
                                .data.u64 = words[4] ? (uint64_t)value_of(words[4]) : 7};
    say(epoll_ctl(epolls[value_of(words[1])], op, fd, &event));
}

/* nest OUTER INNER: an epoll instance in another. */
static void op_nest(void)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 1000};
    say(epoll_ctl(epolls[value_of(words[1])], EPOLL_CTL_ADD, epolls[value_of(words[2])], &event));
}

#define WAIT_OPS                                                                                                       \
    {"ready", op_ready}, {"asleep", op_asleep}, {"woken", op_woken}, {"epoll", op_epoll}, {"epoll_dup", op_epoll_dup}, {"epoll_close", op_epoll_close}, {"ctl", op_ctl},             \
        {"nest", op_nest}

#endif
