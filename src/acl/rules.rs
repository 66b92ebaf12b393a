//! What reading rules depends on, and joining the words of a selector to one rule.

use std::borrow::Cow;

use super::catalog::Catalog;

/// What rules are read with.
#[derive(Debug)]
pub struct Rules<'a> {
    /// The commands.
    pub catalog: &'a Catalog,
    /// Whether a new user or selector may use all channels (`acl-pubsub-default`).
    pub all_channels: bool,
    /// Rules read that allow a first argument of a command that is denied otherwise; they are
    /// frowned upon.
    pub deprecated: Vec<Vec<u8>>,
}

impl<'a> Rules<'a> {
    /// For these commands, with this default for channels.
    pub fn new(catalog: &'a Catalog, all_channels: bool) -> Self {
        Self { catalog, all_channels, deprecated: Vec::new() }
    }
}

/// Whether a name or pattern holds what would break a line of the users' file.
pub fn has_spaces(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, b'\t'..=b'\r' | b' ' | 0))
}

/// Joins words from one that opens a parenthesis to the one that closes it.
///
/// # Errors
/// With the index of the word that opens a parenthesis which nothing closes.
pub fn merge_selectors<'a>(words: &[&'a [u8]]) -> Result<Vec<Cow<'a, [u8]>>, usize> {
    let mut merged = Vec::with_capacity(words.len());
    let mut open: Option<(usize, Vec<u8>)> = None;
    for (i, &word) in words.iter().enumerate() {
        match &mut open {
            Some((_, selector)) => {
                selector.push(b' ');
                selector.extend_from_slice(word);
                if word.ends_with(b")") {
                    merged.extend(open.take().map(|(_, selector)| Cow::Owned(selector)));
                }
            }
            None if word.starts_with(b"(") && !word.ends_with(b")") => {
                open = Some((i, word.to_vec()));
            }
            None => merged.push(Cow::Borrowed(word)),
        }
    }
    match open {
        Some((start, _)) => Err(start),
        None => Ok(merged),
    }
}
