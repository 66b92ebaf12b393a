//! Publish and subscribe: who listens to which channel or pattern, and delivery.
//!
//! Owns the registers by channel, by pattern and by shard channel, and keyspace notifications.
//! Messages go into the receivers' output buffers; nothing here sends.

use hashbrown::HashMap;

use crate::config::NotifyFlags;
use crate::resp::{Proto, Reply};
use crate::server::Server;
use crate::server::client::{ClientFlags, ClientRef};
use crate::util::glob::GlobPattern;

/// The kinds of subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A channel.
    Channel,
    /// A pattern of channels.
    Pattern,
    /// A shard channel.
    Shard,
}

/// The registers of subscribers.
#[derive(Debug, Default)]
pub struct PubSub {
    channels: HashMap<Box<[u8]>, Vec<ClientRef>>,
    shard: HashMap<Box<[u8]>, Vec<ClientRef>>,
    patterns: HashMap<Box<[u8]>, (GlobPattern, Vec<ClientRef>)>,
}

impl PubSub {
    /// The channels that somebody listens to, and how many do.
    pub fn channels(&self, kind: Kind) -> impl Iterator<Item = (&[u8], usize)> {
        let register = if kind == Kind::Shard { &self.shard } else { &self.channels };
        register.iter().map(|(name, clients)| (&**name, clients.len()))
    }

    /// How many listen to this channel.
    pub fn subscribers(&self, kind: Kind, channel: &[u8]) -> usize {
        let register = if kind == Kind::Shard { &self.shard } else { &self.channels };
        register.get(channel).map_or(0, Vec::len)
    }

    /// Number of patterns that somebody listens to.
    pub fn pattern_count(&self) -> usize {
        self.patterns.len()
    }

    /// Whether nobody listens to anything.
    pub fn is_silent(&self) -> bool {
        self.channels.is_empty() && self.patterns.is_empty()
    }

    fn add(&mut self, kind: Kind, name: &[u8], client: ClientRef) {
        match kind {
            Kind::Channel => self.channels.entry(name.into()).or_default().push(client),
            Kind::Shard => self.shard.entry(name.into()).or_default().push(client),
            Kind::Pattern => {
                let new = || (GlobPattern::new(name), Vec::new());
                self.patterns.entry(name.into()).or_insert_with(new).1.push(client);
            }
        }
    }

    fn remove(&mut self, kind: Kind, name: &[u8], client: ClientRef) {
        let without = |clients: &mut Vec<ClientRef>| {
            clients.retain(|listens| *listens != client);
            clients.is_empty()
        };
        match kind {
            Kind::Channel => {
                if self.channels.get_mut(name).is_some_and(without) {
                    self.channels.remove(name);
                }
            }
            Kind::Shard => {
                if self.shard.get_mut(name).is_some_and(without) {
                    self.shard.remove(name);
                }
            }
            Kind::Pattern => {
                if self.patterns.get_mut(name).is_some_and(|(_, clients)| without(clients)) {
                    self.patterns.remove(name);
                }
            }
        }
    }
}

/// A message, written at most once for each protocol.
struct Message<'a> {
    parts: &'a [&'a [u8]],
    written: [Option<Reply>; 2],
}

impl<'a> Message<'a> {
    fn new(parts: &'a [&'a [u8]]) -> Self {
        Self { parts, written: [None, None] }
    }

    fn bytes(&mut self, proto: Proto) -> &[u8] {
        let parts = self.parts;
        let written = self.written[usize::from(proto == Proto::Resp3)].get_or_insert_with(|| {
            let mut reply = Reply::new(proto);
            reply.push(parts.len());
            parts.iter().for_each(|part| reply.bulk(part));
            reply
        });
        written.bytes()
    }
}

/// What a subscription takes: its name with the client and in the register.
fn subscription_bytes(name: &[u8]) -> usize {
    2 * (name.len() + size_of::<Box<[u8]>>()) + size_of::<Vec<ClientRef>>() + size_of::<ClientRef>()
}

impl Server {
    /// Subscribes a client; says whether it wasn't yet.
    pub fn subscribe(&mut self, id: ClientRef, kind: Kind, name: &[u8]) -> bool {
        let Some(client) = self.clients.get_mut(id) else { return false };
        let subs = match kind {
            Kind::Channel => &mut client.subs.channels,
            Kind::Pattern => &mut client.subs.patterns,
            Kind::Shard => &mut client.subs.shard,
        };
        let new = subs.insert(name.into());
        if new {
            client.subs.bytes += subscription_bytes(name);
            self.pubsub.add(kind, name, id);
        }
        new
    }

