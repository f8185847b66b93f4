/* Runs the operations given as arguments on sockets, and prints what each one returned:
 *
 *   socket_script "socket inet stream" "connect 127.0.0.1 80" "peer"
 *
 * Nothing that differs from run to run is printed
 * (no ephemeral port, no inode), so that two runs can be compared byte for byte.
 */
#include "script.h"
#include "script_process.h"
#include "script_waits.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>

static ino_t marked;

static const struct name NAMES[] = {
    {"inet", AF_INET}, {"inet6", AF_INET6}, {"unix", AF_UNIX},
    {"stream", SOCK_STREAM}, {"dgram", SOCK_DGRAM}, {"raw", SOCK_RAW},
    {"cloexec", SOCK_CLOEXEC}, {"nonblock", SOCK_NONBLOCK},
    {"mptcp", IPPROTO_MPTCP}, {"sctp", IPPROTO_SCTP},
    {"SOL_SOCKET", SOL_SOCKET}, {"IPPROTO_TCP", IPPROTO_TCP}, {"IPPROTO_IPV6", IPPROTO_IPV6}, {"IPPROTO_IP", IPPROTO_IP},
    {"SO_KEEPALIVE", SO_KEEPALIVE}, {"SO_RCVBUF", SO_RCVBUF}, {"SO_SNDBUF", SO_SNDBUF}, {"SO_ERROR", SO_ERROR},
    {"SO_REUSEADDR", SO_REUSEADDR}, {"SO_PRIORITY", SO_PRIORITY}, {"SO_OOBINLINE", SO_OOBINLINE}, {"SO_MARK", SO_MARK},
    {"SO_LINGER", SO_LINGER}, {"SO_RCVTIMEO", SO_RCVTIMEO}, {"SO_SNDTIMEO", SO_SNDTIMEO}, {"SO_TYPE", SO_TYPE},
    {"TCP_NODELAY", TCP_NODELAY}, {"TCP_KEEPIDLE", TCP_KEEPIDLE}, {"TCP_KEEPINTVL", TCP_KEEPINTVL},
    {"TCP_KEEPCNT", TCP_KEEPCNT}, {"TCP_USER_TIMEOUT", TCP_USER_TIMEOUT}, {"TCP_SYNCNT", TCP_SYNCNT},
    {"TCP_FASTOPEN_CONNECT", TCP_FASTOPEN_CONNECT}, {"TCP_MAXSEG", TCP_MAXSEG}, {"TCP_QUICKACK", TCP_QUICKACK},
    {"SIOCOUTQ", TIOCOUTQ}, {"SIOCINQ", FIONREAD}, {"SIOCOUTQNSD", 0x894b},
    {"CLONE_NEWUSER", CLONE_NEWUSER}, {"CLONE_NEWNET", CLONE_NEWNET}, {"CLONE_NEWNS", CLONE_NEWNS},
    {"CLONE_FILES", CLONE_FILES}, {"CLONE_NEWPID", CLONE_NEWPID}, {"CLONE_NEWTIME", 0x80},
    {"SO_RCVLOWAT", SO_RCVLOWAT}, {"TCP_CORK", TCP_CORK},
    {"IPV6_V6ONLY", IPV6_V6ONLY}, {"IP_TOS", IP_TOS}, {"IP_TTL", IP_TTL},
};

/* The value of a symbolic name, or of a number. */
static int value_of(const char *text)
{
    if (!text)
        return 0;
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++)
        if (strcmp(NAMES[i].text, text) == 0)
            return NAMES[i].value;
    char *end;
    long number = strtol(text, &end, 0);
    if (*end)
        give_up(text);
    return (int)number;
}

static void say_address(int result, const struct address *a, int with_port)
{
    char text[INET6_ADDRSTRLEN] = "?";
    if (result < 0) {
        say(-1);
        return;
    }
    int six = a->any.sa_family == AF_INET6;
    inet_ntop(a->any.sa_family, six ? (const void *)&a->v6.sin6_addr : (const void *)&a->v4.sin_addr, text, sizeof text);
    printf(" -> %s length %u", text, a->length);
    if (with_port)
        printf(" port %u", ntohs(six ? a->v6.sin6_port : a->v4.sin_port));
    printf("\n");
}

