//! dlsym(3) and dlvsym(3): a program that looks up an interposed function in libc itself gets the hook. It would bypass
//! the proxy otherwise: ctypes, JNA, P/Invoke and Fiddle use a handle of `libc.so.6`, and other programs ask for a
//! symbol version.
//!
//! Every other lookup must be unaffected, above all RTLD_NEXT, which depends on the return address of the call: other
//! preload libraries, mallocs and sanitizers rely on it. So the hooks are naked functions: they ask [`dlsym_target`]
//! or [`dlvsym_target`] for the function to continue with and jump there, with the program's arguments and return
//! address.
//!
//! Not async-signal-safe, like libc's. After fork: as before. After vfork: not allowed, as libc's.

use super::link_map::Object;
use super::{owner, symbols};
use core::ffi::{c_char, c_void, CStr};
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

/// The names of the hooks of this file.
pub const NAMES: &[&str] = &[
    "dlsym",
    #[cfg(target_env = "gnu")]
    "dlvsym",
];

macro_rules! forward {
    (fn $name:ident($($argument:ident: $type:ty),*) -> *mut c_void, by $target:path) => {
        /// See the module's documentation.
        ///
        /// # Safety
        /// As for the libc function.
        #[unsafe(naked)]
        #[no_mangle]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> *mut c_void {
            // Three saved arguments align the stack for the call. The return address is above them.
            #[cfg(target_arch = "x86_64")]
            core::arch::naked_asm!(
                "push rdi",
                "push rsi",
                "push rdx",
                "mov rdx, [rsp + 24]",
                "call {target}",
                "pop rdx",
                "pop rsi",
                "pop rdi",
                "jmp rax",
                target = sym $target,
            );
            #[cfg(target_arch = "aarch64")]
            core::arch::naked_asm!(
                "stp x29, x30, [sp, #-48]!",
                "stp x0, x1, [sp, #16]",
                "str x2, [sp, #32]",
                "mov x2, x30",
                "bl {target}",
                "mov x16, x0",
                "ldr x2, [sp, #32]",
                "ldp x0, x1, [sp, #16]",
                "ldp x29, x30, [sp], #48",
                "br x16",
                target = sym $target,
            );
        }
    };
}

forward! {
    fn dlsym(_handle: *mut c_void, _name: *const c_char) -> *mut c_void, by dlsym_target
}
#[cfg(target_env = "gnu")]
forward! {
    fn dlvsym(_handle: *mut c_void, _name: *const c_char, _version: *const c_char) -> *mut c_void, by dlvsym_target
}

type Dlsym = unsafe extern "C" fn(*mut c_void, *const c_char) -> *mut c_void;
#[cfg(target_env = "gnu")]
type Dlvsym = unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char) -> *mut c_void;

/// libc's function, or that of a library in between that also interposes it. Bound by the first call, which may come
/// from a constructor that runs before ours.
fn real_dlsym() -> Option<Dlsym> {
    static FOUND: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
    let mut found = FOUND.load(Ordering::Relaxed);
    if found.is_null() {
        found = symbols::next(c"dlsym");
        #[cfg(target_env = "gnu")]
        if found.is_null() {
            found = crate::old_dlopen::find(c"libdl.so.2", c"dlsym");
        }
        FOUND.store(found, Ordering::Relaxed);
    }
    // SAFETY: the symbol has this type by its man page.
    (!found.is_null()).then(|| unsafe { core::mem::transmute::<*mut c_void, Dlsym>(found) })
}

#[cfg(target_env = "gnu")]
fn real_dlvsym() -> Option<Dlvsym> {
    static FOUND: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
    let mut found = FOUND.load(Ordering::Relaxed);
    if found.is_null() {
        found = symbols::next(c"dlvsym");
        FOUND.store(found, Ordering::Relaxed);
    }
    // SAFETY: as above.
    (!found.is_null()).then(|| unsafe { core::mem::transmute::<*mut c_void, Dlvsym>(found) })
}

