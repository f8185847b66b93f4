//! Makes the C header, and tells the linker how the preload library is to be.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    header()?;
    link();
    Ok(())
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

/// Everything bound at load time and read-only afterwards; nothing but libc to load. The unwinder, which
/// catches panics at the hooks, is linked in: as libgcc_s.so.1 it would be one more library to find, map and
/// relocate at every exec of the user.
fn link() {
    for argument in [
        "-Wl,-z,relro,-z,now",
        "-Wl,-z,noexecstack",
        "-Wl,--hash-style=gnu",
        // What is written to at each start then shares no page with what is not. (lld's; another linker
        // passes over it.)
        "-Wl,-z,separate-loadable-segments",
    ] {
        println!("cargo::rustc-cdylib-link-arg={argument}");
    }
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".into());
    let found = Command::new(compiler)
        .arg("-print-file-name=libgcc_eh.a")
        .output();
    if let Some(archive) = found
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map(|path| PathBuf::from(path.trim()))
        .filter(|path| path.is_absolute())
    {
        // The launcher runs before every one of those programs, so it is spared that library as well.
        for artifact in ["cdylib-link-arg", "link-arg-bin=proxychains4"] {
            println!("cargo::rustc-{artifact}=-Wl,--push-state,--whole-archive");
            println!("cargo::rustc-{artifact}={}", archive.display());
            println!("cargo::rustc-{artifact}=-Wl,--pop-state");
        }
    }
}
