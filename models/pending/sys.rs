//! A kernel with fds, sockets, placeholders, epoll and futexes, as far as the table and the helper use them.
//!
//! Each call is one step, and other threads may run before it. What can only be a defect of ours is recorded
//! (`mistakes`) rather than a panic: the helper would catch that.

use crate::errno::Errno;
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::ffi::{c_int, CStr};
use shuttle::thread::{JoinHandle, Thread};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

pub type Fd = c_int;

/// The first of our own fds.
const HIGH: Fd = 1000;
const FIRST: Fd = 3;

#[derive(Default)]
struct Kernel {
    step: Arc<AtomicBool>,
    fds: BTreeMap<Fd, usize>,
    files: Vec<File>,
    /// Threads that sleep until anything changes.
    waiting: Vec<Thread>,
    /// To be woken as soon as no thread is in the kernel.
    woken: Vec<Thread>,
    futexes: Vec<(usize, Thread)>,
    threads: Vec<JoinHandle<()>>,
    running: usize,
    at_fork: Vec<[extern "C" fn(); 3]>,
    now: Duration,
    mistakes: Vec<String>,
}

#[derive(Default)]
struct File {
    kind: Kind,
    nonblocking: bool,
}

#[derive(Default)]
enum Kind {
    #[default]
    Socket,
    /// One end of a pair; the other end.
    End {
        other: usize,
    },
    Event {
        count: u64,
    },
    Epoll {
        interest: BTreeMap<(Fd, usize), Interest>,
    },
}

#[derive(Clone, Copy)]
struct Interest {
    events: u32,
    data: u64,
    armed: bool,
}

static KERNEL: Mutex<Option<Kernel>> = Mutex::new(None);

struct Running(Option<MutexGuard<'static, Option<Kernel>>>);

impl std::ops::Deref for Running {
    type Target = Kernel;
    fn deref(&self) -> &Kernel {
        self.0.as_ref().unwrap().as_ref().unwrap()
    }
}

impl std::ops::DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Kernel {
        self.0.as_mut().unwrap().as_mut().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let woken = std::mem::take(&mut self.woken);
        self.0 = None;
        // Each may run at once, and enter.
        woken.into_iter().for_each(|thread| thread.unpark());
    }
}

/// Another thread may run first. Not a yield, which would request that.
fn step() {
    let step = look().step.clone();
    step.load(Ordering::SeqCst);
}

/// A step; no other thread runs while the result is held.
fn enter() -> Running {
    step();
    look()
}

fn look() -> Running {
    let kernel = KERNEL.lock();
    Running(Some(
        kernel.unwrap_or_else(|poisoned| poisoned.into_inner()),
    ))
}

impl Kernel {
    fn install(&mut self, kind: Kind, from: Fd) -> Fd {
        self.files.push(File {
            kind,
            nonblocking: true,
        });
        let file = self.files.len() - 1;
        self.fd(file, from)
    }

    fn fd(&mut self, file: usize, from: Fd) -> Fd {
        let fd = (from..)
            .find(|fd| !self.fds.contains_key(fd))
            .unwrap_or(from);
        self.fds.insert(fd, file);
        fd
    }

    fn file(&mut self, fd: Fd) -> Result<usize, Errno> {
        self.fds.get(&fd).copied().ok_or(Errno::EBADF)
    }

    fn is_open(&self, file: usize) -> bool {
        self.fds.values().any(|&open| open == file)
    }

    fn close(&mut self, fd: Fd) -> bool {
        let Some(file) = self.fds.remove(&fd) else {
            return false;
        };
        if !self.is_open(file) {
            for other in &mut self.files {
                if let Kind::Epoll { interest } = &mut other.kind {
                    interest.retain(|&(_, its_file), _| its_file != file);
                }
            }
        }
        self.changed();
        true
    }

    fn changed(&mut self) {
        self.woken.append(&mut self.waiting);
    }

    /// The events that a file has now.
    fn events(&self, file: usize) -> u32 {
        let events = match &self.files[file].kind {
            Kind::Socket => libc::EPOLLOUT,
            Kind::End { other } if !self.is_open(*other) => libc::EPOLLHUP,
            Kind::Event { count: 1.. } => libc::EPOLLIN,
            _ => 0,
        };
        events as u32
    }

