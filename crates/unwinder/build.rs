//! Has the unwinder linked in.

mod toolchain;

use std::error::Error;
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

/// The unwinder, which catches panics at the hooks, is linked in: as libgcc_s.so.1 it would be one more library to find,
/// map and relocate at every exec of the user, and the launcher, which runs before each, is spared it too. std asks the
/// linker for `gcc_s`; this is found first. (A static command of musl has its unwinder from Rust.)
fn main() -> Result<(), Box<dyn Error>> {
    if toolchain::is_static() {
        return Ok(());
    }
    if let Some(archive) = of_rust().or_else(of_compiler) {
        let directory = env::var("OUT_DIR")?;
        let script = PathBuf::from(&directory).join("libgcc_s.so");
        fs::write(script, format!("INPUT(\"{}\")\n", archive.display()))?;
        println!("cargo::rustc-link-search=native={directory}");
    }
    Ok(())
}

/// The one that Rust brings along for static commands: musl's targets have it.
fn of_rust() -> Option<PathBuf> {
    let output = Command::new(env::var_os("RUSTC")?)
        .args(["--print", "sysroot"])
        .output()
        .ok()?;
    let root = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    let libraries = root.join("lib/rustlib").join(env::var("TARGET").ok()?);
    let archive = libraries.join("lib/self-contained/libunwind.a");
    archive.is_file().then_some(archive)
}

/// The static unwinder of the compiler that links for the target.
fn of_compiler() -> Option<PathBuf> {
    toolchain::compilers().into_iter().find_map(|compiler| {
        let output = Command::new(compiler)
            .arg("-print-file-name=libgcc_eh.a")
            .output()
            .ok()?;
        let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
        path.is_absolute().then_some(path)
    })
}
