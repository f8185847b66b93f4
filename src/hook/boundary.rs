//! The boundary between C and Rust: one macro makes, for each hook, the exported symbol, the slot of the real
//! function, the panic boundary and the failure value. Nothing can be interposed and forgotten.

use super::lookup::dlsym;
use super::sleep::Rest;
use core::ffi::{c_char, c_void};
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};
use std::panic::{catch_unwind, AssertUnwindSafe};
use tailchain_core::errno::Errno;
use tailchain_core::sys;

/// What a hook decided.
pub enum Verdict<R> {
    /// libc does it, as if we were not there.
    Real,
    /// Handled. errno is what it was before the call.
    Return(R),
    /// Handled, and failed.
    Fail(Errno),
    /// Sleep outside of the body, and then call it again with what came of that: only a hook that `resumes` may ask
    /// for it.
    Sleep(Rest),
}

impl<R> Verdict<R> {
    /// The result of a libc function that returns its value, and reports no errno. `None`: libc does not have it.
    pub fn of_value(result: Option<R>) -> Verdict<R> {
        result.map_or(Verdict::Fail(Errno::ENOSYS), Verdict::Return)
    }

    /// As [`result_of`].
    pub fn of_call(result: Option<R>) -> Verdict<R>
    where
        R: PartialOrd + From<i8>,
    {
        result_of(result).into()
    }

    /// Go on with the value that the hook would return.
    pub fn and_then<S>(self, change: impl FnOnce(R) -> Verdict<S>) -> Verdict<S> {
        match self {
            Verdict::Real => Verdict::Real,
            Verdict::Return(value) => change(value),
            Verdict::Fail(errno) => Verdict::Fail(errno),
            Verdict::Sleep(rest) => Verdict::Sleep(rest),
        }
    }
}

/// The result of a libc function that returns a negative number and sets errno when it fails. `None`: libc does not have
/// the function.
pub fn result_of<R: PartialOrd + From<i8>>(returned: Option<R>) -> Result<R, Errno> {
    match returned {
        Some(value) if value < R::from(0) => Err(Errno::from_raw(sys::errno())),
        Some(value) => Ok(value),
        None => Err(Errno::ENOSYS),
    }
}

impl<R> From<Errno> for Verdict<R> {
    fn from(errno: Errno) -> Verdict<R> {
        Verdict::Fail(errno)
    }
}

impl<R> From<Result<R, Errno>> for Verdict<R> {
    fn from(result: Result<R, Errno>) -> Verdict<R> {
        match result {
            Ok(value) => Verdict::Return(value),
            Err(errno) => Verdict::Fail(errno),
        }
    }
}

/// Run a hook's body. A panic becomes a failure, never a call of the real function: that would be a leak.
pub fn guard<R>(body: impl FnOnce() -> Verdict<R>) -> Verdict<R> {
    let before = sys::errno();
    // A thread that is cancelled in a real function called from here would be unwound through Rust, which aborts.
    let verdict = sys::uncancelled(|| {
        catch_unwind(AssertUnwindSafe(|| {
            #[cfg(feature = "panic-probe")]
            panic_on_request();
            body()
        }))
        .unwrap_or(Verdict::Fail(Errno::EIO))
    });
    sys::set_errno(before);
    verdict
}

/// The one test of the boundary that needs a hook which panics.
#[cfg(feature = "panic-probe")]
#[allow(clippy::panic)]
fn panic_on_request() {
    if crate::state::variable("TAILCHAIN_PANIC").is_some() {
        panic!("as TAILCHAIN_PANIC wants it");
    }
}

/// The slot of a real function: the next definition after ours, dlsym(3) RTLD_NEXT. Its name, which ends with a
/// NUL, is kept apart: beside the address it would be a relocation, and a page of data to be written to.
pub struct Real(AtomicPtr<c_void>);

impl Real {
    pub const fn new() -> Real {
        Real(AtomicPtr::new(ptr::null_mut()))
    }

    /// Look it up now. dlsym is not async-signal-safe, so this is done for all when the library is loaded.
    #[cold]
    pub fn bind(&self, name: &'static str, find: Find) -> *mut c_void {
        let found = find(name.as_bytes());
        self.0.store(found, Ordering::Release);
        found
    }

    /// The function, bound now if a constructor that ran before ours calls it already.
    pub fn get(&self, name: &'static str, find: Find) -> Option<*mut c_void> {
        let mut address = self.0.load(Ordering::Acquire);
        if address.is_null() {
            address = self.bind(name, find);
        }
        (!address.is_null()).then_some(address)
    }
}

/// How a real function is found. The name ends with a NUL.
type Find = fn(&[u8]) -> *mut c_void;

/// A function that libc has for new programs.
///
/// Old spellings that begin with `__` are there for old programs only since glibc 2.34: dlsym does not see them, but the
/// same function without the underscores.
pub fn current(name: &[u8]) -> *mut c_void {
    let found = next(name);
    match name.strip_prefix(b"__") {
        Some(plain) if found.is_null() => next(plain),
        _ => found,
    }
}

/// A function that libc may have for old programs alone, under the version that it had in the first glibc of this
/// machine.
#[cfg(target_env = "gnu")]
pub fn retired(name: &[u8]) -> *mut c_void {
    const FIRST: &[u8] = if cfg!(target_arch = "x86_64") {
        b"GLIBC_2.2.5\0"
    } else {
        b"GLIBC_2.17\0"
    };
    let found = next(name);
    if !found.is_null() {
        return found;
    }
    // SAFETY: both end with a NUL.
    unsafe { libc::dlvsym(libc::RTLD_NEXT, name.as_ptr().cast(), FIRST.as_ptr().cast()) }
}

