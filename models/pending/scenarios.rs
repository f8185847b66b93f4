//! What the threads of a program do concurrently, and how it must end.

use crate::errno::Errno;
use crate::pending::BeginResult;
use crate::program::Program;
use crate::sys;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{thread, Config, Runner};
use std::time::Instant;

/// Orders of each scenario, by each of two schedulers.
const ORDERS: usize = 10_000;

/// Preemptions at relevant places, in an order that otherwise runs one thread after the other.
const DEPTH: usize = 4;

const SEED: u64 = 1;

pub fn check() {
    orders("a connect, and one who waits for it", |program| {
        let (fd, file) = sys::program_socket();
        assert!(matches!(
            program.connect(fd, Some(2)),
            Ok(BeginResult::Pending)
        ));
        let waiter = thread::spawn(move || {
            program.pending.wait_for(fd);
            assert_eq!(sys::file_of(fd), Some(file), "the socket is not back");
            assert_eq!(program.ends_of(file), [Ok(())]);
        });
        program.pending.wait_for(fd);
        assert_eq!(sys::file_of(fd), Some(file), "the socket is not back");
        waiter.join().unwrap();
        sys::join_threads();
        assert_eq!(sys::open_files(), [(fd, file)].into());
    });

    orders("two connects of two threads", |program| {
        let threads = [(); 2].map(|()| {
            thread::spawn(move || {
                let (fd, file) = sys::program_socket();
                assert!(program.connect(fd, Some(1)).is_ok());
                program.pending.wait_for(fd);
                assert_eq!(program.ends_of(file), [Ok(())]);
                (fd, file)
            })
        });
        let files = threads.map(|thread| thread.join().unwrap());
        sys::join_threads();
        assert_eq!(sys::open_files(), files.into());
    });

    orders(
        "a helper that retires while another connect begins",
        |program| {
            let threads = [0, 1].map(|waits| {
                thread::spawn(move || {
                    let (fd, file) = sys::program_socket();
                    for _ in 0..2 {
                        assert!(program.connect(fd, Some(waits)).is_ok());
                        program.pending.wait_for(fd);
                    }
                    assert_eq!(program.ends_of(file), [Ok(()); 2]);
                    (fd, file)
                })
            });
            let files = threads.map(|thread| thread.join().unwrap());
            sys::join_threads();
            assert_eq!(sys::open_files(), files.into());
        },
    );

    orders(
        "a close beside the end, and the fd in other hands",
        |program| {
            let (fd, file) = sys::program_socket();
            assert!(program.connect(fd, Some(1)).is_ok());
            let waiter = thread::spawn(move || program.pending.wait_for(fd));
            program.close(fd);
            let (again, other) = sys::program_socket();
            waiter.join().unwrap();
            sys::join_threads();
            assert!(program.ends_of(file).len() <= 1);
            assert_eq!(
                sys::open_files(),
                [(again, other)].into(),
                "a foreign fd was taken"
            );
        },
    );

    orders("a connect that nobody answers, closed", |program| {
        let (fd, file) = sys::program_socket();
        assert!(program.connect(fd, None).is_ok());
        let waiter = thread::spawn(move || program.pending.wait_for(fd));
        program.close(fd);
        waiter.join().unwrap();
        sys::join_threads();
        assert_eq!(program.ends_of(file), []);
        assert_eq!(sys::open_files(), [].into());
    });

    orders("an fd closed under its waiter, another kept", |program| {
        let (fd, file) = sys::program_socket();
        assert!(program.connect(fd, None).is_ok());
        let dup = program.dup(fd);
        let waiter = thread::spawn(move || program.pending.wait_for(fd));
        program.close(fd);
        waiter.join().unwrap();
        program.close(dup);
        sys::join_threads();
        assert_eq!(program.ends_of(file), []);
        assert_eq!(sys::open_files(), [].into());
    });

    orders("a close past the hooks", |program| {
        let (fd, file) = sys::program_socket();
        assert!(program.connect(fd, None).is_ok());
        let waiter = thread::spawn(move || program.pending.wait_for(fd));
        sys::program_close(fd);
        waiter.join().unwrap();
        sys::join_threads();
        assert_eq!(program.ends_of(file), []);
        assert_eq!(sys::open_files(), [].into());
    });

    orders("an fd in other hands past the hooks", |program| {
        let (fd, file) = sys::program_socket();
        assert!(program.connect(fd, None).is_ok());
        let dup = program.dup(fd);
        sys::program_close(fd);
        let (again, other) = sys::program_socket();
        assert_eq!(again, fd);
        let aborter = thread::spawn(move || assert!(program.pending.abort(dup)));
        program.pending.wait_for(dup);
        aborter.join().unwrap();
        sys::join_threads();
        assert_eq!(program.ends_of(file), [Err(Errno::ECONNRESET)]);
        assert_eq!(sys::open_files(), [(again, other), (dup, file)].into());
    });

    orders("a dup beside the end", |program| {
        let (fd, file) = sys::program_socket();
        assert!(program.connect(fd, Some(1)).is_ok());
        let dup = thread::spawn(move || program.dup(fd));
        program.pending.wait_for(fd);
        let dup = dup.join().unwrap();
        program.pending.wait_for(dup);
        sys::join_threads();
        assert_eq!(program.ends_of(file), [Ok(())]);
        assert_eq!(sys::open_files(), [(fd, file), (dup, file)].into());
    });

    orders("a dup, and the first fd closed", |program| {
        let (fd, file) = sys::program_socket();
        assert!(program.connect(fd, Some(1)).is_ok());
        let dup = program.dup(fd);
        let closer = thread::spawn(move || program.close(fd));
        program.pending.wait_for(dup);
        closer.join().unwrap();
        sys::join_threads();
        assert_eq!(program.ends_of(file), [Ok(())]);
        assert_eq!(sys::open_files(), [(dup, file)].into());
    });

    orders("a dup closed beside the beginning", |program| {
        let (fd, file) = sys::program_socket();
        let dup = program.dup(fd);
        let closer = thread::spawn(move || {
            program.close_at_once(dup);
            let (again, other) = sys::program_socket();
            (again, other)
        });
        assert!(program.connect(fd, Some(1)).is_ok());
        program.pending.wait_for(fd);
        let other = closer.join().unwrap();
        sys::join_threads();
        assert_eq!(program.ends_of(file), [Ok(())]);
        assert_eq!(
            sys::open_files(),
            [(fd, file), other].into(),
            "a foreign fd was taken"
        );
    });

    orders("made blocking beside the end", |program| {
        let (fd, file) = sys::program_socket();
        assert!(program.connect(fd, Some(1)).is_ok());
        let setter = thread::spawn(move || program.set_blocking(fd));
        program.pending.wait_for(fd);
        setter.join().unwrap();
        sys::join_threads();
        assert!(sys::blocks(fd), "the flag was lost");
        assert_eq!(program.ends_of(file), [Ok(())]);
        assert_eq!(sys::open_files(), [(fd, file)].into());
    });

    orders("a blocking connect of one of several threads", |program| {
        let (fd, file) = sys::program_socket();
        sys::set_nonblocking(fd, false).unwrap();
        let inline = program.pending.begin_inline(fd, 0).unwrap();
        let caller = thread::spawn(move || program.wait_itself(inline, Some(2)));
        program.pending.wait_for(fd);
        assert_eq!(caller.join().unwrap(), Ok(()));
        sys::join_threads();
        assert!(sys::blocks(fd), "the flag was lost");
        assert_eq!(program.ends_of(file), [Ok(())]);
        assert_eq!(sys::open_files(), [(fd, file)].into());
    });

    orders(
        "an fd closed under a blocking connect, and in other hands",
        |program| {
            let (fd, file) = sys::program_socket();
            let inline = program.pending.begin_inline(fd, 0).unwrap();
            let caller = thread::spawn(move || program.wait_itself(inline, Some(2)));
            program.close(fd);
            let (again, other) = sys::program_socket();
            assert_eq!(caller.join().unwrap(), Ok(()));
            sys::join_threads();
            assert_eq!(program.ends_of(file), [Ok(())]);
            assert_eq!(
                sys::open_files(),
                [(again, other)].into(),
                "a foreign fd was taken"
            );
        },
    );

    orders("shutdown of a blocking connect", |program| {
        let (fd, file) = sys::program_socket();
        let inline = program.pending.begin_inline(fd, 0).unwrap();
        let caller = thread::spawn(move || program.wait_itself(inline, None));
        assert!(program.pending.abort(fd));
        assert_eq!(caller.join().unwrap(), Err(Errno::ECONNRESET));
        sys::join_threads();
        assert_eq!(sys::open_files(), [(fd, file)].into());
    });

    orders(
        "a blocking connect that is interrupted, beside others",
        |program| {
            let (fd, file) = sys::program_socket();
            let other = thread::spawn(move || {
                let (fd, file) = sys::program_socket();
                assert!(program.connect(fd, Some(1)).is_ok());
                program.pending.wait_for(fd);
                (fd, file)
            });
            let inline = program.pending.begin_inline(fd, 0).unwrap();
            program.hand_over(inline, Some(1));
            program.pending.wait_for(fd);
            let other = other.join().unwrap();
            sys::join_threads();
            assert_eq!(program.ends_of(file), [Ok(())]);
            assert_eq!(sys::open_files(), [(fd, file), other].into());
        },
    );

    orders(
        "shutdown beside the interruption of a blocking connect",
        |program| {
            let (fd, file) = sys::program_socket();
            let inline = program.pending.begin_inline(fd, 0).unwrap();
            let aborter = thread::spawn(move || assert!(program.pending.abort(fd)));
            program.hand_over(inline, None);
            aborter.join().unwrap();
            sys::join_threads();
            assert_eq!(program.ends_of(file), [Err(Errno::ECONNRESET)]);
            assert_eq!(sys::open_files(), [(fd, file)].into());
        },
    );

    orders("a second connect beside the first", |program| {
        let (fd, file) = sys::program_socket();
        let threads = [(); 2].map(|()| {
            thread::spawn(move || match program.connect(fd, Some(1)) {
                Ok(_) => 1,
                Err(errno) => {
                    assert_eq!(errno, Errno::EALREADY);
                    0
                }
            })
        });
        let begun: usize = threads.map(|thread| thread.join().unwrap()).iter().sum();
        program.pending.wait_for(fd);
        sys::join_threads();
        assert!(begun >= 1);
        assert_eq!(program.ends_of(file).len(), begun);
        assert_eq!(sys::open_files(), [(fd, file)].into());
    });

    orders("shutdown of a connect that nobody answers", |program| {
        let (fd, file) = sys::program_socket();
        let aborter = thread::spawn(move || {
            while !program.pending.abort(fd) {
                thread::yield_now();
            }
        });
        assert!(program.connect(fd, None).is_ok());
        program.pending.wait_for(fd);
        aborter.join().unwrap();
        sys::join_threads();
        assert_eq!(program.ends_of(file), [Err(Errno::ECONNRESET)]);
        assert_eq!(sys::open_files(), [(fd, file)].into());
    });

    orders("a call without a helper beside connects", |program| {
        let (first, _) = sys::program_socket();
        assert!(program.connect(first, Some(0)).is_ok());
        program.close(first);
        let connecting = thread::spawn(move || {
            let (fd, file) = sys::program_socket();
            for _ in 0..2 {
                assert!(program.connect(fd, Some(1)).is_ok());
                program.pending.wait_for(fd);
            }
            assert_eq!(program.ends_of(file), [Ok(()); 2]);
            program.close(fd);
        });
        let alone = || program.pending.without_helper(sys::expect_alone);
        let beside = thread::spawn(alone);
        alone();
        beside.join().unwrap();
        connecting.join().unwrap();
        sys::join_threads();
        assert_eq!(sys::open_files(), [].into());
    });

    orders("a fork beside connects", |program| {
        let connecting = thread::spawn(move || {
            let (fd, file) = sys::program_socket();
            assert!(program.connect(fd, Some(1)).is_ok());
            let dup = program.dup(fd);
            program.pending.wait_for(fd);
            assert_eq!(program.ends_of(file), [Ok(())]);
            program.close(dup);
            program.close(fd);
        });
        sys::fork_in_parent();
        sys::fork_in_parent();
        connecting.join().unwrap();
        sys::join_threads();
        assert_eq!(sys::open_files(), [].into());
    });

    orders("what looks at an fd beside its end", |program| {
        let (fd, file) = sys::program_socket();
        assert!(program
            .connect_to(fd, Some(1), Err(Errno::ETIMEDOUT))
            .is_ok());
        let looker = thread::spawn(move || {
            let socket = program.pending.socket_of(fd);
            assert!(socket.is_none_or(|socket| sys::file_of(socket.fd()) == Some(file)));
            assert!(!program.pending.is_internal(fd));
            drop(program.pending.lock_fd(fd));
        });
        program.pending.wait_for(fd);
        assert_eq!(
            program.pending.take_deferred_errno(fd),
            Some(Errno::ETIMEDOUT)
        );
        assert_eq!(program.pending.take_deferred_errno(fd), None);
        looker.join().unwrap();
        sys::join_threads();
        assert_eq!(program.ends_of(file), [Err(Errno::ETIMEDOUT)]);
        assert_eq!(sys::open_files(), [(fd, file)].into());
    });
}

fn orders(name: &str, body: impl Fn(&'static Program) + Send + Sync + Clone + 'static) {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part.as_str())) {
        return;
    }
    let begun = Instant::now();
    let mut config = Config::new();
    config.silence_warnings = true;
    let random = RandomScheduler::new_from_seed(SEED, ORDERS);
    let sought = PctScheduler::new_from_seed(SEED, DEPTH, ORDERS);
    let again = body.clone();
    let mut seen = Runner::new(random, config.clone()).run(move || Program::run(&body));
    seen += Runner::new(sought, config).run(move || Program::run(&again));
    println!(
        "{name}: {seen} orders, {:.1} s",
        begun.elapsed().as_secs_f32()
    );
}
