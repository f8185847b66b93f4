/* What the probes use of glibc, for musl. */
#ifndef MUSL_H
#define MUSL_H

#ifndef __GLIBC__
#include <errno.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ERRNO_NAMES(N) \
    N(EPERM) N(ENOENT) N(EINTR) N(EIO) N(ENXIO) N(E2BIG) N(EBADF) N(ECHILD) N(EAGAIN) N(ENOMEM) N(EACCES) N(EFAULT) \
    N(EBUSY) N(EEXIST) N(ENODEV) N(ENOTDIR) N(EISDIR) N(EINVAL) N(ENFILE) N(EMFILE) N(ENOTTY) N(ESPIPE) N(EROFS) \
    N(EPIPE) N(EDOM) N(ERANGE) N(EDEADLK) N(ENAMETOOLONG) N(ENOSYS) N(ELOOP) N(EPROTO) N(ENOTSOCK) N(EDESTADDRREQ) \
    N(EMSGSIZE) N(EPROTOTYPE) N(ENOPROTOOPT) N(EPROTONOSUPPORT) N(ESOCKTNOSUPPORT) N(EOPNOTSUPP) N(EPFNOSUPPORT) \
    N(EAFNOSUPPORT) N(EADDRINUSE) N(EADDRNOTAVAIL) N(ENETDOWN) N(ENETUNREACH) N(ENETRESET) N(ECONNABORTED) \
    N(ECONNRESET) N(ENOBUFS) N(EISCONN) N(ENOTCONN) N(ESHUTDOWN) N(ETIMEDOUT) N(ECONNREFUSED) N(EHOSTDOWN) \
    N(EHOSTUNREACH) N(EALREADY) N(EINPROGRESS) N(ECANCELED)

static inline const char *strerrorname_np(int number)
{
#define NAME(name) \
    if (number == name) \
        return #name;
    ERRNO_NAMES(NAME)
#undef NAME
    return NULL;
}

/* As with a kernel, or a program, that makes the system call itself. */
static inline int close_range(unsigned first, unsigned last, int flags)
{
    return (int)syscall(SYS_close_range, first, last, flags);
}

static inline void closefrom(int first)
{
    close_range((unsigned)first, ~0U, 0);
}

/* Nothing is known of musl's memory. */
struct memory {
    size_t uordblks;
};
static inline struct memory mallinfo2(void)
{
    return (struct memory){0};
}

static inline void *dlvsym(void *handle, const char *name, const char *version)
{
    (void)handle, (void)name, (void)version;
    return NULL;
}
#endif

#endif
