/* lookups HOST PORT WAY…: finds connect in another way than by its name in the program, and calls it; one line, `WAY -> RESULT`,
 * for each.
 *
 *   default next main libc                dlsym with RTLD_DEFAULT, RTLD_NEXT, dlopen(NULL), dlopen("libc.so.6")
 *   vdefault vnext vmain vlibc            dlvsym with the version that this machine's first glibc had
 *   same                                  that what is not interposed is the same in all ways, and errors are libc's
 *   locked                                whether libc's handle has connect, for this process and for a child of fork, while
 *                                         another thread holds the lock of dl_iterate_phdr
 *   others                                all other names that the library interposes: how many libc's handle gives from libc */
#include "probe.h"

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <sys/wait.h>

#ifdef __GLIBC__
#include <gnu/libc-version.h>
#define OF_LIBC gnu_get_libc_version
#define WAYS_OF_LIBC "default", "next", "main", "libc", "vdefault", "vnext", "vmain", "vlibc"
#else
#define OF_LIBC __errno_location
#define WAYS_OF_LIBC "default", "next", "main", "libc"
#endif

#ifdef __aarch64__
#define VERSION "GLIBC_2.17"
#else
#define VERSION "GLIBC_2.2.5"
#endif

typedef int connector(int, const struct sockaddr *, socklen_t);

static void *base_of(const void *address)
{
    Dl_info info;
    return address && dladdr(address, &info) ? info.dli_fbase : NULL;
}

static void *found(const char *way, const char *name)
{
    int versioned = way[0] == 'v';
    const char *where = way + versioned;
    void *handle = strcmp(where, "default") == 0 ? RTLD_DEFAULT
                   : strcmp(where, "next") == 0  ? RTLD_NEXT
                   : strcmp(where, "main") == 0  ? dlopen(NULL, RTLD_NOW)
                                                 : dlopen("libc.so.6", RTLD_NOW);
    return versioned ? dlvsym(handle, name, VERSION) : dlsym(handle, name);
}

static const char *same(void)
{
    static const char *const WAYS[] = {WAYS_OF_LIBC};
    for (size_t i = 0; i < sizeof WAYS / sizeof WAYS[0]; i++)
        if (base_of(found(WAYS[i], "getppid")) != base_of((void *)OF_LIBC))
            return WAYS[i];
    void *libc = dlopen("libc.so.6", RTLD_NOW);
    dlerror();
    if (dlsym(libc, "no_such_function") || !strstr(dlerror(), "no_such_function") || dlerror())
        return "no_such_function";
#ifdef __GLIBC__
    if (dlvsym(libc, "connect", "GLIBC_0.1") || !strstr(dlerror(), "GLIBC_0.1") || dlerror())
        return "no such version";
#endif
    if (!dlsym(libc, "connect") || dlerror())
        return "an error after success";
    return "yes";
}

static void others(void)
{
    const char *(*hooks)(void) = (const char *(*)(void))dlsym(RTLD_DEFAULT, "tailchain_hooks");
    int ours = 0, libcs = 0;
    char list[8192], *rest;
    snprintf(list, sizeof list, "%s", hooks ? hooks() : "");
    for (char *name = strtok_r(list, " ", &rest); name; name = strtok_r(NULL, " ", &rest)) {
        void *address = found("libc", name);
        ours += address && base_of(address) == base_of((void *)hooks);
        libcs += address && base_of(address) == base_of((void *)OF_LIBC);
    }
    printf("%s, libc's %d\n", ours > 30 ? "many" : "few", libcs);
}

static int asked[2], answered[2];

static int hold(struct dl_phdr_info *info, size_t size, void *data)
{
    char byte = 0;
    (void)info, (void)size, (void)data;
    return write(asked[1], &byte, 1) == 1 && read(answered[0], &byte, 1) == 1 ? 1 : -1;
}

static void *holder(void *data)
{
    (void)data;
    return dl_iterate_phdr(hold, NULL) == 1 ? NULL : (void *)1;
}

static const char *locked(void)
{
    pthread_t thread;
    char byte;
    int status = 1;
    void *libc = dlopen("libc.so.6", RTLD_NOW), *failed = NULL;
    alarm(20);
    if (pipe(asked) != 0 || pipe(answered) != 0 || pthread_create(&thread, NULL, holder, NULL) != 0)
        give_up("pipe, pthread_create");
    if (read(asked[0], &byte, 1) != 1)
        give_up("read");
    int here = dlsym(libc, "connect") != NULL;
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        _exit(dlsym(libc, "connect") ? 0 : 1);
    }
    if (waitpid(child, &status, 0) != child || write(answered[1], &byte, 1) != 1)
        give_up("waitpid, write");
    pthread_join(thread, &failed);
    return !here || failed ? "no" : status ? "not in the child" : "yes";
}

int main(int count, char **words)
{
    if (count < 4)
        give_up("usage: lookups HOST PORT WAY…");
    struct address to = address_of(words[1], words[2]);
    for (int i = 3; i < count; i++) {
        printf("%s -> ", words[i]);
        if (strcmp(words[i], "same") == 0) {
            printf("%s\n", same());
            continue;
        }
        if (strcmp(words[i], "locked") == 0) {
            printf("%s\n", locked());
            continue;
        }
        if (strcmp(words[i], "others") == 0) {
            others();
            continue;
        }
        connector *by = (connector *)found(words[i], "connect");
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        int result = by ? by(fd, &to.any, to.length) : -2;
        printf("%d%s%s\n", result, result < 0 ? " " : "", result < 0 ? errno_name(errno) : "");
    }
    return 0;
}
