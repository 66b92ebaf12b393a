//! Why rules are refused: the exact texts.

use std::fmt;

/// Why one rule is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleError {
    /// No such command or category.
    Unknown,
    /// It is no rule.
    Syntax,
    /// A key pattern where all keys are allowed already.
    KeyAfterAll,
    /// A channel pattern where all channels are allowed already.
    ChannelAfterAll,
    /// A password to remove that the user doesn't have.
    NoSuchPassword,
    /// A hash that isn't 64 lower-case hexadecimal digits.
    BadHash,
    /// A user that a file defines twice.
    Duplicate,
    /// A first argument of a subcommand.
    FirstArgOfSubcommand,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "Unknown command or category name in ACL",
            Self::Syntax => "Syntax error",
            Self::KeyAfterAll => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and \
                 does not have any effect. Try 'resetkeys' to start with an empty list of patterns"
            }
            Self::ChannelAfterAll => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and \
                 does not have any effect. Try 'resetchannels' to start with an empty list of \
                 channels"
            }
            Self::NoSuchPassword => {
                "The password you are trying to remove from the user does not exist"
            }
            Self::BadHash => {
                "The password hash must be exactly 64 characters and contain only lowercase \
                 hexadecimal characters"
            }
            Self::Duplicate => {
                "Duplicate user found. A user can only be defined once in config files"
            }
            Self::FirstArgOfSubcommand => "Allowing first-arg of a subcommand is not supported",
        })
    }
}

/// Why ACL SETUSER changed nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetUserError {
    /// The parenthesis that this word opens isn't closed.
    Unmatched(Vec<u8>),
    /// This rule was refused.
    Rule(Vec<u8>, RuleError),
}

impl fmt::Display for SetUserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unmatched(word) => {
                let word = String::from_utf8_lossy(word);
                write!(f, "Unmatched parenthesis in acl selector starting at '{word}'.")
            }
            Self::Rule(rule, error) => {
                let rule = String::from_utf8_lossy(rule);
                write!(f, "Error in ACL SETUSER modifier '{rule}': {error}")
            }
        }
    }
}
