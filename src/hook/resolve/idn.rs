//! Internationalized names: AI_IDN and AI_CANONIDN of getaddrinfo(3). glibc uses libidn2 for them, and so does this
//! module: like glibc, it loads libidn2 at the first such name.

use core::ffi::{c_char, c_int, c_void, CStr};
use core::ptr;
use once_cell::race::OnceBox;
use std::borrow::Cow;
use std::ffi::CString;

/// Flags of getaddrinfo(3) (netdb.h).
const AI_IDN: c_int = 0x40;
const AI_CANONIDN: c_int = 0x80;
/// The name cannot be encoded (netdb.h).
const EAI_IDN_ENCODE: c_int = -105;

/// `text` in the form that DNS uses, if the caller asks for that.
///
/// # Errors
/// The code of getaddrinfo(3): the name cannot be encoded, in this locale or at all, or libidn2 is missing.
pub fn encoded(text: &CStr, flags: c_int) -> Result<Cow<'_, CStr>, c_int> {
    if flags & AI_IDN == 0 || text.to_bytes().is_ascii() {
        return Ok(Cow::Borrowed(text));
    }
    let encode = libidn2().as_ref().map(|library| library.encode);
    let encoded = encode.and_then(|encode| convert(encode, text));
    encoded.map(Cow::Owned).ok_or(EAI_IDN_ENCODE)
}

/// The canonical name in the form that the caller asks for, or, if it cannot be converted, as DNS has it.
pub fn canonical(name: &str, flags: c_int) -> Cow<'_, str> {
    let unchanged = Cow::Borrowed(name);
    if flags & AI_CANONIDN == 0 || !name.contains("xn--") {
        return unchanged;
    }
    let decoded = libidn2().as_ref().and_then(|library| {
        let text = CString::new(name).ok()?;
        convert(library.decode, &text)?.into_string().ok()
    });
    decoded.map_or(unchanged, Cow::Owned)
}

/// The type of idn2_lookup_ul and idn2_to_unicode_lzlz. Arguments: a string in the encoding of the locale, a pointer
/// for the result, flags.
type Convert = unsafe extern "C" fn(*const c_char, *mut *mut c_char, c_int) -> c_int;

struct Libidn2 {
    encode: Convert,
    decode: Convert,
    free: unsafe extern "C" fn(*mut c_void),
}

fn libidn2() -> &'static Option<Libidn2> {
    static LIBRARY: OnceBox<Option<Libidn2>> = OnceBox::new();
    LIBRARY.get_or_init(|| Box::new(load()))
}

fn load() -> Option<Libidn2> {
    let find = |name: &CStr| {
        let found = crate::old_glibc::open(c"libidn2.so.0", name);
        (!found.is_null()).then_some(found)
    };
    let (encode, decode) = (find(c"idn2_lookup_ul")?, find(c"idn2_to_unicode_lzlz")?);
    let free = find(c"idn2_free")?;
    // SAFETY: the symbols have these types by libidn2's manual, and the library is never unloaded.
    unsafe {
        Some(Libidn2 {
            encode: core::mem::transmute::<*mut c_void, Convert>(encode),
            decode: core::mem::transmute::<*mut c_void, Convert>(decode),
            free: core::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut c_void)>(free),
        })
    }
}

fn convert(function: Convert, text: &CStr) -> Option<CString> {
    let mut result = ptr::null_mut();
    // SAFETY: a C string, and a pointer for the result.
    let code = unsafe { function(text.as_ptr(), &mut result, 0) };
    if code != 0 || result.is_null() {
        return None;
    }
    // SAFETY: after success the result is a C string.
    let copy = unsafe { CStr::from_ptr(result) }.to_owned();
    if let Some(library) = libidn2() {
        // SAFETY: allocated by this library just now.
        unsafe { (library.free)(result.cast()) };
    }
    Some(copy)
}
