//! `tailchain demo`: curl, which is not told of any proxy, reaches a name through the embedded one. Uses loopback only.

#![forbid(unsafe_code)]

use crate::demo_server;
use crate::socks_server::{self, Rules};
use std::fs::DirBuilder;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tailchain_diagnostics::report;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::mpsc::{unbounded_channel, UnboundedReceiver};

const NAME: &str = "hello.ts.net";
const URL: &str = "http://hello.ts.net/";

/// Ends a demonstration that hangs; normally it takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Removed from the environment: with them curl would use a proxy by itself, and the demonstration would prove nothing.
const PROXY_VARIABLES: [&str; 6] = [
    "ALL_PROXY",
    "all_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "NO_PROXY",
    "no_proxy",
];

/// Let the system's own curl reach a name that only a proxy knows
#[derive(clap::Args)]
pub struct Args {
    /// The launcher to show [default: proxychains4 beside this command]
    #[arg(long, value_name = "FILE")]
    launcher: Option<PathBuf>,
}

pub fn run(args: &Args) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return report::fail(format_args!("cannot start the event loop: {error}")),
    };
    match runtime.block_on(show(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => report::fail(format_args!("the demonstration failed: {reason}")),
    }
}

async fn show(args: &Args) -> Result<(), String> {
    let launcher = launcher(args.launcher.as_deref())?;
    let curl = tailchain_preflight::program::in_path(
        "curl".as_ref(),
        std::env::var_os("PATH").as_deref(),
    )
    .ok_or(
        "curl is not in PATH; install it (Debian, Ubuntu: apt-get install curl) and try again",
    )?;

    let (proxy, mut hops) = start_servers()
        .await
        .map_err(|error| format!("cannot listen on 127.0.0.1: {error}"))?;
    let config =
        PrivateConfig::write(proxy).map_err(|error| format!("cannot write a config: {error}"))?;

    report::say(format_args!(
        "The embedded SOCKS5 proxy listens on {proxy}. It alone knows {NAME}."
    ));
    report::say(format_args!("$ proxychains4 curl -sS {URL}"));
    let output = run_curl(&launcher, &config.file, &curl).await?;
    report::say(String::from_utf8_lossy(&output.stdout).trim_end());
    if !output.status.success() {
        return Err(format!("curl ended with {}", output.status));
    }
    if output.stdout != demo_server::BODY.as_bytes() {
        return Err("curl did not print the page of the embedded web server".to_owned());
    }
    let hop = hops
        .try_recv()
        .map_err(|_| "the proxy saw no connection".to_owned())?;
    report::say(format_args!("The proxy saw: {hop}"));
    match hop.starts_with(&format!("CONNECT {NAME}:80 -> ")) {
        true => Ok(()),
        false => Err("the proxy was not asked by name".to_owned()),
    }
}

fn launcher(given: Option<&Path>) -> Result<PathBuf, String> {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|own| Some(own.parent()?.join("proxychains4")));
    match given.map(PathBuf::from).or(beside) {
        Some(launcher) if launcher.is_file() => Ok(launcher),
        Some(launcher) => Err(format!(
            "{} does not exist; build it or name the launcher with --launcher",
            launcher.display()
        )),
        None => Err(
            "cannot find the path of this command; name the launcher with --launcher".to_owned(),
        ),
    }
}

/// Starts the web server and the proxy that knows it as [`NAME`]. Returns the proxy's address and its log.
async fn start_servers() -> io::Result<(SocketAddr, UnboundedReceiver<String>)> {
    let web = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let proxy = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let (place, address) = (web.local_addr()?, proxy.local_addr()?);
    let rules = Rules {
        names: [(NAME.to_owned(), (place.ip(), Some(place.port())))].into(),
        connect_timeout: PATIENCE,
        ..Rules::default()
    };
    let (log, hops) = unbounded_channel();
    tokio::spawn(demo_server::serve(web));
    tokio::spawn(socks_server::serve(
        proxy,
        Arc::new(rules),
        Arc::new(move |line| {
            // The receiver is dropped when the demonstration is over.
            let _ = log.send(line);
        }),
    ));
    Ok((address, hops))
}

async fn run_curl(launcher: &Path, config: &Path, curl: &Path) -> Result<Output, String> {
    let mut command = Command::new(launcher);
    command.arg("-f").arg(config).arg(curl).args(["-sS", URL]);
    // The messages of the launcher and the library are part of the demonstration.
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true);
    for variable in PROXY_VARIABLES {
        command.env_remove(variable);
    }
    let curl = command
        .spawn()
        .map_err(|error| format!("cannot run {}: {error}", launcher.display()))?;
    match tokio::time::timeout(PATIENCE, curl.wait_with_output()).await {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(error)) => Err(format!("cannot read the output of curl: {error}")),
        Err(_) => Err(format!("curl did not end within {} s", PATIENCE.as_secs())),
    }
}

/// A config file in a directory that only this user can enter; dropping the value removes both.
struct PrivateConfig {
    directory: PathBuf,
    file: PathBuf,
}

impl PrivateConfig {
    fn write(proxy: SocketAddr) -> io::Result<PrivateConfig> {
        let directory = std::env::temp_dir().join(format!("tailchain-demo-{}", std::process::id()));
        // mkdir fails if the name exists, so another user cannot have prepared the directory.
        DirBuilder::new().mode(0o700).create(&directory)?;
        let config = PrivateConfig {
            file: directory.join("proxychains.conf"),
            directory,
        };
        let text = format!(
            "strict_chain\nproxy_dns\n\n[ProxyList]\nsocks5 {} {}\n",
            proxy.ip(),
            proxy.port()
        );
        std::fs::write(&config.file, text)?;
        Ok(config)
    }
}

impl Drop for PrivateConfig {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
