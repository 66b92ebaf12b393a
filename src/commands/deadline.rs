//! What words say of when a key or field expires: `EX 10`, `PXAT ...`, KEEPTTL, PERSIST.
//!
//! Owns the units and the arithmetic. What is refused, and by which error, is the commands'.

/// What an option says of expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expiry {
    /// No option: what sets a value removes the deadline, what reads it leaves it.
    Unsaid,
    /// KEEPTTL
    Keep,
    /// PERSIST
    Remove,
    /// At this time in Unix milliseconds.
    At(i64),
}

/// How a number means a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unit {
    /// Seconds, not milliseconds.
    pub seconds: bool,
    /// From now on, not since 1970.
    pub relative: bool,
}

impl Unit {
    /// Of an option: EX, PX, EXAT, PXAT.
    pub fn of_option(word: &[u8]) -> Option<Self> {
        let unit = |seconds, relative| Some(Self { seconds, relative });
        match () {
            () if word.eq_ignore_ascii_case(b"ex") => unit(true, true),
            () if word.eq_ignore_ascii_case(b"px") => unit(false, true),
            () if word.eq_ignore_ascii_case(b"exat") => unit(true, false),
            () if word.eq_ignore_ascii_case(b"pxat") => unit(false, false),
            () => None,
        }
    }

    /// The deadline that a number means, in Unix milliseconds; `None` if there is no such time.
    pub fn deadline(self, number: i64, now_ms: i64) -> Option<i64> {
        let ms = if self.seconds { number.checked_mul(1000)? } else { number };
        if self.relative { ms.checked_add(now_ms) } else { Some(ms) }
    }
}
