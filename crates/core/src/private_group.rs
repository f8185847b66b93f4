//! Whether a group is a user private group. Distributions with such groups set a umask of 002, so that every file of the
//! user is group-writable.
//!
//! Reads only /etc/passwd and /etc/group: getgrgid(3) may query a directory server, and this runs inside any program,
//! before its main. A group that is not found counts as shared.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::Read;

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";
/// How much of each file is read. A group beyond that counts as shared.
const MAX_SIZE: u64 = 4 << 20;

/// Whether `user` is the only member of `group`. By convention the gid of a private group equals the uid.
pub fn is_private(user: u32, group: u32) -> bool {
    user == group && is_only_member(user, group, &read(PASSWD), &read(GROUP))
}

fn read(path: &str) -> Vec<u8> {
    let mut text = Vec::new();
    // An unreadable file counts as empty.
    let _ = File::open(path).and_then(|file| file.take(MAX_SIZE).read_to_end(&mut text));
    text
}

fn is_only_member(user: u32, group: u32, passwd: &[u8], groups: &[u8]) -> bool {
    // NAME:x:UID:GID:…
    let users = || {
        lines(passwd).filter_map(|fields| match fields.as_slice() {
            [name, _, uid, gid, ..] => Some((*name, parse_id(uid)?, parse_id(gid)?)),
            _ => None,
        })
    };
    // NAME:x:GID:MEMBER,MEMBER
    let mut entries = lines(groups).filter_map(|fields| match fields.as_slice() {
        [_, _, gid, members, ..] if parse_id(gid) == Some(group) => Some(*members),
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

fn parse_id(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] =
        b"root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/:/bin/sh\nbob:x:1001:100::/:/bin/sh\n";

    fn is_only_member_of(groups: &str) -> bool {
        is_only_member(1000, 1000, PASSWD, groups.as_bytes())
    }

    #[test]
    fn a_group_is_private_without_another_member() {
        assert!(is_only_member_of("root:x:0:\nann:x:1000:\n"));
        assert!(is_only_member_of("staff:x:1000:ann"));
        for shared in [
            "ann:x:1000:bob",
            "ann:x:1000:ann,bob",
            "ann:x:1000:nobody-knows",
            "ann:x:1000:\nalias:x:1000:bob",
            "bob:x:1001:",
            "",
        ] {
            assert!(!is_only_member_of(shared), "{shared}");
        }
    }

    #[test]
    fn another_users_primary_group_is_shared() {
        let groups = b"users:x:100:\n";
        let passwd = b"www:x:100:100::/:/bin/sh\nbob:x:1001:100::/:/bin/sh\n";
        assert!(!is_only_member(100, 100, passwd, groups));
        assert!(is_only_member(
            100,
            100,
            b"www:x:100:100::/:/bin/sh\n",
            groups
        ));
    }

    #[test]
    fn a_malformed_line_is_ignored() {
        assert!(!is_only_member_of("ann:x:1000\n"));
        assert!(!is_only_member_of("ann:x:-1000:\n"));
        assert!(is_only_member_of("::\nann:x:1000:\n"));
    }
}