/// Returns the function that a call of dlsym continues with. RTLD_DEFAULT and RTLD_NEXT find the hooks by themselves,
/// where they come first.
unsafe extern "C" fn dlsym_target(
    handle: *mut c_void,
    name: *const c_char,
    caller: usize,
) -> *const c_void {
    let is_pseudo = handle == libc::RTLD_DEFAULT || handle == libc::RTLD_NEXT;
    // SAFETY: the program's own argument.
    if !is_pseudo && unsafe { concerns(name, caller) } {
        return hook_for_dlsym as *const c_void;
    }
    real_dlsym().map_or(missing_function as *const c_void, |real| {
        real as *const c_void
    })
}

/// Returns the function that a call of dlvsym continues with. With a version dlvsym finds only libc's function, since
/// the hooks have no version.
#[cfg(target_env = "gnu")]
unsafe extern "C" fn dlvsym_target(
    handle: *mut c_void,
    name: *const c_char,
    caller: usize,
) -> *const c_void {
    let is_next = handle == libc::RTLD_NEXT && !is_before_us(caller);
    // SAFETY: the program's own argument.
    if !is_next && unsafe { concerns(name, caller) } {
        return hook_for_dlvsym as *const c_void;
    }
    real_dlvsym().map_or(missing_function as *const c_void, |real| {
        real as *const c_void
    })
}

/// Stands in for dlsym in a libc without it.
unsafe extern "C" fn missing_function() -> *mut c_void {
    ptr::null_mut()
}

/// Whether `name` is interposed and the caller should get the hook. A library below this one that interposes the same
/// function should not: it looks for the next definition, and the hook would call it again.
///
/// # Safety
/// `name` is NULL or a C string.
unsafe fn concerns(name: *const c_char, caller: usize) -> bool {
    if name.is_null() {
        return false;
    }
    // SAFETY: the caller's contract.
    let name = unsafe { CStr::from_ptr(name) };
    // Of our functions, those that libc has too are hooks.
    let is_ours = !symbols::own(name).is_null();
    is_ours && (is_before_us(caller) || !defines(caller, name))
}

/// Whether the calling object was loaded before this library. False for code outside of any object (JIT).
fn is_before_us(caller: usize) -> bool {
    owner::of(caller).is_some_and(Object::is_before_us)
}

/// Whether the calling object defines a function of this name.
fn defines(caller: usize, name: &CStr) -> bool {
    // SAFETY: the object is loaded, since its code runs.
    owner::of(caller).is_some_and(|object| unsafe { symbols::defined(object, name) }.is_some())
}

unsafe extern "C" fn hook_for_dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void {
    // SAFETY: the program's own arguments.
    let found = real_dlsym().map_or(ptr::null_mut(), |dlsym| unsafe { dlsym(handle, name) });
    // SAFETY: as above.
    unsafe { hook_for(found, name) }
}

#[cfg(target_env = "gnu")]
unsafe extern "C" fn hook_for_dlvsym(
    handle: *mut c_void,
    name: *const c_char,
    version: *const c_char,
) -> *mut c_void {
    // SAFETY: the program's own arguments.
    let find = |dlvsym: Dlvsym| unsafe { dlvsym(handle, name, version) };
    // SAFETY: as above.
    unsafe { hook_for(real_dlvsym().map_or(ptr::null_mut(), find), name) }
}

/// Replaces libc's function by the hook. A definition in another library is returned as it is.
///
/// # Safety
/// `name` is a C string.
unsafe fn hook_for(found: *mut c_void, name: *const c_char) -> *mut c_void {
    let is_libcs = || owner::of(found as usize).is_some_and(owner::is_of_libc);
    if found.is_null() || !is_libcs() {
        return found;
    }
    // SAFETY: the caller's contract.
    let ours = symbols::own(unsafe { CStr::from_ptr(name) });
    if ours.is_null() {
        found
    } else {
        ours
    }
}
