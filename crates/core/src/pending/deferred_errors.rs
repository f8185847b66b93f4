//! Deferred errors: errors of failed sockets other than ECONNREFUSED, which [`crate::dial::error_socket::make`] can leave on
//! the socket itself.

use crate::errno::Errno;
use crate::lock::Lock;
use crate::sync::atomic::{AtomicUsize, Ordering};
use std::collections::BTreeMap;

/// Keyed by SO_COOKIE, which is unique among the sockets of a boot.
pub type Errors = BTreeMap<u64, Option<DeferredError>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeferredError {
    pub errno: Errno,
    /// Caused by shutdown(2): SO_ERROR reports it, but the next connect(2) clears it and starts anew.
    pub by_program: bool,
}

pub struct DeferredErrors {
    /// `None`: taken. Such an entry is removed when the next error is set, since `take` must not free memory: a signal
    /// handler that interrupted malloc(3) may ask for SO_ERROR. Locked after all locks except that of `own_fds`.
    errors: Lock<Errors>,
    /// How many errors were not taken yet.
    untaken: AtomicUsize,
}

/// The limit, beyond which the oldest are dropped: a program that closes sockets without our hooks never takes them.
const MAX_ERRORS: usize = 1 << 16;

impl Default for DeferredErrors {
    fn default() -> DeferredErrors {
        DeferredErrors::new()
    }
}

impl DeferredErrors {
    pub const fn new() -> DeferredErrors {
        DeferredErrors {
            errors: Lock::new(BTreeMap::new()),
            untaken: AtomicUsize::new(0),
        }
    }

    /// Whether no error is deferred.
    pub fn is_empty(&self) -> bool {
        self.untaken.load(Ordering::Acquire) == 0
    }

    pub fn set(&self, cookie: u64, error: DeferredError) {
        let mut errors = self.errors.lock();
        let untaken = self.untaken.load(Ordering::Acquire);
        if errors.len() > 2 * untaken + 64 {
            errors.retain(|_, error| error.is_some());
        }
        if errors.len() >= MAX_ERRORS
            && errors.pop_first().is_some_and(|(_, error)| error.is_some())
        {
            self.untaken.fetch_sub(1, Ordering::AcqRel);
        }
        if !matches!(errors.insert(cookie, Some(error)), Some(Some(_))) {
            self.untaken.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Takes the error of this socket: reading SO_ERROR clears it (socket(7)).
    pub fn take(&self, cookie: u64) -> Option<DeferredError> {
        let mut errors = self.errors.lock();
        let error = errors.get_mut(&cookie)?.take()?;
        self.untaken.fetch_sub(1, Ordering::AcqRel);
        Some(error)
    }

    /// The lock, for the fork handlers.
    pub fn lock(&self) -> &Lock<Errors> {
        &self.errors
    }
}

impl From<Errno> for DeferredError {
    fn from(errno: Errno) -> DeferredError {
        DeferredError {
            errno,
            by_program: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl DeferredErrors {
        fn taken(&self, cookie: u64) -> Option<Errno> {
            self.take(cookie).map(|error| error.errno)
        }
    }

    #[test]
    fn an_error_is_told_once() {
        let deferred = DeferredErrors::new();
        assert!(deferred.is_empty());
        deferred.set(7, Errno::ETIMEDOUT.into());
        deferred.set(8, Errno::EACCES.into());
        assert_eq!(deferred.taken(7), Some(Errno::ETIMEDOUT));
        assert_eq!(deferred.taken(7), None);
        deferred.set(8, Errno::EPERM.into());
        assert_eq!(deferred.taken(8), Some(Errno::EPERM));
        assert!(deferred.is_empty());
    }

    #[test]
    fn thousands_are_kept_and_what_was_told_is_not() {
        let deferred = DeferredErrors::new();
        for cookie in 0..5000 {
            deferred.set(cookie, Errno::EACCES.into());
        }
        for cookie in 0..5000 {
            assert_eq!(deferred.taken(cookie), Some(Errno::EACCES));
        }
        assert!(deferred.is_empty());
        deferred.set(1, Errno::EACCES.into());
        assert_eq!(deferred.lock().lock().len(), 1);
    }

    #[test]
    fn the_oldest_are_forgotten_in_the_end() {
        let deferred = DeferredErrors::new();
        for cookie in 0..=MAX_ERRORS as u64 {
            deferred.set(cookie, Errno::EACCES.into());
        }
        assert_eq!(deferred.taken(0), None);
        assert_eq!(deferred.taken(1), Some(Errno::EACCES));
        assert_eq!(deferred.untaken.load(Ordering::Acquire), MAX_ERRORS - 1);
    }
}
