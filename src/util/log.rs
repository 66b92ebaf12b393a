//! The server's log: lines in Redis's form, written at once.
//!
//! Owns the level filter, the line's form and the sink. Never decides what is worth a line.

use std::fmt::Arguments;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::clock::Clock;
use super::syslog::Syslog;

/// The weight of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// `.`
    Debug,
    /// `-`
    Verbose,
    /// `*`
    Notice,
    /// `#`
    Warning,
    /// Nothing passes this filter.
    Nothing,
}

struct Inner {
    level: Level,
    sink: Option<File>,
    syslog: Option<Syslog>,
}

/// A handle to the log. Cloning shares.
#[derive(Clone)]
pub struct Log {
    inner: Arc<Mutex<Inner>>,
    clock: Arc<dyn Clock>,
    pid: u32,
}

impl Log {
    /// A log of lines from `level` up, to standard output.
    pub fn stdout(level: Level, clock: Arc<dyn Clock>) -> Self {
        let inner = Inner { level, sink: None, syslog: None };
        Self { inner: Arc::new(Mutex::new(inner)), clock, pid: std::process::id() }
    }

    /// Sends what follows to a file, appending; an empty path stands for standard output.
    pub fn redirect(&self, path: &Path) -> io::Result<()> {
        let sink = match path.as_os_str().is_empty() {
            true => None,
            false => Some(OpenOptions::new().create(true).append(true).open(path)?),
        };
        self.inner.lock().sink = sink;
        Ok(())
    }

    /// Tells what follows to the system's logger too.
    pub fn add_syslog(&self, syslog: Syslog) {
        self.inner.lock().syslog = Some(syslog);
    }

    /// Sets the least level that is written.
    pub fn set_level(&self, level: Level) {
        self.inner.lock().level = level;
    }

    /// Writes a line. A sink that fails loses it: there is nowhere to tell.
    pub fn write(&self, level: Level, text: Arguments<'_>) {
        let mut inner = self.inner.lock();
        if level < inner.level {
            return;
        }
        let mark = match level {
            Level::Debug => '.',
            Level::Verbose => '-',
            Level::Notice => '*',
            Level::Warning | Level::Nothing => '#',
        };
        let stamp = stamp(self.clock.unix_us());
        let line = format!("{}:M {stamp} {mark} {text}\n", self.pid);
        let _ = match &mut inner.sink {
            Some(file) => file.write_all(line.as_bytes()),
            None => {
                io::stdout().lock().write_all(line.as_bytes()).and_then(|()| io::stdout().flush())
            }
        };
        if let Some(syslog) = &mut inner.syslog {
            syslog.send(level, &short_stamp(self.clock.unix_us()), &text.to_string());
        }
    }

    /// Writes bytes as they are (the start-up logo), if lines of `level` are written.
    pub fn raw(&self, level: Level, text: &str) {
        let mut inner = self.inner.lock();
        if level < inner.level {
            return;
        }
        let _ = match &mut inner.sink {
            Some(file) => file.write_all(text.as_bytes()),
            None => {
                io::stdout().lock().write_all(text.as_bytes()).and_then(|()| io::stdout().flush())
            }
        };
        if let Some(syslog) = &mut inner.syslog {
            syslog.send(level, &short_stamp(self.clock.unix_us()), text);
        }
    }

    /// A notice.
    pub fn notice(&self, text: impl std::fmt::Display) {
        self.write(Level::Notice, format_args!("{text}"));
    }

    /// A warning.
    pub fn warning(&self, text: impl std::fmt::Display) {
        self.write(Level::Warning, format_args!("{text}"));
    }

    /// A verbose line.
    pub fn verbose(&self, text: impl std::fmt::Display) {
        self.write(Level::Verbose, format_args!("{text}"));
    }
}

/// `23 Nov 2026 10:30:00.123` in UTC.
fn stamp(unix_us: i64) -> String {
    let (year, month, day, time) = parts(unix_us);
    format!("{day:02} {month} {year} {time}")
}

/// `Nov  4 10:30:00` in UTC, as the system's logger has it.
fn short_stamp(unix_us: i64) -> String {
    let (_, month, day, time) = parts(unix_us);
    format!("{month} {day:2} {}", &time[..8])
}

/// Year, month, day and time of day.
fn parts(unix_us: i64) -> (i64, &'static str, i64, String) {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let ms = unix_us.div_euclid(1000);
    let (days, ms) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let (year, month, day) = civil(days);
    let month = MONTHS[usize::try_from(month - 1).unwrap_or(0).min(11)];
    let (h, m, s, ms) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
    (year, month, day, format!("{h:02}:{m:02}:{s:02}.{ms:03}"))
}

/// Year, month and day of a day counted from 1970-01-01 (Howard Hinnant, "chrono-compatible
/// low-level date algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::{short_stamp, stamp};

    #[test]
    fn stamps_are_civil_dates() {
        assert_eq!(stamp(0), "01 Jan 1970 00:00:00.000");
        assert_eq!(stamp(951_827_696_789_000), "29 Feb 2000 12:34:56.789");
        assert_eq!(stamp(-1), "31 Dec 1969 23:59:59.999");
        assert_eq!(short_stamp(0), "Jan  1 00:00:00");
    }
}
