//! Runs Tailscale beside a program: starts tailscaled without a TUN device, logs in, restarts it if it ends while the
//! program runs, and stops it afterwards.
//!
//! `settings` reads the environment; `events` waits for signals and children. `node` is one tailscaled, from its start to
//! its logout: `startup` starts it (`daemon`), logs in (`login`) and waits for its proxy (`ready`); `supervise` restarts it
//! until the program has ended. The command `run` starts the program as a child; `tailscale up` watches any process.

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

    /// Between Heroku's SIGTERM and SIGKILL the app drains, tailscaled logs out, and what remains is killed.
    #[test]
    fn the_shutdown_ends_before_herokus_sigkill() {
        let longest =
            super::settings::DEFAULT_DRAIN + super::node::LOGOUT + 2 * super::node::KILLED;
        assert!(longest < Duration::from_secs(30), "{longest:?}");
    }
}
