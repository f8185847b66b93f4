//! The checker's atomics: sequentially consistent, whatever ordering is requested.

pub mod atomic {
    pub use shuttle::sync::atomic::*;
}