    fn mistake(&mut self, what: String) {
        self.mistakes.push(what);
    }
}

/// Sleep until `ready` has a result.
fn sleep_until<T>(mut ready: impl FnMut(&mut Kernel) -> Option<T>) -> T {
    step();
    loop {
        let mut kernel = look();
        if let Some(result) = ready(&mut kernel) {
            return result;
        }
        kernel.waiting.push(shuttle::thread::current());
        drop(kernel);
        shuttle::thread::park();
    }
}

// Calls that the models make.

pub fn boot() {
    let _ = KERNEL
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
        .insert(Kernel::default());
}

/// socket(2) by the program; returns the file.
pub fn program_socket() -> (Fd, usize) {
    let mut kernel = enter();
    let fd = kernel.install(Kind::Socket, FIRST);
    let file = kernel.files.len() - 1;
    (fd, file)
}

/// close(2) by the program.
pub fn program_close(fd: Fd) {
    enter().close(fd);
}

/// The same, before any other thread runs.
pub fn program_close_at_once(fd: Fd) {
    look().close(fd);
}

/// dup(2) by the program.
pub fn program_dup(fd: Fd) -> Fd {
    let mut kernel = enter();
    let file = kernel.file(fd).unwrap();
    kernel.fd(file, FIRST)
}

/// The process's fds and files.
pub fn open_files() -> BTreeMap<Fd, usize> {
    look().fds.clone()
}

pub fn file_of(fd: Fd) -> Option<usize> {
    look().fds.get(&fd).copied()
}

/// Whether O_NONBLOCK is off.
pub fn blocks(fd: Fd) -> bool {
    let kernel = look();
    !kernel.files[kernel.fds[&fd]].nonblocking
}

pub fn mistakes() -> Vec<String> {
    look().mistakes.clone()
}

/// The driver's socket must be at its fd, or the file that replaced it when the program closed it.
pub fn expect_socket(fd: Fd) {
    let mut kernel = enter();
    let is_socket = kernel
        .file(fd)
        .is_ok_and(|file| matches!(kernel.files[file].kind, Kind::Socket | Kind::Event { .. }));
    if !is_socket || fd < HIGH {
        kernel.mistake(format!("a driver found no socket under {fd}"));
    }
}

/// Wait for all threads that were started: they end by themselves.
pub fn join_threads() {
    loop {
        let thread = look().threads.pop();
        match thread {
            Some(thread) => drop(thread.join()),
            None => return,
        }
    }
}

/// fork(2), seen by the parent.
pub fn fork_in_parent() {
    let handlers = look().at_fork.clone();
    for [before, _, _] in handlers.iter().rev() {
        before();
    }
    step();
    for [_, in_parent, _] in &handlers {
        in_parent();
    }
}

// Calls that the shipped code makes.

#[derive(Debug)]
pub struct OwnFd(Fd);

impl OwnFd {
    pub fn adopt(fd: Fd) -> OwnFd {
        OwnFd(fd)
    }

    pub fn release(self) -> Fd {
        let fd = self.0;
        std::mem::forget(self);
        fd
    }

    pub fn fd(&self) -> Fd {
        self.0
    }
}

impl Drop for OwnFd {
    fn drop(&mut self) {
        close(self.0);
    }
}

pub fn close(fd: Fd) {
    let mut kernel = enter();
    if fd < HIGH
        && !matches!(
            kernel.file(fd).map(|file| &kernel.files[file].kind),
            Ok(Kind::End { .. } | Kind::Epoll { .. } | Kind::Event { .. })
        )
    {
        kernel.mistake(format!("closed {fd}, which is the program's"));
    }
    if !kernel.close(fd) {
        kernel.mistake(format!("closed {fd}, which was not open"));
    }
}

pub struct NofileGuard;

impl NofileGuard {
    pub fn new() -> NofileGuard {
        NofileGuard
    }

    pub fn raise(&self) {}

