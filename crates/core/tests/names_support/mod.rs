//! What the tests of the shared table share: directories, child processes, mount namespaces.
#![allow(dead_code)]

use std::ffi::{CString, OsString};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use tailchain_core::host::HostName;
use tailchain_core::name_table::NameTable;

pub fn name(text: &str) -> HostName {
    HostName::new(text.as_bytes()).unwrap()
}

/// A directory to use as `$XDG_RUNTIME_DIR`, removed at the end of the test.
pub struct Runtime(pub PathBuf);

impl Runtime {
    pub fn new() -> Runtime {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = format!("tailchain-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(directory);
        std::fs::create_dir(&path).unwrap();
        Runtime(path)
    }

    pub fn open(&self) -> NameTable {
        open_in(&self.0)
    }

    /// Our directory in it.
    pub fn directory(&self) -> PathBuf {
        // SAFETY: geteuid cannot fail.
        let user = unsafe { libc::geteuid() };
        self.0.join(format!("tailchain-{user}"))
    }

    pub fn make_directory(&self) -> PathBuf {
        let mut builder = std::fs::DirBuilder::new();
        builder.mode(0o700).create(self.directory()).unwrap();
        self.directory()
    }

    pub fn table(&self) -> PathBuf {
        self.directory().join("names-2")
    }

    /// Writes a file where the table belongs, inaccessible to others as a table is.
    pub fn put(&self, content: &[u8]) {
        self.make_directory();
        std::fs::write(self.table(), content).unwrap();
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(self.table(), private).unwrap();
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn open_in(directory: &Path) -> NameTable {
    NameTable::open(&|variable| (variable == "XDG_RUNTIME_DIR").then(|| OsString::from(directory)))
}

/// A forked child, which runs `work` and reports with its exit code whether it panicked.
pub struct Child(libc::pid_t);

impl Child {
    pub fn run(work: impl FnOnce()) -> Child {
        // SAFETY: the child runs `work` and leaves with _exit; glibc keeps malloc and threads usable after fork.
        match unsafe { libc::fork() } {
            -1 => panic!("fork: {}", std::io::Error::last_os_error()),
            0 => {
                let failed = catch_unwind(AssertUnwindSafe(work)).is_err();
                // SAFETY: _exit ends the child at once.
                unsafe { libc::_exit(i32::from(failed)) }
            }
            pid => Child(pid),
        }
    }

    pub fn kill(self) {
        // SAFETY: the pid is that of our child, which was not waited for yet.
        assert_eq!(unsafe { libc::kill(self.0, libc::SIGKILL) }, 0);
        assert_eq!(self.wait(), libc::SIGKILL, "ended before it was killed");
    }

    /// Fails the test if the child panicked or was killed by a signal, e.g. SIGBUS.
    pub fn succeed(self) {
        assert_eq!(self.wait(), 0, "the child's wait status");
    }

    fn wait(self) -> i32 {
        let mut status = 0;
        // SAFETY: `status` is writable.
        assert_eq!(unsafe { libc::waitpid(self.0, &mut status, 0) }, self.0);
        status
    }
}

/// Runs `work` in a child with its own mount namespace. Where that is not permitted, prints so and does nothing.
pub fn with_own_mounts(work: impl FnOnce()) {
    // SAFETY: geteuid cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("skipped: needs root, to mount a file system");
        return;
    }
    Child::run(|| {
        // SAFETY: the child has one thread, and only its own view of the mounts changes.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0);
        mount("none", Path::new("/"), libc::MS_REC | libc::MS_PRIVATE, "");
        work();
    })
    .succeed();
}

pub fn mount_tmpfs(on: &Path, flags: libc::c_ulong, options: &str) {
    mount("tmpfs", on, flags, options);
}

fn mount(kind: &str, on: &Path, flags: libc::c_ulong, options: &str) {
    let [kind, on, options] =
        [kind, on.to_str().unwrap(), options].map(|text| CString::new(text).unwrap());
    // SAFETY: all strings are NUL-terminated and live through the call.
    let result = unsafe {
        libc::mount(
            kind.as_ptr(),
            on.as_ptr(),
            kind.as_ptr(),
            flags,
            options.as_ptr().cast(),
        )
    };
    assert_eq!(result, 0, "mount: {}", std::io::Error::last_os_error());
}

/// A small random generator: the same seed gives the same numbers.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}
