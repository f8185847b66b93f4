#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tailchain_fuzz::dns::run(input));
