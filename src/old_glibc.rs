//! What the library needs of glibc, without a symbol that is newer than 2.17.
//!
//! A library that was linked with a glibc of today asks the loader for versions of today: GLIBC_2.34 for `dlsym` and
//! the functions of threads, which came from other libraries into libc.so.6 then, 2.33 for `stat`, and more for what std
//! would do without. So these are defined here, hidden, and reach libc by system calls or by `dlsym`. Which build
//! machine, linker or stub libraries are used makes no difference. Since glibc 2.34 nothing more is loaded than libc
//! itself: libdl and libpthread as libraries that are needed cost each exec of the user some 45 µs. Before, they are
//! loaded when the library is.

use crate::hook::lookup::dlsym;
use core::ffi::{c_char, c_int, c_long, c_uint, c_void, CStr};
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};
use libc::{pthread_attr_t, pthread_t, size_t, ssize_t};
use tailchain_unwinder::hidden;

type DlSym = unsafe extern "C" fn(*mut c_void, *const c_char) -> *mut c_void;
type DlOpen = unsafe extern "C" fn(*const c_char, c_int) -> *mut c_void;

/// Marks a call of `__libc_dlopen_mode` as one that dlopen(3) would make: __RTLD_DLOPEN of glibc's dlfcn.h.
const AS_DLOPEN: c_int = c_int::MIN;

// Weak: an address is null where libc.so.6 has no such function. glibc has the first since 2.34 (before, libdl.so.2 had),
// with its oldest version too; the others, with which its name service loads modules, until then.
core::arch::global_asm!(
    ".weak __libc_dlopen_mode",
    ".weak __libc_dlsym",
    ".pushsection .data.rel.ro.tailchain_loader, \"aw\"",
    ".balign 8",
    ".globl tailchain_loader",
    ".hidden tailchain_loader",
    "tailchain_loader: .8byte __libc_dlopen_mode, __libc_dlsym",
    ".popsection",
);

#[repr(C)]
struct Loader {
    old_dlopen: Option<DlOpen>,
    old_dlsym: Option<DlSym>,
}

extern "C" {
    static tailchain_loader: Loader;
}

/// dlsym(3) of a glibc that has it in another library, for [`crate::hook::lookup`]. NULL: there is none.
pub fn libdl_dlsym() -> *mut c_void {
    // SAFETY: constant once the loader has relocated the library.
    let loader = unsafe { &tailchain_loader };
    loader.open(c"libdl.so.2", c"dlsym")
}

/// A function of a library that is loaded for it. NULL: there is none.
pub fn open(library: &CStr, name: &CStr) -> *mut c_void {
    let dlopen = find(c"dlopen");
    if dlopen.is_null() {
        // SAFETY: constant once the loader has relocated the library.
        let loader = unsafe { &tailchain_loader };
        return loader.open(library, name);
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

/// A function of threads, or dlopen: in libc, or in libpthread, which the program may not have loaded.
fn find(name: &CStr) -> *mut c_void {
    // SAFETY: a valid name.
    let found = unsafe { dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    if !found.is_null() {
        return found;
    }
    // SAFETY: constant once the loader has relocated the library.
    let loader = unsafe { &tailchain_loader };
    loader.open(c"libpthread.so.0", name)
}

impl Loader {
    /// A function of another library of an old glibc.
    fn open(&self, library: &CStr, name: &CStr) -> *mut c_void {
        let (Some(dlopen), Some(dlsym)) = (self.old_dlopen, self.old_dlsym) else {
            return ptr::null_mut();
        };
        // SAFETY: a valid name; what it opens is a part of glibc, and is never closed.
        let handle = unsafe { dlopen(library.as_ptr(), libc::RTLD_NOW | AS_DLOPEN) };
        if handle.is_null() {
            return ptr::null_mut();
        }
        // SAFETY: a handle of the dlopen that belongs to it, and a valid name.
        unsafe { dlsym(handle, name.as_ptr()) }
    }
}

/// A function that was looked up.
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

/// When the library is loaded: the loader's locks may be held later, in a child of a fork.
pub fn bind() {
    CREATE.get_or(|| find(c"pthread_create"));
    SET_STACK_SIZE.get_or(|| find(c"pthread_attr_setstacksize"));
    CLEANUP_PUSH.get_or(|| find(c"_pthread_cleanup_push"));
    CLEANUP_POP.get_or(|| find(c"_pthread_cleanup_pop"));
    // SAFETY: a valid name.
    SINGLE_THREADED
        .get_or(|| unsafe { dlsym(libc::RTLD_DEFAULT, c"__libc_single_threaded".as_ptr()) });
}

/// Whether this process has one thread: `__libc_single_threaded` (glibc 2.32), which is false also where a second thread
/// has ended and libc does not know. It knows nothing of threads that were made by clone(2) itself. Without it, there
/// may be threads.
pub fn is_single_threaded() -> bool {
    let variable = SINGLE_THREADED.0.load(Ordering::Acquire).cast::<c_char>();
    // SAFETY: null, or a variable of libc. Another thread may change it: not while it is true.
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

/// To gcc's unwinder the mere existence of this one means that there may be threads, who take locks then.
extern "C" fn pthread_key_create(_: *mut c_uint, _: *const c_void) -> c_int {
    libc::ENOSYS
}

/// A failure makes gcc's unwinder fill its constant table itself.
extern "C" fn pthread_once(_: *mut c_int, _: *const c_void) -> c_int {
    libc::ENOSYS
}

// What std asks glibc for. Where a kernel does not know a call either, std has another way.

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
    // SAFETY: it has no arguments.
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
