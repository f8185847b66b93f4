/* signal_each_call HOST PORT restart|plain blocking|pending: for each n, a traced child that connects and gets a signal
 * as it enters its n-th system call; at last one that gets a signal at every one of its first 100. The handler is
 * installed with or without SA_RESTART. Prints the outcomes with their numbers. */
#include "probe.h"
#include <poll.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { ALL = 0, MOST = 100, GOOD = 0, WRONG = 1 };

static volatile sig_atomic_t handled;

static void on_signal(int signal)
{
    (void)signal;
    handled++;
}

/* In the child: connect and talk. */
static int act(const struct address *to, int restart, int pending)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = restart ? SA_RESTART : 0};
    sigaction(SIGUSR1, &action, NULL);
    int fd = socket(to->any.sa_family, SOCK_STREAM | (pending ? SOCK_NONBLOCK : 0), 0), ready, error = 0;
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP); /* from here on calls are counted */
    int result = connect(fd, &to->any, to->length);
    syscall(SYS_gettid); /* to here */
    if (result < 0 && errno != (pending ? EINPROGRESS : EINTR)) {
        fprintf(stderr, "connect: %s\n", errno_name(errno));
        return WRONG;
    }
    if (result < 0) {
        struct pollfd one = {.fd = fd, .events = POLLOUT};
        socklen_t length = sizeof error;
        while ((ready = poll(&one, 1, 60000)) < 0 && errno == EINTR)
            ;
        if (ready != 1 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 || error) {
            fprintf(stderr, "poll %d SO_ERROR %s\n", ready, errno_name(error));
            return WRONG;
        }
        fcntl(fd, F_SETFL, 0);
    }
    return echoes(fd, "between the signals") ? GOOD : WRONG;
}

/* The number of system calls of connect, or -1 when the child failed. `at`: the call to disturb, or ALL. */
static int run(const struct address *to, int restart, int pending, int at)
{
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        _exit(act(to, restart, pending));
    }
    int status, calls = 0, over = 0, signal = 0;
    waitpid(pid, &status, 0);
    ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
    while (ptrace(over ? PTRACE_CONT : PTRACE_SYSCALL, pid, NULL, signal) == 0 && waitpid(pid, &status, 0) == pid &&
           WIFSTOPPED(status)) {
        signal = 0;
        if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
            signal = WSTOPSIG(status);
            continue;
        }
        struct __ptrace_syscall_info call = {0};
        ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof call, &call);
        if (call.op != PTRACE_SYSCALL_INFO_ENTRY)
            continue;
        if (call.entry.nr == SYS_gettid) {
            over = 1;
            continue;
        }
        calls++;
        if (at == ALL ? calls <= MOST : calls == at)
            syscall(SYS_tgkill, pid, pid, SIGUSR1);
    }
    if (WIFSIGNALED(status))
        fprintf(stderr, "died: %s\n", strsignal(WTERMSIG(status)));
    return WIFEXITED(status) && WEXITSTATUS(status) == GOOD ? calls : -1;
}

int main(int count, char **words)
{
    if (count != 5)
        give_up("usage: signal_each_call HOST PORT restart|plain blocking|pending");
    struct address to = address_of(words[1], words[2]);
    int restart = strcmp(words[3], "restart") == 0, pending = strcmp(words[4], "pending") == 0, bad = 0, n = 0, calls;
    do {
        n++;
        calls = run(&to, restart, pending, n);
        bad += calls < 0;
        if (calls < 0)
            fprintf(stderr, "the signal at call %d\n", n);
    } while ((calls < 0 || calls >= n) && n < 1000);
    int all = run(&to, restart, pending, ALL);
    printf("disturbed %s, bad %d, at every call %s\n", n > 1 ? "yes" : "no", bad, all < 0 ? "bad" : "good");
    fprintf(stderr, "%d calls, %d in the storm\n", n - 1, all);
    return 0;
}
