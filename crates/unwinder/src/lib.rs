//! Links the unwinder, which catches panics at the hooks, into the library and each command (see build.rs), and defines
//! what it needs and older versions of glibc do not have.

#![no_std]

mod hidden;
#[cfg(target_env = "gnu")]
#[doc(hidden)]
pub mod unwind;

/// To be used once in each library and command: the linker takes an object of an rlib only if something refers to it.
#[macro_export]
macro_rules! define {
    () => {
        #[cfg(target_env = "gnu")]
        $crate::hidden! { "_dl_find_object" => $crate::unwind::find_object }
    };
}
