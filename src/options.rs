//! The command line: what the program is asked for, and the configuration that follows.
//!
//! The words are redis-server's: `[file] [--directive value ...] [-]`, `--version`, `--help`.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::config::{CommandLine, Config, Disk};
use crate::server::{REDIS_VERSION, RHUBARB_VERSION};

const HELP: &str = "\
Usage: rhubarb-server [configuration file] [options] [-]
       rhubarb-server --help | -h | --version | -v

Options are directives of the configuration file, each with two dashes before its name.
A single dash reads more of the configuration from standard input.

Examples:
       rhubarb-server
       rhubarb-server /etc/redis/redis.conf
       rhubarb-server --port 7777 --requirepass secret
       rhubarb-server redis.conf --loglevel verbose -
       echo 'maxclients 128' | rhubarb-server -
";

/// What the program is to do.
#[derive(Debug)]
pub enum Invocation {
    /// Print this and end well.
    Print(String),
    /// Print this to the standard error and end with exit code 1.
    Fail(String),
    /// Run a server.
    Serve {
        /// The configuration.
        config: Box<Config>,
        /// The file that it came from, as an absolute path.
        file: Option<PathBuf>,
    },
}

/// Makes sense of the words after the program's name.
pub fn parse(words: impl Iterator<Item = OsString>) -> Invocation {
    let words: Vec<Vec<u8>> = words.map(OsString::into_vec).collect();
    match words.first().map(Vec::as_slice) {
        Some(b"-v" | b"--version") if words.len() == 1 => {
            return Invocation::Print(format!(
                "Redis server v={REDIS_VERSION} sha=00000000:0 malloc=jemalloc-5.3.0 bits={} \
                 build=rhubarb-{RHUBARB_VERSION}\n",
                usize::BITS
            ));
        }
        Some(b"-h" | b"--help") if words.len() == 1 => return Invocation::Print(HELP.into()),
        _ => {}
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
    match Config::load(&line, &stdin, &Disk) {
        Ok(config) => Invocation::Serve { config: Box::new(config), file },
        Err(error) => Invocation::Fail(format!("{error}\n")),
    }
}
