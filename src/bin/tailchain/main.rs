//! `tailchain`: looks at configurations and proxies, and brings its own SOCKS5 server for tests.
//!
//! One file for each subcommand; `report` is how findings look, `socks_server` the embedded proxy.

use clap::{Parser, Subcommand};
use std::process::ExitCode;

mod demo;
mod hello;
mod proxy;
mod report;
mod socks_server;

/// Sends the TCP connections of unmodified programs through proxies.
///
/// `proxychains4 PROGRAM` runs a program that way; this command checks, explains and tries out what it does.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Proxy(proxy::Args),
    Demo(demo::Args),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Proxy(args) => proxy::run(args),
        Command::Demo(args) => demo::run(&args),
    }
}
