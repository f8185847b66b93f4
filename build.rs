//! Makes the C header, and tells the linker how the preload library is to be.

#[path = "crates/unwinder/toolchain.rs"]
mod toolchain;

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    header()?;
    link();
    link_musl()
}

/// `include/tailchain.h` from src/api.rs. The committed file changes only with TAILCHAIN_WRITE_HEADER=1
/// (`make header`); a test compares it with the one made here.
fn header() -> Result<(), Error> {
    println!("cargo::rerun-if-changed=src/api.rs");
    println!("cargo::rerun-if-changed=cbindgen.toml");
    println!("cargo::rerun-if-env-changed=TAILCHAIN_WRITE_HEADER");
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let bindings = cbindgen::Builder::new()
        .with_config(cbindgen::Config::from_file(root.join("cbindgen.toml"))?)
        .with_src(root.join("src/api.rs"))
        .generate()?;
    let made = PathBuf::from(env::var("OUT_DIR")?).join("tailchain.h");
    bindings.write_to_file(&made);
    println!(
        "cargo::rustc-env=TAILCHAIN_GENERATED_HEADER={}",
        made.display()
    );
    if env::var_os("TAILCHAIN_WRITE_HEADER").is_some() {
        fs::copy(&made, root.join("include/tailchain.h"))?;
    }
    Ok(())
}

/// Everything bound at load time and read-only afterwards.
fn link() {
    for argument in [
        "-Wl,-z,relro,-z,now",
        "-Wl,-z,noexecstack",
        // dlclose(3) must not unmap what fork's handlers and a helper's thread run.
        "-Wl,-z,nodelete",
        "-Wl,--hash-style=gnu",
        // What is written to at each start then shares no page with what is not. (lld's; another linker
        // passes over it.)
        "-Wl,-z,separate-loadable-segments",
    ] {
        println!("cargo::rustc-cdylib-link-arg={argument}");
    }
}

/// The library for musl's programs is linked with no more of musl than the name of its libc: Debian has musl for the
/// machine that builds alone, and the compiler's own libc is glibc. A test compares what the library needs with what musl
/// has.
fn link_musl() -> Result<(), Error> {
    if env::var("CARGO_CFG_TARGET_ENV")? != "musl" || toolchain::is_static() {
        return Ok(());
    }
    let directory = PathBuf::from(env::var("OUT_DIR")?).join("musl");
    fs::create_dir_all(&directory)?;
    let made = toolchain::compilers().into_iter().any(|compiler| {
        Command::new(compiler)
            .args(["-shared", "-nostdlib", "-Wl,-soname,libc.so", "-o"])
            .arg(directory.join("libc.so"))
            .args(["-x", "c", "/dev/null"])
            .status()
            .is_ok_and(|status| status.success())
    });
    if !made {
        return Err("no C compiler for this target: set CC_<target>, or cargo's linker".into());
    }
    // For the library alone: a command has to find what it calls.
    println!("cargo::rustc-cdylib-link-arg=-L{}", directory.display());
    println!("cargo::rustc-cdylib-link-arg=-Wl,--no-as-needed,-lc,--as-needed");
    Ok(())
}
