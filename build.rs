//! Generates the C header, and passes link arguments for the preload library.

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

/// Generates `include/tailchain.h` from src/api.rs. The committed file changes only with TAILCHAIN_WRITE_HEADER=1
/// (`make header`); a test compares it with the generated one.
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

/// Link arguments: everything is bound at load time and read-only afterwards.
fn link() {
    for argument in [
        "-Wl,-z,relro,-z,now",
        "-Wl,-z,noexecstack",
        // dlclose(3) must not unmap the fork handlers or the code of a running helper thread.
        "-Wl,-z,nodelete",
        "-Wl,--hash-style=gnu",
        // Keeps data that is written at every start on pages of its own. (An option of lld; other linkers ignore it.)
        "-Wl,-z,separate-loadable-segments",
    ] {
        println!("cargo::rustc-cdylib-link-arg={argument}");
    }
}

/// Links the musl library against an empty libc.so that only carries musl's soname: Debian packages musl for the build
/// machine's architecture only, and the compiler's own libc is glibc. A test compares the undefined symbols of the
/// library with musl's exports.
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
    // For the library only: an executable needs the real libc to link.
    println!("cargo::rustc-cdylib-link-arg=-L{}", directory.display());
    println!("cargo::rustc-cdylib-link-arg=-Wl,--no-as-needed,-lc,--as-needed");
    Ok(())
}