fn next(name: &[u8]) -> *mut c_void {
    // SAFETY: the name ends with a NUL.
    unsafe { dlsym(libc::RTLD_NEXT, name.as_ptr().cast::<c_char>()) }
}

/// `resumes` names the argument of a body that may sleep: what it knows when it is called again, `None` at first.
///
/// `reads` names what an argument points to, for a body that decides about that: the body gets it before the arguments,
/// and the real function, which is called by the expression after `real`, gets what the body has read.
///
/// `find` finds the real functions. `idle` says when a hook has nothing to do: then libc's function is called at once,
/// with no boundary around it. It is one that most calls take, so it may look at atomics and arguments, and can neither
/// panic nor allocate. `only` is the condition (`cfg`) of a hook that not every libc has.
macro_rules! hooks {
    (find $find:path; $(
        $(#[$attribute:meta])*
        fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> $return:ty
            = $body:path, fails $fails:expr
            $(, resumes $resumed:ident)? $(, reads $given:ident: $content:ty = $begin:expr, real $real:expr)?
            $(, idle $idle:expr)? $(, only $cfg:meta)?;
    )*) => {
        /// The names of everything that is interposed.
        pub const NAMES: &[&str] = &[$($(#[cfg($cfg)])? stringify!($name)),*];

        /// Find all real functions.
        #[allow(dead_code)]
        pub fn bind_all() {
            $($(#[cfg($cfg)])? slot::$name.bind(name::$name, $find);)*
        }

        #[allow(non_upper_case_globals)]
        mod slot {
            use crate::hook::boundary::Real;
            $($(#[cfg($cfg)])? pub static $name: Real = Real::new();)*
        }

        #[allow(non_upper_case_globals)]
        mod name {
            $($(#[cfg($cfg)])? pub const $name: &str = concat!(stringify!($name), "\0");)*
        }

        /// The real functions, for hooks that look at what they return. `None`: libc has no such symbol.
        #[allow(dead_code, clippy::missing_safety_doc, clippy::too_many_arguments)]
        pub mod real {
            use super::*;
            $(
                $(#[cfg($cfg)])?
                pub unsafe fn $name($($argument: $type),*) -> Option<$return> {
                    let address = slot::$name.get(name::$name, $find)?;
                    // SAFETY: the symbol has this type by the man page named at the hook.
                    let function = unsafe {
                        core::mem::transmute::<*mut core::ffi::c_void, unsafe extern "C-unwind" fn($($type),*) -> $return>(address)
                    };
                    // SAFETY: the arguments are the program's own.
                    Some(unsafe { function($($argument),*) })
                }
            )*
        }

        $(
            $(#[$attribute])*
            ///
            /// # Safety
            /// As for the libc function.
            // std calls some of these itself, and Rust 1.99 wants them declared as std does, `extern "C"`. The ABI is
            // the same, but ours must let a thread's cancellation unwind it: pthreads(7), "Cancellation points".
            #[allow(unknown_lints, invalid_runtime_symbol_definitions, clippy::let_unit_value)]
            $(#[cfg($cfg)])?
            #[no_mangle]
            pub unsafe extern "C-unwind" fn $name($($argument: $type),*) -> $return {
                $(let mut $given: $content = $begin;)?
                // A test of the boundary wants every body to run.
                let idle = !cfg!(feature = "panic-probe") && (false $(|| $idle)?);
                if idle {
                    // SAFETY: the arguments are passed on untouched.
                    if let Some(value) = unsafe {
                        $crate::hook::boundary::first!({$($real)?} {real::$name($($argument),*)})
                    } {
                        return value;
                    }
                }
                // SAFETY: as above.
                let value = unsafe { handled::$name($(&mut $given,)? $($argument),*) };
                $($crate::hook::given::Given::release(&mut $given);)?
                value
            }
        )*

        /// The hooks with all that they do: apart, so that an idle one does not even save registers.
        #[allow(clippy::missing_safety_doc, clippy::too_many_arguments, clippy::unused_unit)]
        mod handled {
            use super::*;
            use $crate::hook::boundary::{guard, Verdict};
            $(
                $(#[cfg($cfg)])?
                #[inline(never)]
                pub unsafe fn $name($($given: &mut $content,)? $($argument: $type),*) -> $return {
                    $(let mut $resumed = None;)?
                    loop {
                        // SAFETY: the arguments are the program's own, and the body keeps the function's contract.
                        match guard(|| unsafe { $body($($resumed,)? $(&mut *$given,)? $($argument),*) }) {
                            Verdict::Return(value) => return value,
                            Verdict::Fail(errno) => {
                                tailchain_core::sys::set_errno(errno.raw());
                                return $fails;
                            }
                            // Outside the guard, with nothing to drop in this frame: a thread may be cancelled in
                            // the real function (pthreads(7)), and then this frame is unwound.
                            // SAFETY: the arguments are passed on untouched.
                            Verdict::Real => match unsafe {
                                $crate::hook::boundary::first!({$($real)?} {real::$name($($argument),*)})
                            } {
                                Some(value) => return value,
                                None => {
                                    tailchain_core::sys::set_errno(libc::ENOSYS);
                                    return $fails;
                                }
                            },
                            // For the same reason here: who sleeps may be cancelled, or jump away (siglongjmp(3)).
                            Verdict::Sleep(_rest) => {
                                // SAFETY: the body gave it just now, and it is used this once.
                                $($resumed = Some(unsafe { $crate::hook::sleep::sleep(&_rest) });)?
                            }
                        }
                    }
                }
            )*
        }
    };
}
pub(crate) use hooks;

/// The first of two expressions that is there.
macro_rules! first {
    ({} {$other:expr}) => {
        $other
    };
    ({$first:expr} {$other:expr}) => {
        $first
    };
}
pub(crate) use first;
