//! `include/tailchain.h` is what cbindgen makes of src/api.rs today.

#![allow(clippy::panic)]

#[test]
fn the_committed_header_is_current() {
    let made = include_str!(env!("TAILCHAIN_GENERATED_HEADER"));
    let committed = include_str!("../include/tailchain.h");
    assert!(
        made == committed,
        "include/tailchain.h is stale: `make header` writes it anew"
    );
}
