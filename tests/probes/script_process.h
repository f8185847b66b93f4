/* Operations of socket_script.c about the process: children, limits, signals, what is left over. */
#ifndef SCRIPT_PROCESS_H
#define SCRIPT_PROCESS_H

#include "script.h"
#include <dirent.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

static pid_t child = -1;

/* fork … end: the operations between are the child's; `end` is the parent's, and waits for it. clone … end: the same,
 * without the handlers of pthread_atfork(3). */
static void op_fork(void)
{
    fflush(stdout);
    child = strcmp(words[0], "clone") == 0 ? (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork();
    if (child < 0)
        give_up("fork");
    if (child > 0) {
        skip_to = "end";
        return;
    }
    printf(" -> child\n");
}

static void op_end(void)
{
    int status = 0;
    if (child == 0)
        _exit(0); /* the child of `fork`, at its end; the parent prints this line */
    waitpid(child, &status, 0);
    printf("end -> %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status));
    fflush(stdout);
}

static void wait_for_the_end_of(pid_t parent)
{
    while (getppid() == parent)
        usleep(1000);
    usleep(50000); /* another thread of it may end a little later; if it is later still, the test is weaker, not wrong */
}

/* daemon: a child goes on with the script, and the parent ends at once. */
static void op_daemon(void)
{
    pid_t parent = getpid();
    fflush(stdout);
    pid_t pid = fork();
    if (pid != 0)
        _exit(pid < 0);
    wait_for_the_end_of(parent);
    printf(" -> daemon\n");
}

static int to_sibling[2], from_sibling[2];

/* sibling: as daemon, but first there is another child, which answers `sibling_error` with its SO_ERROR. */
static void op_sibling(void)
{
    pid_t parent = getpid();
    if (pipe(to_sibling) != 0 || pipe(from_sibling) != 0)
        give_up("pipe");
    fflush(stdout);
    if (fork() == 0) {
        wait_for_the_end_of(parent);
        int error = -1;
        socklen_t length = sizeof error;
        close(to_sibling[1]);
        if (read(to_sibling[0], &error, 1) == 1) {
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
            if (write(from_sibling[1], &error, sizeof error) < 0)
                give_up("write");
        }
        _exit(0);
    }
    op_daemon();
}

static void op_sibling_error(void)
{
    int error = -1;
    if (write(to_sibling[1], "?", 1) != 1 || read(from_sibling[0], &error, sizeof error) != sizeof error)
        give_up("sibling");
    say(error);
}

static char *TRUE_COMMAND[] = {"true", NULL};

/* vfork: the child closes and replaces the socket's fd before it executes something, as shells do. */
static void op_vfork(void)
{
    pid_t pid = vfork();
    if (pid == 0) {
        dup2(2, fd);
        close(fd);
        close_range(3, ~0U, 0);
        execvp(TRUE_COMMAND[0], TRUE_COMMAND);
        _exit(127);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    say(status);
}

static void op_spawn(void)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, 2, fd);
    posix_spawn_file_actions_addclose(&actions, fd);
    pid_t pid;
    int status = -1;
    if (posix_spawnp(&pid, TRUE_COMMAND[0], &actions, NULL, TRUE_COMMAND, environ) != 0)
        give_up("posix_spawn");
    waitpid(pid, &status, 0);
    posix_spawn_file_actions_destroy(&actions);
    say(status);
}

/* exec: this very program again, with the operations that follow. */
static void op_exec(void)
{
    printf(" -> 0\n");
    fflush(stdout);
    execv("/proc/self/exe", rest - 1);
    give_up("exec");
}

static void op_exit(void)
{
    printf(" -> 0\n");
    exit(0);
}

/* -- signals */

static volatile sig_atomic_t alarms;

/* close is async-signal-safe (signal-safety(7)). */
static void on_alarm(int signal)
{
    int saved = errno;
    (void)signal;
    alarms++;
    close(-1);
    close(1000000);
    errno = saved;
}

/* storm MICROSECONDS: a SIGALRM so often, whose handler closes; 0 ends it and tells whether there were any. */
static void op_storm(void)
{
    int period = value_of(words[1]);
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct itimerval every = {.it_interval.tv_usec = period, .it_value.tv_usec = period};
    sigaction(SIGALRM, &action, NULL);
    int result = setitimer(ITIMER_REAL, &every, NULL);
    if (period)
        say(result);
    else
        printf(" -> %s\n", alarms > 0 ? "alarms" : "none");
}

static void on_interruption(int signal) { (void)signal; }

/* interrupt MS restart|plain: one SIGALRM, whose handler is installed with or without SA_RESTART. */
static void op_interrupt(void)
{
    int ms = value_of(words[1]);
    struct sigaction action = {.sa_handler = on_interruption};
    if (strcmp(words[2], "restart") == 0)
        action.sa_flags = SA_RESTART;
    struct itimerval once = {.it_value = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000}};
    sigaction(SIGALRM, &action, NULL);
    say(setitimer(ITIMER_REAL, &once, NULL));
}

/* forks TIMES: children that end at once. */
static void op_forks(void)
{
    int good = 0;
    for (int i = value_of(words[1]); i > 0; i--) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        int status = -1;
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        good += status == 0;
    }
    say(good);
}

/* -- limits */

