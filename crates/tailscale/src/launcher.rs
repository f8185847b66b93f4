//! Runs programs through `proxychains4`, which finds the library, prints warnings and executes the program.

#![forbid(unsafe_code)]

use crate::listener::Listener;
use crate::sys::process::Pid;
use crate::sys::signals;
use crate::temp_dir::TempDir;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tailchain_core::config::{Config, Endpoint};
use tailchain_core::host::Target;
use tailchain_core::load::{self, LoadError, Loaded, BYPASS_VARIABLE};
use tailchain_diagnostics::report;

const NAME: &str = "proxychains4";

/// The shipped configuration, used if the user has none.
const SHIPPED: &str = include_str!("../../../conf/proxychains.conf");
const SHIPPED_NAME: &str = "proxychains.conf";
const SHIPPED_PROXY: &str = "\nsocks5 127.0.0.1 1055\n";

pub struct Launcher(PathBuf);

/// The configuration for the launcher.
pub enum Configuration {
    /// The launcher finds it itself, as this command did.
    Found,
    File(PathBuf),
    /// A copy of the shipped one; dropping the value removes it.
    Shipped(TempDir),
}

impl Configuration {
    fn file(&self) -> Option<PathBuf> {
        match self {
            Configuration::Found => None,
            Configuration::File(path) => Some(path.clone()),
            Configuration::Shipped(directory) => Some(directory.path().join(SHIPPED_NAME)),
        }
    }
}

impl Launcher {
    /// Finds the launcher that was installed with this command.
    ///
    /// # Errors
    ///
    /// It is missing.
    pub fn find() -> Result<Launcher, String> {
        let own = std::env::current_exe()
            .map_err(|error| format!("cannot find this command itself: {error}"))?;
        let path = own.with_file_name(NAME);
        match path.is_file() {
            true => Ok(Launcher(path)),
            false => Err(format!(
                "{} is missing; install it beside this command",
                path.display()
            )),
        }
    }

    /// The configuration for tailscaled's proxy: the one that the launcher finds, or else the shipped one.
    ///
    /// # Errors
    ///
    /// The configuration that was found cannot be used.
    pub fn configuration(
        &self,
        file: Option<&Path>,
        listener: Listener,
    ) -> Result<Configuration, String> {
        match load_beside(listener, file) {
            Ok(loaded) => {
                if !names(&loaded.config, listener) {
                    report::complain(format_args!(
                        "warning: {}: none of its proxies is on {listener}, where tailscaled listens; correct it, or set TAILSCALE_SOCKS5_PORT",
                        loaded.config.source
                    ));
                }
                Ok(file.map_or(Configuration::Found, |file| {
                    Configuration::File(file.to_owned())
                }))
            }
            Err(LoadError::NotFound { ignored_files, .. }) => {
                for warning in ignored_files {
                    report::complain(format_args!("warning: {warning}"));
                }
                shipped(listener).map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// # Errors
    ///
    /// The launcher cannot be run.
    pub fn spawn(
        &self,
        configuration: &Configuration,
        command: &[OsString],
        variables: &[(&'static str, String)],
    ) -> Result<Pid, String> {
        let mut launcher = self.command(configuration.file().as_deref(), command);
        launcher.envs(variables.iter().map(|(name, value)| (name, value)));
        signals::unblock_in(&mut launcher);
        let started = launcher.spawn();
        let pid = started.and_then(|child| child.id().try_into().map_err(io::Error::other));
        pid.map_err(|error| self.failure(&error))
    }

    /// Executes the command, without a proxy if there is a `reason` (or one in the environment). Returns only on failure.
    pub fn exec(&self, command: &[OsString], reason: Option<&str>) -> String {
        let mut command = self.command(None, command);
        if let Some(reason) = reason {
            command.env(BYPASS_VARIABLE, reason);
        }
        self.failure(&command.exec())
    }

    fn command(&self, file: Option<&Path>, command: &[OsString]) -> Command {
        let mut launcher = Command::new(&self.0);
        if let Some(file) = file {
            launcher.args([OsStr::new("-f"), file.as_os_str()]);
        }
        launcher.arg("--").args(command);
        launcher
    }

    fn failure(&self, error: &io::Error) -> String {
        format!("cannot run {}: {error}", self.0.display())
    }
}

/// Loads the configuration that a program started beside this tailscaled would use.
fn load_beside(listener: Listener, file: Option<&Path>) -> Result<Loaded, LoadError> {
    let variables = listener.variables();
    load::load(
        file,
        &|name| match variables.iter().find(|(own, _)| *own == name) {
            Some((_, value)) => Some(value.into()),
            None => std::env::var_os(name),
        },
    )
}

fn names(config: &Config, listener: Listener) -> bool {
    let address = Target::from(listener.address());
    config.proxies.iter().any(|proxy| match &proxy.endpoint {
        Endpoint::Tcp(target) => *target == address,
        // The server behind a unix socket is unknown.
        Endpoint::Unix(_) => true,
    })
}

fn shipped(listener: Listener) -> io::Result<Configuration> {
    let directory = TempDir::new()?;
    fs::write(directory.path().join(SHIPPED_NAME), with_address(listener))?;
    Ok(Configuration::Shipped(directory))
}

fn with_address(listener: Listener) -> String {
    let address = listener.address();
    let line = format!("\nsocks5 {} {}\n", address.ip(), address.port());
    SHIPPED.replace(SHIPPED_PROXY, &line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tailchain_core::config::{self, Source};

    #[test]
    fn the_shipped_configuration_takes_another_address() {
        let listener = |host: &str, port| Listener::new(host.parse().unwrap(), port);
        let text = with_address(listener("127.0.0.2", 1999));
        let (config, warnings) = config::parse(text.as_bytes(), Source::Variable("test")).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        assert!(names(&config, listener("127.0.0.2", 1999)));
        assert!(!names(&config, listener("127.0.0.2", 1055)));
        assert!(!names(&config, listener("127.0.0.1", 1999)));
    }
}
