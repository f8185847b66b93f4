//! The checker's atomics: sequentially consistent, whatever the order that is asked for.

pub mod atomic {
    pub use shuttle::sync::atomic::*;
}
