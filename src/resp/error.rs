//! Error replies: one type, and every text in one place.
//!
//! Owns the exact bytes of each error a client can get. Never decides when an error applies, and
//! never lets client input break the line: what is quoted in a text is cleaned on writing.

use std::fmt;

/// Makes the fixed texts: one variant, one text, one `match`.
macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// An error reply. Its text (without the leading `-`) is what [`fmt::Display`] prints.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Error {
            $(#[doc = $text] $(#[$doc])* $name,)*
            /// Wrong number of arguments for the named command (`get`, or `client|kill`).
            WrongArity(Box<str>),
            /// An invalid expire time in the named command.
            InvalidExpire(&'static str),
            /// Any other text: code first, such as `ERR something is wrong`.
            Other(Box<str>),
            /// The same with bytes that a client sent.
            Quoting(Box<[u8]>),
        }

        impl Error {
            fn fixed(&self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($text),)*
                    Self::WrongArity(_)
                    | Self::InvalidExpire(_)
                    | Self::Other(_)
                    | Self::Quoting(_) => None,
                }
            }
        }
    };
}

errors! {
    WrongType => "WRONGTYPE Operation against a key holding the wrong kind of value",
    Syntax => "ERR syntax error",
    NotInteger => "ERR value is not an integer or out of range",
    NotFloat => "ERR value is not a valid float",
    IntOutOfRange => "ERR value is out of range, value must between -2147483648 and 2147483647",
    CountOutOfRange => "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
    HashNotInteger => "ERR hash value is not an integer",
    HashNotFloat => "ERR hash value is not a float",
    ValueNanOrInfinity => "ERR value is NaN or Infinity",
    LimitNegative => "ERR LIMIT can't be negative",
    NotDouble => "ERR One or more scores can't be converted into double",
    NotPositive => "ERR value is out of range, must be positive",
    OutOfRange => "ERR value is out of range",
    Overflow => "ERR increment or decrement would overflow",
    DecrOverflow => "ERR decrement would overflow",
    NanOrInfinity => "ERR increment would produce NaN or Infinity",
    ExpireNx => "ERR NX and XX, GT or LT options at the same time are not compatible",
    ExpireGtLt => "ERR GT and LT options at the same time are not compatible",
    NoSuchKey => "ERR no such key",
    SameObject => "ERR source and destination objects are the same",
    IndexOutOfRange => "ERR index out of range",
    OffsetOutOfRange => "ERR offset is out of range",
    StringTooLong => "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
    BitOffset => "ERR bit offset is not an integer or out of range",
    BitValue => "ERR bit is not an integer or out of range",
    BitArgument => "ERR The bit argument must be 1 or 0.",
    BitopNot => "ERR BITOP NOT must be called with a single source key.",
    BitfieldType => "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
    BitfieldOverflow => "ERR Invalid OVERFLOW type specified",
    BitfieldReadOnly => "ERR BITFIELD_RO only supports the GET subcommand",
    MsetexNumkeys => "ERR invalid numkeys value",
    FieldsMissing => "ERR Mandatory argument FIELDS is missing or not at the right position",
    FieldsNumber => "ERR The `numfields` parameter must match the number of arguments",
    NumFields => "ERR Parameter `numFields` should be greater than 0",
    FieldsPositive => "ERR Number of fields must be a positive integer",
    FieldsInvalid => "ERR invalid number of fields",
    FieldsAbsent => "ERR missing FIELDS argument",
    FieldExpireNegative => "ERR invalid expire time, must be >= 0",
    HgetexExpiry => "ERR Only one of EX, PX, EXAT, PXAT or PERSIST arguments can be specified",
    HsetexExpiry => "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified",
    HsetexCondition => "ERR Only one of FXX or FNX arguments can be specified",
    GeoUnit => "ERR unsupported unit provided. please use M, KM, FT, MI",
    GeoMember => "ERR could not decode requested zset member",
    GeoRadius => "ERR need numeric radius",
    GeoRadiusNegative => "ERR radius cannot be negative",
    GeoWidth => "ERR need numeric width",
    GeoHeight => "ERR need numeric height",
    GeoBoxNegative => "ERR height or width cannot be negative",
    GeoCount => "ERR COUNT must be > 0",
    GeoAny => "ERR the ANY argument requires COUNT argument",
    GeoSearchStoreWith => "ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
    GeoRadiusStoreWith => "ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
    NotHll => "WRONGTYPE Key is not a valid HyperLogLog string value.",
    CorruptHll => "INVALIDOBJ Corrupted HLL object detected",
    HllNotSparse => "ERR HLL encoding is not sparse",
    NoSpecifiedKey => "ERR The specified key does not exist",
    InvalidDb => "ERR invalid DB index",
    DbOutOfRange => "ERR DB index is out of range",
    LposRankZero => "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list",
    LposRankRange => "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
    LposCount => "ERR COUNT can't be negative",
    LposMaxlen => "ERR MAXLEN can't be negative",
    CountPositive => "ERR count should be greater than 0",
    ZaddNxXx => "ERR XX and NX options at the same time are not compatible",
    ZaddGtLtNx => "ERR GT, LT, and/or NX options at the same time are not compatible",
    ZaddIncrPair => "ERR INCR option supports a single increment-element pair",
    ScoreNan => "ERR resulting score is not a number (NaN)",
    MinMaxNotFloat => "ERR min or max is not a float",
    LexRange => "ERR min or max not valid string range item",
    LimitUnit => "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
    WithscoresLex => "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
    WeightNotFloat => "ERR weight value is not a float",
    InvalidCursor => "ERR invalid cursor",
    StreamId => "ERR Invalid stream ID specified as stream command argument",
    StreamRangeStart => "ERR invalid start ID for the interval",
    StreamRangeEnd => "ERR invalid end ID for the interval",
    StreamTrimTwice => "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
    StreamTrimMissing => "ERR syntax error, XTRIM must be called with a trimming strategy",
    StreamMaxlenNegative => "ERR The MAXLEN argument must be >= 0.",
    StreamLimitNegative => "ERR The LIMIT argument must be >= 0.",
    StreamLimitAlone => "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
    StreamLimitExact => "ERR syntax error, LIMIT cannot be used without the special ~ option",
    XaddZero => "ERR The ID specified in XADD must be greater than 0-0",
    XaddNotLater => "ERR The ID specified in XADD is equal or smaller than the target stream top item",
    XaddExhausted => "ERR The stream has exhausted the last possible ID, unable to add more items",
    XaddTooLarge => "ERR Elements are too large to be stored",
    XreadGroup => "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.",
    XreadNoack => "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.",
    XreadNew => "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
    XreadgroupNoGroup => "ERR Missing GROUP option for XREADGROUP",
    XreadgroupEnd => "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.",
    XreadgroupLast => "ERR The + ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The + ID would just return an empty result set.",
    XgroupNoKey => "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.",
    XgroupEntriesRead => "ERR value for ENTRIESREAD must be positive or -1",
    BusyGroup => "BUSYGROUP Consumer Group name already exists",
    XsetidAdded => "ERR entries_added must be positive",
    XsetidDeleted => "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
    XsetidCurrent => "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id",
    XsetidTop => "ERR The ID specified in XSETID is smaller than the target stream top item",
    XsetidLength => "ERR The entries_added specified in XSETID is smaller than the target stream length",
    XclaimMinIdle => "ERR Invalid min-idle-time argument for XCLAIM",
    XclaimIdle => "ERR Invalid IDLE option argument for XCLAIM",
    XclaimTime => "ERR Invalid TIME option argument for XCLAIM",
    XclaimRetryCount => "ERR Invalid RETRYCOUNT option argument for XCLAIM",
    XautoclaimMinIdle => "ERR Invalid min-idle-time argument for XAUTOCLAIM",
    XautoclaimCount => "ERR COUNT must be > 0",
    TimeoutNotFloat => "ERR timeout is not a float or out of range",
    TimeoutNotInteger => "ERR timeout is not an integer or out of range",
    TimeoutNegative => "ERR timeout is negative",
    TimeoutOutOfRange => "ERR timeout is out of range",
    NumKeysPositive => "ERR numkeys should be greater than 0",
    NumKeysNegative => "ERR Number of keys can't be negative",
    NumKeysTooMany => "ERR Number of keys can't be greater than number of args",
    NoConfigFile => "ERR The server is running without a config file",
    ShutdownFailed => "ERR Errors trying to SHUTDOWN. Check logs.",
    SaveInProgress => "ERR Background save already in progress",
    SaveFailed => "ERR",
    ChildActive => "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a BGSAVE whenever possible.",
    Misconf => "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that may modify the data set are disabled, because this instance is configured to report errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB error.",
    ScriptMisconf => "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Writable scripts are blocked. Use 'no-writes' flag for read only scripts.",
    BusyKey => "BUSYKEY Target key name already exists.",
    DumpFooter => "ERR DUMP payload version or checksum are wrong",
    DumpFormat => "ERR Bad data format",
    MigrateConnect => "IOERR error or timeout connecting to the client",
    MigrateWrite => "IOERR error or timeout writing to target instance",
    MigrateRead => "IOERR error or timeout reading from target instance",
    MigrateKeys => "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string",
    MigrateChanged => "ERR Some keys were changed while they were being sent: these stay here",
    RestoreTtl => "ERR Invalid TTL value, must be >= 0",
    RestoreIdletime => "ERR Invalid IDLETIME value, must be >= 0",
    RestoreFreq => "ERR Invalid FREQ value, must be >= 0 and <= 255",
    NoShutdown => "ERR No shutdown in progress.",
    NoAuth => "NOAUTH Authentication required.",
    NoAuthMultibulk => "ERR Protocol error: unauthenticated multibulk length",
    NoAuthBulk => "ERR Protocol error: unauthenticated bulk length",
    ExecNoCommand => "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason: no permission to execute the command or subcommand",
    ExecNoKey => "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason: no permission to touch the specified keys",
    ExecNoChannel => "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason: no permission to access one of the channels used as argument to the command",
    NoAclFile => "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.",
    AclNotSaved => "ERR There was an error trying to save the ACLs. Please check the server logs for more information",
    AclUserName => "ERR Usernames can't contain spaces or null characters",
    AclDefaultUser => "ERR The 'default' user cannot be removed",
    AclGenpass => "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096",
    SortByDenied => "ERR BY option of SORT denied due to insufficient ACL permissions.",
    SortGetDenied => "ERR GET option of SORT denied due to insufficient ACL permissions.",
    WrongPass => "WRONGPASS invalid username-password pair or user is disabled.",
    AuthNoPassword => "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
    InvalidClientId => "ERR Invalid client ID",
    ClientIdPositive => "ERR client-id should be greater than 0",
    NoSuchClient => "ERR No such client",
    UnblockReason => "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR",
    PauseMode => "ERR CLIENT PAUSE mode must be WRITE or ALL",
    ClientName => "ERR Client names cannot contain spaces, newlines or special characters.",
    HelloNoAuth => "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
    NoProto => "NOPROTO unsupported protocol version",
    ProtocolVersion => "ERR Protocol version is not an integer or out of range",
    ExecAbort => "EXECABORT Transaction discarded because of previous errors.",
    ExecWithoutMulti => "ERR EXEC without MULTI",
    DiscardWithoutMulti => "ERR DISCARD without MULTI",
    NestedMulti => "ERR MULTI calls can not be nested",
    WatchInMulti => "ERR WATCH inside MULTI is not allowed",
    CommandInMulti => "ERR Command not allowed inside a transaction",
    BusyScript => "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    BusyFunction => "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.",
    NoFunction => "ERR Function not found",
    NoLibrary => "ERR Library not found",
    BadNumKeys => "ERR Bad number of keys provided",
    NoScript => "NOSCRIPT No matching script. Please use EVAL.",
    NotBusy => "NOTBUSY No scripts in execution right now.",
    Unkillable => "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
    NotFromScript => "ERR This Redis command is not allowed from script",
    ReadOnlyScript => "ERR Write commands are not allowed from read-only scripts.",
    ScriptUnknownCommand => "ERR Unknown Redis command called from script",
    ScriptArity => "ERR Wrong number of args calling Redis command from script",
    ScriptFlags => "ERR Can not execute a script with write flag using *_ro command.",
    ScriptOom => "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'",
    Oom => "OOM command not allowed when used memory > 'maxmemory'.",
    Loading => "LOADING Redis is loading the dataset in memory",
    MaxClients => "ERR max number of clients reached",
    UnblockedByClient => "UNBLOCKED client unblocked via CLIENT UNBLOCK",
    NotLfu => "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
    IsLfu => "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
}

