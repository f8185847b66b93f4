//! The preload library: libc's symbols, interposed.

mod api;
mod counters;
mod hook;
mod pending;
mod state;

/// Run when the dynamic loader has loaded us, before the program's own code. A constructor of another library
/// may have called a hook already: everything here can be made on first use as well.
extern "C" fn loaded() {
    let _ = std::panic::catch_unwind(|| {
        hook::table::bind_all();
        state::state().announce();
    });
}

#[used]
#[link_section = ".init_array"]
static LOADED: extern "C" fn() = loaded;
