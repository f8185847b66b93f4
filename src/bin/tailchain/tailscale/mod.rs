//! Runs Tailscale beside a program: starts tailscaled without a TUN device, logs in, keeps it alive for as long
//! as the program runs, and stops it afterwards.
//!
//! `settings` says how, `events` is what happens meanwhile. `node` is one tailscaled, from its start (`daemon`)
//! over `login` to `ready`; `keep` looks after it until its program is gone. The commands `run` and `tailscale up`
//! differ in whose end they wait for: a child of theirs, or any process of the machine.

mod backoff;
mod client;
pub mod command;
mod daemon;
mod duration;
mod events;
mod folder;
mod hostname;
mod keep;
mod login;
mod node;
mod programs;
mod ready;
mod settings;
mod status;
mod told;

pub use events::Events;
pub use folder::Folder;
pub use keep::keep;
pub use node::{Node, StartError};
pub use settings::{Settings, KEY_VARIABLES};
