//! recvfrom(2) and recvmsg(2) on a datagram socket that has sent a DNS query. The answer comes from the answerer, but
//! resolvers (musl's, c-ares, dnspython) accept it only from the server's address.

#![forbid(unsafe_code)]

use crate::borrowed::Borrowed;
use crate::listener::{Call, Reply};
use crate::supervisor::Supervisor;
use core::mem::offset_of;
use tailchain_core::errno::Errno;
use tailchain_core::sys::SockAddr;

/// The program's buffers for a datagram.
struct Destination {
    /// Address and length of each buffer.
    buffers: Vec<(u64, usize)>,
    name: u64,
    name_length: u64,
    /// The address of struct msghdr, for its further fields.
    message: Option<u64>,
}

impl Supervisor {
    pub fn receive_from(&mut self, call: &Call) -> Reply {
        self.receive(call, |call, _| {
            Ok(Destination {
                buffers: vec![(call.pointer(1), call.pointer(2) as usize)],
                name: call.pointer(4),
                name_length: call.pointer(5),
                message: None,
            })
        })
    }

    pub fn receive_message(&mut self, call: &Call) -> Reply {
        self.receive(call, Destination::of_message)
    }

    fn receive(
        &mut self,
        call: &Call,
        destination: fn(&Call, &Borrowed) -> Result<Destination, Errno>,
    ) -> Reply {
        if !self.answerer.has_clients() {
            return Reply::Pass;
        }
        let Ok(of) = self.borrow(call) else {
            return Reply::Pass;
        };
        // If the answer is not the answerer's, the call continues in the kernel: no memory was read.
        let Some((bytes, server)) = self.answerer.take_answer(of.cookie, of.socket.fd()) else {
            return Reply::Pass;
        };
        let given =
            destination(call, &of).and_then(|destination| destination.fill(&of, &bytes, &server));
        match given {
            Ok(length) => Reply::Value(length as i64),
            Err(errno) => Reply::Fail(errno),
        }
    }
}

impl Destination {
    fn of_message(call: &Call, of: &Borrowed) -> Result<Destination, Errno> {
        let at = call.pointer(1);
        let word = |address: u64| {
            let mut bytes = [0; 8];
            of.caller.read(address, &mut bytes)?;
            Ok(u64::from_ne_bytes(bytes))
        };
        let field = |offset: usize| at.wrapping_add(offset as u64);
        let vectors = word(field(offset_of!(libc::msghdr, msg_iov)))?;
        let count = of
            .caller
            .read_int(field(offset_of!(libc::msghdr, msg_iovlen)))?;
        if !(0..=libc::UIO_MAXIOV).contains(&count) {
            return Err(Errno::EMSGSIZE);
        }
        let mut buffers = Vec::new();
        for index in 0..count as u64 {
            let vector = vectors.wrapping_add(16 * index);
            buffers.push((word(vector)?, word(vector.wrapping_add(8))? as usize));
        }
        Ok(Destination {
            buffers,
            name: word(field(offset_of!(libc::msghdr, msg_name)))?,
            name_length: field(offset_of!(libc::msghdr, msg_namelen)),
            message: Some(at),
        })
    }

    /// Fills the buffers as recvmsg(2) does, and returns the number of bytes stored.
    fn fill(&self, of: &Borrowed, bytes: &[u8], server: &SockAddr) -> Result<usize, Errno> {
        let mut rest = bytes;
        for &(address, room) in &self.buffers {
            let (now, later) = rest.split_at(room.min(rest.len()));
            if !now.is_empty() {
                of.caller.write(address, now)?;
            }
            rest = later;
        }
        if self.name != 0 {
            of.caller
                .write_sized(self.name, self.name_length, server.as_bytes())?;
        }
        if let Some(at) = self.message {
            let flags = match rest.is_empty() {
                true => 0,
                false => libc::MSG_TRUNC,
            };
            let field = |offset: usize| at.wrapping_add(offset as u64);
            let controls = field(offset_of!(libc::msghdr, msg_controllen));
            of.caller.write(controls, &0i32.to_ne_bytes())?;
            let destination = field(offset_of!(libc::msghdr, msg_flags));
            of.caller.write(destination, &flags.to_ne_bytes())?;
        }
        Ok(bytes.len() - rest.len())
    }
}
