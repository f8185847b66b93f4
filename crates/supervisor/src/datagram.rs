//! Datagrams: those to a DNS server go to the answerer, those to a fake IP are refused, others pass.
//!
//! The address was read from memory that may change, so a call that passes is made by the supervisor, on the program's
//! socket.

#![forbid(unsafe_code)]

use crate::borrowed::{is_internet, Borrowed};
use crate::listener::{Call, Reply};
use crate::supervisor::Supervisor;
use tailchain_core::errno::Errno;
use tailchain_core::router::connect::is_tcp_or_unknown;
use tailchain_core::sys::{self, Fd, SockAddr};

/// The largest datagram of UDP.
const LARGEST: usize = 65_535;

impl Supervisor {
    pub fn connect_datagram(&mut self, _call: &Call, of: Borrowed, address: &SockAddr) -> Reply {
        let socket = of.socket.fd();
        // AF_UNSPEC dissolves the association, so it has no destination.
        let to = address.inet();
        let Some(to) = to else {
            return sys::connect(socket, address).into();
        };
        if self.answerer.is_for(to) {
            return self.answerer.adopt(of.cookie, socket, to).into();
        }
        match self.router.refusal_of_datagram(to) {
            Some((errno, _)) => Reply::Fail(errno),
            None => sys::connect(socket, address).into(),
        }
    }

    /// The internet datagram socket of the call; `Err`: the reply for any other socket.
    fn datagram_socket(&self, call: &Call) -> Result<Borrowed, Reply> {
        let of = self.borrow(call).map_err(|errno| match errno {
            // Let the kernel report the error.
            Errno::EBADF | Errno::ENOTSOCK => Reply::Pass,
            errno => Reply::Fail(errno),
        })?;
        // A TCP socket ignores the address; other families never leave the machine by an internet address.
        match is_internet(of.socket.fd()) && !is_tcp_or_unknown(of.socket.fd()) {
            true => Ok(of),
            false => Err(Reply::Pass),
        }
    }

    pub fn send_to(&mut self, call: &Call) -> Reply {
        let of = match self.datagram_socket(call) {
            Ok(of) => of,
            Err(reply) => return reply,
        };
        let read = || {
            let length = call.pointer(2) as usize;
            if length > LARGEST {
                return Err(Errno::EMSGSIZE);
            }
            let address = of.caller.read_address(call.pointer(4), call.argument(5))?;
            let mut bytes = vec![0; length];
            if length > 0 {
                of.caller.read(call.pointer(1), &mut bytes)?;
            }
            Ok((address, bytes))
        };
        let read = read();
        if !self.listener.is_waiting(call.id) {
            return Reply::Later;
        }
        let sent = read.and_then(|(address, bytes)| {
            if address.inet().is_some_and(|to| self.answerer.is_for(to)) {
                let socket = of.socket.fd();
                return self.answerer.send(of.cookie, socket, &bytes, &address);
            }
            self.send(
                of.socket.fd(),
                &bytes,
                &[],
                call.argument(3),
                Some(&address),
            )
        });
        match sent {
            Ok(sent) => Reply::Value(sent as i64),
            Err(errno) => Reply::Fail(errno),
        }
    }

    fn send(
        &self,
        socket: Fd,
        bytes: &[u8],
        control: &[u8],
        flags: i32,
        to: Option<&SockAddr>,
    ) -> Result<usize, Errno> {
        // udp(7) treats AF_UNSPEC as AF_INET.
        let inet = to.and_then(|to| match to.family() {
            libc::AF_UNSPEC => as_inet(to)?.inet(),
            _ => to.inet(),
        });
        if let Some(to) = inet {
            if self.answerer.is_for(to) {
                // Resolvers use sendto or connect; for a message the control data would have to be examined too.
                return Err(tailchain_core::route::RAW_DNS_ERROR);
            }
            if let Some((errno, _)) = self.router.refusal_of_datagram(to) {
                return Err(errno);
            }
        }
        match control.is_empty() {
            true => crate::sys::send_to(socket, bytes, flags, to),
            false => crate::sys::send_message(socket, bytes, control, flags, to),
        }
    }

    pub fn send_message(&mut self, call: &Call) -> Reply {
        let of = match self.datagram_socket(call) {
            Ok(of) => of,
            Err(reply) => return reply,
        };
        match self.send_one(call, &of, call.pointer(1), call.argument(2)) {
            Ok(sent) => Reply::Value(sent as i64),
            Err(errno) => Reply::Fail(errno),
        }
    }

