//! A user: name, state, passwords and selectors.
//!
//! Owns the rules about users, and their text form. Passwords are only kept as SHA-256 hashes, and
//! compared in constant time.

use sha2::{Digest, Sha256};

use super::error::{RuleError, SetUserError};
use super::rules::{Rules, merge_selectors};
use super::selector::{Pattern, Selector};

/// The SHA-256 hash of a password.
type Hash = [u8; 32];

/// A user.
#[derive(Debug, Clone)]
pub struct User {
    /// Its name.
    pub name: Box<[u8]>,
    enabled: bool,
    nopass: bool,
    /// Whether payloads of RESTORE are checked in full.
    sanitizes: bool,
    passwords: Vec<Hash>,
    /// The root permissions, then those of further selectors. The first always exists.
    root: Selector,
    selectors: Vec<Selector>,
    /// Whether some selector allows everything: no call needs a further look.
    unrestricted: bool,
}

impl User {
    /// A new user: off, without passwords and permissions.
    pub fn new(name: &[u8], rules: &Rules<'_>) -> Self {
        Self {
            name: name.into(),
            enabled: false,
            nopass: false,
            sanitizes: true,
            passwords: Vec::new(),
            root: Selector::new(rules),
            selectors: Vec::new(),
            unrestricted: false,
        }
    }

    /// The default user as it is if nothing says otherwise: it may do everything, without a
    /// password.
    pub fn default_user(rules: &Rules<'_>) -> Self {
        let mut user = Self::new(b"default", rules);
        user.enabled = true;
        user.nopass = true;
        user.root.allow_everything();
        user.unrestricted = true;
        user
    }

    /// Whether it may log in.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Whether any password will do.
    pub fn needs_no_password(&self) -> bool {
        self.nopass
    }

    /// Whether payloads of RESTORE are checked in full for it.
    pub fn sanitizes_payloads(&self) -> bool {
        self.sanitizes
    }

    /// Whether it may do everything.
    #[inline]
    pub fn is_unrestricted(&self) -> bool {
        self.unrestricted
    }

    /// Whether it may log in with this password. Takes the same time for any wrong one.
    pub fn accepts(&self, password: &[u8]) -> bool {
        let given = hash(password);
        let fits = |known: &Hash| known.iter().zip(given).fold(0, |bits, (a, b)| bits | a ^ b) == 0;
        let known = self.passwords.iter().filter(|known| fits(known)).count() > 0;
        self.enabled && (self.nopass || known)
    }

    /// All selectors, the root permissions first.
    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        std::iter::once(&self.root).chain(&self.selectors)
    }

    /// The root permissions.
    pub fn root(&self) -> &Selector {
        &self.root
    }

    /// The selectors beside the root permissions.
    pub fn further_selectors(&self) -> &[Selector] {
        &self.selectors
    }

    /// Applies all rules, in their order. After an error some are applied: work on a copy.
    ///
    /// # Errors
    /// If parentheses don't match, or with the first rule that is refused.
    pub fn apply_all(
        &mut self,
        words: &[&[u8]],
        rules: &mut Rules<'_>,
    ) -> Result<(), SetUserError> {
        let merged = merge_selectors(words).map_err(|open| {
            SetUserError::Unmatched(words.get(open).copied().unwrap_or_default().to_vec())
        })?;
        merged.iter().try_for_each(|rule| {
            self.apply(rule, rules).map_err(|error| SetUserError::Rule(rule.to_vec(), error))
        })
    }

    /// Applies one rule. An empty one does nothing.
    ///
    /// # Errors
    /// If it is refused; the user is as before then.
    pub fn apply(&mut self, rule: &[u8], rules: &mut Rules<'_>) -> Result<(), RuleError> {
        match (rule.to_ascii_lowercase().as_slice(), rule) {
            (b"", _) => {}
            (b"on", _) => self.enabled = true,
            (b"off", _) => self.enabled = false,
            (b"nopass", _) => self.clear_passwords(true),
            (b"resetpass", _) => self.clear_passwords(false),
            (b"skip-sanitize-payload", _) => self.sanitizes = false,
            (b"sanitize-payload", _) => self.sanitizes = true,
            (b"clearselectors", _) => self.selectors.clear(),
            (b"reset", _) => *self = Self::new(&self.name, rules),
            (_, [b'>', password @ ..]) => self.add_password(hash(password)),
            (_, [b'#', digits @ ..]) => self.add_password(parse_hash(digits)?),
            (_, [b'<', password @ ..]) => self.remove_password(&hash(password))?,
            (_, [b'!', digits @ ..]) => self.remove_password(&parse_hash(digits)?)?,
            (_, [b'(', .., b')']) => self.selectors.push(Selector::parse(rule, rules)?),
            _ => self.root.apply(rule, rules)?,
        }
        let unrestricted = self.selectors().any(Selector::allows_everything);
        self.unrestricted = unrestricted;
        Ok(())
    }

    fn clear_passwords(&mut self, nopass: bool) {
        self.nopass = nopass;
        self.passwords.clear();
    }

    fn add_password(&mut self, hash: Hash) {
        if !self.passwords.contains(&hash) {
            self.passwords.push(hash);
        }
        self.nopass = false;
    }

    fn remove_password(&mut self, hash: &Hash) -> Result<(), RuleError> {
        let at = self.passwords.iter().position(|known| known == hash);
        self.passwords.remove(at.ok_or(RuleError::NoSuchPassword)?);
        Ok(())
    }

    // ---- in words -----------------------------------------------------------------------------

    /// The flags as rules: `on nopass sanitize-payload`.
    pub fn flags(&self) -> impl Iterator<Item = &'static str> {
        let state = if self.enabled { "on" } else { "off" };
        let sanitizes = if self.sanitizes { "sanitize-payload" } else { "skip-sanitize-payload" };
        [Some(state), self.nopass.then_some("nopass"), Some(sanitizes)].into_iter().flatten()
    }

    /// The hashes of its passwords, as 64 hexadecimal digits each.
    pub fn password_hashes(&self) -> impl ExactSizeIterator<Item = String> {
        self.passwords.iter().map(|hash| hash.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// All its rules, so that a new user of these rules is the same.
    pub fn describe(&self) -> Vec<u8> {
        let mut words: Vec<Vec<u8>> = self.flags().map(|flag| flag.as_bytes().to_vec()).collect();
        words.extend(self.password_hashes().map(|hash| format!("#{hash}").into_bytes()));
        words.push(self.root.describe());
        words.extend(self.selectors.iter().map(Selector::describe_as_rule));
        words.join(&b' ')
    }
}

/// Whether `new` lacks a channel pattern that `old` has.
pub fn loses_channels(old: &User, new: &User) -> bool {
    let left = |pattern: &Pattern| new.selectors().any(|one| one.channels.contains(pattern));
    let keeps = |selector: &Selector| !selector.all_channels && selector.channels.iter().all(left);
    !new.selectors().any(|selector| selector.all_channels) && !old.selectors().all(keeps)
}

fn hash(password: &[u8]) -> Hash {
    Sha256::digest(password).into()
}

/// Reads 64 lower-case hexadecimal digits.
fn parse_hash(digits: &[u8]) -> Result<Hash, RuleError> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut hash = [0; 32];
    let (pairs, []) = digits.as_chunks::<2>() else { return Err(RuleError::BadHash) };
    if pairs.len() != hash.len() {
        return Err(RuleError::BadHash);
    }
    for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
        let (high, low) = digit(*high).zip(digit(*low)).ok_or(RuleError::BadHash)?;
        *byte = high << 4 | low;
    }
    Ok(hash)
}