/* limit nofile SPARE: only this many more fds can be opened. limit nproc: no further thread, for an ordinary user. */
static void op_limit(void)
{
    struct rlimit limit;
    if (strcmp(words[1], "nofile") == 0) {
        getrlimit(RLIMIT_NOFILE, &limit);
        int lowest = dup(0);
        close(lowest);
        limit.rlim_cur = limit.rlim_max = (rlim_t)(lowest + value_of(words[2]));
        say(setrlimit(RLIMIT_NOFILE, &limit));
    } else {
        limit.rlim_cur = limit.rlim_max = 0;
        int result = setrlimit(RLIMIT_NPROC, &limit);
        if (getuid() == 0 && setresuid(65534, 65534, 65534) != 0)
            give_up("setresuid");
        say(result);
    }
}

/* soft_limit NUMBER: fds from this one on cannot be opened any more, but those that are open stay so. */
static void op_soft_limit(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = (rlim_t)value_of(words[1]);
    say(setrlimit(RLIMIT_NOFILE, &limit));
}

/* cannot WHAT: a call that would close the current socket, if it were not wrong. */
static void op_cannot(void)
{
    struct rlimit before, low;
    getrlimit(RLIMIT_NOFILE, &before);
    low = before;
    low.rlim_cur = (rlim_t)fd;
    long result = 0;
    if (strcmp(words[1], "flags") == 0) {
        result = dup3(2, fd, 1);
    } else if (strcmp(words[1], "same") == 0) {
        result = dup3(fd, fd, 0);
    } else if (strcmp(words[1], "closed") == 0) {
        result = dup2(999999, fd);
    } else if (strcmp(words[1], "range") == 0) {
        result = close_range((unsigned)fd, (unsigned)fd, 0x80);
    } else if (strcmp(words[1], "limit") == 0) {
        setrlimit(RLIMIT_NOFILE, &low);
        result = dup2(2, fd);
        int error = errno;
        setrlimit(RLIMIT_NOFILE, &before);
        errno = error;
    }
    say(result);
}

/* Two system calls fail with this errno from now on. */
static int deny(unsigned one, unsigned other, unsigned error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, one, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, other, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* no_threads: clone(2) is denied, as in a sandbox. no_close_range: as in a kernel before 5.9. */
static void op_no_threads(void) { say(deny(SYS_clone3, SYS_clone, EPERM)); }
static void op_no_close_range(void) { say(deny(SYS_close_range, SYS_close_range, ENOSYS)); }

static void op_closefrom(void)
{
    closefrom(value_of(words[1]));
    say(0);
}

/* -- calls that fail in a process with more than one thread */

/* unshare CLONE_FLAGS */
static void op_unshare(void) { say(unshare(value_of(words[1]))); }

/* setns NAMESPACE KINDS: the process's own, which it is in already. */
static void op_setns(void)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/ns/%s", words[1]);
    int own = open(path, O_RDONLY | O_CLOEXEC);
    say(setns(own, value_of(words[2])));
    close(own);
}

/* -- what it costs and what is left */

static int entries(const char *directory)
{
    DIR *open = opendir(directory);
    int count = 0;
    while (open && readdir(open))
        count++;
    if (open)
        closedir(open);
    return count;
}

/* fork_counting: a child that ends at once; how many threads there are directly after. */
static void op_fork_counting(void)
{
    pid_t pid = fork();
    int threads = entries("/proc/self/task") - 2;
    if (pid == 0)
        _exit(0);
    waitpid(pid, NULL, 0);
    printf(" -> threads %d\n", threads);
}

/* left: threads and open fds, once there is one thread (a thread needs a moment to end). */
static void op_left(void)
{
    for (int i = 0; i < 1000 && entries("/proc/self/task") != 3; i++)
        usleep(10000);
    printf(" -> threads %d descriptors %d\n", entries("/proc/self/task") - 2, entries("/proc/self/fd") - 3);
}

static long cpu_ms(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000 +
           (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1000;
}

/* cpu MS: whether the process has used less than that. */
static void op_cpu(void) { printf(" -> %s\n", cpu_ms() < value_of(words[1]) ? "less" : "more"); }

/* open PATH: tells the listener on this unix socket that the script has got this far. */
static void op_open(void)
{
    struct address a = address_of(words[1], "0");
    int gate = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result = connect(gate, &a.any, a.length);
    char answer;
    if (result == 0 && read(gate, &answer, 1) != 0) /* until it is open */
        give_up("gate");
    close(gate);
    say(result);
}

#define PROCESS_OPS                                                                                                    \
    {"fork", op_fork}, {"clone", op_fork}, {"end", op_end}, {"daemon", op_daemon}, {"sibling", op_sibling}, {"sibling_error", op_sibling_error}, {"vfork", op_vfork}, {"spawn", op_spawn}, {"exec", op_exec},                   \
        {"exit", op_exit}, {"storm", op_storm}, {"interrupt", op_interrupt}, {"forks", op_forks}, {"limit", op_limit},                              \
        {"soft_limit", op_soft_limit}, {"cannot", op_cannot}, {"no_threads", op_no_threads},                           \
        {"no_close_range", op_no_close_range}, {"closefrom", op_closefrom}, {"left", op_left},  {"unshare", op_unshare},         \
        {"setns", op_setns}, {"fork_counting", op_fork_counting}, {"cpu", op_cpu},        \
        {"open", op_open}

#endif
