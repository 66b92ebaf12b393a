//! The `rhubarb-server` program: reads its options and configuration, and runs the server.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::{env, fs, io, thread};

use rhubarb::config::{Config, SyslogFacility};
use rhubarb::net::supervise;
use rhubarb::options::{self, Invocation};
use rhubarb::server::{Parts, REDIS_VERSION, RHUBARB_VERSION};
use rhubarb::util::clock::{Clock, SystemClock};
use rhubarb::util::file::{OsDisk, strerror};
use rhubarb::util::log::Log;
use rhubarb::util::syslog::{self, Syslog};
use rhubarb::{checks, commands, daemon, net};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Where a daemon leaves its process id, unless it is told to elsewhere.
const DAEMON_PIDFILE: &str = "/var/run/redis.pid";

/// The executor's stack: what the recursion limits of scripts were measured with.
const STACK_BYTES: usize = 16 << 20;

/// The name of the executor's thread.
const EXECUTOR: &str = "executor";

fn main() -> ExitCode {
    match options::parse(env::args_os().skip(1)) {
        Invocation::Print(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Invocation::Fail(text) => {
            eprint!("{text}");
            ExitCode::FAILURE
        }
        Invocation::CheckSystem => end(checks::check_system(&mut io::stdout().lock())),
        Invocation::TestMemory(megabytes) => {
            end(checks::test_memory(megabytes, &mut io::stdout().lock()))
        }
        Invocation::Serve { mut config, file, stdin } => {
            let is_daemon = daemon::is_daemon();
            if config.daemonize && !is_daemon && supervise::Manager::of(&config).is_none() {
                return match daemon::start(&stdin) {
                    Ok(()) => ExitCode::SUCCESS,
                    Err(error) => {
                        eprintln!("Can't start a daemon: {error}");
                        ExitCode::FAILURE
                    }
                };
            }
            if is_daemon && config.pidfile.is_empty() {
                config.pidfile = DAEMON_PIDFILE.into();
            }
            let executor = thread::Builder::new().name(EXECUTOR.into()).stack_size(STACK_BYTES);
            let served = executor.spawn(|| serve(*config, file)).map(thread::JoinHandle::join);
            match served {
                Ok(Ok(Ok(code))) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// The exit code of a check.
fn end(passed: io::Result<bool>) -> ExitCode {
    if passed.unwrap_or(false) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn serve(mut config: Config, file: Option<PathBuf>) -> io::Result<i32> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let log = Log::stdout(commands::config::log_level(&config), Arc::clone(&clock));
    open_log(&config, &log)?;
    enter_dir(&mut config, &log)?;
    if config.syslog_enabled {
        let ident = String::from_utf8_lossy(&config.syslog_ident);
        log.add_syslog(Syslog::new(syslog::SOCKET, &ident, facility(&config)));
    }
    greet(&config, file.as_deref(), &log);
    log_panics(&config, &log);
    supervise::starting(&config, &log);
    if let Err(error) = commands::config::adjust_oom(&config) {
        log.warning(format_args!("Unable to write oom_score_adj: {error}"));
    }
    write_pidfile(&config, &log);
    let pidfile = config.pidfile.clone();
    let parts = Parts {
        config,
        commands: commands::table(),
        clock,
        disk: Arc::new(OsDisk),
        log,
        config_file: file,
    };
    let code = net::run(parts);
    if !pidfile.is_empty() {
        let _ = fs::remove_file(path_of(&pidfile));
    }
    code
}

/// The facility's number in RFC 3164.
fn facility(config: &Config) -> u8 {
    match config.syslog_facility {
        SyslogFacility::User => 1,
        SyslogFacility::Local0 => 16,
        SyslogFacility::Local1 => 17,
        SyslogFacility::Local2 => 18,
        SyslogFacility::Local3 => 19,
        SyslogFacility::Local4 => 20,
        SyslogFacility::Local5 => 21,
        SyslogFacility::Local6 => 22,
        SyslogFacility::Local7 => 23,
    }
}

fn path_of(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

fn open_log(config: &Config, log: &Log) -> io::Result<()> {
    let path = path_of(&config.logfile);
    log.redirect(&path).inspect_err(|error| {
        eprintln!("Can't open the log file {}: {error}", path.display());
    })
}

fn enter_dir(config: &mut Config, log: &Log) -> io::Result<()> {
    let dir = path_of(&config.dir);
    env::set_current_dir(&dir).inspect_err(|error| {
        let reason = strerror(error);
        log.warning(format_args!("Can't chdir to '{}': {reason}", dir.display()));
    })?;
    use std::os::unix::ffi::OsStringExt;
    config.dir = env::current_dir()?.into_os_string().into_vec();
    Ok(())
}

/// Has panics told in the log, wherever it goes: a daemon's standard error goes nowhere.
///
/// One of the executor ends the process: what it did is half done, and nobody may see that. What was
/// acknowledged is on the disk by then, as promised.
fn log_panics(config: &Config, log: &Log) {
    let (log, exits) = (log.clone(), config.use_exit_on_panic);
    std::panic::set_hook(Box::new(move |panic| {
        let trace = std::backtrace::Backtrace::force_capture();
        log.warning("=== RHUBARB BUG REPORT START: Cut & paste starting from here ===");
        log.warning(format_args!("Guru Meditation: {panic}"));
        log.warning(format_args!("STACK TRACE\n{trace}"));
        log.warning("=== RHUBARB BUG REPORT END. Please report the crash. ===");
        match thread::current().name() {
            Some(EXECUTOR) if exits => std::process::exit(1),
            Some(EXECUTOR) => std::process::abort(),
            _ => {}
        }
    }));
}

/// The lines that a start begins with, in the form that tools look for.
fn greet(config: &Config, file: Option<&Path>, log: &Log) {
    let pid = std::process::id();
    log.notice("oO0OoO0OoO0Oo Rhubarb is starting oO0OoO0OoO0Oo");
    log.notice(format_args!(
        "Rhubarb version={RHUBARB_VERSION}, Redis version={REDIS_VERSION}, bits={}, pid={pid}, \
         just started",
        usize::BITS
    ));
    match file {
        None if env::args_os().len() <= 1 => {
            log.warning("Warning: no config file specified, using the default config.");
        }
        // Directives on the command line are one as well.
        _ => log.notice("Configuration loaded"),
    }
    for warning in config.warnings() {
        log.warning(warning);
    }
}

fn write_pidfile(config: &Config, log: &Log) {
    if config.pidfile.is_empty() {
        return;
    }
    let path = path_of(&config.pidfile);
    if let Err(error) = fs::write(&path, format!("{}\n", std::process::id())) {
        log.verbose(format_args!("Can't write the PID file {}: {error}", path.display()));
    }
}
