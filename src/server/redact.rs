//! Which arguments are secret, and not to be shown by MONITOR or SLOWLOG.

use crate::resp::Args;

/// What stands in the place of a secret.
pub const REDACTED: &[u8] = b"(redacted)";

/// Directives whose values are secret.
const SECRET_DIRECTIVES: [&str; 4] =
    ["requirepass", "masterauth", "masteruser", "tls-key-file-pass"];

/// The arguments of a command, with its secrets replaced. `name` is its full name.
pub fn shown<'a>(name: &str, args: Args<'a>) -> Vec<&'a [u8]> {
    let mut shown: Vec<&[u8]> = args.iter().collect();
    let hide: &dyn Fn(usize) -> bool = match name {
        "auth" => &|i| i > 0,
        "acl|setuser" | "acl|getuser" | "acl|deluser" => &|i| i > 1,
        "config|set" => &|i| i % 2 == 1 && SECRET_DIRECTIVES.iter().any(|d| args.is(i - 1, d)),
        "hello" => &|i| follows(args, i, "auth", 2),
        "migrate" => &|i| follows(args, i, "auth", 1) || follows(args, i, "auth2", 2),
        _ => return shown,
    };
    for (i, arg) in shown.iter_mut().enumerate().skip(1) {
        if hide(i) {
            *arg = REDACTED;
        }
    }
    shown
}

/// Whether the argument is one of the `count` after the option `word`.
fn follows(args: Args<'_>, index: usize, word: &str, count: usize) -> bool {
    (1..=count).any(|back| index > back && args.is(index - back, word))
}