impl Error {
    /// An error with a text of its own; `text` starts with its code (`ERR ...`).
    pub fn other(text: impl Into<Box<str>>) -> Self {
        Self::Other(text.into())
    }

    /// Wrong number of arguments for the named command.
    pub fn wrong_arity(command: impl Into<Box<str>>) -> Self {
        Self::WrongArity(command.into())
    }

    /// A subcommand whose options don't fit: `XINFO`, `STREAM`.
    pub fn subcommand_syntax(container: &str, name: &[u8]) -> Self {
        let end = format!("'. Try {container} HELP.");
        let start = b"ERR unknown subcommand or wrong number of arguments for '";
        Self::quoting(&[start, shown(name, SHOWN_MAX), end.as_bytes()])
    }

    /// A text of these parts, some of which a client sent.
    fn quoting(parts: &[&[u8]]) -> Self {
        Self::Quoting(parts.concat().into())
    }

    /// A command that doesn't exist: its name, and the start of its arguments.
    pub fn unknown_command<'a>(name: &[u8], args: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut list = Vec::new();
        for arg in args {
            let room = SHOWN_MAX.saturating_sub(list.len());
            if room == 0 {
                break;
            }
            list.extend_from_slice(&[b"'", shown(arg, room), b"' "].concat());
        }
        let name = shown(name, SHOWN_MAX);
        Self::quoting(&[b"ERR unknown command '", name, b"', with args beginning with: ", &list])
    }

    /// A subcommand that doesn't exist.
    pub fn unknown_subcommand(container: &str, name: &[u8]) -> Self {
        let end = format!("'. Try {} HELP.", container.to_ascii_uppercase());
        Self::quoting(&[b"ERR unknown subcommand '", shown(name, SHOWN_MAX), end.as_bytes()])
    }

    /// What EXEC replies when it is refused itself: its transaction is discarded because of that.
    pub fn exec_aborted(cause: &Self) -> Self {
        let text = cause.to_string();
        // Redis gives this one text without its code.
        let shown = match cause {
            Self::WrongArity(_) => text.trim_start_matches("ERR "),
            _ => &text,
        };
        Self::other(format!("EXECABORT Transaction discarded because of: {shown}"))
    }

    /// The code: the text's first word (`ERR`, `WRONGTYPE`, ...), as `INFO errorstats` counts it.
    pub fn code(&self) -> &str {
        let text = match self {
            Self::Other(text) => text,
            // What is quoted doesn't stand at the start.
            _ => self.fixed().unwrap_or("ERR"),
        };
        text.split(' ').next().unwrap_or("ERR")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongArity(command) => {
                write!(f, "ERR wrong number of arguments for '{command}' command")
            }
            Self::InvalidExpire(command) => {
                write!(f, "ERR invalid expire time in '{command}' command")
            }
            Self::Other(text) => f.write_str(text),
            Self::Quoting(text) => f.write_str(&String::from_utf8_lossy(text)),
            _ => f.write_str(self.fixed().unwrap_or("ERR")),
        }
    }
}

impl std::error::Error for Error {}

/// The most that is shown of what a client sent, in bytes.
const SHOWN_MAX: usize = 128;

/// The start of a client's text as an error quotes it: to the first NUL, as C has it.
fn shown(text: &[u8], max: usize) -> &[u8] {
    let end = text.iter().take(max).position(|&byte| byte == 0);
    &text[..end.unwrap_or(text.len().min(max))]
}