    pub fn restore(&self) {}

    pub fn duplicate(&self, fd: Fd) -> Result<OwnFd, Errno> {
        let mut kernel = enter();
        let file = kernel.file(fd)?;
        Ok(OwnFd(kernel.fd(file, HIGH)))
    }

    pub fn move_high(&self, fd: OwnFd) -> OwnFd {
        self.duplicate(fd.0).unwrap_or(fd)
    }
}

pub fn replace(from: Fd, to: Fd, _: bool) -> Result<(), Errno> {
    let mut kernel = enter();
    let file = kernel.file(from)?;
    kernel.close(to);
    kernel.fds.insert(to, file);
    Ok(())
}

pub fn status_flags(fd: Fd) -> Result<c_int, Errno> {
    let mut kernel = enter();
    let file = kernel.file(fd)?;
    Ok(if kernel.files[file].nonblocking {
        libc::O_NONBLOCK
    } else {
        0
    })
}

pub fn set_nonblocking(fd: Fd, on: bool) -> Result<(), Errno> {
    let mut kernel = enter();
    let file = kernel.file(fd)?;
    kernel.files[file].nonblocking = on;
    Ok(())
}

pub fn set_status_flags(fd: Fd, flags: c_int) -> Result<(), Errno> {
    set_nonblocking(fd, flags & libc::O_NONBLOCK != 0)
}

