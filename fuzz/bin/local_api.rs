#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tailchain_fuzz::local_api::run(input));
