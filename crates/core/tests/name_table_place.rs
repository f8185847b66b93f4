//! Where the table is stored, and what happens if something is there already, or is put there later.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

mod names_support;

use names_support::{mount_tmpfs, name, open_in, with_own_mounts, Child, Runtime};
use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::{symlink, FileExt, PermissionsExt};
use std::path::Path;
use tailchain_core::name_table::{NameTable, Place};

fn assert_works(names: &NameTable) {
    let db = name("db.tail1234.ts.net");
    let id = names.assign(&db).expect("the table takes a name");
    assert_eq!(names.name_of(id), Some(db));
}

fn path(names: &NameTable) -> &Path {
    match names.place() {
        Place::File(path) => path,
        place => panic!("not in a file but in {place:?}"),
    }
}

#[test]
fn two_openings_of_one_directory_share_names_turns_and_peers() {
    let runtime = Runtime::new();
    let (one, two) = (runtime.open(), runtime.open());
    assert_eq!(path(&one), runtime.table());
    let id = one.assign(&name("db")).unwrap();
    assert_eq!(two.name_of(id), Some(name("db")));
    assert_eq!(two.assign(&name("db")), Some(id));
    assert_eq!(
        (one.take_turns(1), two.take_turns(1), one.take_turns(1)),
        (0, 1, 2)
    );
    let address = "100.64.0.7:5432".parse().unwrap();
    one.remember_peer(9, address);
    assert_eq!(two.peer_of(9), Some(address));
}

#[test]
fn the_directory_and_the_file_are_closed_to_others_and_no_draft_stays() {
    let runtime = Runtime::new();
    assert_works(&runtime.open());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&runtime.directory()), 0o700);
    assert_eq!(mode(&runtime.table()), 0o600);
    assert_eq!(fs::read_dir(runtime.directory()).unwrap().count(), 1);
}

#[test]
fn files_that_are_no_tables_are_left_alone_and_passed_by() {
    let size = {
        let runtime = Runtime::new();
        fs::metadata(path(&runtime.open())).unwrap().len()
    };
    let mut other_version = vec![0; usize::try_from(size).unwrap()];
    other_version[..16].copy_from_slice(b"tailname\x03\0\0\0\0\0\0\0");
    for content in [b"".as_slice(), b"something else", &other_version] {
        let runtime = Runtime::new();
        runtime.put(content);
        let names = runtime.open();
        assert_works(&names);
        assert_eq!(path(&names), runtime.directory().join("names-2.1"));
        assert!(fs::read(runtime.table()).unwrap() == content, "changed");
    }
}

#[test]
fn a_table_that_was_cut_off_is_passed_by() {
    let runtime = Runtime::new();
    assert_works(&runtime.open());
    OpenOptions::new()
        .write(true)
        .open(runtime.table())
        .unwrap()
        .set_len(5000)
        .unwrap();
    let names = runtime.open();
    assert_works(&names);
    assert_eq!(path(&names), runtime.directory().join("names-2.1"));
}

#[test]
fn symbolic_links_pipes_directories_and_open_files_are_not_used() {
    let elsewhere = Runtime::new();
    assert_works(&elsewhere.open());
    let puts: [&dyn Fn(&Path); 4] = [
        &|table| symlink(elsewhere.table(), table).unwrap(),
        &|table| {
            assert!(std::process::Command::new("mkfifo")
                .arg(table)
                .status()
                .unwrap()
                .success())
        },
        &|table| fs::create_dir(table).unwrap(),
        &|table| {
            fs::copy(elsewhere.table(), table).unwrap();
            fs::set_permissions(table, Permissions::from_mode(0o644)).unwrap();
        },
    ];
    for put in puts {
        let runtime = Runtime::new();
        runtime.make_directory();
        put(&runtime.table());
        let names = runtime.open();
        assert_works(&names);
        assert_eq!(path(&names), runtime.directory().join("names-2.1"));
    }
}

