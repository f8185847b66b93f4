//! What the books and the helper need of `dial`.

pub mod driver;
pub mod fresh;
