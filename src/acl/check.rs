//! The check of one call against a user's selectors.

use super::selector::{Access, Selector, head_of};
use super::user::User;
use crate::resp::Args;
use crate::spec::{Channels, KeyFlags, Keys};

/// A call, as far as permissions depend on it.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The command's identifier.
    pub command: usize,
    /// Whether everybody may run it, since it serves to log in.
    pub open: bool,
    /// Its arguments, the name included.
    pub args: Args<'a>,
    /// Where its channels stand.
    pub channels: Channels,
}

/// Why a call is refused; the later ones were the nearest to success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denial {
    /// The command.
    Command,
    /// The key at this argument.
    Key(usize),
    /// The channel at this argument.
    Channel(usize),
}

impl User {
    /// Whether one of the selectors allows a call. `keys` is asked at most once for the keys it
    /// touches.
    ///
    /// # Errors
    /// With what is missing for the selector that came furthest.
    pub fn check(&self, call: &Call<'_>, keys: impl FnOnce() -> Keys) -> Result<(), Denial> {
        if self.is_unrestricted() {
            return Ok(());
        }
        let mut keys = Lazy { make: Some(keys), keys: Keys::new() };
        let mut worst = Denial::Command;
        for selector in self.selectors() {
            match selector.check(call, &mut keys) {
                Ok(()) => return Ok(()),
                Err(denial) => worst = worst.max(denial),
            }
        }
        Err(worst)
    }

    /// Whether a selector that allows the call reaches all keys for reading: what looking up keys
    /// by pattern takes.
    pub fn may_read_all_keys(&self, call: &Call<'_>, keys: impl FnOnce() -> Keys) -> bool {
        let mut keys = Lazy { make: Some(keys), keys: Keys::new() };
        self.is_unrestricted()
            || self.selectors().any(|selector| {
                selector.reaches_all_keys(Access::READ) && selector.check(call, &mut keys).is_ok()
            })
    }

    /// Whether it may still listen to a channel, or to a pattern of channels.
    pub fn may_listen(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.selectors().any(|selector| selector.allows_channel(channel, is_pattern))
    }
}

/// Keys that are found when they are first asked for.
struct Lazy<F> {
    make: Option<F>,
    keys: Keys,
}

impl<F: FnOnce() -> Keys> Lazy<F> {
    fn get(&mut self) -> &Keys {
        if let Some(make) = self.make.take() {
            self.keys = make();
        }
        &self.keys
    }
}

impl Selector {
    fn check(&self, call: &Call<'_>, keys: &mut Lazy<impl FnOnce() -> Keys>) -> Result<(), Denial> {
        if !self.all_commands && !call.open && !self.allows(call) {
            return Err(Denial::Command);
        }
        if !self.all_keys {
            let denied = |&&(at, flags): &&(usize, KeyFlags)| match call.args.get(at) {
                Some(key) => !self.allows_key(key, Access::needed(flags)),
                None => false,
            };
            if let Some((at, _)) = keys.get().iter().find(denied) {
                return Err(Denial::Key(*at));
            }
        }
        if !self.all_channels {
            let (range, is_pattern) = call.channels.range(call.args.len());
            for at in range {
                let channel = call.args.get(at).unwrap_or_default();
                if !self.allows_channel(channel, is_pattern) {
                    return Err(Denial::Channel(at));
                }
            }
        }
        Ok(())
    }

    fn allows(&self, call: &Call<'_>) -> bool {
        let by_first_arg = || {
            let known = self.first_args.get(&call.command)?;
            let given = call.args.get(1)?;
            Some(known.iter().any(|known| known.eq_ignore_ascii_case(given)))
        };
        self.allows_command(call.command) || by_first_arg() == Some(true)
    }

    #[inline]
    fn allows_key(&self, key: &[u8], needed: Access) -> bool {
        let head = head_of(key);
        self.keys
            .iter()
            .any(|(access, pattern)| pattern.matches(head, key) && access.contains(needed))
    }

    /// A pattern must be allowed by its own name, since it could match more than another one does.
    fn allows_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.all_channels
            || self.channels.iter().any(|allowed| match is_pattern {
                true => *allowed.text == *channel,
                false => allowed.matches(head_of(channel), channel),
            })
    }
}
