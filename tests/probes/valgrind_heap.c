/* Built as a library, to be preloaded beside ours under valgrind: has malloc in the place of the library's own heap
 * (crates/core/src/sys/heap.rs), by wrapping its functions (see "function wrapping" in valgrind's manual; Za stands for
 * *, as rustc adds to a name). So valgrind knows of each block who made it, how long it is and whether it is lost. */
#include <stdlib.h>
#include <valgrind/valgrind.h>

#define WRAPPED(name) I_WRAP_SONAME_FNNAME_ZZ(Za, Za14tailchain_core3sys4heap##name##Za)

void *WRAPPED(8allocate)(void *heap, size_t size, size_t align);
unsigned char WRAPPED(4free)(void *heap, void *block, size_t size, size_t align);

void *WRAPPED(8allocate)(void *heap, size_t size, size_t align)
{
    (void)heap;
    return align <= 16 ? malloc(size) : aligned_alloc(align, (size + align - 1) / align * align);
}

/* The block was the heap's. */
unsigned char WRAPPED(4free)(void *heap, void *block, size_t size, size_t align)
{
    (void)heap, (void)size, (void)align;
    free(block);
    return 1;
}