/* -- operations; words[1] and on are their arguments */

static void op_socket(void)
{
    other = fd;
    fd = socket(value_of(words[1]), value_of(words[2]) | value_of(words[4]), value_of(words[3]));
    say(fd);
}

static void op_bind(void)
{
    struct address a = address_of(words[1], words[2]);
    say(bind(fd, &a.any, a.length));
}

/* connect HOST PORT [LENGTH] */
static void op_connect(void)
{
    struct address a = address_of(words[1], words[2]);
    say(connect(fd, &a.any, words[3] ? (socklen_t)value_of(words[3]) : a.length));
}

static void op_connect_null(void) { say(connect(fd, NULL, sizeof(struct sockaddr_in))); }

/* connect_wild [LENGTH]: a pointer to a page that is not there. */
static void op_connect_wild(void)
{
    void *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    say(connect(fd, page, words[1] ? (socklen_t)value_of(words[1]) : sizeof(struct sockaddr_in)));
}

/* connect_edge HOST PORT: a good address that ends at the last byte of the last page that is there. */
static void op_connect_edge(void)
{
    struct address a = address_of(words[1], words[2]);
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(pages + 4096, 4096, PROT_NONE);
    char *place = pages + 4096 - a.length;
    memcpy(place, &a.any, a.length);
    say(connect(fd, (struct sockaddr *)place, a.length));
}

/* connect_family NUMBER HOST PORT: with a family written over the right one. */
static void op_connect_family(void)
{
    struct address a = address_of(words[2], words[3]);
    a.any.sa_family = (sa_family_t)value_of(words[1]);
    say(connect(fd, &a.any, a.length));
}

static void op_unspec(void)
{
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    say(connect(fd, &none, sizeof none));
}

static void op_set(void)
{
    int value = value_of(words[3]);
    say(setsockopt(fd, value_of(words[1]), value_of(words[2]), &value, sizeof value));
}

static void op_get(void)
{
    int value = 0;
    socklen_t length = sizeof value;
    int result = getsockopt(fd, value_of(words[1]), value_of(words[2]), &value, &length);
    say(result < 0 ? -1 : value);
}

static void op_linger(void)
{
    struct linger value = {.l_onoff = 1, .l_linger = value_of(words[1])};
    say(setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, sizeof value));
}

static void op_get_linger(void)
{
    struct linger value = {0};
    socklen_t length = sizeof value;
    int result = getsockopt(fd, SOL_SOCKET, SO_LINGER, &value, &length);
    say(result < 0 ? -1 : value.l_onoff * 1000 + value.l_linger);
}

/* set_time OPTION MS */
static void op_set_time(void)
{
    int ms = value_of(words[2]);
    struct timeval value = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    say(setsockopt(fd, SOL_SOCKET, value_of(words[1]), &value, sizeof value));
}

static void op_get_time(void)
{
    struct timeval value = {0};
    socklen_t length = sizeof value;
    int result = getsockopt(fd, SOL_SOCKET, value_of(words[1]), &value, &length);
    say(result < 0 ? -1 : value.tv_sec * 1000 + value.tv_usec / 1000);
}

static void op_peer(void)
{
    struct address a = {.length = sizeof a.storage};
    int result = getpeername(fd, &a.any, &a.length);
    say_address(result, &a, 1);
}

/* peer_room BYTES: how much of the address fits is the kernel's rule; the length tells the whole. */
static void op_peer_room(void)
{
    struct address a = {.length = (socklen_t)value_of(words[1])};
    int result = getpeername(fd, &a.any, &a.length);
    say(result < 0 ? -1 : (long)a.length);
}

static void op_local(void)
{
    struct address a = {.length = sizeof a.storage};
    int result = getsockname(fd, &a.any, &a.length);
    say_address(result, &a, 0);
}

static void op_flags(void)
{
    printf(" -> %s%s\n", fcntl(fd, F_GETFD) & FD_CLOEXEC ? "cloexec" : "inherited",
           fcntl(fd, F_GETFL) & O_NONBLOCK ? " nonblock" : " block");
}