    pub fn send_messages(&mut self, call: &Call) -> Reply {
        /// struct mmsghdr: struct msghdr, and the number of bytes sent.
        const MESSAGE: u64 = size_of::<libc::mmsghdr>() as u64;
        const LENGTH: u64 = core::mem::offset_of!(libc::mmsghdr, msg_len) as u64;
        let of = match self.datagram_socket(call) {
            Ok(of) => of,
            Err(reply) => return reply,
        };
        let count = (call.argument(2) as u32).min(libc::UIO_MAXIOV as u32);
        let mut sent = 0;
        for index in 0..count {
            let at = call.pointer(1).wrapping_add(u64::from(index) * MESSAGE);
            let one = self
                .send_one(call, &of, at, call.argument(3))
                .and_then(|length| {
                    let length = u32::try_from(length).unwrap_or(u32::MAX);
                    of.caller
                        .write(at.wrapping_add(LENGTH), &length.to_ne_bytes())
                });
            match one {
                Ok(()) => sent += 1,
                Err(errno) if sent == 0 => return Reply::Fail(errno),
                Err(_) => break,
            }
        }
        Reply::Value(sent)
    }

    fn send_one(&self, call: &Call, of: &Borrowed, at: u64, flags: i32) -> Result<usize, Errno> {
        let message = Message::read(of, at)?;
        if !self.listener.is_waiting(call.id) {
            return Err(Errno::EINTR);
        }
        let Message { to, bytes, control } = &message;
        self.send(of.socket.fd(), bytes, control, flags, to.as_ref())
    }
}

/// The arguments of sendmsg(2).
struct Message {
    to: Option<SockAddr>,
    bytes: Vec<u8>,
    control: Vec<u8>,
}

impl Message {
    fn read(of: &Borrowed, at: u64) -> Result<Message, Errno> {
        /// About the value of sysctl net.core.optmem_max.
        const LARGEST_CONTROL: usize = 20_480;
        let word = |offset: usize| {
            let mut bytes = [0; 8];
            of.caller.read(at.wrapping_add(offset as u64), &mut bytes)?;
            Ok(u64::from_ne_bytes(bytes))
        };
        let field = |offset| word(offset);
        let name = field(core::mem::offset_of!(libc::msghdr, msg_name))?;
        let name_length = of
            .caller
            .read_int(at.wrapping_add(core::mem::offset_of!(libc::msghdr, msg_namelen) as u64))?;
        let vectors = field(core::mem::offset_of!(libc::msghdr, msg_iov))?;
        let count = length(field(core::mem::offset_of!(libc::msghdr, msg_iovlen))?);
        let control_at = field(core::mem::offset_of!(libc::msghdr, msg_control))?;
        let control_length = length(field(core::mem::offset_of!(libc::msghdr, msg_controllen))?);
        if count > libc::UIO_MAXIOV as usize {
            return Err(Errno::EMSGSIZE);
        }
        if control_length > LARGEST_CONTROL {
            return Err(Errno::ENOBUFS);
        }
        let mut bytes = Vec::new();
        for index in 0..count as u64 {
            let mut vector = [0; 16];
            of.caller
                .read(vectors.wrapping_add(16 * index), &mut vector)?;
            let (base, size) = vector.split_at(8);
            let base = u64::from_ne_bytes(base.try_into().map_err(|_| Errno::EFAULT)?);
            let size = u64::from_ne_bytes(size.try_into().map_err(|_| Errno::EFAULT)?) as usize;
            let before = bytes.len();
            if size > LARGEST - before.min(LARGEST) {
                return Err(Errno::EMSGSIZE);
            }
            bytes.resize(before + size, 0);
            if size > 0 {
                of.caller
                    .read(base, bytes.get_mut(before..).unwrap_or_default())?;
            }
        }
        let mut control = vec![0; control_length];
        if control_length > 0 {
            of.caller.read(control_at, &mut control)?;
        }
        let to = match name {
            0 => None,
            name => Some(of.caller.read_address(name, name_length)?),
        };
        Ok(Message { to, bytes, control })
    }
}

/// The kernel's msghdr has a size_t here; musl has an int and padding.
fn length(word: u64) -> usize {
    #[cfg(target_env = "musl")]
    let word = word & 0xffff_ffff;
    word as usize
}

fn as_inet(address: &SockAddr) -> Option<SockAddr> {
    let mut bytes = address.as_bytes().to_vec();
    let family = (libc::AF_INET as libc::sa_family_t).to_ne_bytes();
    bytes.get_mut(..2)?.copy_from_slice(&family);
    SockAddr::from_bytes(&bytes)
}
