//! A running `tailscale` command.

#![forbid(unsafe_code)]

use crate::daemon;
use crate::sys::process::Pid;
use crate::sys::signals;
use crate::sys::{child, memory_file};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

pub struct Client {
    pub pid: Pid,
    /// The exit status, once it has ended.
    pub ended: Option<ExitStatus>,
    output: PathBuf,
}

impl Client {
    /// Runs `tailscale` with the arguments `words`; it inherits `fds`. The output goes to a file in `directory`, since a pipe
    /// that is not read would block the command. The file is named after the subcommand: a `status` may run beside an `up`.
    ///
    /// # Errors
    ///
    /// The program cannot be run.
    pub fn start(
        program: &Path,
        socket: &Path,
        words: &[OsString],
        directory: &Path,
        fds: Vec<RawFd>,
    ) -> io::Result<Client> {
        let output = directory.join(words.first().map_or("output".as_ref(), OsString::as_os_str));
        let file = File::create(&output)?;
        let mut command = Command::new(program);
        command
            .arg(daemon::option("--socket=", socket))
            .args(words)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0);
        daemon::without_our_variables(&mut command);
        memory_file::pass_on(&mut command, fds);
        signals::unblock_in(&mut command);
        child::end_with_us(&mut command, libc::SIGKILL);
        let pid = command.spawn()?.id();
        Ok(Client {
            pid: pid.try_into().map_err(io::Error::other)?,
            ended: None,
            output,
        })
    }

    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.output).unwrap_or_default()).into_owned()
    }
}
