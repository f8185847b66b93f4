//! C functions that are defined for this file alone: other objects in it find them, the program does not.

/// `hidden! { "name" => function }`: calls of the C function `name` from anywhere in this library or command, std and
/// the C archives that are linked in among them, reach `function`. Not `#[no_mangle]`,
/// which would export it; and weak, as some of std's own references are.
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
