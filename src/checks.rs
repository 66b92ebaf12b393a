//! `--check-system` and `--test-memory`: what may be wrong with the machine.
//!
//! Owns the checks and their report. Never changes a setting of the system.

use std::fs;
use std::io::{self, Write};

use crate::util::clock::{Clock, SystemClock};

/// Rounds of a test of memory.
const ROUNDS: u32 = 50;

/// A check: its name, and what is wrong and could be done, if something is.
type Check = (&'static str, fn() -> Option<String>);

/// The word of a pattern at a place, salted.
type Pattern = fn(u64, u64) -> u64;

const CHECKS: &[Check] = &[
    ("slow-clocksource", slow_clock),
    ("xen-clocksource", xen_clock),
    ("overcommit", overcommit),
    ("THP", huge_pages),
];

/// Runs all checks and reports each; says whether the system passed them.
pub fn check_system(out: &mut impl Write) -> io::Result<bool> {
    let mut passed = true;
    for (name, check) in CHECKS {
        match check() {
            None => writeln!(out, "[{name}]...OK")?,
            Some(advice) => {
                passed = false;
                writeln!(out, "[{name}]...WARNING:\n{advice}")?;
            }
        }
    }
    Ok(passed)
}

/// The content of a file of the kernel's, if there is one.
fn kernel(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn clock_source() -> Option<String> {
    kernel("/sys/devices/system/clocksource/clocksource0/current_clocksource")
}

fn slow_clock() -> Option<String> {
    const READINGS: u64 = 100_000;
    const SLOW_NS: u64 = 500;
    let clock = SystemClock;
    let start_ns = clock.mono_ns();
    for _ in 1..READINGS {
        std::hint::black_box(clock.mono_ns());
    }
    let each_ns = clock.mono_ns().saturating_sub(start_ns) / READINGS;
    (each_ns > SLOW_NS).then(|| {
        format!(
            "Reading the clock takes {each_ns} ns, so the clock source '{}' asks the kernel each \
             time. A faster one, such as tsc, is chosen by writing its name to \
             /sys/devices/system/clocksource/clocksource0/current_clocksource.",
            clock_source().unwrap_or_default()
        )
    })
}

fn xen_clock() -> Option<String> {
    (clock_source()? == "xen").then(|| {
        "The clock source is 'xen', which is slow. Write 'tsc' to \
         /sys/devices/system/clocksource/clocksource0/current_clocksource."
            .to_owned()
    })
}

fn overcommit() -> Option<String> {
    // Nothing is forked here, so that the kernel's guess (0) is as good as always (1).
    (kernel("/proc/sys/vm/overcommit_memory")? == "2").then(|| {
        "vm.overcommit_memory is 2: the kernel refuses memory that is reserved and not yet used. \
         Run 'sysctl vm.overcommit_memory=1', and set it in /etc/sysctl.conf."
            .to_owned()
    })
}

fn huge_pages() -> Option<String> {
    kernel("/sys/kernel/mm/transparent_hugepage/enabled")?.contains("[always]").then(|| {
        "Transparent huge pages are always used, which costs memory and latency. Run 'echo \
         madvise > /sys/kernel/mm/transparent_hugepage/enabled' as root, also after each boot."
            .to_owned()
    })
}

/// Writes patterns to so many megabytes and reads them again; says whether all came back.
pub fn test_memory(megabytes: usize, out: &mut impl Write) -> io::Result<bool> {
    let words = megabytes.checked_mul((1 << 20) / size_of::<u64>());
    let mut memory: Vec<u64> = Vec::new();
    if words.is_none_or(|words| memory.try_reserve_exact(words).is_err()) {
        writeln!(out, "Unable to allocate {megabytes} megabytes")?;
        return Ok(false);
    }
    memory.resize(words.unwrap_or(0), 0);
    writeln!(out, "Please keep the test running several minutes per GB of memory.")?;
    let mut errors = 0;
    for round in 1..=ROUNDS {
        let mut rng = fastrand::Rng::with_seed(u64::from(round));
        let salt = rng.u64(..);
        let patterns: [(&str, Pattern); 4] = [
            ("addressing", |at, _| at),
            ("random", |at, salt| (at ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            ("solid", |at, _| if at.is_multiple_of(2) { 0 } else { u64::MAX }),
            ("checkerboard", |_, salt| {
                [0x5555_5555_5555_5555, !0x5555_5555_5555_5555][(salt & 1) as usize]
            }),
        ];
        for (name, pattern) in patterns {
            write!(out, "\r{name} [{round}/{ROUNDS}]      ")?;
            out.flush()?;
            for (at, word) in (0..).zip(&mut memory) {
                *word = pattern(at, salt);
            }
            std::hint::black_box(&mut memory);
            errors += (0..).zip(&memory).filter(|&(at, word)| *word != pattern(at, salt)).count();
        }
    }
    match errors {
        0 => writeln!(out, "\nYour memory passed this test.")?,
        _ => writeln!(out, "\n*** MEMORY ERROR: {errors} words read wrong ***")?,
    }
    Ok(errors == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_reported() {
        let mut out = Vec::new();
        let passed = check_system(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        for (name, _) in CHECKS {
            assert!(text.contains(&format!("[{name}]...")), "{text}");
        }
        assert_eq!(passed, !text.contains("WARNING"), "{text}");
    }

    #[test]
    fn memory_that_is_not_there_fails() {
        let mut out = Vec::new();
        assert!(test_memory(1, &mut out).unwrap());
        assert!(!test_memory(usize::MAX, &mut out).unwrap());
        assert!(!test_memory(1 << 40, &mut out).unwrap());
    }
}