pub fn closes_on_exec(fd: Fd) -> Result<bool, Errno> {
    enter().file(fd).map(|_| false)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId(usize);

impl FileId {
    pub fn inode(self) -> u64 {
        self.0 as u64
    }
}

pub fn file_id(fd: Fd) -> Result<FileId, Errno> {
    enter().file(fd).map(FileId)
}

pub fn is_same_file(one: Fd, other: Fd) -> bool {
    one == other
}

pub fn cookie(fd: Fd) -> Option<u64> {
    let mut kernel = enter();
    let file = kernel.file(fd).ok()?;
    let is_socket = matches!(kernel.files[file].kind, Kind::Socket | Kind::End { .. });
    is_socket.then_some(file as u64 + 1)
}

pub fn is_tcp(fd: Fd) -> Result<bool, Errno> {
    let mut kernel = enter();
    let file = kernel.file(fd)?;
    Ok(matches!(kernel.files[file].kind, Kind::Socket))
}

pub fn get_option<T: From<i32>>(fd: Fd, _: c_int, name: c_int) -> Result<T, Errno> {
    let mut kernel = enter();
    let file = kernel.file(fd)?;
    Ok(T::from(match (&kernel.files[file].kind, name) {
        (Kind::Socket, libc::SO_DOMAIN) => libc::AF_INET,
        _ => 0,
    }))
}

pub fn set_option<T>(_: Fd, _: c_int, _: c_int, _: &T) -> Result<(), Errno> {
    Ok(())
}

pub fn send(_: Fd, bytes: &[u8]) -> Result<usize, Errno> {
    Ok(bytes.len())
}

pub fn receive(_: Fd, _: &mut [u8], _: bool) -> Result<usize, Errno> {
    Err(Errno::EAGAIN)
}

pub fn shutdown(_: Fd, _: c_int) -> Result<(), Errno> {
    Ok(())
}

pub fn connect(_: Fd, _: &SockAddr) -> Result<(), Errno> {
    Err(Errno::EINPROGRESS)
}

pub fn disconnect(_: Fd) -> Result<(), Errno> {
    Ok(())
}

pub fn bind(_: Fd, _: &SockAddr) -> Result<(), Errno> {
    Ok(())
}

pub fn peer_address(_: Fd) -> Result<SockAddr, Errno> {
    Err(Errno::ENOTCONN)
}

pub fn local_address(_: Fd) -> Result<SockAddr, Errno> {
    Ok(SockAddr)
}

pub struct SockAddr;

impl SockAddr {
    pub fn unix_abstract(_: &[u8]) -> Option<SockAddr> {
        Some(SockAddr)
    }

    pub fn inet(&self) -> Option<SocketAddr> {
        None
    }

    pub fn abstract_name(&self) -> Option<&[u8]> {
        None
    }
}

impl From<SocketAddr> for SockAddr {
    fn from(_: SocketAddr) -> SockAddr {
        SockAddr
    }
}

pub fn stream_pair() -> Result<(OwnFd, OwnFd), Errno> {
    let mut kernel = enter();
    let next = kernel.files.len();
    let app_end = kernel.install(Kind::End { other: next + 1 }, FIRST);
    let wake_end = kernel.install(Kind::End { other: next }, FIRST);
    Ok((OwnFd(app_end), OwnFd(wake_end)))
}

pub fn event_counter() -> Result<OwnFd, Errno> {
    Ok(OwnFd(enter().install(Kind::Event { count: 0 }, FIRST)))
}

pub fn signal_event(fd: Fd) {
    let mut kernel = enter();
    let file = kernel.file(fd);
    match file.map(|file| &mut kernel.files[file].kind) {
        Ok(Kind::Event { count }) => *count += 1,
        _ => kernel.mistake(format!("called a helper by {fd}, which is not its own")),
    }
    kernel.changed();
}

pub fn clear_event(fd: Fd) {
    let mut kernel = enter();
    let file = kernel.file(fd);
    if let Ok(Kind::Event { count }) = file.map(|file| &mut kernel.files[file].kind) {
        *count = 0;
    }
}

pub fn epoll() -> Result<OwnFd, Errno> {
    let interest = BTreeMap::new();
    Ok(OwnFd(enter().install(Kind::Epoll { interest }, FIRST)))
}

pub fn epoll_set(epoll: Fd, operation: c_int, fd: Fd, events: u32, data: u64) -> Result<(), Errno> {
    let mut kernel = enter();
    let (epoll, file) = (kernel.file(epoll)?, kernel.file(fd)?);
    let Kind::Epoll { interest } = &mut kernel.files[epoll].kind else {
        return Err(Errno::EINVAL);
    };
    let known = interest.contains_key(&(fd, file));
    match (operation, known) {
        (libc::EPOLL_CTL_ADD, true) => return Err(Errno::from_raw(libc::EEXIST)),
        (libc::EPOLL_CTL_MOD, false) => return Err(Errno::ENOENT),
        _ => {}
    }
    let armed = true;
    interest.insert(
        (fd, file),
        Interest {
            events,
            data,
            armed,
        },
    );
    kernel.changed();
    Ok(())
}

pub fn epoll_remove(epoll: Fd, fd: Fd) -> Result<(), Errno> {
    let mut kernel = enter();
    let (epoll, file) = (kernel.file(epoll)?, kernel.file(fd)?);
    match &mut kernel.files[epoll].kind {
        Kind::Epoll { interest } => interest.remove(&(fd, file)).map(drop).ok_or(Errno::ENOENT),
        _ => Err(Errno::EINVAL),
    }
}

/// A sleep of less than a second lasts some steps; other timeouts are never reached.
pub fn epoll_wait(
    epoll: Fd,
    events: &mut [libc::epoll_event],
    timeout: Option<Duration>,
) -> Result<usize, Errno> {
    let is_short = timeout.is_some_and(|timeout| timeout < Duration::from_secs(1));
    if is_short {
        (0..20).for_each(|_| step());
    }
    sleep_until(|kernel| {
        let Ok(file) = kernel.file(epoll) else {
            return Some(Err(Errno::EBADF));
        };
        let Kind::Epoll { interest } = &kernel.files[file].kind else {
            return Some(Err(Errno::EINVAL));
        };
        let mut interest = interest.clone();
        let always = libc::EPOLLHUP as u32;
        let mut count = 0;
        for (&(_, its_file), one) in &mut interest {
            let there = kernel.events(its_file) & (one.events | always);
            if there != 0 && one.armed && count < events.len() {
                events[count] = libc::epoll_event {
                    events: there,
                    u64: one.data,
                };
                count += 1;
                one.armed = one.events & libc::EPOLLONESHOT as u32 == 0;
            }
        }
        kernel.files[file].kind = Kind::Epoll { interest };
        if let (true, 0, Some(timeout)) = (is_short, count, timeout) {
            kernel.now += timeout;
        }
        (count > 0 || is_short).then_some(Ok(count))
    })
}

pub fn poll_one(fd: Fd, events: libc::c_short, timeout: Option<Duration>) -> Result<bool, Errno> {
    let look = move |kernel: &mut Kernel| {
        let Ok(file) = kernel.file(fd) else {
            return Some(Err(Errno::EBADF));
        };
        let there = kernel.events(file) & (events as u32 | libc::EPOLLHUP as u32) != 0;
        (there || timeout.is_some()).then_some(Ok(there))
    };
    sleep_until(look)
}

pub fn futex_wait(word: &AtomicU32, value: u32) {
    // A load is a step: the waker's turn shows what changes between it and the sleep.
    let address = core::ptr::from_ref(word) as usize;
    step();
    let me = shuttle::thread::current();
    look().futexes.push((address, me.clone()));
    if word.load(Ordering::SeqCst) != value {
        look()
            .futexes
            .retain(|(other, thread)| *other != address || thread.id() != me.id());
        return;
    }
    while look()
        .futexes
        .iter()
        .any(|(other, thread)| *other == address && thread.id() == me.id())
    {
        shuttle::thread::park();
    }
}

pub fn futex_wake(word: &AtomicU32, how_many: i32) {
    let address = core::ptr::from_ref(word) as usize;
    let mut kernel = enter();
    for _ in 0..how_many {
        let Some(place) = kernel
            .futexes
            .iter()
            .position(|(other, _)| *other == address)
        else {
            break;
        };
        let (_, thread) = kernel.futexes.remove(place);
        kernel.woken.push(thread);
    }
}

/// No process is cloned here.
pub struct WipedOnFork;

impl WipedOnFork {
    pub const fn new() -> WipedOnFork {
        WipedOnFork
    }

    pub fn prepare(&self) {}

    pub fn word(&self) -> Option<&AtomicU32> {
        None
    }
}

pub fn this_thread() -> usize {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    shuttle::thread::current().id().hash(&mut hasher);
    hasher.finish() as usize | 1
}

pub fn thread_id() -> c_int {
    1
}

/// Of the threads that were started; they all have one id.
pub fn has_thread(_: c_int) -> bool {
    enter().running > 0
}

/// No thread that was started may be running.
pub fn expect_alone() {
    let mut kernel = enter();
    if kernel.running > 0 {
        kernel.mistake("a helper is there, and should not be".into());
    }
}

/// Time does not pass, but other threads run.
pub fn pause(_: Duration) {
    shuttle::thread::yield_now();
}

pub fn measure_thread_stacks() {}

pub fn start_thread(
    _: &'static CStr,
    _: usize,
    body: Box<dyn FnOnce() + Send>,
) -> Result<(), Errno> {
    look().running += 1;
    let thread = shuttle::thread::spawn(|| {
        body();
        enter().running -= 1;
    });
    look().threads.push(thread);
    Ok(())
}

pub fn at_fork(before: extern "C" fn(), in_parent: extern "C" fn(), in_child: extern "C" fn()) {
    look().at_fork.push([before, in_parent, in_child]);
}

/// No signal is ever sent here.
pub struct SignalsBlocked;

impl SignalsBlocked {
    pub const fn for_good() -> SignalsBlocked {
        SignalsBlocked
    }

    pub fn around_fork() -> SignalsBlocked {
        SignalsBlocked::new()
    }

    pub fn new() -> SignalsBlocked {
        SignalsBlocked
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {}
}

pub fn pid() -> c_int {
    1
}

/// Only a short sleep to its end takes time.
pub fn now() -> Duration {
    look().now
}

// io_uring does not exist here.

pub fn read_all(_: &CStr) -> Result<Vec<u8>, Errno> {
    Err(Errno::ENOENT)
}

pub fn descriptors() -> Result<Vec<Fd>, Errno> {
    Ok(Vec::new())
}

pub fn names_file(_: Fd, _: &[u8]) -> bool {
    false
}
