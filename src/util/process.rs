//! What the operating system tells of this process and machine.
//!
//! Owns what is read from `/proc` and written to it, and the allocator's statistics. Values that
//! can't be had are zero.

use std::fs;
use std::sync::{Mutex, PoisonError};

/// Processor time in seconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct CpuTimes {
    /// In user mode.
    pub user_s: f64,
    /// In the kernel.
    pub system_s: f64,
}

/// Clock ticks per second of `/proc/*/stat`: 100 on every Linux that runs this.
const TICKS: f64 = 100.0;

/// Processor time of the process, and of the calling thread.
pub fn cpu_times() -> (CpuTimes, CpuTimes) {
    (times_of("/proc/self/stat"), times_of("/proc/thread-self/stat"))
}

fn times_of(path: &str) -> CpuTimes {
    let text = fs::read_to_string(path).unwrap_or_default();
    // The name in parentheses may hold spaces: fields are counted after it.
    let fields: Vec<&str> =
        text.rsplit(')').next().unwrap_or_default().split_ascii_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    CpuTimes { user_s: ticks(11) / TICKS, system_s: ticks(12) / TICKS }
}

/// Has the calling thread, and those that it starts from now on, give way to the others: for work
/// in the background that takes all of a processor, since the executor may need the same one.
/// Only Linux knows a priority of one thread; elsewhere this does nothing.
pub fn give_way() {
    /// About a tenth of a processor's time is left when somebody wants it all.
    #[cfg(target_os = "linux")]
    const STEPS: i32 = 10;
    // A kernel that refuses leaves the priority as it is: nothing but time is lost.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(STEPS);
}

/// Resident memory in bytes.
pub fn resident_bytes() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0);
    pages * 4096
}

/// The machine's memory in bytes.
pub fn total_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("MemTotal:")).unwrap_or_default();
    line.split_ascii_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// `Linux 6.1.0 x86_64`.
pub fn os() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("Linux {} {}", release.trim(), std::env::consts::ARCH)
}

/// The allocator's statistics, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allocator {
    /// Handed out to the program, without what threads keep for their next requests.
    pub allocated: u64,
    /// In pages that hold something.
    pub active: u64,
    /// Mapped and resident.
    pub resident: u64,
}

/// Reads the allocator's statistics.
pub fn allocator() -> Allocator {
    use tikv_jemalloc_ctl::{Access, AsName, epoch, stats};
    // All arenas together. What threads keep at hand is free, but counts as allocated.
    const CACHED: &[u8] = b"stats.arenas.4096.tcache_bytes\0";
    // Statistics are cached in the allocator until the epoch advances.
    let _ = epoch::advance();
    let read = |value: Result<usize, _>| value.unwrap_or(0) as u64;
    Allocator {
        allocated: read(stats::allocated::read()).saturating_sub(read(CACHED.name().read())),
        active: read(stats::active::read()),
        resident: read(stats::resident::read()),
    }
}

const OOM_SCORE: &str = "/proc/self/oom_score_adj";

/// The score from before this process changed it, while it is changed.
static OOM_BASE: Mutex<Option<i32>> = Mutex::new(None);

/// Sets how soon this process is ended when memory runs out: to `score`, or by so much more than it
/// was before.
///
/// # Errors
/// If the system doesn't allow it.
pub fn set_oom_score(score: i32, relative: bool) -> std::io::Result<()> {
    let mut base = OOM_BASE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = match *base {
        Some(before) => before,
        None => fs::read_to_string(OOM_SCORE)?.trim().parse().unwrap_or(0),
    };
    let score = if relative { before.saturating_add(score) } else { score };
    fs::write(OOM_SCORE, score.clamp(-1000, 1000).to_string())?;
    *base = Some(before);
    Ok(())
}

/// Sets the score to what it was before it was changed, if it was.
///
/// # Errors
/// If the system doesn't allow it.
pub fn restore_oom_score() -> std::io::Result<()> {
    let mut base = OOM_BASE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(before) = *base {
        fs::write(OOM_SCORE, before.to_string())?;
        *base = None;
    }
    Ok(())
}

/// The allocator's own report, as it prints it.
pub fn allocator_report() -> Vec<u8> {
    use tikv_jemalloc_ctl::stats_print::{Options, stats_print};
    let mut report = Vec::new();
    let _ = stats_print(&mut report, Options::default());
    report
}

/// Gives the allocator's free pages back to the system; says whether it could.
pub fn purge_allocator() -> bool {
    use tikv_jemalloc_ctl::{Access, AsName, Mib, Result, arenas};
    const ARENA: usize = 1;
    // A decay time of zero purges at once; the old one is set again afterwards.
    let purge = |decay: &'static [u8]| -> Result<()> {
        let mut decay: Mib<[usize; 3]> = decay.name().mib()?;
        for arena in 0..arenas::narenas::read()? {
            decay[ARENA] = arena as usize;
            // An arena that was never used has nothing to give.
            let before: isize = match decay.read() {
                Ok(before) => before,
                Err(_) => continue,
            };
            decay.write(0isize)?;
            decay.write(before)?;
        }
        Ok(())
    };
    let _ = tikv_jemalloc_ctl::epoch::advance();
    purge(b"arena.0.dirty_decay_ms\0").and_then(|()| purge(b"arena.0.muzzy_decay_ms\0")).is_ok()
}
