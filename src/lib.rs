//! tailchain: the preload library.
//!
//! `libtailchain.so` is loaded into unmodified programs with LD_PRELOAD and puts itself in front of a few libc
//! functions, so that TCP connections go through SOCKS and HTTP proxies. The launcher `proxychains4` and the
//! command `tailchain` are `crates/launcher` and `crates/cli`. `crates/core` is what they have in common and all that needs neither an
//! exported symbol nor this process's own state; `crates/preflight` knows where the library is and which programs it cannot
//! reach.
//!
//! # Layers
//!
//! ```text
//! hook          the exported functions, one table; the panic boundary          this crate: all of it is
//! state         this process: its configuration, log, names, pending connects  loaded into every program
//! ----------------------------------------------------------------------------------------------------
//! dial pending  tunnels on sockets: one at a time, or many at once             tailchain-core: the only
//! shared_names local_addresses hosts log load trust lock sync sys              users of libc below the hooks
//! ----------------------------------------------------------------------------------------------------
//! config route chain proto fake dns host errno                                 pure: no I/O, clock, globals
//! ```
//!
//! Arrows run downwards only. The exported symbols are in this cdylib alone: linked into a command or a test,
//! they would interpose the command itself.
//!
//! # The way of a connection
//!
//! `connect(fd, address)` (`hook`) looks at the socket (TCP? in use already?), copies the address, turns a fake one
//! into its name, and asks `route::decide`: *direct* (libc's own connect, untouched), *refuse* (an errno), or
//! *chain*.
//! For a chain, `dial::Dial` is the whole way as a state machine without I/O: which proxies (`chain`), what to
//! say to them and how many bytes to read (`proto`, the tunnel), when to wait, try again, give up.
//! `dial::driver` carries it out on the program's own socket, never sleeping. Two callers wait for it:
//! `dial::blocking` on the caller's thread, and `pending`, whose one helper thread serves all non-blocking
//! connects of the process.
//!
//! # The way of a non-blocking connect
//!
//! A placeholder, a unix stream with a full send buffer, is put under the socket's number; the program gets
//! EINPROGRESS and waits as it would for the kernel. When the tunnel stands the socket is put back, with the
//! flags that the program set meanwhile and its epoll registrations replayed, and whoever sleeps on the
//! placeholder is woken. A failure puts the socket back carrying an error. `pending` has the details.
//!
//! # The way of a name
//!
//! `getaddrinfo(name)` asks `route::name_policy`: *local* (libc, untouched) or *remote*. A remote name gets a fake
//! address out of a table that all processes of the user share (`shared_names`), and libc is asked for that
//! address in digits: it builds the list and knows how to free it. `connect` to the fake address finds the
//! name again and gives it to the proxy. Address queries by `res_query` and its relatives are answered from the
//! same table as DNS messages; what a program sends to port 53 past libc is for `raw_dns` to allow or deny.
//!
//! # The way around
//!
//! With `TAILCHAIN_BYPASS=REASON` in the environment the launcher does not preload, and a library that is
//! preloaded all the same lets everything through to libc, names too; either says so in one line with the
//! reason. One command line then serves processes with a proxy and those without (`config::bypass`).
//!
//! # Invariants
//!
//! 1. *Fail closed.* Whatever goes wrong on the way of a proxied connection is an errno. A panic is caught at
//!    the boundary and fails the call; it never becomes a call of the real function.
//! 2. *The program's own socket*: number, dups, flags, options. A fresh socket only where the families of socket
//!    and proxy do not fit (`dial::fresh`).
//! 3. *A non-blocking connect never blocks, and never reports success before the tunnel stands.* Where no thread
//!    or descriptor can be had it blocks, and says so in the log.
//! 4. *errno as a kernel would give it*: written in one place (`hook::boundary`), only on failure.
//! 5. *No cost on data.* read, write, send, recv, poll, select, epoll_wait are not interposed (sendto and its kin
//!    are, for MSG_FASTOPEN and `raw_dns deny`, and look at one flag and one setting). A hook with nothing to do
//!    is a jump to libc's function (`idle` in `hook::table`).
//! 6. *No guests in the house*: no long-lived thread, descriptor or child. While connects are pending there is
//!    one thread, with all signals blocked, and descriptors that are close-on-exec, numbered high and listed: the
//!    program does not close them, and a forked child does not keep them (`pending::belongings`).
//! 7. *vfork*: hooks that keep books of pending connects do nothing when the caller is not the process that owns
//!    them; what epoll_ctl notes is a hint that the kernel is asked about before it is used.
//! 8. *Direct means untouched*: bit for bit what libc gives.
//! 9. *Quiet* is silent, and secrets are never printed.
//! 10. *No memory* is an errno: where malloc has none, what has begun goes on with a reserve (`sys::reserve`).
//!
//! # What is deliberately absent
//!
//! No lock on the way of a direct connection. No hook on data. No allocation before a route is known to be a
//! chain. No std::env, whose lock a forked child could find held. No libgcc_s, no thread-local with a destructor
//! of ours, no atexit.
//!
//! # Where new code goes
//!
//! | what | where |
//! |---|---|
//! | a libc function more | an entry in `hook::table`, a body in the file of its family, tests bare and preloaded |
//! | a directive | `config`: its field in `mod.rs`, its keyword in `directive.rs`; `conf/proxychains.conf` |
//! | a proxy protocol | a file in `proto`, a `ProxyKind` |
//! | a routing rule | `route`, with its `Reason` |
//! | a system call | `sys` |
//! | a C API function | `api`, then `make header` |
//! | what threads or processes do at once | its atomics from `sync` of tailchain-core, a model in `models` |

// C names in a C API.
#[allow(non_camel_case_types)]
mod api;
mod counters;
mod hook;
#[cfg(target_env = "gnu")]
mod old_glibc;
mod pending;
mod state;

tailchain_unwinder::define!();

use tailchain_core::sys::ReservingAllocator;

#[global_allocator]
static ALLOCATOR: ReservingAllocator = ReservingAllocator::new();

/// Run when the dynamic loader has loaded us, before the program's own code. A constructor of another library
/// may have called a hook already: everything here can be made on first use as well.
extern "C" fn loaded() {
    let _ = std::panic::catch_unwind(|| {
        ALLOCATOR.prepare();
        #[cfg(target_env = "gnu")]
        old_glibc::bind();
        hook::table::bind_all();
        pending::PENDING.guard_forks();
        std::panic::set_hook(Box::new(state::report_panic));
        state::announce(state::state());
    });
}

#[used]
#[link_section = ".init_array"]
static LOADED: extern "C" fn() = loaded;
