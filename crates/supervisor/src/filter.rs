//! The filter, a BPF program (seccomp(2), bpf(4)): it decides which system calls are reported to the supervisor.
//!
//! Data calls are not: read, write, send, and recv on a connected socket pass. For system calls that a filter always
//! allows, the kernel (since 5.11) keeps a bitmap and does not run the filter.
//!
//! Assembled here, since seccompiler has no notify action and libseccomp is a C library.

#![forbid(unsafe_code)]

use libc::{c_int, c_long};
use tailchain_core::supervised::Pass;

/// A BPF instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    pub code: u16,
    pub if_true: u8,
    pub if_false: u8,
    pub k: u32,
}

/// What kind of program is supervised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// A Go program: its socket stays under its fd, and only SO_ERROR must be answered.
    Go,
    /// Any program: the fd may refer to a placeholder, which answers other calls differently from the socket.
    Any,
}

/// AUDIT_ARCH_* of linux/audit.h.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// System calls of the x32 ABI have this bit set.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

const LOAD: u16 = 0x20;
const RETURN: u16 = 0x06;
const JUMP_IF_EQUAL: u16 = 0x15;
#[cfg(target_arch = "x86_64")]
const JUMP_IF_AT_LEAST: u16 = 0x35;
const JUMP_IF_ANY_BIT: u16 = 0x45;

/// Offsets in struct seccomp_data.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const fn low(argument: u32) -> u32 {
    16 + 8 * argument
}
const fn high(argument: u32) -> u32 {
    low(argument) + 4
}

/// The action for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Allow,
    Ask,
    Fail(c_int),
}

impl Action {
    const fn value(self) -> u32 {
        match self {
            Action::Allow => libc::SECCOMP_RET_ALLOW,
            Action::Ask => libc::SECCOMP_RET_USER_NOTIF,
            Action::Fail(errno) => libc::SECCOMP_RET_ERRNO | errno as u32,
        }
    }
}

/// The index of the argument after connect(2)'s own, which holds the pass.
const PASS: u32 = 3;

/// When a system call is reported to the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Always,
    /// Unless this argument has this value.
    Unless(u32, u64),
    /// If this argument, a pointer, is not NULL.
    Pointer(u32),
    /// Never: the call fails.
    Fails(c_int),
    /// If these two arguments have these 32-bit values.
    Arguments([(u32, c_int); 2]),
    /// If this argument has one of these 32-bit values.
    OneOf(u32, &'static [c_int]),
    /// If this argument, a pointer, is not NULL. The call fails with MSG_FASTOPEN in `flags`.
    Address {
        pointer: u32,
        flags: u32,
    },
    /// Always. The call fails with MSG_FASTOPEN in this argument.
    Flags(u32),
}

/// Sets whether a socket blocks; queries how many written bytes it still holds (linux/sockios.h).
pub const IOCTLS: &[c_int] = &[FIONBIO, SIOCOUTQ, SIOCOUTQNSD];
pub const FIONBIO: c_int = libc::FIONBIO as c_int;
pub const SIOCOUTQ: c_int = libc::TIOCOUTQ as c_int;
pub const SIOCOUTQNSD: c_int = 0x894b;

const SOCKET_ERROR: Rule = Rule::Arguments([(1, libc::SOL_SOCKET), (2, libc::SO_ERROR)]);

