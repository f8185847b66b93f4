//! `/etc/hosts`. Input: two halves of a file, separated by the byte 0xff.

use std::net::IpAddr;
use tailchain_core::host::HostName;
use tailchain_core::hosts::KnownNames;

pub fn run(input: &[u8]) {
    let known = KnownNames::parse(input);
    check_every_word(input, &known);

    let mut file = Vec::new();
    for line in input.split(|byte| *byte == b'\n') {
        file.extend_from_slice(line);
        file.extend_from_slice(b" # 10.9.8.7 nobody\r\n");
    }
    assert_eq!(
        KnownNames::parse(&file),
        known,
        "comments and CRs say nothing"
    );

    // Lines are independent of each other.
    let mut halves = input.splitn(2, |byte| *byte == 0xff);
    let (first, second) = (
        halves.next().unwrap_or_default(),
        halves.next().unwrap_or_default(),
    );
    let ahead = KnownNames::parse(&[first, b"\n", second].concat());
    let behind = KnownNames::parse(&[second, b"\n", first].concat());
    for name in input
        .split(|byte| *byte == b'\n')
        .flat_map(|line| read_line(line).1)
    {
        // The first matching line decides which addresses a name has, not whether it is listed.
        assert_eq!(ahead.contains(&name), behind.contains(&name), "{name}");
    }
}

/// A second implementation of hosts(5), on each word of the file.
fn check_every_word(file: &[u8], known: &KnownNames) {
    let lines: Vec<(Option<IpAddr>, Vec<HostName>)> =
        file.split(|byte| *byte == b'\n').map(read_line).collect();
    for (address, names) in &lines {
        for name in names {
            let listed = |(address, names): &(Option<IpAddr>, Vec<HostName>)| {
                address.is_some() && names.contains(name)
            };
            assert_eq!(known.contains(name), lines.iter().any(listed), "{name}");
        }
        if let Some(address) = address {
            let named = |(its, names): &(Option<IpAddr>, Vec<HostName>)| {
                names.first().filter(|_| *its == Some(*address)).cloned()
            };
            let first = lines.iter().find_map(named);
            assert_eq!(known.name_of(*address), first.as_ref(), "{address}");
        }
    }
}

fn read_line(line: &[u8]) -> (Option<IpAddr>, Vec<HostName>) {
    let end = line
        .iter()
        .position(|byte| *byte == b'#')
        .unwrap_or(line.len());
    let mut words = line[..end]
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    // A line with a scope ID is skipped, as libc does.
    let address = words
        .next()
        .and_then(|word| str::from_utf8(word).ok()?.parse::<IpAddr>().ok())
        .map(|address| address.to_canonical());
    (
        address,
        words.filter_map(|word| HostName::new(word).ok()).collect(),
    )
}
