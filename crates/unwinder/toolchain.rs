//! What builds for the target. Build scripts share it: that of the preload library links, too.

use std::env;
use std::ffi::OsString;

/// Whether everything is linked statically, which is how Rust links for musl if it is not told otherwise.
pub fn is_static() -> bool {
    env::var("CARGO_CFG_TARGET_FEATURE")
        .is_ok_and(|features| features.split(',').any(|one| one == "crt-static"))
}

/// The C compilers of the target, by the variables that the crate `cc` knows too, and by the linker that cargo was told.
pub fn compilers() -> Vec<OsString> {
    let variable = |name: &str| {
        println!("cargo::rerun-if-env-changed={name}");
        env::var_os(name).filter(|value| !value.is_empty())
    };
    let machine = |name: &str| env::var(name).unwrap_or_default();
    let (target, host) = (machine("TARGET"), machine("HOST"));
    let is_native = target == host;
    // aarch64-unknown-linux-gnu is aarch64-linux-gnu to Debian's compilers, which link for musl as well: see `link_musl`
    // of the library.
    let gnu = |target: &str| target.replace("-unknown-", "-").replace("-musl", "-gnu");
    let kind = if is_native { "HOST_CC" } else { "TARGET_CC" };
    let usual = match gnu(&target) == gnu(&host) {
        true => "cc".into(),
        false => gnu(&target) + "-gcc",
    };
    let named = [
        variable(&format!("CC_{target}")),
        variable(&format!("CC_{}", target.replace('-', "_"))),
        variable(kind),
        variable("CC").filter(|_| is_native),
        env::var_os("RUSTC_LINKER"),
    ];
    named
        .into_iter()
        .flatten()
        .chain([OsString::from(usual)])
        .collect()
}