#[test]
fn a_directory_that_is_a_link_or_open_to_others_is_not_entered() {
    let elsewhere = Runtime::new();
    let linked = Runtime::new();
    symlink(elsewhere.make_directory(), linked.directory()).unwrap();
    let open = Runtime::new();
    fs::set_permissions(open.make_directory(), Permissions::from_mode(0o755)).unwrap();
    for runtime in [linked, open] {
        let names = runtime.open();
        assert_works(&names);
        assert!(!path(&names).starts_with(&runtime.0), "{}", names.place());
    }
    assert_eq!(fs::read_dir(elsewhere.directory()).unwrap().count(), 0);
}

#[test]
fn a_directory_of_another_user_is_not_entered() {
    let runtime = Runtime::new();
    if std::os::unix::fs::chown(runtime.make_directory(), Some(12345), None).is_err() {
        eprintln!("skipped: needs root, to give a directory away");
        return;
    }
    let names = runtime.open();
    assert_works(&names);
    assert!(!path(&names).starts_with(&runtime.0), "{}", names.place());
}

#[test]
fn a_relative_runtime_directory_is_ignored() {
    assert!(path(&open_in(Path::new("target"))).is_absolute());
}

#[test]
fn a_file_cut_off_while_it_is_mapped_makes_names_unknown_and_kills_nobody() {
    cut_off_while_mapped(|| {});
}

#[test]
fn nor_does_it_on_a_kernel_before_5_14() {
    cut_off_while_mapped(be_before_5_14);
}

fn cut_off_while_mapped(kernel: fn()) {
    let runtime = Runtime::new();
    let names = runtime.open();
    let id = names.assign(&name("db")).unwrap();
    names.remember_peer(1, "10.0.0.1:1".parse().unwrap());
    Child::run(|| {
        kernel();
        File::options()
            .write(true)
            .open(runtime.table())
            .unwrap()
            .set_len(0)
            .unwrap();
        assert_eq!(names.name_of(id), None);
        assert_eq!(names.assign(&name("db")), None);
        assert_eq!(names.assign(&name("other")), None);
        assert_eq!(names.peer_of(1), None);
        names.remember_peer(2, "10.0.0.1:1".parse().unwrap());
        assert_ne!(names.take_turns(1), names.take_turns(1));
    })
    .succeed();
}

#[test]
fn a_removed_file_stays_in_use_by_those_that_have_it() {
    let runtime = Runtime::new();
    let names = runtime.open();
    fs::remove_file(runtime.table()).unwrap();
    assert_works(&names);
    let id = names.assign(&name("db")).unwrap();
    let later = runtime.open();
    assert_works(&later);
    assert_eq!(later.name_of(id), None, "an address of the lost table");
}

#[test]
fn overwriting_the_table_with_garbage_never_gives_a_wrong_name() {
    let runtime = Runtime::new();
    let names = runtime.open();
    let all: Vec<_> = (0..2000)
        .map(|n| name(&format!("host-{n}")))
        .map(|name| (names.assign(&name).unwrap(), name))
        .collect();
    let file = OpenOptions::new()
        .write(true)
        .open(runtime.table())
        .unwrap();
    let size = file.metadata().unwrap().len();
    let mut random = names_support::Random(42);
    for round in 0..200_000 {
        let word = if round % 2 == 0 {
            u64::MAX
        } else {
            random.below(u64::MAX)
        };
        file.write_all_at(&word.to_ne_bytes(), random.below(size / 8 - 1) * 8)
            .unwrap();
    }
    // The header's counters, which a random word would rarely hit.
    for offset in [64, 128] {
        file.write_all_at(&[0xff; 8], offset).unwrap();
    }
    for (id, name) in &all {
        assert!(names.name_of(*id).is_none_or(|found| found == *name));
    }
    for (_, name) in &all {
        let id = names.assign(name).expect("the table heals");
        assert_eq!(names.name_of(id).as_ref(), Some(name));
    }
}

