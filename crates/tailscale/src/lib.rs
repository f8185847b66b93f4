//! Runs Tailscale beside a program: starts tailscaled without a TUN device, logs in, keeps it alive for as long
//! as the program runs, and stops it afterwards.
//!
//! `settings` says how, `events` is what happens meanwhile. `node` is one tailscaled until it has logged out; `startup`
//! takes it from `daemon` over `login` to `ready`, and `supervise` looks after it until its program is gone. The
//! commands `run` and `tailscale up` differ in whose end they wait for: a child of theirs, or any process of the
//! machine.

mod after_login;
mod backoff;
mod client;
pub mod command;
mod credentials;
mod daemon;
mod duration;
mod events;
mod hostname;
mod launcher;
mod listener;
mod local_api;
mod login;
mod lost;
mod node;
mod owner;
mod programs;
mod ready;
pub mod run;
mod server;
mod settings;
mod sigterm_broadcast;
mod start_error;
mod startup;
mod status;
mod supervise;
mod sys;
mod temp_dir;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    /// Between SIGTERM and SIGKILL of a dyno: the app drains, tailscaled logs out, what is left of either is killed.
    #[test]
    fn the_longest_end_is_shorter_than_what_heroku_gives() {
        let longest =
            super::settings::DEFAULT_DRAIN + super::node::LOGOUT + 2 * super::node::KILLED;
        assert!(longest < Duration::from_secs(30), "{longest:?}");
    }
}
