#![no_main]

use tailchain_core::config::ProxyKind;

libfuzzer_sys::fuzz_target!(|input: &[u8]| tailchain_fuzz::replies::run(ProxyKind::Http, input));
