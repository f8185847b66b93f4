//! The boundary between C and Rust. For each hook, one macro defines the exported symbol, the slot of the real
//! function, the panic boundary and the failure value, so that no part of a hook can be missing.

use super::lookup::dlsym;
use super::sleep::SleepRequest;
use core::ffi::{c_char, c_void};
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};
use std::panic::{catch_unwind, AssertUnwindSafe};
use tailchain_core::errno::Errno;
use tailchain_core::sys;

/// What a hook decided.
pub enum Verdict<R> {
    /// Call libc's function, as if the library were not loaded.
    Real,
    /// Handled: return this value. errno keeps the value it had before the call.
    Return(R),
    /// Handled: fail with this errno.
    Fail(Errno),
    /// Sleep outside of the body, then call the body again with the result. Only hooks with `resumes` may return it.
    Sleep(SleepRequest),
}

impl<R> Verdict<R> {
    /// The result of a libc function that does not set errno. `None`: libc lacks the function.
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

    /// Passes a returned value to `change`; other verdicts stay as they are.
    pub fn and_then<S>(self, change: impl FnOnce(R) -> Verdict<S>) -> Verdict<S> {
        match self {
            Verdict::Real => Verdict::Real,
            Verdict::Return(value) => change(value),
            Verdict::Fail(errno) => Verdict::Fail(errno),
            Verdict::Sleep(rest) => Verdict::Sleep(rest),
        }
    }
}

/// The result of a libc function that returns a negative value and sets errno on failure. `None`: libc lacks the
/// function.
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

