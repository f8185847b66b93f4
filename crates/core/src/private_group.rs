//! Whether a group is one user's own: distributions with such groups have a umask of 002, and everything that the user
//! makes may be written by the group.
//!
//! By /etc/passwd and /etc/group alone: getgrgid(3) may ask a directory server, from inside of any program, before its
//! main. A group that is not there counts as shared.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::Read;

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";
/// Of each file. A group whose entry lies behind counts as shared.
const MAX_SIZE: u64 = 4 << 20;

/// Whether `user` is the only member of `group`, which by custom has the same number.
pub fn is_private(user: u32, group: u32) -> bool {
    user == group && is_alone(user, group, &read(PASSWD), &read(GROUP))
}

fn read(path: &str) -> Vec<u8> {
    let mut text = Vec::new();
    // What cannot be read holds no group.
    let _ = File::open(path).and_then(|file| file.take(MAX_SIZE).read_to_end(&mut text));
    text
}

fn is_alone(user: u32, group: u32, passwd: &[u8], groups: &[u8]) -> bool {
    // NAME:x:UID:GID:…
    let users = || {
        lines(passwd).filter_map(|fields| match fields.as_slice() {
            [name, _, uid, gid, ..] => Some((*name, number(uid)?, number(gid)?)),
            _ => None,
        })
    };
    // NAME:x:GID:MEMBER,MEMBER
    let mut entries = lines(groups).filter_map(|fields| match fields.as_slice() {
        [_, _, gid, members, ..] if number(gid) == Some(group) => Some(*members),
        _ => None,
    });
    let is_user = |member: &[u8]| users().any(|(name, uid, _)| name == member && uid == user);
    let only_user = |members: &[u8]| {
        let mut members = members.split(|byte| *byte == b',');
        members.all(|member| member.is_empty() || is_user(member))
    };
    let is_primary_of_another = users().any(|(_, uid, gid)| gid == group && uid != user);
    let first = entries.next();
    !is_primary_of_another && first.into_iter().chain(entries).all(only_user) && first.is_some()
}

fn lines(text: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    text.split(|byte| *byte == b'\n')
        .map(|line| line.split(|byte| *byte == b':').collect())
}

fn number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] =
        b"root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/:/bin/sh\nbob:x:1001:100::/:/bin/sh\n";

    fn alone(groups: &str) -> bool {
        is_alone(1000, 1000, PASSWD, groups.as_bytes())
    }

    #[test]
    fn a_group_is_private_without_another_member() {
        assert!(alone("root:x:0:\nann:x:1000:\n"));
        assert!(alone("staff:x:1000:ann"));
        for shared in [
            "ann:x:1000:bob",
            "ann:x:1000:ann,bob",
            "ann:x:1000:nobody-knows",
            "ann:x:1000:\nalias:x:1000:bob",
            "bob:x:1001:",
            "",
        ] {
            assert!(!alone(shared), "{shared}");
        }
    }

    #[test]
    fn a_group_that_is_another_users_first_one_is_shared() {
        let groups = b"users:x:100:\n";
        let passwd = b"www:x:100:100::/:/bin/sh\nbob:x:1001:100::/:/bin/sh\n";
        assert!(!is_alone(100, 100, passwd, groups));
        assert!(is_alone(100, 100, b"www:x:100:100::/:/bin/sh\n", groups));
    }

    #[test]
    fn a_malformed_line_is_no_entry() {
        assert!(!alone("ann:x:1000\n"));
        assert!(!alone("ann:x:-1000:\n"));
        assert!(alone("::\nann:x:1000:\n"));
    }
}
