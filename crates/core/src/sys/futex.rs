//! futex(2): sleeping until a word changes. For the threads of one process.

use super::errno;
use crate::errno::Errno;
use crate::sync::atomic::AtomicU32;

/// Sleep while `word` holds `value`. May wake spuriously: the caller checks the word again.
pub fn futex_wait(word: &AtomicU32, value: u32) {
    let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    let forever = core::ptr::null::<libc::timespec>();
    let _ = syscall!(SYS_futex, word.as_ptr(), operation, value, forever);
}

/// Wake `how_many` threads that sleep on `word`.
pub fn futex_wake(word: &AtomicU32, how_many: i32) {
    let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    let _ = syscall!(SYS_futex, word.as_ptr(), operation, how_many);
}