/// The system calls that do not pass at once.
fn rules(extent: Extent, pass: Pass) -> Vec<(c_long, Rule)> {
    let mut rules = vec![
        (libc::SYS_connect, Rule::Unless(PASS, pass.word())),
        (libc::SYS_getpeername, Rule::Always),
        (
            libc::SYS_sendto,
            Rule::Address {
                pointer: 4,
                flags: 3,
            },
        ),
        (libc::SYS_sendmsg, Rule::Flags(2)),
        (libc::SYS_sendmmsg, Rule::Flags(3)),
        // The epoll instances of a program must be known, since they are not searched for at each connect. A Go program
        // creates one itself, and may start other programs.
        (libc::SYS_epoll_create1, Rule::Always),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_epoll_create, Rule::Always),
        // io_uring would connect without a connect(2); programs have a fallback.
        (libc::SYS_io_uring_setup, Rule::Fails(libc::ENOSYS)),
    ];
    rules.extend(match extent {
        Extent::Go => vec![(libc::SYS_getsockopt, SOCKET_ERROR)],
        Extent::Any => vec![
            (libc::SYS_getsockopt, Rule::Always),
            (libc::SYS_setsockopt, Rule::Always),
            (libc::SYS_getsockname, Rule::Always),
            (libc::SYS_shutdown, Rule::Always),
            // A program that stops waiting makes its socket blocking, which is the time to give it back.
            (
                libc::SYS_fcntl,
                Rule::OneOf(1, &[libc::F_SETFL, libc::F_DUPFD, libc::F_DUPFD_CLOEXEC]),
            ),
            // All fds of a socket must be known, since they are not searched for at each connect.
            (libc::SYS_dup, Rule::Always),
            (libc::SYS_dup3, Rule::Always),
            #[cfg(target_arch = "x86_64")]
            (libc::SYS_dup2, Rule::Always),
            (libc::SYS_ioctl, Rule::OneOf(1, IOCTLS)),
            // For answers to resolvers that check the source address. Go's does not.
            (libc::SYS_recvfrom, Rule::Pointer(4)),
            (libc::SYS_recvmsg, Rule::Always),
        ],
    });
    rules
}

/// The filter in the kernel's format.
pub fn program(extent: Extent, pass: Pass) -> Vec<Instruction> {
    let mut program = vec![
        load(ARCH),
        jump(JUMP_IF_EQUAL, ARCHITECTURE, 1, 0),
        end(Action::Fail(libc::ENOSYS)),
        load(NUMBER),
    ];
    #[cfg(target_arch = "x86_64")]
    program.extend([
        jump(JUMP_IF_AT_LEAST, X32, 0, 1),
        end(Action::Fail(libc::ENOSYS)),
    ]);
    for (number, rule) in rules(extent, pass) {
        let block = block(rule);
        let length = u8::try_from(block.len()).unwrap_or(u8::MAX);
        program.push(jump(JUMP_IF_EQUAL, number as u32, 0, length));
        program.extend(block);
    }
    program.push(end(Action::Allow));
    program
}

/// The instructions of a rule. They end with a return on every path.
fn block(rule: Rule) -> Vec<Instruction> {
    match rule {
        Rule::Always => vec![end(Action::Ask)],
        Rule::Unless(argument, value) => vec![
            load(low(argument)),
            jump(JUMP_IF_EQUAL, value as u32, 0, 3),
            load(high(argument)),
            jump(JUMP_IF_EQUAL, (value >> 32) as u32, 0, 1),
            end(Action::Allow),
            end(Action::Ask),
        ],
        Rule::Fails(errno) => vec![end(Action::Fail(errno))],
        Rule::Arguments([(one, value), (other, other_value)]) => vec![
            load(low(one)),
            jump(JUMP_IF_EQUAL, value as u32, 0, 3),
            load(low(other)),
            jump(JUMP_IF_EQUAL, other_value as u32, 0, 1),
            end(Action::Ask),
            end(Action::Allow),
        ],
        Rule::OneOf(argument, values) => {
            let mut block = vec![load(low(argument))];
            for (index, value) in values.iter().enumerate() {
                // Jumps over the remaining comparisons and the return for no match.
                let left = u8::try_from(values.len() - index).unwrap_or(u8::MAX);
                block.push(jump(JUMP_IF_EQUAL, *value as u32, left, 0));
            }
            block.extend([end(Action::Allow), end(Action::Ask)]);
            block
        }
        Rule::Address { pointer, flags } => {
            let mut block = vec![
                load(low(flags)),
                jump(JUMP_IF_ANY_BIT, libc::MSG_FASTOPEN as u32, 0, 1),
                end(Action::Fail(libc::EOPNOTSUPP)),
            ];
            block.extend(self::block(Rule::Pointer(pointer)));
            block
        }
        Rule::Pointer(pointer) => vec![
            load(low(pointer)),
            jump(JUMP_IF_EQUAL, 0, 0, 2),
            load(high(pointer)),
            jump(JUMP_IF_EQUAL, 0, 1, 0),
            end(Action::Ask),
            end(Action::Allow),
        ],
        Rule::Flags(flags) => vec![
            load(low(flags)),
            jump(JUMP_IF_ANY_BIT, libc::MSG_FASTOPEN as u32, 0, 1),
            end(Action::Fail(libc::EOPNOTSUPP)),
            end(Action::Ask),
        ],
    }
}

