//! Access control: users, what each may run, and which keys and channels it may touch.
//!
//! Owns users and their rules, the check of one call against them, the form of the users' file,
//! and the log of refusals. Pure: reads no file, knows no client and no command, which it sees as
//! rows of a [`Catalog`].

mod catalog;
mod check;
mod error;
mod file;
mod log;
mod rules;
mod selector;
#[cfg(test)]
mod tests;
mod user;
mod users;

pub use catalog::{Catalog, CatalogRow};
pub use check::{Call, Denial};
pub use error::{RuleError, SetUserError};
pub use file::{parse as parse_file, print as print_file};
pub use log::{AclLog, Context, Entry as LogEntry, Reason};
pub use rules::{Rules, has_spaces, merge_selectors};
pub use selector::{Access, Selector};
pub use user::{User, loses_channels};
pub use users::{UserId, Users};
