//! What a command is, as data: flags, key specifications, groups, ACL categories.
//!
//! Owns the metadata types that COMMAND, MULTI, scripts and ACL checks read, and the derivation of
//! keys from arguments. Knows no command and no handler.

mod keys;
pub mod syntax;

pub use keys::{Find, KeyFlags, KeyRange, KeySpec, Keys, Search, key_positions};

bitflags::bitflags! {
    /// The command flags of `COMMAND INFO`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Flags: u32 {
        /// May modify the keyspace.
        const WRITE = 1 << 0;
        /// Never modifies the keyspace.
        const READONLY = 1 << 1;
        /// May grow memory: refused when over `maxmemory`.
        const DENYOOM = 1 << 2;
        /// Administration.
        const ADMIN = 1 << 3;
        /// Publish and subscribe.
        const PUBSUB = 1 << 4;
        /// Not allowed in scripts.
        const NOSCRIPT = 1 << 5;
        /// May block the client.
        const BLOCKING = 1 << 6;
        /// Allowed while the dataset is loading.
        const LOADING = 1 << 7;
        /// Allowed on a replica with stale data.
        const STALE = 1 << 8;
        /// Not shown to MONITOR.
        const SKIP_MONITOR = 1 << 9;
        /// Not logged by SLOWLOG.
        const SKIP_SLOWLOG = 1 << 10;
        /// Constant or logarithmic time.
        const FAST = 1 << 11;
        /// Needs no authentication.
        const NO_AUTH = 1 << 12;
        /// Key positions can't be told by the key specifications alone.
        const MOVABLEKEYS = 1 << 13;
        /// Allowed while a script is busy.
        const ALLOW_BUSY = 1 << 14;
        /// Not allowed between MULTI and EXEC.
        const NO_MULTI = 1 << 15;
        /// May be replicated though it writes nothing (EVAL, PUBLISH).
        const MAY_REPLICATE = 1 << 16;
        /// Runs on the replica's link without ASKING.
        const ASKING = 1 << 17;
        /// Key arguments are optional.
        const NO_MANDATORY_KEYS = 1 << 18;
        /// May run on replicas without blocking (`no-async-loading`).
        const NO_ASYNC_LOADING = 1 << 19;
        /// Its client keeps no touch of the keys' access clocks.
        const TOUCHES_ARBITRARY_KEYS = 1 << 20;
        /// For the server's own use and its tests' (`syscmd`).
        const SYSTEM = 1 << 21;
        /// `enable-debug-command` or `enable-module-command` says who may call it.
        const PROTECTED = 1 << 22;
    }
}

impl Flags {
    /// The names that `COMMAND INFO` shows, in its order; those it doesn't show have none.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        const NAMES: [(Flags, &str); 19] = [
            (Flags::WRITE, "write"),
            (Flags::READONLY, "readonly"),
            (Flags::DENYOOM, "denyoom"),
            (Flags::ADMIN, "admin"),
            (Flags::PUBSUB, "pubsub"),
            (Flags::NOSCRIPT, "noscript"),
            (Flags::BLOCKING, "blocking"),
            (Flags::LOADING, "loading"),
            (Flags::STALE, "stale"),
            (Flags::SKIP_MONITOR, "skip_monitor"),
            (Flags::SKIP_SLOWLOG, "skip_slowlog"),
            (Flags::ASKING, "asking"),
            (Flags::FAST, "fast"),
            (Flags::NO_AUTH, "no_auth"),
            (Flags::NO_MANDATORY_KEYS, "no_mandatory_keys"),
            (Flags::NO_ASYNC_LOADING, "no_async_loading"),
            (Flags::NO_MULTI, "no_multi"),
            (Flags::MOVABLEKEYS, "movablekeys"),
            (Flags::ALLOW_BUSY, "allow_busy"),
        ];
        NAMES.into_iter().filter(move |(flag, _)| self.contains(*flag)).map(|(_, name)| name)
    }
}