    /// Ends a subscription; says whether there was one.
    pub fn unsubscribe(&mut self, id: ClientRef, kind: Kind, name: &[u8]) -> bool {
        let Some(client) = self.clients.get_mut(id) else { return false };
        let subs = match kind {
            Kind::Channel => &mut client.subs.channels,
            Kind::Pattern => &mut client.subs.patterns,
            Kind::Shard => &mut client.subs.shard,
        };
        let had = subs.remove(name);
        if had {
            client.subs.bytes -= subscription_bytes(name);
            self.pubsub.remove(kind, name, id);
        }
        had
    }

    /// Ends all subscriptions of a client without a word to it.
    pub fn unsubscribe_all(&mut self, id: ClientRef) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let subs = std::mem::take(&mut client.subs);
        subs.channels.iter().for_each(|name| self.pubsub.remove(Kind::Channel, name, id));
        subs.patterns.iter().for_each(|name| self.pubsub.remove(Kind::Pattern, name, id));
        subs.shard.iter().for_each(|name| self.pubsub.remove(Kind::Shard, name, id));
    }

    /// Delivers a message to who listens to the channel or to a pattern that it matches; says to
    /// how many.
    pub fn publish(&mut self, channel: &[u8], message: &[u8]) -> usize {
        let mut receivers = 0;
        if let Some(clients) = self.pubsub.channels.get(channel) {
            let clients = clients.clone();
            receivers += self.deliver_all(&clients, &[b"message", channel, message]);
        }
        if self.pubsub.patterns.is_empty() {
            return receivers;
        }
        let matching: Vec<_> = (self.pubsub.patterns.iter())
            .filter(|(_, (glob, _))| glob.matches(channel))
            .map(|(pattern, (_, clients))| (pattern.clone(), clients.clone()))
            .collect();
        for (pattern, clients) in matching {
            receivers += self.deliver_all(&clients, &[b"pmessage", &pattern, channel, message]);
        }
        receivers
    }

    /// Delivers a message to who listens to the shard channel; says to how many.
    pub fn publish_shard(&mut self, channel: &[u8], message: &[u8]) -> usize {
        let Some(clients) = self.pubsub.shard.get(channel) else { return 0 };
        let clients = clients.clone();
        self.deliver_all(&clients, &[b"smessage", channel, message])
    }

    fn deliver_all(&mut self, clients: &[ClientRef], parts: &[&[u8]]) -> usize {
        let mut message = Message::new(parts);
        for &id in clients {
            let Some(proto) = self.proto_of(id) else { continue };
            self.push_output(id, message.bytes(proto));
        }
        clients.len()
    }

    /// The protocol that a client gets now.
    pub(in crate::server) fn proto_of(&self, id: ClientRef) -> Option<Proto> {
        match self.executing {
            // The running client's output is with its command's context.
            Some((running, proto)) if running == id => Some(proto),
            _ => self.clients.get(id).map(|client| client.out.proto()),
        }
    }

    /// Appends bytes to a client's output out of turn: after the reply, if its command runs.
    pub fn push_output(&mut self, id: ClientRef, bytes: &[u8]) {
        let Some(client) = self.clients.get_mut(id) else { return };
        if client.flags.contains(ClientFlags::CLOSE_ASAP) {
            return;
        }
        if client.flags.contains(ClientFlags::EXECUTING) {
            client.late.extend_from_slice(bytes);
        } else {
            client.out.raw(bytes);
        }
        self.account_client(id);
        self.check_output_limit(id);
        self.wake(id);
    }

    /// Publishes a keyspace event, if the configuration asks for its class.
    #[inline]
    pub fn notify(&mut self, class: NotifyFlags, event: &str, db: usize, key: &[u8]) {
        if self.config.notify_keyspace_events.intersects(class) {
            self.publish_event(event, db, key);
        }
    }

    fn publish_event(&mut self, event: &str, db: usize, key: &[u8]) {
        let flags = self.config.notify_keyspace_events;
        if self.pubsub.is_silent() {
            return;
        }
        if flags.contains(NotifyFlags::KEYSPACE) {
            let channel = [format!("__keyspace@{db}__:").as_bytes(), key].concat();
            self.publish(&channel, event.as_bytes());
        }
        if flags.contains(NotifyFlags::KEYEVENT) {
            let channel = format!("__keyevent@{db}__:{event}");
            self.publish(channel.as_bytes(), key);
        }
    }
}
