//! MONITOR: every command, as it is executed, to those who asked for it.

use crate::resp::Args;
use crate::server::Server;
use crate::server::client::{ClientFlags, ClientRef};
use crate::server::command::CommandId;
use crate::server::ctx::Caller;
use crate::server::redact;
use crate::util::split::quote;

impl Server {
    /// Shows a command to the monitors, without its secrets.
    pub(in crate::server) fn feed_monitors(
        &mut self,
        id: ClientRef,
        command: CommandId,
        db: usize,
        caller: Caller,
        args: Args<'_>,
    ) {
        let mut line = Vec::with_capacity(64 + args.byte_len());
        let us = self.clock.unix_us();
        let stamp = format!("+{}.{:06} [{db} ", us / 1_000_000, us % 1_000_000);
        line.extend_from_slice(stamp.as_bytes());
        match self.clients.get(id) {
            _ if caller == Caller::Script => line.extend_from_slice(b"lua"),
            Some(client) if client.flags.contains(ClientFlags::UNIX_SOCKET) => {
                line.extend_from_slice(b"unix:");
                line.extend_from_slice(client.addr.trim_end_matches(":0").as_bytes());
            }
            Some(client) => line.extend_from_slice(client.addr.as_bytes()),
            None => {}
        }
        line.push(b']');
        let shown = redact::shown(&self.commands.get(command).full_name, args);
        for arg in shown {
            line.push(b' ');
            quote(arg, &mut line);
        }
        line.extend_from_slice(b"\r\n");
        for monitor in self.monitors.clone() {
            self.push_output(monitor, &line);
        }
    }
}
