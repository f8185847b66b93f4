//! tailchain's preload library, `libtailchain.so`: the exported functions and the state of this process. Everything
//! else is in `tailchain-core`. ARCHITECTURE.md explains how it works and where new code goes.

// The C API has C names.
#[allow(non_camel_case_types)]
mod api;
mod counters;
mod hook;
#[cfg(target_env = "gnu")]
mod old_dlopen;
#[cfg(target_env = "gnu")]
mod old_glibc;
mod pending;
mod state;

tailchain_unwinder::define!();

use tailchain_core::sys::ReservingAllocator;

#[global_allocator]
static ALLOCATOR: ReservingAllocator = ReservingAllocator::new();

/// Runs when the dynamic loader has loaded the library, before the program's own code. A constructor of another library
/// may have called a hook already, so everything here can also be initialized on first use.
extern "C" fn loaded() {
    let _ = std::panic::catch_unwind(|| {
        ALLOCATOR.prepare();
        #[cfg(target_env = "gnu")]
        old_glibc::bind();
        hook::table::bind_all();
        pending::PENDING.guard_forks();
        hook::attempt::guard_forks();
        std::panic::set_hook(Box::new(state::report_panic));
        state::announce(state::state());
        ALLOCATOR.leave_malloc();
    });
}

#[used]
#[link_section = ".init_array"]
static LOADED: extern "C" fn() = loaded;