fn load(offset: u32) -> Instruction {
    jump(LOAD, offset, 0, 0)
}

fn end(action: Action) -> Instruction {
    jump(RETURN, action.value(), 0, 0)
}

fn jump(code: u16, k: u32, if_true: u8, if_false: u8) -> Instruction {
    Instruction {
        code,
        if_true,
        if_false,
        k,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Call {
        architecture: u32,
        number: u32,
        arguments: [u64; 6],
    }

    fn call(number: c_long, arguments: [u64; 6]) -> Call {
        Call {
            architecture: ARCHITECTURE,
            number: number as u32,
            arguments,
        }
    }

    /// Runs a filter as the kernel does.
    fn run(program: &[Instruction], call: &Call) -> u32 {
        let word = |offset: u32| match offset {
            NUMBER => call.number,
            ARCH => call.architecture,
            _ => {
                let argument = call.arguments[(offset as usize - 16) / 8];
                (argument >> (8 * (offset % 8))) as u32
            }
        };
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let Instruction {
                code,
                if_true,
                if_false,
                k,
            } = program[at];
            at += 1;
            let holds = match code {
                LOAD => {
                    accumulator = word(k);
                    continue;
                }
                RETURN => return k,
                JUMP_IF_EQUAL => accumulator == k,
                JUMP_IF_ANY_BIT => accumulator & k != 0,
                _ => accumulator >= k,
            };
            at += usize::from(if holds { if_true } else { if_false });
        }
    }

    const WORD: u64 = 0x1234_5678_9abc_def0;

    fn pass() -> Pass {
        Pass::of(&|_| Some(format!("{WORD:x}").into())).unwrap()
    }

    fn expect(extent: Extent, call: &Call, action: Action) {
        let got = run(&program(extent, pass()), call);
        assert_eq!(got, action.value(), "{extent:?} {}", call.number);
    }

    const BOTH: [Extent; 2] = [Extent::Go, Extent::Any];

    #[test]
    fn data_is_let_through() {
        for number in [
            libc::SYS_read,
            libc::SYS_write,
            libc::SYS_readv,
            libc::SYS_writev,
            libc::SYS_epoll_pwait,
            libc::SYS_close,
        ] {
            for extent in BOTH {
                expect(extent, &call(number, [u64::MAX; 6]), Action::Allow);
            }
        }
        let received = call(libc::SYS_recvfrom, [3, 0x7000, 5, 0x4000, 0, 0]);
        for extent in BOTH {
            expect(extent, &received, Action::Allow);
        }
        let connected = call(libc::SYS_sendto, [3, 0x7000, 5, 0x4000, 0, 0]);
        for extent in BOTH {
            expect(extent, &connected, Action::Allow);
        }
    }

    #[test]
    fn what_makes_a_connection_is_asked_about() {
        let connect = call(libc::SYS_connect, [3, 0x7000, 16, 0, 0, 0]);
        let low = call(libc::SYS_sendto, [3, 0x7000, 5, 0, 0x7000, 16]);
        let high = call(libc::SYS_sendto, [3, 0x7000, 5, 0, 0x7f00_0000_0000, 16]);
        let message = call(libc::SYS_sendmsg, [3, 0x7000, 0, 0, 0, 0]);
        for call in [connect, low, high, message] {
            for extent in BOTH {
                expect(extent, &call, Action::Ask);
            }
        }
    }

    #[test]
    fn a_connect_with_the_pass_is_let_through() {
        let connect = |word| call(libc::SYS_connect, [3, 0x7000, 16, word, 0, 0]);
        for extent in BOTH {
            expect(extent, &connect(WORD), Action::Allow);
            for other in [0, u64::MAX, WORD & 0xffff_ffff, WORD ^ 1, WORD ^ 1 << 63] {
                expect(extent, &connect(other), Action::Ask);
            }
            let elsewhere = call(libc::SYS_getpeername, [3, 0x7000, 16, WORD, 0, 0]);
            expect(extent, &elsewhere, Action::Ask);
        }
    }

    #[test]
    fn fast_open_and_io_uring_are_refused() {
        let flag = libc::MSG_FASTOPEN as u64;
        for (number, flags) in [
            (libc::SYS_sendto, 3),
            (libc::SYS_sendmsg, 2),
            (libc::SYS_sendmmsg, 3),
        ] {
            let mut arguments = [3, 0x7000, 5, 0, 0, 0];
            arguments[flags] = flag;
            let call = call(number, arguments);
            for extent in BOTH {
                expect(extent, &call, Action::Fail(libc::EOPNOTSUPP));
            }
        }
        let ring = call(libc::SYS_io_uring_setup, [8, 0x7000, 0, 0, 0, 0]);
        for extent in BOTH {
            expect(extent, &ring, Action::Fail(libc::ENOSYS));
        }
    }

    #[test]
    fn of_a_go_programs_options_only_the_error_is_asked_about() {
        let get = |level: c_int, name: c_int| {
            call(
                libc::SYS_getsockopt,
                [3, level as u64, name as u64, 0x7000, 0x7000, 0],
            )
        };
        expect(
            Extent::Go,
            &get(libc::SOL_SOCKET, libc::SO_ERROR),
            Action::Ask,
        );
        expect(
            Extent::Go,
            &get(libc::SOL_SOCKET, libc::SO_TYPE),
            Action::Allow,
        );
        expect(
            Extent::Go,
            &get(libc::IPPROTO_TCP, libc::SO_ERROR),
            Action::Allow,
        );
        expect(
            Extent::Any,
            &get(libc::SOL_SOCKET, libc::SO_TYPE),
            Action::Ask,
        );
    }

    #[test]
    fn of_fcntl_and_ioctl_what_is_about_a_pending_socket_is_asked_about() {
        let asked = |number, value: c_int| call(number, [3, value as u64, 0, 0, 0, 0]);
        for value in IOCTLS {
            let call = asked(libc::SYS_ioctl, *value);
            expect(Extent::Any, &call, Action::Ask);
            expect(Extent::Go, &call, Action::Allow);
        }
        expect(
            Extent::Any,
            &asked(libc::SYS_fcntl, libc::F_SETFL),
            Action::Ask,
        );
        for (number, value) in [
            (libc::SYS_fcntl, libc::F_SETFD),
            (libc::SYS_fcntl, libc::F_GETFL),
            (libc::SYS_ioctl, libc::FIONREAD as c_int),
        ] {
            expect(Extent::Any, &asked(number, value), Action::Allow);
        }
    }

    #[test]
    fn other_abis_are_refused() {
        let mut other = call(libc::SYS_connect, [3, 0x7000, 16, 0, 0, 0]);
        other.architecture = 0x4000_0003;
        for extent in BOTH {
            expect(extent, &other, Action::Fail(libc::ENOSYS));
        }
        #[cfg(target_arch = "x86_64")]
        {
            let x32 = call(c_long::from(X32 as i32) | libc::SYS_read, [0; 6]);
            for extent in BOTH {
                expect(extent, &x32, Action::Fail(libc::ENOSYS));
            }
        }
    }
}
