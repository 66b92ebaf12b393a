//! Serving clients while a script keeps the executor busy.
//!
//! The runtime can't turn while a command runs, so this reads, executes and writes on the sockets
//! themselves, without waiting. What stays unread or unsent is left to the connections' tasks.

use std::io::{ErrorKind, Read, Write};
use std::rc::Rc;

use crate::net::conn::{Conn, Io};
use crate::net::{Net, listener};
use crate::server::Server;

/// One round: new connections, then what each client has sent.
pub(super) fn poll(net: &Rc<Net>, server: &mut Server) {
    listener::accept_now(net, server);
    let conns: Vec<Rc<Conn>> = net.conns.borrow().values().cloned().collect();
    for conn in conns {
        // The connection whose script is running is in use.
        if let Ok(mut io) = conn.io.try_borrow_mut() {
            serve(&conn, &mut io, server);
        }
    }
}

fn serve(conn: &Conn, io: &mut Io, server: &mut Server) {
    let mut buf = [0u8; 4096];
    loop {
        match (&*io.stream.raw()).read(&mut buf) {
            // An end or a failure is found again by the connection's task.
            Ok(0) => break,
            Ok(n) => io.input.buf.extend_from_slice(&buf[..n]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    io.input.execute_busy(server, conn.id);
    server.account_client(conn.id);
    if !server.may_reply(conn.id) {
        return;
    }
    let Some(client) = server.clients.get_mut(conn.id) else { return };
    let socket = io.stream.raw();
    while client.sent < client.out.len() {
        match (&*socket).write(&client.out.bytes()[client.sent..]) {
            Ok(n) if n > 0 => client.sent += n,
            _ => break,
        }
    }
    if client.sent == client.out.len() {
        client.out.truncate(0);
        client.sent = 0;
    }
    conn.wake();
}