bitflags::bitflags! {
    /// ACL categories (`@read`, `@string`, ...).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Category: u32 {
        /// `@keyspace`
        const KEYSPACE = 1 << 0;
        /// `@read`
        const READ = 1 << 1;
        /// `@write`
        const WRITE = 1 << 2;
        /// `@set`
        const SET = 1 << 3;
        /// `@sortedset`
        const SORTEDSET = 1 << 4;
        /// `@list`
        const LIST = 1 << 5;
        /// `@hash`
        const HASH = 1 << 6;
        /// `@string`
        const STRING = 1 << 7;
        /// `@bitmap`
        const BITMAP = 1 << 8;
        /// `@hyperloglog`
        const HYPERLOGLOG = 1 << 9;
        /// `@geo`
        const GEO = 1 << 10;
        /// `@stream`
        const STREAM = 1 << 11;
        /// `@pubsub`
        const PUBSUB = 1 << 12;
        /// `@admin`
        const ADMIN = 1 << 13;
        /// `@fast`
        const FAST = 1 << 14;
        /// `@slow`
        const SLOW = 1 << 15;
        /// `@blocking`
        const BLOCKING = 1 << 16;
        /// `@dangerous`
        const DANGEROUS = 1 << 17;
        /// `@connection`
        const CONNECTION = 1 << 18;
        /// `@transaction`
        const TRANSACTION = 1 << 19;
        /// `@scripting`
        const SCRIPTING = 1 << 20;
    }
}

impl Category {
    /// Every category and its name, without the `@`, in the order of `ACL CAT`.
    pub const NAMES: [(Category, &'static str); 21] = [
        (Category::KEYSPACE, "keyspace"),
        (Category::READ, "read"),
        (Category::WRITE, "write"),
        (Category::SET, "set"),
        (Category::SORTEDSET, "sortedset"),
        (Category::LIST, "list"),
        (Category::HASH, "hash"),
        (Category::STRING, "string"),
        (Category::BITMAP, "bitmap"),
        (Category::HYPERLOGLOG, "hyperloglog"),
        (Category::GEO, "geo"),
        (Category::STREAM, "stream"),
        (Category::PUBSUB, "pubsub"),
        (Category::ADMIN, "admin"),
        (Category::FAST, "fast"),
        (Category::SLOW, "slow"),
        (Category::BLOCKING, "blocking"),
        (Category::DANGEROUS, "dangerous"),
        (Category::CONNECTION, "connection"),
        (Category::TRANSACTION, "transaction"),
        (Category::SCRIPTING, "scripting"),
    ];

    /// The categories that follow from a command's flags, beside those its row names.
    pub fn derived(self, flags: Flags) -> Self {
        let mut all = self;
        all.set(Self::WRITE, self.contains(Self::WRITE) || flags.contains(Flags::WRITE));
        if flags.contains(Flags::READONLY) && !self.contains(Self::SCRIPTING) {
            all |= Self::READ;
        }
        if flags.contains(Flags::ADMIN) {
            all |= Self::ADMIN | Self::DANGEROUS;
        }
        if flags.contains(Flags::PUBSUB) {
            all |= Self::PUBSUB;
        }
        if flags.contains(Flags::BLOCKING) {
            all |= Self::BLOCKING;
        }
        all | if flags.contains(Flags::FAST) { Self::FAST } else { Self::SLOW }
    }
}

/// The group of a command in the documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Group {
    Generic,
    String,
    List,
    Set,
    SortedSet,
    Hash,
    PubSub,
    Transactions,
    Connection,
    Server,
    Scripting,
    HyperLogLog,
    Cluster,
    Geo,
    Stream,
    Bitmap,
}

impl Group {
    /// Whether its commands mostly look for a member or a place in a value that stands apart.
    pub fn looks_inside(self) -> bool {
        matches!(
            self,
            Self::List
                | Self::Hash
                | Self::Set
                | Self::SortedSet
                | Self::Bitmap
                | Self::HyperLogLog
        )
    }

    /// The name that `COMMAND DOCS` shows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::String => "string",
            Self::List => "list",
            Self::Set => "set",
            Self::SortedSet => "sorted-set",
            Self::Hash => "hash",
            Self::PubSub => "pubsub",
            Self::Transactions => "transactions",
            Self::Connection => "connection",
            Self::Server => "server",
            Self::Scripting => "scripting",
            Self::HyperLogLog => "hyperloglog",
            Self::Cluster => "cluster",
            Self::Geo => "geo",
            Self::Stream => "stream",
            Self::Bitmap => "bitmap",
        }
    }
}

/// Which arguments of a command are channels, for the check of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channels {
    /// None, or channels that anybody may name (UNSUBSCRIBE).
    None,
    /// The argument at this index.
    One(usize),
    /// All from this index on.
    From(usize),
    /// All from this index on, and they are patterns.
    PatternsFrom(usize),
}

impl Channels {
    /// The indices of a call with `len` arguments, and whether these are patterns.
    pub fn range(self, len: usize) -> (std::ops::Range<usize>, bool) {
        match self {
            Self::None => (0..0, false),
            Self::One(at) => (at..(at + 1).min(len), false),
            Self::From(at) => (at..len, false),
            Self::PatternsFrom(at) => (at..len, true),
        }
    }
}
