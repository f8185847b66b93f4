//! The table of names and their fake IPs, shared by all processes of the user.
//!
//! A process that resolves a name and another that connects to its address agree without a thread, a pipe or
//! a daemon: both map the same file (`place`). Names are entered in a ring (`entry`), found by their
//! hash (`index`), and never changed once published; everything read from the memory is a claim that has to pass
//! a check. Whatever somebody does to the memory, an address leads to its own name or to none.
//!
//! **When.** Opening costs some system calls, about 50 µs, and belongs to the first name, not to the start of a
//! program. Keep it in a `once_cell::race::OnceBox`, which has no lock that a fork could leave held.
//!
//! **Signals and forks.** Nothing here locks. [`NameTable::read_name`] and [`NameTable::peer_of`] allocate
//! nothing either: they may be called in a signal handler, and between vfork and exec. errno may change.
//! A forked child shares the table with its parent, wherever it is.
//!
//! **Limits.** 131,072 names at once; the oldest goes first, but a name that is asked for again before gets
//! a new address in good time. An address is reused after 16,645,890 names. A process keeps what it was
//! given itself (`kept`), so that this is of no matter to it; it is to a program that was told an address by another,
//! as an argument, and keeps it so long. Several processes that enter one name at the same moment may give it different
//! addresses, each of which is right. Tables begin at random addresses: an address of a table that was lost
//! (its file removed while programs run) is unknown in the new one, save for an unlucky few.

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
