//! Owns the list of all directives, and finding one by name. Never holds a value.

mod data;
mod general;
mod net;
mod persist;
mod repl;

use super::directive::Directive;

/// All directives, in groups.
pub static GROUPS: [&[Directive]; 5] =
    [net::ROWS, general::ROWS, data::ROWS, persist::ROWS, repl::ROWS];

/// All directives.
pub fn directives() -> impl Iterator<Item = &'static Directive> {
    GROUPS.into_iter().flatten()
}

/// The directive of this name or alias, in any case.
pub fn lookup(name: &[u8]) -> Option<&'static Directive> {
    directives().find(|directive| directive.is_named(name))
}
