//! `tailchain generate DIRECTORY`: man pages and completions of both commands, for packages. Hidden from `--help`.

#[cfg(test)]
mod config;
mod man;
#[cfg(test)]
mod markdown;
mod text;

use crate::Cli;
use clap::{Arg, ArgAction, Command, CommandFactory, ValueHint};
use clap_complete::Shell;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tailchain_launcher::options::{LauncherOption, OPTIONS};

const LAUNCHER: &str = "proxychains4";

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
    for section in ["man1", "man5"] {
        std::fs::create_dir_all(directory.join(section))?;
    }
    std::fs::write(directory.join("man5/proxychains.conf.5"), man::page())?;
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
            let file = clap_complete::generate_to(shell, &mut command, &name, directory)?;
            if shell == Shell::Bash && name == LAUNCHER {
                std::fs::write(file, bash())?;
            }
        }
    }
    Ok(())
}

/// The launcher's command line in clap's terms. The launcher itself does not use clap: it must start fast, and parse
/// options as proxychains-ng does.
fn launcher() -> Command {
    let program = Arg::new("program")
        .value_name("program")
        .required(true)
        .num_args(1..)
        .trailing_var_arg(true)
        .value_hint(ValueHint::CommandWithArguments)
        .help("The program and its arguments");
    Command::new(LAUNCHER)
        .version(env!("CARGO_PKG_VERSION"))
        .about("Run a program with its TCP connections sent through proxies")
        .long_about(
            "Run a program with its TCP connections sent through proxies: a library is preloaded into it and into the \
             programs that it starts. Static programs and Go programs run under a supervisor instead. A program that \
             would bypass the proxy, e.g. one that is set-user-ID, is started with a warning, or with --strict not \
             started. The configuration is described in proxychains.conf(5).",
        )
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args(OPTIONS.iter().map(described))
        .arg(program)
}

fn described(option: &LauncherOption) -> Arg {
    let name = option.name.trim_start_matches('-');
    let arg = Arg::new(name).help(option.help.replace('\n', " "));
    let arg = match (name.len(), name.chars().next()) {
        (1, Some(letter)) => arg.short(letter),
        _ => arg.long(name),
    };
    match option.value {
        None => arg.action(ArgAction::SetTrue),
        Some("MODE") => arg
            .value_name("MODE")
            .value_parser(["auto", "always", "never"]),
        Some(value) => arg.value_name(value).value_hint(match value {
            "URL" => ValueHint::Url,
            _ => ValueHint::FilePath,
        }),
    }
}

/// Replaces clap's completion, which does not complete the arguments of the program.
fn bash() -> String {
    let names = |takes_value: Option<bool>| {
        let is_wanted = |option: &&LauncherOption| {
            takes_value.is_none_or(|takes_value| option.value.is_some() == takes_value)
        };
        let options = OPTIONS.iter().filter(is_wanted);
        options.map(|option| option.name).collect::<Vec<_>>()
    };
    include_str!("proxychains4.bash")
        .replace("@options@", &names(None).join(" "))
        .replace("@with a value@", &names(Some(true)).join(" | "))
}

#[cfg(test)]
mod tests {
    use super::{config, markdown};
    use std::path::Path;

    const WRITE: &str = "TAILCHAIN_WRITE_GENERATED";

    /// Fails if the committed file is not what the code generates.
    fn assert_current(path: &str, generated: impl Fn(&str) -> String) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .join(path);
        let committed = std::fs::read_to_string(&file).unwrap();
        let generated = generated(&committed);
        if std::env::var_os(WRITE).is_some() {
            std::fs::write(&file, &generated).unwrap();
        } else {
            assert!(
                committed == generated,
                "{path} is stale: run `make generated`"
            );
        }
    }

    #[test]
    fn the_shipped_config_is_current() {
        assert_current("conf/proxychains.conf", |_| config::shipped());
    }

    #[test]
    fn the_table_of_directives_is_current() {
        assert_current("docs/configuration.md", |document| {
            markdown::with_table(document, "directives", &markdown::directives()).unwrap()
        });
    }

    #[test]
    fn the_table_of_options_is_current() {
        assert_current("README.md", |document| {
            markdown::with_table(document, "options", &markdown::options()).unwrap()
        });
    }

    #[test]
    fn completions_have_every_option() {
        let bash = super::bash();
        assert!(!bash.contains('@'), "{bash}");
        assert!(
            bash.contains("-f | -x | --supervise)") && bash.contains("--strict"),
            "{bash}"
        );
    }

    #[test]
    fn the_man_page_has_every_directive() {
        let page = super::man::page();
        for directive in tailchain_core::config::DIRECTIVES {
            assert!(page.contains(&format!(".It Ic {}", directive.name)));
        }
        assert!(!page.contains('`'));
    }
}