/// Runs a hook's body. A panic becomes a failure, never a call of the real function: that could bypass the proxy.
pub fn guard<R>(body: impl FnOnce() -> Verdict<R>) -> Verdict<R> {
    let before = sys::errno();
    // Cancellation inside a real function called by the body would unwind through Rust frames, which aborts the
    // process.
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

/// For the test that checks that a panicking hook fails.
#[cfg(feature = "panic-probe")]
#[allow(clippy::panic)]
fn panic_on_request() {
    if crate::state::variable("TAILCHAIN_PANIC").is_some() {
        panic!("as TAILCHAIN_PANIC wants it");
    }
}

/// The slot of a real function: the next definition after ours, as dlsym(3) RTLD_NEXT finds it. Its NUL-terminated name
/// is not stored beside the address: the pointer to it would need a relocation, and so a data page written at load
/// time.
pub struct Real(AtomicPtr<c_void>);

impl Real {
    pub const fn new() -> Real {
        Real(AtomicPtr::new(ptr::null_mut()))
    }

    /// Looks the function up now. dlsym is not async-signal-safe, so all functions are bound when the library is
    /// loaded.
    #[cold]
    pub fn bind(&self, name: &'static str, find: Find) -> *mut c_void {
        let found = find(name.as_bytes());
        self.0.store(found, Ordering::Release);
        found
    }

    /// The function. Binds it first if a constructor calls it before ours has run.
    pub fn get(&self, name: &'static str, find: Find) -> Option<*mut c_void> {
        let mut address = self.0.load(Ordering::Acquire);
        if address.is_null() {
            address = self.bind(name, find);
        }
        (!address.is_null()).then_some(address)
    }
}

/// Finds a real function. The name ends with a NUL.
type Find = fn(&[u8]) -> *mut c_void;

/// Finds a function that libc offers to new programs.
///
/// Since glibc 2.34 some `__` aliases exist for old programs only and dlsym does not find them; the same function is
/// then looked up without the underscores.
pub fn current(name: &[u8]) -> *mut c_void {
    let found = next(name);
    match name.strip_prefix(b"__") {
        Some(plain) if found.is_null() => next(plain),
        _ => found,
    }
}

/// Finds a function that libc may offer to old programs only, under the symbol version of the first glibc for this
/// architecture.
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

/// `resumes` names the argument of a body that may sleep: the result of the sleep when the body is called again, `None`
/// on the first call.
///
/// `reads` names the copy of the memory that an argument points to, for a body that decides on its content. The body
/// gets the copy before the arguments. The real function, called by the expression after `real`, gets the same copy.
///
/// `find` finds the real functions. `idle` says when a hook has nothing to do; libc's function is then called at once,
/// without the boundary. Most calls take this path, so it may only look at atomics and arguments, and must not panic or
/// allocate. `quick` is a function that handles the usual call without the boundary, under the same restrictions; `None`
/// leaves the call to the body. `only` is the `cfg` condition of a hook that not every libc has.
macro_rules! hooks {
    (find $find:path; $(
        $(#[$attribute:meta])*
        fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> $return:ty
            = $body:path, fails $fails:expr
            $(, resumes $resumed:ident)? $(, reads $given:ident: $content:ty = $begin:expr, real $real:expr)?
            $(, idle $idle:expr)? $(, quick $quick:path)? $(, only $cfg:meta)?;
    )*) => {
        /// The names of the interposed functions.
        pub const NAMES: &[&str] = &[$($(#[cfg($cfg)])? stringify!($name)),*];

        /// Binds all real functions.
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

        /// The real functions, for hooks that need the result of the real call. `None`: libc has no such symbol.
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
            // std calls some of these functions itself, and Rust 1.99 wants them declared as in std, `extern "C"`. The
            // ABI is the same, but a thread's cancellation must be able to unwind through ours: pthreads(7),
            // "Cancellation points".
            #[allow(unknown_lints, invalid_runtime_symbol_definitions, clippy::let_unit_value)]
            $(#[cfg($cfg)])?
            #[no_mangle]
            pub unsafe extern "C-unwind" fn $name($($argument: $type),*) -> $return {
                $(let mut $given: $content = $begin;)?
                // The test of the boundary runs every body.
                let idle = !cfg!(feature = "panic-probe") && (false $(|| $idle)?);
                if idle {
                    // SAFETY: the arguments are passed on unchanged.
                    if let Some(value) = unsafe {
                        $crate::hook::boundary::first!({$($real)?} {real::$name($($argument),*)})
                    } {
                        return value;
                    }
                }
                if !cfg!(feature = "panic-probe") {
                    let quick: Option<$return> = $crate::hook::boundary::quickly!({$($quick)?} ($($argument),*));
                    if let Some(value) = quick {
                        return value;
                    }
                }
                // SAFETY: as above.
                let value = unsafe { handled::$name($(&mut $given,)? $($argument),*) };
                $($crate::hook::given::Given::release(&mut $given);)?
                value
            }
        )*

        /// The hooks with a body, out of line, so that the idle path does not even save registers.
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
                            // Outside the guard, with nothing to drop in this frame: the thread may be cancelled in the
                            // real function (pthreads(7)), which unwinds this frame.
                            // SAFETY: the arguments are passed on unchanged.
                            Verdict::Real => match unsafe {
                                $crate::hook::boundary::first!({$($real)?} {real::$name($($argument),*)})
                            } {
                                Some(value) => return value,
                                None => {
                                    tailchain_core::sys::set_errno(libc::ENOSYS);
                                    return $fails;
                                }
                            },
                            // Here for the same reason: a sleeping thread may be cancelled, or leave by siglongjmp(3).
                            Verdict::Sleep(_rest) => {
                                // SAFETY: the body returned it just now, and it is used only once.
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

/// The result of a hook's `quick` function, if it has one.
macro_rules! quickly {
    ({} $arguments:tt) => {
        None
    };
    ({$quick:path} ($($argument:expr),*)) => {
        // SAFETY: the arguments are passed on unchanged.
        unsafe { $quick($($argument),*) }
    };
}
pub(crate) use quickly;

/// The first expression that is present.
macro_rules! first {
    ({} {$other:expr}) => {
        $other
    };
    ({$first:expr} {$other:expr}) => {
        $first
    };
}
pub(crate) use first;
