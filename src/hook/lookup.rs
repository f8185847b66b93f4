//! dlsym(3) and dlvsym(3): who asks libc itself for a function that is interposed (ctypes, JNA, P/Invoke, Fiddle: a handle
//! of `libc.so.6`; a version) is given ours.
//!
//! Everything else must be as if we were not there, RTLD_NEXT above all, which goes by the address that the call returns
//! to: other preload libraries, mallocs and sanitizers live by it. So the hooks are naked: they ask [`target_of`] where
//! to go and jump there, with the program's arguments and its return address.
//!
//! Not async-signal-safe, like libc's. After fork: as before. After vfork: not allowed, as libc's.

use super::link_map::Object;
use super::symbols;
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
        /// See the module.
        ///
        /// # Safety
        /// As for the libc function.
        #[unsafe(naked)]
        #[no_mangle]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> *mut c_void {
            // Three arguments saved: the stack is aligned for a call. The fourth is the return address.
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
    fn dlsym(_handle: *mut c_void, _name: *const c_char) -> *mut c_void, by target_of_dlsym
}
#[cfg(target_env = "gnu")]
forward! {
    fn dlvsym(_handle: *mut c_void, _name: *const c_char, _version: *const c_char) -> *mut c_void, by target_of_dlvsym
}

type Dlsym = unsafe extern "C" fn(*mut c_void, *const c_char) -> *mut c_void;
#[cfg(target_env = "gnu")]
type Dlvsym = unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char) -> *mut c_void;

/// libc's function, or that of a library between that interposes it as well. Looked up at the first call, which may be
/// in a constructor that runs before ours.
fn real_dlsym() -> Option<Dlsym> {
    static FOUND: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
    let mut found = FOUND.load(Ordering::Relaxed);
    if found.is_null() {
        found = symbols::next(c"dlsym");
        #[cfg(target_env = "gnu")]
        if found.is_null() {
            found = crate::old_glibc::libdl_dlsym();
        }
        FOUND.store(found, Ordering::Relaxed);
    }
    // SAFETY: a function of this type, by its manual page.
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

/// Where a call of dlsym goes on. RTLD_DEFAULT and RTLD_NEXT find us by themselves wherever we are to be found.
unsafe extern "C" fn target_of_dlsym(
    handle: *mut c_void,
    name: *const c_char,
    caller: usize,
) -> *const c_void {
    let is_pseudo = handle == libc::RTLD_DEFAULT || handle == libc::RTLD_NEXT;
    // SAFETY: the program's own argument.
    if !is_pseudo && unsafe { concerns(name, caller) } {
        return ours_for_dlsym as *const c_void;
    }
    real_dlsym().map_or(nothing as *const c_void, |real| real as *const c_void)
}

/// Where a call of dlvsym goes on: a version finds libc's alone, since our functions have none.
#[cfg(target_env = "gnu")]
unsafe extern "C" fn target_of_dlvsym(
    handle: *mut c_void,
    name: *const c_char,
    caller: usize,
) -> *const c_void {
    let is_next = handle == libc::RTLD_NEXT && !is_before_us(caller);
    // SAFETY: the program's own argument.
    if !is_next && unsafe { concerns(name, caller) } {
        return ours_for_dlvsym as *const c_void;
    }
    real_dlvsym().map_or(nothing as *const c_void, |real| real as *const c_void)
}

/// What a libc without dlsym has.
unsafe extern "C" fn nothing() -> *mut c_void {
    ptr::null_mut()
}

/// Whether a function of this name is interposed, and the caller is no library below ours that interposes it as well: that
/// one asks for what comes below itself, and ours would call it again.
///
/// # Safety
/// `name` is NULL or a C string.
unsafe fn concerns(name: *const c_char, caller: usize) -> bool {
    if name.is_null() {
        return false;
    }
    // SAFETY: the caller's contract.
    let name = unsafe { CStr::from_ptr(name) };
    let is_hook = super::table::NAMES
        .iter()
        .any(|names| names.iter().any(|hook| hook.as_bytes() == name.to_bytes()));
    is_hook && (is_before_us(caller) || !defines(caller, name))
}

/// Whether the object that makes a call was loaded before this one. Code of no object, a compiler's at run time, was not.
fn is_before_us(caller: usize) -> bool {
    Object::of(caller).is_some_and(Object::is_before_us)
}

/// Whether the object that makes a call defines a function of this name.
fn defines(caller: usize, name: &CStr) -> bool {
    // SAFETY: the object is loaded, since its code runs.
    Object::of(caller).is_some_and(|object| unsafe { symbols::defined(object, name) }.is_some())
}

unsafe extern "C" fn ours_for_dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void {
    // SAFETY: the program's own arguments.
    let found = real_dlsym().map_or(ptr::null_mut(), |dlsym| unsafe { dlsym(handle, name) });
    // SAFETY: as above.
    unsafe { ours_for(found, name) }
}

#[cfg(target_env = "gnu")]
unsafe extern "C" fn ours_for_dlvsym(
    handle: *mut c_void,
    name: *const c_char,
    version: *const c_char,
) -> *mut c_void {
    // SAFETY: the program's own arguments.
    let find = |dlvsym: Dlvsym| unsafe { dlvsym(handle, name, version) };
    // SAFETY: as above.
    unsafe { ours_for(real_dlvsym().map_or(ptr::null_mut(), find), name) }
}

/// Our function in the place of libc's; what another library defines is what was asked for.
///
/// # Safety
/// `name` is a C string.
unsafe fn ours_for(found: *mut c_void, name: *const c_char) -> *mut c_void {
    let is_libcs = || Object::of(found as usize).is_some_and(Object::is_of_libc);
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
