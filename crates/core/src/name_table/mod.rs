//! The table of names and their fake IPs, shared by all processes of the user.
//!
//! A process that resolves a name and another that connects to its address agree without a thread, a pipe or a daemon:
//! both map the same file (`place`). Names are entered in a ring (`entry`), found by their hash (`index`), and never
//! changed once published; whatever is read from the memory is verified before it is used. Whatever is done to the
//! memory, an address leads to its own name or to none.
//!
//! **When.** Opening takes some system calls, about 50 µs. Do it at the first name, not when the program starts. Keep
//! the table in a `once_cell::race::OnceBox`, which has no lock that a fork could leave held.
//!
//! **Signals and forks.** Nothing here locks. [`NameTable::read_name`] and [`NameTable::peer_of`] do not allocate
//! either: they may be called in a signal handler, and between vfork and exec. errno may change. A forked child shares
//! the table with its parent, whatever its [`Place`].
//!
//! **Limits.** 131,072 names at once; the oldest is dropped first, but a name that is looked up again before that gets
//! a new address in time. An address is reused after 16,645,890 names. A process keeps the addresses that it was given
//! itself (`kept`), so reuse does not affect it; it affects a program that was passed an address by another, e.g. as an
//! argument, and keeps it that long. Processes that enter the same name at the same moment may give it different
//! addresses, each of which is valid. Tables begin at random addresses, so that an address of a table that was lost
//! (its file was removed while programs run) is almost certainly unknown in the new one.

mod entry;
mod hash;
mod index;
mod kept;
mod layout;
mod memory;
mod peers;
mod place;
pub(crate) mod sys;
mod table;

pub use entry::Text;
pub use kept::KeptNames;
pub use place::Place;
pub use table::NameTable;
