/* Built as a library, to be preloaded beside ours under helgrind: tells it what it cannot see.
 *
 * helgrind knows the locks of pthreads, by wrapping their functions. Ours is an atomic word and futex(2): to helgrind
 * that is just memory that several threads use. So its two functions are wrapped here in the same way (see
 * "function wrapping" in valgrind's manual; Za stands for *, as rustc adds to a name). This gives more than silence:
 * what is touched without its lock is reported, and so is a wrong order of locks.
 *
 * Nor does helgrind know an atomic store: on x86-64 it is an ordinary one. To suppress its reports by function would
 * hide all else that the function does, and depend on what the compiler inlines. So they are prevented by address; it
 * is told not to look at
 *  - what the library maps. That is two things (name_table::Memory, Registrations), both tables of atomic words and
 *    nothing else: their types give no other access.
 *  - the library's static variables. What they hold is an atomic word, or is under one of our locks, or was made before
 *    there were threads. The locks guard maps and lists, and those live on the heap, where helgrind does look.
 *
 * And it does not know an acquiring load, with which a thread first meets what another has made. So names, which are
 * read on first use, are read here, before there are threads. (What else is made on first use: support/valgrind.py.) */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <netdb.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <valgrind/helgrind.h>

#define WRAPPED(name) I_WRAP_SONAME_FNNAME_ZZ(Za, Za14tailchain_core4lock##name##Za)

void WRAPPED(7acquire)(void *lock);
void WRAPPED(7release)(void *lock);

void WRAPPED(7acquire)(void *lock)
{
    OrigFn original;
    VALGRIND_GET_ORIG_FN(original);
    CALL_FN_v_W(original, lock);
    ANNOTATE_RWLOCK_ACQUIRED(lock, 1);
}

void WRAPPED(7release)(void *lock)
{
    OrigFn original;
    VALGRIND_GET_ORIG_FN(original);
    ANNOTATE_RWLOCK_RELEASED(lock, 1);
    CALL_FN_v_W(original, lock);
}

/* Called by the library, and by the program; libc and malloc have their own ways. */
void *mmap(void *where, size_t length, int protection, int flags, int fd, off_t offset)
{
    void *memory = (void *)syscall(SYS_mmap, where, length, protection, flags, fd, offset);
    if (memory != MAP_FAILED)
        VALGRIND_HG_DISABLE_CHECKING(memory, length);
    return memory;
}

static int pass_over_statics(struct dl_phdr_info *object, size_t size, void *base)
{
    (void)size;
    for (size_t i = 0; (void *)object->dlpi_addr == base && i < object->dlpi_phnum; i++)
        if (object->dlpi_phdr[i].p_type == PT_LOAD && object->dlpi_phdr[i].p_flags & PF_W)
            VALGRIND_HG_DISABLE_CHECKING(object->dlpi_addr + object->dlpi_phdr[i].p_vaddr, object->dlpi_phdr[i].p_memsz);
    return 0;
}

__attribute__((constructor)) static void begin(void)
{
    Dl_info library;
    void *function = dlsym(RTLD_DEFAULT, "tailchain_version");
    if (!function || !dladdr(function, &library))
        return;
    dl_iterate_phdr(pass_over_statics, library.dli_fbase);
    struct addrinfo *list;
    if (getaddrinfo("first.example", NULL, NULL, &list) == 0)
        freeaddrinfo(list);
}
