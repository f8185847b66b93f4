//! Hidden C functions: visible within this library or command, but not to the program.

/// `hidden! { "name" => function }` defines the C function `name` for this library or command, including std and the C
/// archives that are linked in. `#[no_mangle]` would export it. The symbol is weak, since some of std's references are.
#[macro_export]
macro_rules! hidden {
    ($($name:literal => $function:path),* $(,)?) => {$(
        #[cfg(target_arch = "x86_64")]
        core::arch::global_asm!(
            concat!(".weak ", $name),
            concat!(".hidden ", $name),
            concat!(".type ", $name, ", @function"),
            concat!($name, ": jmp {function}"),
            function = sym $function,
        );
        #[cfg(target_arch = "aarch64")]
        core::arch::global_asm!(
            concat!(".weak ", $name),
            concat!(".hidden ", $name),
            concat!(".type ", $name, ", %function"),
            concat!($name, ": b {function}"),
            function = sym $function,
        );
    )*};
}
