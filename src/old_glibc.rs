//! What the library needs from glibc, without a symbol version newer than GLIBC_2.17.
//!
//! A library linked against a current glibc requires current symbol versions: GLIBC_2.34 for `dlsym` and the pthread
//! functions, which moved into libc.so.6 in that release, GLIBC_2.33 for `stat`, and more for functions that std could
//! do without. So these functions are defined here, hidden, and reach libc by system calls or by `dlsym`. The result
//! does not depend on the build machine, the linker or stub libraries. On glibc 2.34 and newer, libc is the only
//! dependency: a DT_NEEDED entry for libdl and libpthread would cost the user some 45 µs per exec. On older releases
//! both are loaded together with this library.

use crate::hook::lookup::dlsym;
use crate::old_dlopen;
use core::ffi::{c_char, c_int, c_long, c_uint, c_void, CStr};
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};
use libc::{pthread_attr_t, pthread_t, size_t, ssize_t};
use tailchain_unwinder::hidden;

type DlOpen = unsafe extern "C" fn(*const c_char, c_int) -> *mut c_void;

/// Loads `library` and looks up `name` in it. NULL if either fails.
pub fn open(library: &CStr, name: &CStr) -> *mut c_void {
    let dlopen = find(c"dlopen");
    if dlopen.is_null() {
        return old_dlopen::find(library, name);
    }
    // SAFETY: dlopen(3), with valid names; the library is never closed.
    unsafe {
        let dlopen = core::mem::transmute::<*mut c_void, DlOpen>(dlopen);
        let handle = dlopen(library.as_ptr(), libc::RTLD_NOW);
        if handle.is_null() {
            return handle;
        }
        dlsym(handle, name.as_ptr())
    }
}

