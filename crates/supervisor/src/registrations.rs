//! epoll(7) registrations when the file under an fd is swapped. A registration belongs to the file and the fd: it would
//! be lost with the old file, or keep reporting events of a file that the program no longer has.
//!
//! Registrations are read from fdinfo (proc(5)). A thread makes them again in an fd table of its own, where the file
//! has the same fd as in the program.

#![forbid(unsafe_code)]

use crate::sys as own_sys;
use libc::{c_int, pid_t};
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;
use tailchain_core::errno::Errno;
use tailchain_core::sys::{self, Fd, OwnFd};

/// An fd in an epoll instance of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    epoll: Fd,
    events: u32,
    data: u64,
}

#[derive(Default)]
pub struct Registrations {
    /// The epoll instances of a process.
    epolls: HashMap<pid_t, Vec<Fd>>,
    /// Until then an epoll_create(2) may be in progress.
    unsure_until: Duration,
    worker: Option<Sender<Job>>,
}

/// The time for an epoll_create(2) that was passed to the kernel to complete.
const UNSURE: Duration = Duration::from_millis(100);
/// More processes than a process tree usually has.
const MOST: usize = 1024;

impl Registrations {
    /// To be called when a program creates an epoll instance.
    pub fn epoll_is_made(&mut self) {
        self.epolls.clear();
        self.unsure_until = sys::now() + UNSURE;
    }

    /// Removes the registrations of a program's `fd`, and returns them; `file` is the supervisor's fd of the same file.
    pub fn take(&mut self, thread: pid_t, fd: Fd, file: Fd) -> Vec<Registration> {
        let mut found = Vec::new();
        for epoll in self.epolls_of(thread) {
            if own_sys::is_registered(file, thread, epoll, fd) {
                found.extend(read(thread, epoll, fd));
            }
        }
        self.change(thread, fd, libc::EPOLL_CTL_DEL, &found);
        found
    }

    /// Makes registrations again, for the file that `fd` refers to now.
    pub fn put(&mut self, thread: pid_t, fd: Fd, found: &[Registration]) {
        self.change(thread, fd, libc::EPOLL_CTL_ADD, found);
    }

    fn epolls_of(&mut self, thread: pid_t) -> Vec<Fd> {
        if let Some(epolls) = self.epolls.get(&thread) {
            return epolls.clone();
        }
        let epolls = find_epolls(thread);
        if self.epolls.len() >= MOST {
            self.epolls.clear();
        }
        if sys::now() >= self.unsure_until {
            self.epolls.insert(thread, epolls.clone());
        }
        epolls
    }

    fn change(&mut self, thread: pid_t, fd: Fd, operation: c_int, found: &[Registration]) {
        if found.is_empty() {
            return;
        }
        let (done, is_done) = mpsc::channel();
        let job = Job {
            thread,
            fd,
            operation,
            registrations: found.to_vec(),
            done,
        };
        let worker = self.worker.get_or_insert_with(start);
        if worker.send(job).is_ok() {
            let _ = is_done.recv();
        }
    }
}

fn find_epolls(thread: pid_t) -> Vec<Fd> {
    let Ok(fds) = fs::read_dir(format!("/proc/{thread}/fd")) else {
        return Vec::new();
    };
    fds.flatten()
        .filter(|fd| {
            let link = fs::read_link(fd.path());
            link.is_ok_and(|link| link == Path::new("anon_inode:[eventpoll]"))
        })
        .filter_map(|fd| fd.file_name().to_str()?.parse().ok())
        .collect()
}

/// `tfd:        5 events: 80000019 data:     7f0000000005  pos:0 ino:61ef sdev:7`
fn read(thread: pid_t, epoll: Fd, fd: Fd) -> Vec<Registration> {
    let info = fs::read_to_string(format!("/proc/{thread}/fdinfo/{epoll}"));
    let info = info.unwrap_or_default();
    info.lines()
        .filter_map(|line| {
            let (own, events, data) = parse(line)?;
            (own == fd).then_some(Registration {
                epoll,
                events,
                data,
            })
        })
        .collect()
}

fn parse(line: &str) -> Option<(Fd, u32, u64)> {
    let mut words = line.split_ascii_whitespace();
    let mut after = |name: &str| words.find(|word| *word == name).and_then(|_| words.next());
    let fd = after("tfd:")?.parse().ok()?;
    let events = u32::from_str_radix(after("events:")?, 16).ok()?;
    let data = u64::from_str_radix(after("data:")?, 16).ok()?;
    Some((fd, events, data))
}

struct Job {
    thread: pid_t,
    fd: Fd,
    operation: c_int,
    registrations: Vec<Registration>,
    done: Sender<()>,
}

fn start() -> Sender<Job> {
    let (sender, jobs) = mpsc::channel::<Job>();
    std::thread::spawn(move || {
        // Without a separate fd table, the supervisor's own fds would conflict; then nothing is done.
        let is_apart = own_sys::unshare_fds().is_ok() && sys::close_range(3, u32::MAX, 0).is_ok();
        for job in jobs {
            if is_apart {
                let _ = carry_out(&job);
            }
            let _ = job.done.send(());
        }
    });
    sender
}

fn carry_out(job: &Job) -> Result<(), Errno> {
    let away = |fd: OwnFd| own_sys::move_away(fd, job.fd);
    let process = away(own_sys::open_thread_or_process(job.thread)?)?;
    let file = away(own_sys::borrow_fd(&process, job.fd)?)?;
    sys::replace(file.fd(), job.fd, true)?;
    let _own = OwnFd::adopt(job.fd);
    for registration in &job.registrations {
        let Ok(epoll) = own_sys::borrow_fd(&process, registration.epoll) else {
            continue;
        };
        let _ = match job.operation {
            libc::EPOLL_CTL_DEL => sys::epoll_remove(epoll.fd(), job.fd),
            operation => sys::epoll_set(
                epoll.fd(),
                operation,
                job.fd,
                registration.events,
                registration.data,
            ),
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_fdinfo_is_understood() {
        let line = "tfd:       22 events: 8000201d data:     7f3b0c0d  pos:0 ino:61ef sdev:7";
        assert_eq!(parse(line), Some((22, 0x8000_201d, 0x7f3b_0c0d)));
        assert_eq!(parse("flags:\t02000002"), None);
        assert_eq!(parse("tfd: x events: 1 data: 1"), None);
    }

    #[test]
    fn registrations_of_another_file_move_to_the_next() {
        let epoll = sys::epoll().unwrap();
        let (one, other) = sys::stream_pair().unwrap();
        let events = libc::EPOLLOUT as u32;
        sys::epoll_set(epoll.fd(), libc::EPOLL_CTL_ADD, one.fd(), events, 77).unwrap();
        let me = sys::thread_id();
        let mut registrations = Registrations::default();
        let found = registrations.take(me, one.fd(), one.fd());
        assert_eq!(
            found,
            [Registration {
                epoll: epoll.fd(),
                events: events | (libc::EPOLLERR | libc::EPOLLHUP) as u32,
                data: 77
            }]
        );
        let mut ready = [libc::epoll_event { events: 0, u64: 0 }];
        let now = Some(Duration::ZERO);
        assert_eq!(sys::epoll_wait(epoll.fd(), &mut ready, now), Ok(0));
        sys::replace(other.fd(), one.fd(), true).unwrap();
        registrations.put(me, one.fd(), &found);
        assert_eq!(sys::epoll_wait(epoll.fd(), &mut ready, now), Ok(1));
        assert_eq!({ ready[0].u64 }, 77);
        sys::epoll_remove(epoll.fd(), one.fd()).unwrap();
    }
}
