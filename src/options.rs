//! The command line: what the program is asked for, and the configuration that follows.
//!
//! The words are redis-server's: `[file] [--directive value ...] [-]`, `--version`, `--help`.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use clap::{Arg, ArgAction, Command, value_parser};

use crate::acl::{RuleError, Users};
use crate::commands;
use crate::config::{CommandLine, Config, Disk, LoadError};
use crate::server::acl::declared_users;
use crate::server::command::Table;
use crate::server::{REDIS_VERSION, RHUBARB_VERSION};

const USAGE: &str = "\
rhubarb-server [/path/to/redis.conf] [options] [-]
       rhubarb-server - (read the configuration from standard input)";

const EXAMPLES: &str = "\
Options are directives of the configuration file, each with two dashes before its name. A single
dash at the end reads more of the configuration from standard input.

Examples:
       rhubarb-server (run the server with the defaults)
       echo 'maxmemory 128mb' | rhubarb-server -
       rhubarb-server /etc/redis/6379.conf
       rhubarb-server --port 7777 --requirepass secret
       rhubarb-server /etc/myredis.conf --loglevel verbose -";

/// What the program is to do.
#[derive(Debug)]
pub enum Invocation {
    /// Print this and end well.
    Print(String),
    /// Print this to the standard error and end with exit code 1.
    Fail(String),
    /// Look for what may be wrong with the system.
    CheckSystem,
    /// Test so many megabytes of memory.
    TestMemory(usize),
    /// Run a server.
    Serve {
        /// The configuration.
        config: Box<Config>,
        /// The file that it came from, as an absolute path.
        file: Option<PathBuf>,
        /// What was read from standard input.
        stdin: Vec<u8>,
    },
}

/// Makes sense of the words after the program's name.
pub fn parse(words: impl Iterator<Item = OsString>) -> Invocation {
    let words: Vec<Vec<u8>> = words.map(OsString::into_vec).collect();
    if let Some(special) = special(&words) {
        return special;
    }
    let line = CommandLine::parse(&words);
    let mut stdin = Vec::new();
    if line.stdin
        && let Err(error) = std::io::stdin().read_to_end(&mut stdin)
    {
        return Invocation::Fail(format!(
            "Can't read the configuration from standard input: {error}\n"
        ));
    }
    let file = line.file.clone().map(|path| PathBuf::from(OsString::from_vec(path)));
    // The working directory may change: the file is found again by its absolute path.
    let file = file.map(|path| std::path::absolute(&path).unwrap_or(path));
    match load(&line, &stdin) {
        Ok(config) => Invocation::Serve { config: Box::new(config), file, stdin },
        Err(error) => Invocation::Fail(format!("{error}\n")),
    }
}

/// The options that come first and have no server run.
fn grammar() -> Command {
    let flag = |name, help| Arg::new(name).long(name).help(help).action(ArgAction::SetTrue);
    Command::new("rhubarb-server")
        .override_usage(USAGE)
        .after_help(EXAMPLES)
        .disable_help_flag(true)
        .arg(flag("help", "Print this").short('h'))
        .arg(flag("version", "Print the version").short('v'))
        .arg(flag("check-system", "Look for what may be wrong with the system"))
        .arg(
            Arg::new("test-memory")
                .long("test-memory")
                .help("Test so much memory")
                .value_name("megabytes")
                .value_parser(value_parser!(usize)),
        )
}

/// What is asked for instead of a server. As in redis-server, only the first word tells.
fn special(words: &[Vec<u8>]) -> Option<Invocation> {
    const WITH_VALUE: &[u8] = b"--test-memory";
    let first = words.first()?;
    let known: [&[u8]; 6] = [b"-h", b"--help", b"-v", b"--version", b"--check-system", WITH_VALUE];
    if !known.contains(&first.as_slice()) {
        return None;
    }
    let count = if first == WITH_VALUE { 2 } else { 1 };
    let words = words.iter().take(count).map(|word| OsString::from_vec(word.clone()));
    let mut grammar = grammar();
    let matches =
        match grammar.try_get_matches_from_mut([OsString::from("")].into_iter().chain(words)) {
            Ok(matches) => matches,
            Err(error) => return Some(Invocation::Fail(error.to_string())),
        };
    Some(if matches.get_flag("version") {
        Invocation::Print(format!(
            "Redis server v={REDIS_VERSION} sha=00000000:0 malloc=jemalloc-5.3.0 bits={} \
             build=rhubarb-{RHUBARB_VERSION}\n",
            usize::BITS
        ))
    } else if matches.get_flag("check-system") {
        Invocation::CheckSystem
    } else if let Some(megabytes) = matches.get_one("test-memory") {
        Invocation::TestMemory(*megabytes)
    } else {
        // redis-server's help goes to the standard error, too.
        Invocation::Fail(grammar.render_help().to_string())
    })
}

/// Reads the configuration, and sees whether the commands can be renamed as it says, and its users
/// be had.
fn load(line: &CommandLine, stdin: &[u8]) -> Result<Config, LoadError> {
    let config = Config::load(line, stdin, &Disk)?;
    let mut commands = commands::table();
    for renamed in &config.renamed_commands {
        let done = commands.rename(&renamed.from, &renamed.to);
        done.map_err(|reason| renamed.refused(reason))?;
    }
    check_users(&config, &commands)?;
    Ok(config)
}

/// Checks the form of the users' rules. Commands that don't exist are left to the start.
fn check_users(config: &Config, commands: &Table) -> Result<(), LoadError> {
    if config.users.is_empty() {
        return Ok(());
    }
    let users = Users::new(commands.catalog());
    match declared_users(&config.users, &users, false) {
        Err(refused) if refused.error != RuleError::Unknown => {
            let (number, text) = refused.place;
            let word = String::from_utf8_lossy(&refused.word);
            let reason = format!("Error in user declaration '{word}': {}", refused.error);
            Err(LoadError::Line { number, text, reason: reason.into() })
        }
        _ => Ok(()),
    }
}
