//! Owns CONFIG GET and CONFIG SET as pure functions over `Config`, and the warnings about
//! settings that have no effect. Never applies a setting and never writes a reply.

use std::fmt;

use super::directive::{Directive, Mutability, Origin, Reason, Support};
use super::table::{directives, lookup};
use super::values::{Config, Text};
use crate::util::glob::glob_match;

/// What CONFIG SET depends on besides its arguments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetContext {
    /// `Config::enable_protected_configs` permits this client.
    pub protected_allowed: bool,
    /// Data is being loaded.
    pub loading: bool,
}

/// Why CONFIG SET changed nothing. `Display` is the error reply without its `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetError {
    /// The named directive does not exist.
    Unknown(Text),
    /// A directive that cannot be set while data is being loaded.
    Loading,
    /// The named directive was refused.
    Failed {
        /// Name, as given or as in the table.
        name: Text,
        /// Why.
        reason: Reason,
    },
}

impl SetError {
    /// A setting that was valid but could not be applied.
    pub fn failed(name: &[u8], reason: impl Into<Reason>) -> Self {
        Self::Failed { name: name.to_vec(), reason: reason.into() }
    }
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(
                f,
                "ERR Unknown option or number of arguments for CONFIG SET - '{}'",
                String::from_utf8_lossy(name)
            ),
            Self::Loading => f.write_str("LOADING Redis is loading the dataset in memory"),
            Self::Failed { name, reason } => write!(
                f,
                "ERR CONFIG SET failed (possibly related to argument '{}') - {reason}",
                String::from_utf8_lossy(name)
            ),
        }
    }
}

impl std::error::Error for SetError {}

impl Config {
    /// CONFIG GET: names and values that match any pattern, each name once. Aliases count as names.
    /// A name without wildcards is returned as it was given, and finds hidden directives too.
    pub fn get(&self, patterns: &[&[u8]]) -> Vec<(Text, Text)> {
        let mut found: Vec<(Text, Text)> = Vec::new();
        for pattern in patterns {
            if pattern.iter().any(|byte| b"[*?".contains(byte)) {
                for (name, directive) in shown_names() {
                    let known = |(other, _): &(Text, Text)| other == name.as_bytes();
                    if glob_match(pattern, name.as_bytes(), true) && !found.iter().any(known) {
                        found.push((name.into(), directive.get(self)));
                    }
                }
            } else if let Some(directive) = lookup(pattern)
                && !found.iter().any(|(other, _)| other == pattern)
            {
                found.push((pattern.to_vec(), directive.get(self)));
            }
        }
        found
    }

    /// CONFIG SET: the configuration with every pair of name and value set, or why not.
    pub fn set(&self, pairs: &[(&[u8], &[u8])], context: SetContext) -> Result<Self, SetError> {
        let rows = settable(pairs, context)?;
        let mut new = self.clone();
        for (directive, (name, value)) in rows.into_iter().zip(pairs) {
            let words: Vec<&[u8]> = match directive.is_multi() {
                true if value.is_empty() => Vec::new(),
                true => value.split(|byte| *byte == b' ').collect(),
                false => vec![value],
            };
            let result = directive.set(&mut new, &words, Origin::Runtime);
            result
                .map_err(|reason| SetError::failed(directive.canonical(name).as_bytes(), reason))?;
        }
        Ok(new)
    }

    /// Directives whose values differ from `other`'s.
    pub fn changes<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'static Directive> + 'a {
        directives().filter(|directive| directive.get(self) != directive.get(other))
    }

    /// One line for each setting that was given and has no effect.
    pub fn warnings(&self) -> Vec<String> {
        let idle = directives().filter_map(|directive| match directive.support {
            Support::Idle(feature)
                if !directive.is_default(self) && !directive.get(self).is_empty() =>
            {
                Some(format!("'{}' has no effect: {feature} is not supported yet", directive.name))
            }
            _ => None,
        });
        let obsolete = self.obsolete_directives.iter().map(|name| {
            format!("'{}' has no effect: it is obsolete", String::from_utf8_lossy(name))
        });
        idle.chain(obsolete).collect()
    }
}

impl Directive {
    /// The name or alias that `name` is, in lower case.
    fn canonical(&self, name: &[u8]) -> &'static str {
        let alias = self.alias.filter(|alias| name.eq_ignore_ascii_case(alias.as_bytes()));
        alias.unwrap_or(self.name)
    }
}

/// Names and aliases that patterns can find.
fn shown_names() -> impl Iterator<Item = (&'static str, &'static Directive)> {
    directives().filter(|directive| !directive.hidden).flat_map(|directive| {
        [Some(directive.name), directive.alias].into_iter().flatten().map(move |n| (n, directive))
    })
}

/// The directives of all pairs; the first pair that cannot be set decides the error.
fn settable(
    pairs: &[(&[u8], &[u8])],
    context: SetContext,
) -> Result<Vec<&'static Directive>, SetError> {
    let mut names: Vec<&str> = Vec::with_capacity(pairs.len());
    let mut rows = Vec::with_capacity(pairs.len());
    for (name, _) in pairs {
        let directive = lookup(name).ok_or_else(|| SetError::Unknown(name.to_vec()))?;
        match directive.mutability {
            Mutability::Startup => {
                return Err(SetError::failed(name, "can't set immutable config"));
            }
            Mutability::Protected if !context.protected_allowed => {
                return Err(SetError::failed(name, "can't set protected config"));
            }
            _ if context.loading && directive.deny_loading => return Err(SetError::Loading),
            _ => {}
        }
        let canonical = directive.canonical(name);
        if names.contains(&canonical) {
            return Err(SetError::failed(name, "duplicate parameter"));
        }
        names.push(canonical);
        rows.push(directive);
    }
    Ok(rows)
}
