//! Has the unwinder linked in.

use std::error::Error;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

/// The unwinder, which catches panics at the hooks, is linked in: as libgcc_s.so.1 it would be one more library to find,
/// map and relocate at every exec of the user, and the launcher, which runs before each, is spared it too. std asks the
/// linker for `gcc_s`; this is found first. (A static command of musl has its unwinder from Rust.)
fn main() -> Result<(), Box<dyn Error>> {
    if env::var("CARGO_CFG_TARGET_ENV")? != "gnu" {
        return Ok(());
    }
    if let Some(archive) = unwinder() {
        let folder = env::var("OUT_DIR")?;
        let script = PathBuf::from(&folder).join("libgcc_s.so");
        fs::write(script, format!("INPUT(\"{}\")\n", archive.display()))?;
        println!("cargo::rustc-link-search=native={folder}");
    }
    Ok(())
}

/// The static unwinder of the compiler that links for the target.
fn unwinder() -> Option<PathBuf> {
    compilers().into_iter().find_map(|compiler| {
        let output = Command::new(compiler)
            .arg("-print-file-name=libgcc_eh.a")
            .output()
            .ok()?;
        let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
        path.is_absolute().then_some(path)
    })
}

/// The C compilers of the target, by the variables that the crate `cc` knows too, and by the linker that cargo was told.
fn compilers() -> Vec<OsString> {
    let variable = |name: &str| {
        println!("cargo::rerun-if-env-changed={name}");
        env::var_os(name).filter(|value| !value.is_empty())
    };
    let (target, host) = (env::var("TARGET"), env::var("HOST"));
    let (target, is_native) = (target.clone().unwrap_or_default(), target == host);
    let (kind, usual) = match is_native {
        true => ("HOST_CC", "cc".into()),
        // aarch64-unknown-linux-gnu is aarch64-linux-gnu to Debian's compilers.
        false => ("TARGET_CC", target.replace("-unknown-", "-") + "-gcc"),
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
