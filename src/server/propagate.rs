//! Propagation: what commands change, in the form in which the AOF and replicas execute it again.
//!
//! Owns the unit under way, that is the effects of one command, transaction or script in their
//! order, and the feeds that finished units go to. A unit of several effects is framed by MULTI
//! and EXEC, so that whoever replays it has all of it or nothing. Never does I/O: somebody else
//! takes what stands in a [`Feed`].

use crate::resp::request::{write_request, write_select};
use crate::server::Server;

bitflags::bitflags! {
    /// Who is told of an effect.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Targets: u8 {
        /// The append only file.
        const AOF = 1;
        /// Replicas.
        const REPLICAS = 2;
    }
}

/// Requests, as RESP, for one target.
#[derive(Debug, Default)]
pub struct Feed {
    /// What has not been taken yet.
    pub buf: Vec<u8>,
    /// The database that the requests so far have selected; none before the first.
    pub selected: Option<usize>,
}

/// An effect of the unit under way.
#[derive(Debug, Clone, Copy)]
struct Effect {
    db: usize,
    targets: Targets,
    /// Where its request ends in the unit's bytes; it begins where the one before ends.
    end: usize,
}

/// The unit under way, and the feeds.
#[derive(Debug)]
pub struct Propagation {
    /// Who listens. Nothing is written down while nobody does.
    listening: Targets,
    /// Who is told what commands do; a script may leave some out (`redis.set_repl`).
    commands: Targets,
    bytes: Vec<u8>,
    effects: Vec<Effect>,
    /// The time, in Unix seconds, where the append only file is to tell times.
    annotates: Option<i64>,
    /// The last time that it told.
    annotated: i64,
    /// For the append only file.
    pub aof: Feed,
    /// For replicas.
    pub replicas: Feed,
}

impl Default for Propagation {
    fn default() -> Self {
        Self {
            listening: Targets::empty(),
            commands: Targets::all(),
            bytes: Vec::new(),
            effects: Vec::new(),
            annotates: None,
            annotated: 0,
            aof: Feed::default(),
            replicas: Feed::default(),
        }
    }
}

impl Propagation {
    /// Begins or ends to tell some targets. Who begins is told by a SELECT where it stands.
    pub fn listen(&mut self, targets: Targets, on: bool) {
        self.listening.set(targets, on);
        for (feed, target) in
            [(&mut self.aof, Targets::AOF), (&mut self.replicas, Targets::REPLICAS)]
        {
            if targets.contains(target) {
                *feed = Feed::default();
            }
        }
    }

    /// Whether any of `targets` listens.
    #[inline]
    pub fn listens(&self, targets: Targets) -> bool {
        self.listening.intersects(targets)
    }

    /// Has the append only file tell times before effects, of which this (in Unix seconds) is the
    /// one now; or not.
    pub fn annotate(&mut self, unix_s: Option<i64>) {
        self.annotates = unix_s;
    }

    /// Has only `targets` told what commands do from here on.
    pub fn narrow(&mut self, targets: Targets) {
        self.commands = targets;
    }

    /// Adds an effect of a command to the unit under way.
    #[inline]
    pub fn add_command<'a>(&mut self, db: usize, words: impl ExactSizeIterator<Item = &'a [u8]>) {
        self.add(db, self.commands, words);
    }

    /// Adds an effect to the unit under way.
    #[inline]
    pub fn add<'a>(
        &mut self,
        db: usize,
        targets: Targets,
        words: impl ExactSizeIterator<Item = &'a [u8]>,
    ) {
        let targets = targets & self.listening;
        if !targets.is_empty() {
            write_request(&mut self.bytes, words);
            self.effects.push(Effect { db, targets, end: self.bytes.len() });
        }
    }

    /// Ends the unit under way: its effects go to the feeds, framed if there are several and
    /// `framed` says so.
    #[inline]
    pub fn finish(&mut self, framed: bool) {
        if !self.effects.is_empty() {
            self.finish_some(framed);
        }
    }

    fn finish_some(&mut self, framed: bool) {
        let told = self.effects.iter().any(|effect| effect.targets.contains(Targets::AOF));
        if let Some(unix_s) = self.annotates.filter(|&unix_s| told && unix_s > self.annotated) {
            self.annotated = unix_s;
            self.aof.buf.extend_from_slice(format!("#TS:{unix_s}\r\n").as_bytes());
        }
        let Self { bytes, effects, aof, replicas, .. } = self;
        for (feed, target) in [(aof, Targets::AOF), (replicas, Targets::REPLICAS)] {
            let count = effects.iter().filter(|effect| effect.targets.contains(target)).count();
            let frame = framed && count > 1;
            let mut start = 0;
            let mut first = true;
            for effect in effects.iter() {
                let request = &bytes[start..effect.end];
                start = effect.end;
                if !effect.targets.contains(target) {
                    continue;
                }
                feed.select(effect.db);
                if frame && std::mem::take(&mut first) {
                    feed.buf.extend_from_slice(b"*1\r\n$5\r\nMULTI\r\n");
                }
                feed.buf.extend_from_slice(request);
            }
            if frame {
                feed.buf.extend_from_slice(b"*1\r\n$4\r\nEXEC\r\n");
            }
        }
        bytes.clear();
        effects.clear();
    }
}

impl Feed {
    /// Has what follows run in database `db`.
    fn select(&mut self, db: usize) {
        if self.selected != Some(db) {
            self.selected = Some(db);
            write_select(&mut self.buf, db);
        }
    }
}

impl Server {
    /// Adds an effect that no command asked for, told to all who listen, to the unit under way;
    /// the unit ends with it unless a command is executing.
    pub(in crate::server) fn propagate_alone(&mut self, db: usize, words: &[&[u8]]) {
        self.propagation.add(db, Targets::all(), words.iter().copied());
        if self.depth == 0 {
            self.propagation.finish(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> impl ExactSizeIterator<Item = &[u8]> {
        text.split(' ').map(str::as_bytes).collect::<Vec<_>>().into_iter()
    }

    /// The requests in a feed as text, one line each.
    fn shown(feed: &mut Feed) -> String {
        let text = String::from_utf8(std::mem::take(&mut feed.buf)).expect("text");
        let lines = text.split("\r\n").filter(|line| !line.starts_with('$'));
        lines
            .map(|line| if line.starts_with('*') { "\n" } else { line })
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn units_select_and_frame_once() {
        let mut told = Propagation::default();
        told.add(0, Targets::all(), words("SET unheard 1"));
        told.listen(Targets::AOF, true);
        told.add(3, Targets::all(), words("SET a 1"));
        told.finish(true);
        told.add(3, Targets::all(), words("DEL a"));
        told.add(4, Targets::all(), words("DEL b"));
        told.add(4, Targets::REPLICAS, words("PUBLISH c d"));
        told.finish(true);
        told.add(4, Targets::all(), words("DEL x"));
        told.add(4, Targets::all(), words("DEL y"));
        told.finish(false);
        told.finish(true);
        assert_eq!(
            shown(&mut told.aof),
            "\n SELECT 3 \n SET a 1 \n MULTI \n DEL a \n SELECT 4 \n DEL b \n EXEC \n DEL x \n DEL y "
        );
        assert!(told.replicas.buf.is_empty());
    }
}
