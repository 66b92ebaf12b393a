//! Glob patterns with Redis's semantics (`KEYS`, `SCAN MATCH`, `PSUBSCRIBE`, `CONFIG GET`, ACLs):
//! `*`, `?`, `[a-z]`, `[^..]` and backslash escapes, over bytes.
//!
//! Owns matching only. Time is at most the product of the two lengths and nothing is allocated:
//! only the last `*` is ever tried again, since every other token takes exactly one byte.

use memchr::memmem;

/// Redis gives up on a pattern that needs more nested `*` than this, and so do we.
const MAX_STARS: usize = 1000;

/// Whether the whole of `text` matches `pattern`. `nocase` ignores the case of ASCII letters.
///
/// As in Redis, an unterminated class ends with the pattern, a backslash that is last stands for
/// itself, an escaped byte within a class compares exactly even if `nocase`, range bounds compare
/// as signed bytes, and nothing but the empty pattern matches the empty text.
#[must_use]
pub fn glob_match(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut rest, mut at) = (pattern, 0);
    // The pattern after the last star, and where in the text it was last tried.
    let mut retry: Option<(&[u8], usize)> = None;
    let mut stars = 0;
    loop {
        if let [b'*', ..] = rest {
            rest = skip_stars(rest);
            if rest.is_empty() {
                return true;
            }
            if stars == MAX_STARS || at == text.len() {
                return false;
            }
            stars += 1;
            retry = Some((rest, at));
        }
        let step = match text.get(at) {
            Some(&byte) => match_one(rest, byte, nocase),
            None if rest.is_empty() => return true,
            // Out of text with pattern left: starting any later could only fall shorter.
            None => return false,
        };
        if let Some(after) = step {
            (rest, at) = (after, at + 1);
        } else if let Some((tail, from)) = retry {
            (rest, at) = (tail, from + 1);
            retry = Some((tail, at));
        } else {
            return false;
        }
    }
}

fn skip_stars(pattern: &[u8]) -> &[u8] {
    let stars = pattern.iter().position(|&byte| byte != b'*').unwrap_or(pattern.len());
    &pattern[stars..]
}

/// Matches one byte against the first token of `pattern`, which is no star; returns the pattern
/// after that token.
#[inline]
fn match_one(pattern: &[u8], byte: u8, nocase: bool) -> Option<&[u8]> {
    match pattern {
        [] => None,
        [b'?', rest @ ..] => Some(rest),
        [b'[', rest @ ..] => match_class(rest, byte, nocase),
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => {
            same(*literal, byte, nocase).then_some(rest)
        }
    }
}

#[inline]
fn same(a: u8, b: u8, nocase: bool) -> bool {
    a == b || (nocase && a.eq_ignore_ascii_case(&b))
}

/// Matches one byte against a class, given the pattern after its bracket.
fn match_class(pattern: &[u8], byte: u8, nocase: bool) -> Option<&[u8]> {
    let (negated, mut rest) = match pattern {
        [b'^', rest @ ..] => (true, rest),
        _ => (false, pattern),
    };
    let mut found = false;
    loop {
        rest = match rest {
            [] => break,
            [b'\\', literal, after @ ..] => {
                found |= *literal == byte;
                after
            }
            [b']', after @ ..] => {
                rest = after;
                break;
            }
            [start, b'-', end, after @ ..] => {
                found |= in_range(*start, *end, byte, nocase);
                after
            }
            [literal, after @ ..] => {
                found |= same(*literal, byte, nocase);
                after
            }
        };
    }
    (found != negated).then_some(rest)
}

/// Bounds may be given in either order; they are ordered before their case is folded.
fn in_range(start: u8, end: u8, byte: u8, nocase: bool) -> bool {
    let fold = |byte: u8| {
        let byte = if nocase { byte.to_ascii_lowercase() } else { byte };
        byte.cast_signed()
    };
    let (low, high) =
        if start.cast_signed() <= end.cast_signed() { (start, end) } else { (end, start) };
    (fold(low)..=fold(high)).contains(&fold(byte))
}

/// A pattern classified once, for matching against many texts; case counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GlobPattern {
    /// `*`: everything, even the empty text, as `KEYS *` has it.
    All,
    /// No special bytes: the text itself.
    Literal(Box<[u8]>),
    /// `prefix*`, the prefix being literal and not empty.
    Prefix(Box<[u8]>),
    /// `*infix*`, the infix being literal and not empty.
    Contains(Box<[u8]>),
    /// All else.
    General(Box<[u8]>),
}