/// Looks up a pthread function or dlopen: in libc, or else in libpthread, which the program may not have loaded.
fn find(name: &CStr) -> *mut c_void {
    // SAFETY: a valid name.
    let found = unsafe { dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    if !found.is_null() {
        return found;
    }
    old_dlopen::find(c"libpthread.so.0", name)
}

/// A function found by dlsym.
struct Function(AtomicPtr<c_void>);

impl Function {
    const fn new() -> Function {
        Function(AtomicPtr::new(ptr::null_mut()))
    }

    fn get_or(&self, find: impl FnOnce() -> *mut c_void) -> *mut c_void {
        let known = self.0.load(Ordering::Acquire);
        if !known.is_null() {
            return known;
        }
        let found = find();
        self.0.store(found, Ordering::Release);
        found
    }
}

static CREATE: Function = Function::new();
static SET_STACK_SIZE: Function = Function::new();
static CLEANUP_PUSH: Function = Function::new();
static CLEANUP_POP: Function = Function::new();
static SINGLE_THREADED: Function = Function::new();

/// Looks all functions up at load time: later, in a forked child, the loader's locks may be held.
pub fn bind() {
    CREATE.get_or(|| find(c"pthread_create"));
    SET_STACK_SIZE.get_or(|| find(c"pthread_attr_setstacksize"));
    CLEANUP_PUSH.get_or(|| find(c"_pthread_cleanup_push"));
    CLEANUP_POP.get_or(|| find(c"_pthread_cleanup_pop"));
    // SAFETY: a valid name.
    SINGLE_THREADED
        .get_or(|| unsafe { dlsym(libc::RTLD_DEFAULT, c"__libc_single_threaded".as_ptr()) });
}

/// Whether this process has one thread: `__libc_single_threaded` (glibc 2.32). It may stay false after the last other
/// thread has exited, and does not see threads created by clone(2) directly. Older releases lack it; then the answer is
/// false.
pub fn is_single_threaded() -> bool {
    let variable = SINGLE_THREADED.0.load(Ordering::Acquire).cast::<c_char>();
    // SAFETY: null, or a variable of libc. While it is true, no other thread exists that could change it.
    !variable.is_null() && unsafe { variable.read_volatile() } != 0
}

type CleanupPush =
    unsafe extern "C" fn(*mut c_void, unsafe extern "C" fn(*mut c_void), *mut c_void);

unsafe extern "C" fn cleanup_push(
    buffer: *mut c_void,
    routine: unsafe extern "C" fn(*mut c_void),
    argument: *mut c_void,
) {
    let address = CLEANUP_PUSH.0.load(Ordering::Acquire);
    if !address.is_null() {
        // SAFETY: it is _pthread_cleanup_push, and the arguments are the caller's.
        unsafe {
            core::mem::transmute::<*mut c_void, CleanupPush>(address)(buffer, routine, argument)
        }
    }
}

type CleanupPop = unsafe extern "C" fn(*mut c_void, c_int);

unsafe extern "C" fn cleanup_pop(buffer: *mut c_void, execute: c_int) {
    let address = CLEANUP_POP.0.load(Ordering::Acquire);
    if !address.is_null() {
        // SAFETY: as above.
        unsafe { core::mem::transmute::<*mut c_void, CleanupPop>(address)(buffer, execute) }
    }
}

type Create = unsafe extern "C" fn(
    *mut pthread_t,
    *const pthread_attr_t,
    extern "C" fn(*mut c_void) -> *mut c_void,
    *mut c_void,
) -> c_int;

unsafe extern "C" fn pthread_create(
    thread: *mut pthread_t,
    attributes: *const pthread_attr_t,
    body: extern "C" fn(*mut c_void) -> *mut c_void,
    argument: *mut c_void,
) -> c_int {
    let address = CREATE.0.load(Ordering::Acquire);
    if address.is_null() {
        return libc::EAGAIN;
    }
    // SAFETY: it is pthread_create, and the arguments are the caller's.
    unsafe {
        core::mem::transmute::<*mut c_void, Create>(address)(thread, attributes, body, argument)
    }
}

type SetStackSize = unsafe extern "C" fn(*mut pthread_attr_t, size_t) -> c_int;

unsafe extern "C" fn pthread_attr_setstacksize(
    attributes: *mut pthread_attr_t,
    size: size_t,
) -> c_int {
    let address = SET_STACK_SIZE.0.load(Ordering::Acquire);
    if address.is_null() {
        return libc::ENOSYS;
    }
    // SAFETY: as above.
    unsafe { core::mem::transmute::<*mut c_void, SetStackSize>(address)(attributes, size) }
}

/// gcc's unwinder takes the presence of this symbol to mean that the process may have threads, and then locks.
extern "C" fn pthread_key_create(_: *mut c_uint, _: *const c_void) -> c_int {
    libc::ENOSYS
}

/// On failure gcc's unwinder initializes its constant table itself.
extern "C" fn pthread_once(_: *mut c_int, _: *const c_void) -> c_int {
    libc::ENOSYS
}

// The libc functions that std calls. Where the kernel lacks a system call too, std has a fallback.

unsafe extern "C" fn fstat(fd: c_int, status: *mut libc::stat64) -> c_int {
    // SAFETY: the arguments are the caller's. The kernel's structure is glibc's on 64-bit machines.
    unsafe { libc::syscall(libc::SYS_fstat, fd, status) as c_int }
}

unsafe extern "C" fn stat(path: *const c_char, status: *mut libc::stat64) -> c_int {
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_newfstatat, libc::AT_FDCWD, path, status, 0) as c_int }
}

unsafe extern "C" fn lstat(path: *const c_char, status: *mut libc::stat64) -> c_int {
    let flags = libc::AT_SYMLINK_NOFOLLOW;
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_newfstatat, libc::AT_FDCWD, path, status, flags) as c_int }
}

unsafe extern "C" fn statx(
    directory: c_int,
    path: *const c_char,
    flags: c_int,
    mask: c_uint,
    status: *mut libc::statx,
) -> c_int {
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_statx, directory, path, flags, mask, status) as c_int }
}

unsafe extern "C" fn getrandom(buffer: *mut c_void, size: size_t, flags: c_uint) -> ssize_t {
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_getrandom, buffer, size, flags) as ssize_t }
}

extern "C" fn gettid() -> libc::pid_t {
    // SAFETY: gettid(2) takes no arguments.
    let id: c_long = unsafe { libc::syscall(libc::SYS_gettid) };
    id as libc::pid_t
}

hidden! {
    "pthread_create" => pthread_create,
    "pthread_attr_setstacksize" => pthread_attr_setstacksize,
    "_pthread_cleanup_push" => cleanup_push,
    "_pthread_cleanup_pop" => cleanup_pop,
    "__pthread_key_create" => pthread_key_create,
    "pthread_once" => pthread_once,
    "fstat64" => fstat,
    "stat64" => stat,
    "lstat64" => lstat,
    "statx" => statx,
    "getrandom" => getrandom,
    "gettid" => gettid,
}
