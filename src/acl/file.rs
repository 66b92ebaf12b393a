//! The users' file: one line for each user, `user NAME RULE...`.

use super::error::RuleError;
use super::rules::{Rules, has_spaces, merge_selectors};
use super::user::User;

/// The users of a file. `path` is its name in error texts.
///
/// # Errors
/// With a line about everything that is wrong, as ACL LOAD replies and the log tells it.
pub fn parse(text: &[u8], path: &str, rules: &mut Rules<'_>) -> Result<Vec<User>, String> {
    let mut users: Vec<User> = Vec::new();
    let mut errors = String::new();
    for (i, line) in text.split(|byte| *byte == b'\n').enumerate() {
        match parse_line(line.trim_ascii(), &users, rules) {
            Ok(user) => users.extend(user),
            Err(errors_here) => errors_here.describe(path, i + 1, &mut errors),
        }
    }
    if errors.is_empty() {
        return Ok(users);
    }
    errors.push_str(
        "WARNING: ACL errors detected, no change to the previously active ACL rules was performed",
    );
    Err(errors)
}

/// What is wrong with a line.
enum LineError {
    NoUser,
    BadName(String),
    Duplicate(String),
    Unmatched,
    /// Rules of unknown commands, and the first other error.
    Rules(Vec<String>, Option<RuleError>),
}

impl LineError {
    fn describe(self, path: &str, number: usize, out: &mut String) {
        let text = match self {
            Self::NoUser => {
                format!("{path}:{number} should start with user keyword followed by the username. ")
            }
            Self::BadName(name) => {
                format!("'{path}:{number}: username '{name}' contains invalid characters. ")
            }
            Self::Duplicate(name) => {
                format!("WARNING: Duplicate user '{name}' found on line {number}. ")
            }
            Self::Unmatched => {
                format!("{path}:{number}: Unmatched parenthesis in selector definition.")
            }
            Self::Rules(unknown, other) => {
                let unknown = unknown.into_iter().map(|rule| {
                    let why = RuleError::Unknown;
                    format!("{path}:{number}: Error in applying operation '{rule}': {why}. ")
                });
                unknown.chain(other.map(|why| format!("{path}:{number}: {why}. "))).collect()
            }
        };
        out.push_str(&text);
    }
}

/// The user of a line, if it isn't empty.
fn parse_line(
    line: &[u8],
    users: &[User],
    rules: &mut Rules<'_>,
) -> Result<Option<User>, LineError> {
    if line.is_empty() {
        return Ok(None);
    }
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [b"user", name, words @ ..] = words.as_slice() else { return Err(LineError::NoUser) };
    let shown = || String::from_utf8_lossy(name).into_owned();
    if has_spaces(name) {
        return Err(LineError::BadName(shown()));
    }
    if users.iter().any(|user| *user.name == **name) {
        return Err(LineError::Duplicate(shown()));
    }
    let merged = merge_selectors(words).map_err(|_| LineError::Unmatched)?;
    let mut user = User::new(name, rules);
    let (mut unknown, mut other) = (Vec::new(), None);
    for rule in &merged {
        let rule = rule.trim_ascii();
        match user.apply(rule, rules) {
            Ok(()) => {}
            Err(RuleError::Unknown) => unknown.push(String::from_utf8_lossy(rule).into_owned()),
            Err(error) => {
                other.get_or_insert(error);
            }
        }
    }
    match unknown.is_empty() && other.is_none() {
        true => Ok(Some(user)),
        false => Err(LineError::Rules(unknown, other)),
    }
}

/// The file of these users.
pub fn print<'a>(users: impl Iterator<Item = &'a User>) -> Vec<u8> {
    let line =
        |user: &User| [b"user ".as_slice(), &user.name, b" ", &user.describe(), b"\n"].concat();
    users.flat_map(line).collect()
}
