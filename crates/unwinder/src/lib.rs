//! The unwinder, which catches panics at the hooks, linked into the library and each command (see build.rs), and what
//! it needs of an older glibc.

#![no_std]

mod hidden;
#[cfg(target_env = "gnu")]
#[doc(hidden)]
pub mod unwind;

/// Once in each library and command: an object of an rlib is linked only where something names it.
#[macro_export]
macro_rules! define {
    () => {
        #[cfg(target_env = "gnu")]
        $crate::hidden! { "_dl_find_object" => $crate::unwind::find_object }
    };
}
