//! `LD_PRELOAD` as the program will see it.

#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Puts our library before the others, so that its functions are found first (ld.so(8)).
pub fn ld_preload(library: &Path, before: Option<&OsStr>) -> OsString {
    let mut value = library.as_os_str().to_os_string();
    if let Some(before) = before.filter(|before| !before.is_empty()) {
        value.push(":");
        value.push(before);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_preloads_come_after_ours() {
        let ours = Path::new("/l/libtailchain.so");
        assert_eq!(ld_preload(ours, None), "/l/libtailchain.so");
        assert_eq!(ld_preload(ours, Some(OsStr::new(""))), "/l/libtailchain.so");
        assert_eq!(
            ld_preload(ours, Some(OsStr::new("/a.so /b.so"))),
            "/l/libtailchain.so:/a.so /b.so"
        );
    }

    #[test]
    fn a_long_value_is_not_truncated() {
        let before = "/x.so:".repeat(2000);
        let value = ld_preload(Path::new("/l.so"), Some(OsStr::new(&before)));
        assert_eq!(value.len(), "/l.so:".len() + before.len());
    }
}
