//! Owns the settings that are one word of a fixed list, and the flags of keyspace notifications.
//! Never holds a setting's current value: that is `Config`.

/// Declares an enum whose variants are directive words. Further words of a variant are synonyms;
/// the first is what CONFIG GET shows. Words are listed in the order in which errors list them.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($word:literal => $variant:ident,)+ }
     shown { $($variant_shown:ident = $shown:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $(#[doc = concat!("`", $shown, "`")] $variant_shown,)+ }

        impl $name {
            /// Accepted words, in the order in which errors list them.
            pub const WORDS: &'static [&'static str] = &[$($word),+];
            /// What each of `WORDS` means.
            pub const VALUES: &'static [Self] = &[$(Self::$variant),+];

            /// The word that CONFIG GET shows.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant_shown => $shown,)+ }
            }
        }
    };
    ($(#[$doc:meta])* $name:ident { $($word:literal => $variant:ident,)+ }) => {
        words! { $(#[$doc])* $name { $($word => $variant,)+ } shown { $($variant = $word,)+ } }
    };
}

words! {
    /// Least severity that is logged.
    #[derive(PartialOrd, Ord)]
    LogLevel {
        "debug" => Debug, "verbose" => Verbose, "notice" => Notice, "warning" => Warning,
        "nothing" => Nothing,
    }
}
words! {
    /// What is removed when `maxmemory` is reached.
    MaxmemoryPolicy {
        "volatile-lru" => VolatileLru, "volatile-lfu" => VolatileLfu,
        "volatile-random" => VolatileRandom, "volatile-ttl" => VolatileTtl,
        "allkeys-lru" => AllkeysLru, "allkeys-lfu" => AllkeysLfu,
        "allkeys-random" => AllkeysRandom, "noeviction" => Noeviction,
    }
}
impl MaxmemoryPolicy {
    /// Whether keys are chosen by the time of their last access.
    pub fn is_lru(self) -> bool {
        matches!(self, Self::VolatileLru | Self::AllkeysLru)
    }
}
words! {
    /// When the append-only file is synced.
    AppendFsync { "everysec" => Everysec, "always" => Always, "no" => No, }
}
words! {
    /// Which service manager is notified.
    Supervised { "upstart" => Upstart, "systemd" => Systemd, "auto" => Auto, "no" => No, }
}
words! {
    /// Facility of the system log.
    SyslogFacility {
        "user" => User, "local0" => Local0, "local1" => Local1, "local2" => Local2,
        "local3" => Local3, "local4" => Local4, "local5" => Local5, "local6" => Local6,
        "local7" => Local7,
    }
}
words! {
    /// How a replica loads a full sync.
    ReplDisklessLoad { "disabled" => Disabled, "on-empty-db" => OnEmptyDb, "swapdb" => Swapdb, }
}
words! {
    /// How the kernel's OOM score is set.
    OomScoreAdj {
        "no" => No, "yes" => Relative, "relative" => Relative, "absolute" => Absolute,
    }
    shown { No = "no", Relative = "yes", Absolute = "absolute", }
}
words! {
    /// Channels that a new user may use.
    AclPubsubDefault { "allchannels" => Allchannels, "resetchannels" => Resetchannels, }
}
words! {
    /// Whose payloads are checked in full.
    SanitizePayload { "no" => No, "yes" => Yes, "clients" => Clients, }
}
words! {
    /// Who may do something dangerous.
    Allow { "no" => No, "yes" => Yes, "local" => Local, }
}
words! {
    /// Whether TLS clients must show a certificate.
    TlsAuthClients { "no" => No, "yes" => Yes, "optional" => Optional, }
}
words! {
    /// What a cluster redirection names.
    EndpointType {
        "ip" => Ip, "hostname" => Hostname, "unknown-endpoint" => UnknownEndpoint,
    }
}
words! {
    /// What follows a failed command of the replication stream or the append-only file.
    PropagationError {
        "ignore" => Ignore, "panic" => Panic, "panic-on-replicas" => PanicOnReplicas,
    }
}

impl Allow {
    /// Whether a client may act; `local` says that it came over loopback or the Unix socket.
    pub const fn permits(self, local: bool) -> bool {
        match self {
            Self::No => false,
            Self::Yes => true,
            Self::Local => local,
        }
    }
}

/// Flags of `notify-keyspace-events`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotifyFlags(u16);

impl NotifyFlags {
    /// Nothing is published.
    pub const NONE: Self = Self(0);
    /// `K`: publish to `__keyspace@<db>__:<key>`.
    pub const KEYSPACE: Self = Self(1);
    /// `E`: publish to `__keyevent@<db>__:<event>`.
    pub const KEYEVENT: Self = Self(1 << 1);
    /// `g`: commands of no particular type.
    pub const GENERIC: Self = Self(1 << 2);
    /// `$`: strings.
    pub const STRING: Self = Self(1 << 3);
    /// `l`: lists.
    pub const LIST: Self = Self(1 << 4);
    /// `s`: sets.
    pub const SET: Self = Self(1 << 5);
    /// `h`: hashes.
    pub const HASH: Self = Self(1 << 6);
    /// `z`: sorted sets.
    pub const ZSET: Self = Self(1 << 7);
    /// `x`: a key expired.
    pub const EXPIRED: Self = Self(1 << 8);
    /// `e`: a key was evicted.
    pub const EVICTED: Self = Self(1 << 9);
    /// `t`: streams.
    pub const STREAM: Self = Self(1 << 10);
    /// `m`: a key was looked up in vain. Not part of `A`.
    pub const KEY_MISS: Self = Self(1 << 11);
    /// `d`: module types.
    pub const MODULE: Self = Self(1 << 12);
    /// `n`: a key was created. Not part of `A`.
    pub const NEW: Self = Self(1 << 13);
    /// `A`: every class of `g$lshzxetd`.
    pub const ALL: Self = Self(
        Self::GENERIC.0
            | Self::STRING.0
            | Self::LIST.0
            | Self::SET.0
            | Self::HASH.0
            | Self::ZSET.0
            | Self::EXPIRED.0
            | Self::EVICTED.0
            | Self::STREAM.0
            | Self::MODULE.0,
    );

    /// Letters of the classes within `A`, in the order in which they are shown.
    const CLASSES: [(u8, Self); 10] = [
        (b'g', Self::GENERIC),
        (b'$', Self::STRING),
        (b'l', Self::LIST),
        (b's', Self::SET),
        (b'h', Self::HASH),
        (b'z', Self::ZSET),
        (b'x', Self::EXPIRED),
        (b'e', Self::EVICTED),
        (b't', Self::STREAM),
        (b'd', Self::MODULE),
    ];
    /// Letters outside `A`, in the order in which they are shown.
    const EXTRAS: [(u8, Self); 4] =
        [(b'n', Self::NEW), (b'K', Self::KEYSPACE), (b'E', Self::KEYEVENT), (b'm', Self::KEY_MISS)];

    /// The flags of a string of letters; `None` if a letter is unknown.
    pub fn parse(letters: &[u8]) -> Option<Self> {
        letters.iter().try_fold(Self::NONE, |flags, letter| {
            let all = (b'A', Self::ALL);
            let mut known = Self::CLASSES.iter().chain(&Self::EXTRAS).chain([&all]);
            known.find(|(known, _)| known == letter).map(|(_, flag)| flags.with(*flag))
        })
    }

    /// The letters in Redis's order, with `A` for all classes together.
    pub fn letters(self) -> String {
        let classes: &[_] =
            if self.contains(Self::ALL) { &[(b'A', Self::ALL)] } else { &Self::CLASSES };
        let set = classes.iter().chain(&Self::EXTRAS).filter(|(_, flag)| self.contains(*flag));
        set.map(|(letter, _)| char::from(*letter)).collect()
    }

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every flag of `other` is set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any flag of `other` is set.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether nothing is published.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}