static ino_t inode(void)
{
    struct stat info;
    if (fstat(fd, &info) < 0)
        give_up("fstat");
    return info.st_ino;
}

static void op_mark(void)
{
    marked = inode();
    printf(" -> 0\n");
}

static void op_same(void) { printf(" -> %s\n", inode() == marked ? "same" : "another"); }

static void op_send(void) { say(send(fd, words[1], strlen(words[1]), MSG_NOSIGNAL)); }
static void op_write(void) { say(write(fd, words[1], strlen(words[1]))); }

/* recv BYTES: until this many, end of file, or an error. */
static void op_recv(void)
{
    char text[4096];
    size_t want = (size_t)value_of(words[1]), got = 0;
    ssize_t more = 1;
    while (got < want && (more = recv(fd, text + got, want - got, 0)) > 0)
        got += (size_t)more;
    if (more < 0)
        say(-1);
    else
        printf(" -> %zu %.*s\n", got, (int)got, text);
}

static void op_dup(void)
{
    other = fd;
    fd = dup(fd);
    say(fd);
}

/* dup2 FD [cloexec]: the current socket at this fd, too. */
static void op_dup2(void)
{
    other = fd;
    fd = words[2] ? dup3(fd, value_of(words[1]), O_CLOEXEC) : dup2(fd, value_of(words[1]));
    say(fd);
}

/* null CALL: with NULL as a pointer argument. */
static void op_null(void)
{
    struct address a;
    long result = -2;
    if (strcmp(words[1], "ioctl") == 0)
        result = ioctl(fd, FIONBIO, NULL);
    else if (strcmp(words[1], "sendmsg") == 0)
        result = sendmsg(fd, NULL, MSG_FASTOPEN);
    else if (strcmp(words[1], "sendmmsg") == 0)
        result = sendmmsg(fd, NULL, 1, MSG_FASTOPEN);
    else if (strcmp(words[1], "getpeername") == 0)
        result = getpeername(fd, &a.any, NULL);
    say(result);
}

/* cover: replaces the current socket by stderr, so that its fd stays in use. */
static void op_cover(void) { say(dup2(2, fd)); }

/* nonblock 0|1 and fionbio 0|1: two ways to the same flag. cloexec 0|1. */
static void op_nonblock(void)
{
    int flags = fcntl(fd, F_GETFL);
    say(fcntl(fd, F_SETFL, value_of(words[1]) ? flags | O_NONBLOCK : flags & ~O_NONBLOCK));
}

static void op_fionbio(void)
{
    int on = value_of(words[1]);
    say(ioctl(fd, FIONBIO, &on));
}

/* ioctl SIOCOUTQ|…: of a request that gives a number. */
static void op_ioctl(void)
{
    int number = 77;
    int result = ioctl(fd, value_of(words[1]), &number);
    say(result < 0 ? -1 : number);
}

/* tcp_state: of TCP_INFO. */
static void op_tcp_state(void)
{
    struct tcp_info info = {0};
    socklen_t length = sizeof info;
    int result = getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length);
    say(result < 0 ? -1 : info.tcpi_state);
}

static void op_cloexec(void) { say(fcntl(fd, F_SETFD, value_of(words[1]) ? FD_CLOEXEC : 0)); }

