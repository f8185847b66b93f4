//! A private directory for one start: tailscaled's socket and the output of `tailscale`.

#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const SHARED_MEMORY: &str = "/dev/shm";

pub struct TempDir(PathBuf);

impl TempDir {
    /// # Errors
    ///
    /// `$TMPDIR` is not writable, or if it is not set, neither `/tmp` nor `/dev/shm` is.
    pub fn new() -> io::Result<TempDir> {
        let made = TempDir::below(&std::env::temp_dir());
        match std::env::var_os("TMPDIR") {
            // In a container with a read-only root, /dev/shm is writable.
            None => made.or_else(|error| TempDir::below(SHARED_MEMORY.as_ref()).map_err(|_| error)),
            Some(_) => made,
        }
    }

    fn below(parent: &Path) -> io::Result<TempDir> {
        let pid = std::process::id();
        let mut number = 0;
        loop {
            let path = parent.join(format!("tailchain-{pid}-{number}"));
            // mkdir neither follows a symbolic link nor reuses an existing directory.
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(TempDir(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 100 => {
                    number += 1;
                }
                Err(error) => {
                    let text = format!("cannot make {}: {error}; set TMPDIR", path.display());
                    return Err(io::Error::new(error.kind(), text));
                }
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
