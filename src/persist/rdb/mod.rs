//! RDB: Redis's file of a snapshot, and the payload of DUMP, which is one value of it.
//!
//! Owns the format. Versions 1 to 12 are read. What is written is version 10, which Redis 7.0 reads:
//! nothing that can be stored here needs more. Small collections stand in the file in the very form
//! that they have in memory.

pub mod decode;
pub mod dump;
pub mod encode;
pub mod load;
pub mod lzf;
mod old;
pub mod save;
mod stream;
#[cfg(test)]
mod tests;
pub mod value;

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// The version that is written.
pub const VERSION: u16 = 10;
/// The version that is written where fields of hashes have deadlines, which only Redis 7.4 reads.
pub const VERSION_FIELDS: u16 = 12;
/// The newest version that is read.
pub const VERSION_MAX: u16 = 12;

/// Marks of what follows, beside the types of values.
mod opcode {
    pub const SLOT_INFO: u8 = 244;
    pub const FUNCTION2: u8 = 245;
    pub const FUNCTION_PRE_GA: u8 = 246;
    pub const MODULE_AUX: u8 = 247;
    pub const IDLE: u8 = 248;
    pub const FREQ: u8 = 249;
    pub const AUX: u8 = 250;
    pub const RESIZEDB: u8 = 251;
    pub const EXPIRETIME_MS: u8 = 252;
    pub const EXPIRETIME: u8 = 253;
    pub const SELECTDB: u8 = 254;
    pub const EOF: u8 = 255;
}

/// The forms of values.
mod kind {
    pub const STRING: u8 = 0;
    pub const LIST: u8 = 1;
    pub const SET: u8 = 2;
    pub const ZSET: u8 = 3;
    pub const HASH: u8 = 4;
    pub const ZSET_2: u8 = 5;
    pub const MODULE_PRE_GA: u8 = 6;
    pub const MODULE_2: u8 = 7;
    pub const HASH_ZIPMAP: u8 = 9;
    pub const LIST_ZIPLIST: u8 = 10;
    pub const SET_INTSET: u8 = 11;
    pub const ZSET_ZIPLIST: u8 = 12;
    pub const HASH_ZIPLIST: u8 = 13;
    pub const LIST_QUICKLIST: u8 = 14;
    pub const STREAM_LISTPACKS: u8 = 15;
    pub const HASH_LISTPACK: u8 = 16;
    pub const ZSET_LISTPACK: u8 = 17;
    pub const LIST_QUICKLIST_2: u8 = 18;
    pub const STREAM_LISTPACKS_2: u8 = 19;
    pub const SET_LISTPACK: u8 = 20;
    pub const STREAM_LISTPACKS_3: u8 = 21;
    pub const HASH_METADATA_PRE_GA: u8 = 22;
    pub const HASH_LISTPACK_EX_PRE_GA: u8 = 23;
    pub const HASH_METADATA: u8 = 24;
    pub const HASH_LISTPACK_EX: u8 = 25;

    /// What redis-check-rdb calls a form, if it is one.
    pub fn name(kind: u8) -> Option<&'static str> {
        Some(match kind {
            STRING => "string",
            LIST => "list-linked",
            SET => "set-hashtable",
            ZSET => "zset-v1",
            HASH => "hash-hashtable",
            ZSET_2 => "zset-v2",
            MODULE_PRE_GA => "module-pre-release",
            MODULE_2 => "module-value",
            HASH_ZIPMAP => "hash-zipmap",
            LIST_ZIPLIST => "list-ziplist",
            SET_INTSET => "set-intset",
            ZSET_ZIPLIST => "zset-ziplist",
            HASH_ZIPLIST => "hash-ziplist",
            LIST_QUICKLIST => "quicklist",
            STREAM_LISTPACKS => "stream",
            HASH_LISTPACK => "hash-listpack",
            ZSET_LISTPACK => "zset-listpack",
            LIST_QUICKLIST_2 => "quicklist-v2",
            STREAM_LISTPACKS_2 => "stream-v2",
            SET_LISTPACK => "set-listpack",
            STREAM_LISTPACKS_3 => "stream-v3",
            HASH_METADATA_PRE_GA => "hash-hashtable-md-pre-release",
            HASH_LISTPACK_EX_PRE_GA => "hash-listpack-md-pre-release",
            HASH_METADATA => "hash-hashtable-md",
            HASH_LISTPACK_EX => "hash-listpack-md",
            _ => return None,
        })
    }
}

/// Forms of strings that a length announces.
mod form {
    pub const INT8: u8 = 0;
    pub const INT16: u8 = 1;
    pub const INT32: u8 = 2;
    pub const LZF: u8 = 3;
}

/// What is known of a key's last accesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// Nothing.
    #[default]
    Unknown,
    /// Seconds since the last one.
    Idle(u64),
    /// The logarithmic counter of the LFU policies.
    Freq(u8),
}

/// What a save or load and those who wait for it share.
#[derive(Debug, Default)]
pub struct Progress {
    /// Keys done so far.
    pub keys: AtomicU64,
    /// Bytes done so far.
    pub bytes: AtomicU64,
    /// Microseconds to wait after each key, for tests; if negative, one microsecond after as many
    /// keys, on average.
    pub key_delay_us: AtomicI64,
    /// Information about the file that a load has met and nobody has looked at yet: names and
    /// values.
    pub aux: Mutex<Vec<(Vec<u8>, Vec<u8>)>>,
    state: AtomicU8,
}

/// Going on.
const RUNNING: u8 = 0;
/// Told to end.
const STOPPED: u8 = 1;
/// At the point from which it can't be stopped.
const COMMITTED: u8 = 2;

impl Progress {
    /// Has the save or load end as soon as it looks, without success; says whether that was in
    /// time: a save whose file is whole goes on and succeeds.
    pub fn stop(&self) -> bool {
        self.settle(STOPPED)
    }

    /// Says whether a save may put its file in place; it can't be stopped any more then.
    pub(in crate::persist) fn commit(&self) -> bool {
        self.settle(COMMITTED)
    }

    fn settle(&self, to: u8) -> bool {
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        match self.state.compare_exchange(RUNNING, to, success, failure) {
            Ok(_) => true,
            Err(is) => is == to,
        }
    }

    /// Whether it was told to end.
    #[inline]
    pub fn is_stopped(&self) -> bool {
        self.state.load(Ordering::Relaxed) == STOPPED
    }

    /// Waits as a test asked for, unless told to end.
    #[inline]
    pub(in crate::persist) fn delay(&self) {
        let us = self.key_delay_us.load(Ordering::Relaxed);
        if us != 0 {
            self.delay_by(us);
        }
    }

    #[cold]
    fn delay_by(&self, us: i64) {
        /// The longest sleep between two looks at whether to end.
        const NAP_US: u64 = 10_000;
        let mut left = match u64::try_from(us) {
            Ok(us) => us,
            Err(_) => u64::from(fastrand::u64(..us.unsigned_abs()) == 0),
        };
        while left > 0 && !self.is_stopped() {
            let nap = left.min(NAP_US);
            std::thread::sleep(Duration::from_micros(nap));
            // A test may have changed its mind meanwhile.
            left = match self.key_delay_us.load(Ordering::Relaxed) == us {
                true => left - nap,
                false => 0,
            };
        }
    }
}