/* reuse: another file at the lowest free fd. kind: what is at the current fd. */
static void op_reuse(void) { say(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

static void op_kind(void)
{
    struct stat info;
    int result = fstat(fd, &info);
    printf(" -> %s\n", result < 0 ? errno_name(errno) : S_ISSOCK(info.st_mode) ? "socket" : "something else");
}

static void op_swap(void)
{
    int saved = fd;
    fd = other;
    other = saved;
    say(fd);
}

static void op_close(void) { say(close(words[1] ? value_of(words[1]) : fd)); }
/* close_past: closed by the kernel without libc's close. */
static void op_close_past(void) { say((int)syscall(SYS_close, fd)); }
static void op_use(void) { say(fd = value_of(words[1])); }
static void op_listen(void) { say(listen(fd, 8)); }
/* shutdown [HOW]: 0 reading, 1 writing (the default), 2 both. */
static void op_shutdown(void) { say(shutdown(fd, words[1] ? value_of(words[1]) : SHUT_WR)); }

/* close_range [FIRST LAST] */
/* close_range [FIRST LAST [FLAGS]] */
static void op_close_range(void)
{
    unsigned first = words[1] ? (unsigned)value_of(words[1]) : 3, last = words[1] ? (unsigned)value_of(words[2]) : ~0U;
    say(close_range(first, last, value_of(words[3])));
}

/* wait MS: for the current socket to become writable, as after a non-blocking connect. */
static void op_wait(void)
{
    struct pollfd one = {.fd = fd, .events = POLLOUT};
    say(poll(&one, 1, value_of(words[1])));
}

static void op_sleep(void)
{
    usleep((useconds_t)value_of(words[1]) * 1000);
    say(0);
}

/* errno_kept: a successful connect leaves errno alone. */
static void op_errno_kept(void)
{
    struct address a = address_of(words[1], words[2]);
    errno = ENOTTY;
    int result = connect(fd, &a.any, a.length);
    printf(" -> %d %s\n", result, errno_name(errno));
}

static void op_sendto_udp(void)
{
    struct address a = address_of(words[1], words[2]);
    say(sendto(fd, words[3], strlen(words[3]), 0, &a.any, a.length));
}

struct op { const char *name; void (*run)(void); };

static const struct op OPS[] = {
    {"socket", op_socket}, {"bind", op_bind}, {"connect", op_connect}, {"connect_null", op_connect_null},
    {"connect_wild", op_connect_wild}, {"connect_edge", op_connect_edge}, {"connect_family", op_connect_family},
    {"unspec", op_unspec}, {"set", op_set}, {"get", op_get}, {"linger", op_linger}, {"get_linger", op_get_linger},
    {"set_time", op_set_time}, {"get_time", op_get_time}, {"peer", op_peer}, {"peer_room", op_peer_room},
    {"local", op_local}, {"flags", op_flags}, {"mark", op_mark}, {"same", op_same}, {"send", op_send},
    {"write", op_write}, {"recv", op_recv}, {"dup", op_dup}, {"swap", op_swap}, {"close", op_close}, {"close_past", op_close_past}, {"use", op_use},
    {"listen", op_listen}, {"shutdown", op_shutdown}, {"close_range", op_close_range}, {"wait", op_wait},
    {"sleep", op_sleep}, {"errno_kept", op_errno_kept}, {"sendto", op_sendto_udp}, {"dup2", op_dup2},
    {"cover", op_cover}, {"nonblock", op_nonblock}, {"fionbio", op_fionbio}, {"ioctl", op_ioctl}, {"tcp_state", op_tcp_state}, {"cloexec", op_cloexec},
    {"reuse", op_reuse}, {"kind", op_kind}, {"null", op_null}, WAIT_OPS, PROCESS_OPS,
};

#ifdef TLS_KIB
/* glibc puts these on the stack of each thread. */
static __thread volatile char thread_local_bytes[TLS_KIB * 1024] __attribute__((used));
#endif

int main(int count, char **operations)
{
#ifdef TLS_KIB
    thread_local_bytes[sizeof thread_local_bytes - 1] = 1;
#endif
    setvbuf(stdout, NULL, _IOLBF, 0);
    alarm(120); /* ends a hang even if no process waits for this one */
    for (int i = 1; i < count; i++) {
        if (skip_to && strcmp(skip_to, operations[i]) != 0)
            continue;
        skip_to = NULL;
        rest = operations + i + 1;
        if (strcmp(operations[i], "end") != 0)
            printf("%s", operations[i]);
        memset(words, 0, sizeof words);
        size_t n = 0;
        for (char *word = strtok(operations[i], " "); word && n < 8; word = strtok(NULL, " "))
            words[n++] = word;
        size_t op = 0;
        while (op < sizeof OPS / sizeof OPS[0] && strcmp(OPS[op].name, words[0]) != 0)
            op++;
        if (op == sizeof OPS / sizeof OPS[0])
            give_up(words[0]);
        errno = 0;
        OPS[op].run();
    }
    return 0;
}
