//! What the log says of a start, in the form and at the moments that tools wait for: who sees the
//! process's id may connect.

use crate::config::Config;
use crate::server::{REDIS_VERSION, RHUBARB_VERSION};
use crate::util::log::{Level, Log};

/// Once the listeners are open, before data are loaded.
pub(super) fn listening(config: &Config, log: &Log) {
    if config.always_show_logo {
        let logo = format!(
            "\n  (~^~)   Rhubarb {RHUBARB_VERSION}, compatible with Redis {REDIS_VERSION}\n  ||||   \
             Running in standalone mode\n  ||||   Port: {}\n  ||||   PID: {}\n\n",
            config.port,
            std::process::id()
        );
        log.raw(Level::Notice, &logo);
    } else {
        log.notice(format_args!("Running mode=standalone, port={}.", config.port));
    }
    log.notice("Server initialized");
}

/// Once commands are executed.
pub(super) fn ready(kinds: &[&str], log: &Log) {
    for kind in kinds {
        log.notice(format_args!("Ready to accept connections {kind}"));
    }
}