impl GlobPattern {
    /// Classifies `pattern`.
    #[must_use]
    pub fn new(pattern: &[u8]) -> Self {
        let plain = |part: &[u8]| !part.iter().any(|byte| b"*?[\\".contains(byte));
        match pattern {
            [b'*'] => Self::All,
            _ if plain(pattern) => Self::Literal(pattern.into()),
            [prefix @ .., b'*'] if plain(prefix) => Self::Prefix(prefix.into()),
            [b'*', infix @ .., b'*'] if !infix.is_empty() && plain(infix) => {
                Self::Contains(infix.into())
            }
            _ => Self::General(pattern.into()),
        }
    }

    /// Whether the whole of `text` matches.
    #[must_use]
    pub fn matches(&self, text: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Literal(literal) => **literal == *text,
            Self::Prefix(prefix) => text.starts_with(prefix),
            Self::Contains(infix) => memmem::find(text, infix).is_some(),
            Self::General(pattern) => glob_match(pattern, text, false),
        }
    }

    /// Whether every text matches, so that matching can be left out.
    #[must_use]
    pub fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }

    /// The only text that can match, if the pattern is one.
    #[must_use]
    pub fn as_literal(&self) -> Option<&[u8]> {
        match self {
            Self::Literal(literal) => Some(literal),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn matches_as_redis_does() {
        let cases = [
            ("", "", true),
            ("*", "", false),
            ("a", "", false),
            ("", "a", false),
            ("*", "abc", true),
            ("a*", "a", true),
            ("a**", "a", true),
            ("a?c", "abc", true),
            ("a?", "a", false),
            ("*b*", "abc", true),
            ("*bc", "abcbc", true),
            ("h[ae]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("h[\\]]llo", "h]llo", true),
            ("h\\*llo", "h*llo", true),
            ("h\\*llo", "hallo", false),
            ("a\\", "a\\", true),
            ("[", "[", false),
            ("[^", "x", true),
            ("[a", "a", true),
            ("[a-", "-", true),
            ("[a-]", "b", false),
            ("[a-]", "^", true),
            ("a[b]*c", "abxxc", true),
        ];
        for (pattern, text, expected) in cases {
            let got = glob_match(pattern.as_bytes(), text.as_bytes(), false);
            assert_eq!(got, expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn case_is_ignored_on_demand() {
        assert!(glob_match(b"FOO*", b"foobar", true));
        assert!(!glob_match(b"FOO*", b"foobar", false));
        assert!(glob_match(b"[A-Z]", b"q", true));
        assert!(!glob_match(b"[\\A]", b"a", true));
    }

    #[test]
    fn hostile_patterns_end_soon() {
        let text = vec![b'a'; 20_000];
        let pattern = [b"a*".repeat(500), b"b".to_vec()].concat();
        assert!(!glob_match(&pattern, &text, false));
        assert!(!glob_match(&b"*?".repeat(20_000), &text, false));
        assert!(glob_match(&b"*?".repeat(1000), &text, false));
        assert!(glob_match(&[b"*?".repeat(1000), b"*".to_vec()].concat(), &text, false));
    }

    #[test]
    fn classification() {
        assert_eq!(GlobPattern::new(b"*"), GlobPattern::All);
        assert_eq!(GlobPattern::new(b"ab"), GlobPattern::Literal(b"ab"[..].into()));
        assert_eq!(GlobPattern::new(b"ab*"), GlobPattern::Prefix(b"ab"[..].into()));
        assert_eq!(GlobPattern::new(b"*ab*"), GlobPattern::Contains(b"ab"[..].into()));
        assert_eq!(GlobPattern::new(b"a*b"), GlobPattern::General(b"a*b"[..].into()));
        assert_eq!(GlobPattern::new(b"**"), GlobPattern::General(b"**"[..].into()));
        assert!(GlobPattern::new(b"*").matches(b""));
    }

    /// The definition, by recursion, over the same tokens.
    fn slow(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|skip| slow(rest, &text[skip..])),
            (_, []) => pattern.is_empty(),
            (_, [byte, tail @ ..]) => {
                match_one(pattern, *byte, false).is_some_and(|rest| slow(rest, tail))
            }
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*?\\[\\]^-]{0,8}", text in "[ab\\[-]{1,8}") {
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(glob_match(pattern, text, false), slow(pattern, text));
        }

        #[test]
        fn classified_patterns_agree(pattern in "[ab*?]{0,6}", text in "[ab]{1,8}") {
            let fast = GlobPattern::new(pattern.as_bytes()).matches(text.as_bytes());
            prop_assert_eq!(fast, glob_match(pattern.as_bytes(), text.as_bytes(), false));
        }
    }
}
