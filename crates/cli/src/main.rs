//! `tailchain`: checks configurations and proxies, runs Tailscale beside a program, and has a SOCKS5 server for tests.
//!
//! Each subcommand has its own file; `run` and `tailscale` are in the crate tailchain-tailscale. `socks_server` is the
//! embedded proxy.

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use tailchain_tailscale::{command as tailscale, run};

mod check;
mod configuration;
mod demo;
mod demo_server;
mod destination;
mod doctor;
mod explain;
mod generate;
mod names;
mod proxy;
mod resolve;
mod socks_server;

tailchain_unwinder::define!();

/// Sends the TCP connections of unmodified programs through proxies.
///
/// `proxychains4 PROGRAM` runs a program that way. This command checks and explains the configuration, and tests proxies.
#[derive(Parser)]
#[command(name = "tailchain", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(check::Args),
    Explain(explain::Args),
    Resolve(resolve::Args),
    Doctor(doctor::Args),
    Run(run::Args),
    Tailscale(tailscale::Args),
    Proxy(proxy::Args),
    Demo(demo::Args),
    Generate(generate::Args),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Check(args) => check::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Resolve(args) => resolve::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Tailscale(args) => tailscale::run(&args),
        Command::Proxy(args) => proxy::run(args),
        Command::Generate(args) => generate::run(&args),
        Command::Demo(args) => demo::run(&args),
    }
}