#[test]
fn without_room_for_a_whole_table_the_next_place_is_taken() {
    let runtime = Runtime::new();
    with_own_mounts(|| {
        mount_tmpfs(&runtime.0, 0, "size=1M");
        let names = runtime.open();
        assert_works(&names);
        assert!(!path(&names).starts_with(&runtime.0));
    });
}

#[test]
fn a_file_system_that_fills_up_later_refuses_new_names_and_kills_nobody() {
    file_system_that_fills_up(|| {});
}

#[test]
fn so_does_one_of_a_kernel_before_5_14() {
    file_system_that_fills_up(be_before_5_14);
}

/// From now on madvise(2) with MADV_POPULATE_READ and MADV_POPULATE_WRITE fails with EINVAL.
fn be_before_5_14() {
    let op = |code: u32, jump_true, jump_false, k| libc::sock_filter {
        code: code as u16,
        jt: jump_true,
        jf: jump_false,
        k,
    };
    let load = |offset| op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset);
    let jump = |kind, k, yes, no| op(libc::BPF_JMP | kind | libc::BPF_K, yes, no, k);
    let end = |value| op(libc::BPF_RET | libc::BPF_K, 0, 0, value);
    // struct seccomp_data: the system call's number first, its third argument at offset 32.
    let mut code = [
        load(0),
        jump(libc::BPF_JEQ, libc::SYS_madvise as u32, 0, 3),
        load(32),
        jump(libc::BPF_JGE, libc::MADV_POPULATE_READ as u32, 0, 1),
        end(libc::SECCOMP_RET_ERRNO | libc::EINVAL as u32),
        end(libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: code.len() as u16,
        filter: code.as_mut_ptr(),
    };
    // SAFETY: a valid program, which the kernel copies; it applies to this process alone.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER;
        assert_eq!(
            libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program),
            0
        );
    }
}

fn file_system_that_fills_up(kernel: fn()) {
    let runtime = Runtime::new();
    with_own_mounts(|| {
        mount_tmpfs(&runtime.0, 0, "size=48M");
        kernel();
        let names = runtime.open();
        assert_eq!(path(&names), runtime.table());
        let id = names.assign(&name("db")).unwrap();
        let mut ballast = File::create(runtime.0.join("ballast")).unwrap();
        std::io::copy(&mut std::io::repeat(1), &mut ballast).expect_err("it fills up");
        let refused = (0..1000).filter(|n| names.assign(&name(&format!("host-{n}"))).is_none());
        assert!(refused.count() > 900);
        assert_eq!(names.name_of(id), Some(name("db")));
        assert_eq!(names.assign(&name("db")), Some(id));
    });
}

#[test]
fn where_every_directory_is_read_only_the_table_is_in_memory_and_forked_children_share_it() {
    let runtime = Runtime::new();
    with_own_mounts(|| {
        mount_tmpfs(&runtime.0, libc::MS_RDONLY, "");
        mount_tmpfs(Path::new("/dev/shm"), libc::MS_RDONLY, "");
        let names = open_in(&runtime.0);
        // The last: the test's directory is in there, too.
        assert!(!path(&names).starts_with(&runtime.0));
        mount_tmpfs(Path::new("/tmp"), libc::MS_RDONLY, "");
        let names = open_in(&runtime.0);
        assert_eq!(*names.place(), Place::Memory);
        assert_works(&names);
        Child::run(|| assert!(names.assign(&name("from-the-child")).is_some())).succeed();
        let id = names.assign(&name("from-the-child")).unwrap();
        let again = names.assign(&name("from-the-child"));
        assert_eq!(again, Some(id));
    });
}

#[test]
fn after_chroot_the_table_goes_on_working() {
    let runtime = Runtime::new();
    with_own_mounts(|| {
        let names = runtime.open();
        std::os::unix::fs::chroot(&runtime.0).unwrap();
        assert_works(&names);
    });
}
