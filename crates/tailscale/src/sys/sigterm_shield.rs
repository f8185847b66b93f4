//! Shields a child from SIGTERM.
//!
//! Heroku sends SIGTERM to all processes of a dyno at once. tailscaled would log out while the app still needs
//! its connections to shut down. An ignored signal stays ignored after exec, but Go's os/signal
//! installs a handler even so. Therefore the child also gets a seccomp filter that makes
//! `sigaction(SIGTERM, handler)` succeed without effect.

use libc::{sock_filter, BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W};
use std::mem::offset_of;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// `seccomp_data.arch` of this process's system calls (linux/audit.h), and of the programs that it runs.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: Option<u32> = Some(0xc000_003e);
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: Option<u32> = Some(0xc000_00b7);
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ARCHITECTURE: Option<u32> = None;

/// The call returns success without being executed.
const PRETEND: u32 = libc::SECCOMP_RET_ERRNO;

/// Makes the child ignore SIGTERM: permanently if a seccomp filter is permitted, else until it installs a handler.
/// [`is_in_place`] says whether it does.
pub fn against_sigterm(command: &mut Command) {
    let filter = ARCHITECTURE.map(filter);
    // SAFETY: signal and prctl are async-signal-safe; the filter was made before the fork.
    unsafe {
        command.pre_exec(move || {
            libc::signal(libc::SIGTERM, libc::SIG_IGN);
            if let Some(filter) = &filter {
                install(filter);
            }
            Ok(())
        });
    }
}

/// Whether the process ignores SIGTERM now.
pub fn is_in_place(pid: super::process::Pid) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    ignores(&status, libc::SIGTERM)
}

fn ignores(status: &str, signal: libc::c_int) -> bool {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}

/// A failure is ignored: the child then works without the filter.
fn install(filter: &[sock_filter]) {
    let Ok(len) = filter.len().try_into() else {
        return;
    };
    let program = libc::sock_fprog {
        len,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: program and the filter that it points to outlive the calls, and the kernel only reads them.
    unsafe {
        // With no_new_privs set, installing a filter needs no privilege (seccomp(2)).
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 {
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program);
        }
    }
}

fn filter(architecture: u32) -> [sock_filter; 12] {
    const ALLOW: u8 = 10;
    let load = |offset: usize| statement(BPF_LD | BPF_W | BPF_ABS, offset as u32);
    let argument = |number: usize| offset_of!(libc::seccomp_data, args) + 8 * number;
    // Each test continues with the next instruction if it holds; `at` is the index of the test itself.
    let must_be = |at: u8, value: u32| jump(value, 0, ALLOW - at - 1);
    [
        load(offset_of!(libc::seccomp_data, arch)),
        must_be(1, architecture),
        load(offset_of!(libc::seccomp_data, nr)),
        must_be(3, libc::SYS_rt_sigaction as u32),
        // Both architectures are little-endian: the low half comes first.
        load(argument(0)),
        must_be(5, libc::SIGTERM as u32),
        // A null pointer only queries the current handler.
        load(argument(1)),
        jump(0, 0, 3),
        load(argument(1) + 4),
        jump(0, 0, 1),
        statement(BPF_RET | BPF_K, libc::SECCOMP_RET_ALLOW),
        statement(BPF_RET | BPF_K, PRETEND),
    ]
}

fn statement(code: u32, k: u32) -> sock_filter {
    sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    }
}

/// Skips `equal` or `different` instructions.
fn jump(k: u32, equal: u8, different: u8) -> sock_filter {
    sock_filter {
        code: (BPF_JMP | BPF_JEQ | BPF_K) as u16,
        jt: equal,
        jf: different,
        k,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_parsed() {
        assert!(ignores(
            "Name:\tx\nSigIgn:\t0000000000004000\n",
            libc::SIGTERM
        ));
        assert!(!ignores("SigIgn:\t0000000000001000\n", libc::SIGTERM));
        assert!(!ignores("", libc::SIGTERM));
    }
}
