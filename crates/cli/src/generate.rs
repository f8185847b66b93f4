//! `tailchain generate FOLDER`: man pages and completions of both commands, for packages. Hidden from `--help`.

use crate::Cli;
use clap::{Arg, ArgAction, Command, CommandFactory, ValueHint};
use clap_complete::Shell;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Write man pages and completions below DIRECTORY
#[derive(clap::Args)]
#[command(hide = true)]
pub struct Args {
    directory: PathBuf,
}

pub fn run(args: &Args) -> ExitCode {
    match write(&args.directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tailchain_diagnostics::report::complain(format_args!(
                "{}: {error}",
                args.directory.display()
            ));
            ExitCode::FAILURE
        }
    }
}

fn write(directory: &Path) -> io::Result<()> {
    let man = directory.join("man1");
    std::fs::create_dir_all(&man)?;
    for command in [Cli::command(), launcher()] {
        clap_mangen::generate_to(command.clone(), &man)?;
        for (shell, name) in [
            (Shell::Bash, "bash"),
            (Shell::Zsh, "zsh"),
            (Shell::Fish, "fish"),
        ] {
            let directory = directory.join(name);
            std::fs::create_dir_all(&directory)?;
            let mut command = command.clone();
            let name = command.get_name().to_owned();
            clap_complete::generate_to(shell, &mut command, name, directory)?;
        }
    }
    Ok(())
}

/// The launcher scans its words itself, for it must start fast and take options as proxychains-ng does. This describes
/// them.
fn launcher() -> Command {
    let file = Arg::new("config_file")
        .short('f')
        .value_name("config_file")
        .value_hint(ValueHint::FilePath)
        .help("Read this configuration instead of the first one found");
    let proxy = Arg::new("url")
        .short('x')
        .value_name("URL")
        .value_hint(ValueHint::Url)
        .conflicts_with("config_file")
        .help("Use this proxy, e.g. socks5h://localhost:1055, and no configuration; several, separated by commas, make a chain");
    let program = Arg::new("program")
        .value_name("program")
        .required(true)
        .num_args(1..)
        .trailing_var_arg(true)
        .value_hint(ValueHint::CommandWithArguments)
        .help("The program and its arguments");
    Command::new("proxychains4")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Run a program with its TCP connections sent through proxies")
        .long_about(
            "Run a program with its TCP connections sent through proxies: a library is preloaded into it and into what \
             it starts. The configuration is described in proxychains.conf(5). Static programs, Go programs and those \
             that are set-user-ID bypass the proxy; there is a warning, and with --strict the program is not started.",
        )
        .disable_help_flag(true)
        .disable_version_flag(true)
        .arg(file)
        .arg(proxy)
        .arg(flag("quiet", "Print no messages, whatever the configuration says").short('q'))
        .arg(flag("strict", "Do not start a program that would bypass the proxy").long("strict"))
        .arg(flag("version", "Print the version").long("version"))
        .arg(flag("help", "Print the usage").long("help"))
        .arg(program)
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).action(ArgAction::SetTrue).help(help)
}
