//! Access control applied: logging in, the check of a call, and what follows when users change.
//!
//! Owns the ways in which clients lose their user or their subscriptions, the log and the counts of
//! refusals, and the users' file on disk. What rules mean is `acl`'s.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::acl::{
    self, Call, Catalog, CatalogRow, Context, Denial, LogEntry, Reason, RuleError, Rules,
    SetUserError, User, UserId, Users,
};
use crate::config::{AclPubsubDefault, Config, UserLine};
use crate::resp::{Args, Error};
use crate::server::Server;
use crate::server::client::{Client, ClientFlags, ClientRef};
use crate::server::command::{CommandId, Table};
use crate::spec::Flags;
use crate::util::file::{self, strerror};

impl Table {
    /// The commands as rules see them, by the names that they have without `rename-command`.
    pub fn catalog(&self) -> Catalog {
        let row = |(_, row): (CommandId, &super::command::Registered)| CatalogRow {
            full_name: row.full_name.clone(),
            categories: row.command.categories.derived(row.command.flags),
            parent: row.parent.map(CommandId::index),
        };
        self.iter().map(row).collect()
    }
}

/// The default user alone, with the configuration's password.
pub(in crate::server) fn first_users(table: &Table, config: &Config) -> Users {
    let mut users = Users::new(table.catalog());
    set_default_password(&mut users, &config.requirepass);
    users
}

/// Gives the default user this password only, or none if it is empty.
fn set_default_password(users: &mut Users, password: &[u8]) {
    if password.is_empty() && users.get(UserId::DEFAULT).needs_no_password() {
        return;
    }
    let mut user = users.get(UserId::DEFAULT).clone();
    let rule = match password {
        [] => b"nopass".to_vec(),
        _ => [b">", password].concat(),
    };
    let mut rules = Rules::new(users.catalog(), false);
    let set = user.apply(b"resetpass", &mut rules).and_then(|()| user.apply(&rule, &mut rules));
    if set.is_ok() {
        users.put(user);
    }
}

/// Why a user of the configuration file or its rules can't be had.
#[derive(Debug)]
pub struct DeclaredError {
    /// The user's name.
    pub name: Vec<u8>,
    /// The number of its line, and the line.
    pub place: (usize, Vec<u8>),
    /// The word that is wrong.
    pub word: Vec<u8>,
    /// Why.
    pub error: RuleError,
}

/// The users that `user` lines declare; of each, the name stands first.
///
/// # Errors
/// With the first rule that is refused.
pub fn declared_users(
    lines: &[UserLine],
    users: &Users,
    all_channels: bool,
) -> Result<Vec<User>, DeclaredError> {
    let mut rules = Rules::new(users.catalog(), all_channels);
    let mut declared = Vec::with_capacity(lines.len());
    for line in lines {
        let words: Vec<&[u8]> = line.words.iter().map(Vec::as_slice).collect();
        let [name, words @ ..] = words.as_slice() else { continue };
        let refused = |word: &[u8], error| DeclaredError {
            name: name.to_vec(),
            place: line.place.clone(),
            word: word.to_vec(),
            error,
        };
        if acl::has_spaces(name) {
            return Err(refused(name, RuleError::Syntax));
        }
        let mut user = User::new(name, &rules);
        user.apply_all(words, &mut rules).map_err(|error| match error {
            SetUserError::Unmatched(word) => refused(&word, RuleError::Syntax),
            SetUserError::Rule(word, error) => refused(&word, error),
        })?;
        declared.push(user);
    }
    Ok(declared)
}

impl Server {
    // ---- logging in -------------------------------------------------------------------------

    /// Whether a client has to log in before anything else.
    #[inline]
    pub fn needs_login(&self, client: &Client) -> bool {
        !client.authenticated && !self.users.admit_anybody()
    }

    /// Logs a client in. `args` is the command that it does so by, for the log.
    ///
    /// # Errors
    /// If there is no such user, it is off, or the password is wrong.
    pub fn log_in(
        &mut self,
        id: ClientRef,
        args: &Args<'_>,
        name: &[u8],
        password: &[u8],
    ) -> Result<(), Error> {
        let user = self.users.find(name).filter(|user| self.users.get(*user).accepts(password));
        let Some(user) = user else {
            let context = self.context_of(id);
            self.note_refusal(id, Reason::Auth, context, args.at(0), name);
            return Err(Error::WrongPass);
        };
        if let Some(client) = self.clients.get_mut(id) {
            client.user = user;
            client.authenticated = true;
        }
        Ok(())
    }

    /// Makes a client what it was when it connected: the default user, logged in if that needs no
    /// password.
    pub fn log_out(&mut self, id: ClientRef) {
        let authenticated = self.users.admit_anybody();
        if let Some(client) = self.clients.get_mut(id) {
            client.user = UserId::DEFAULT;
            client.authenticated = authenticated;
        }
    }

    // ---- checks -----------------------------------------------------------------------------

    /// Whether a client's user may make a call.
    ///
    /// # Errors
    /// With what is missing.
    #[inline]
    pub fn check_client(
        &self,
        client: &Client,
        command: CommandId,
        args: &Args<'_>,
    ) -> Result<(), Denial> {
        let user = self.users.get(client.user);
        // What the server executes for itself is nobody's call.
        if user.is_unrestricted() || client.flags.contains(ClientFlags::INTERNAL) {
            return Ok(());
        }
        self.check_user(user, command, args)
    }

    /// Whether a user may make a call.
    ///
    /// # Errors
    /// With what is missing.
    pub fn check_user(
        &self,
        user: &User,
        command: CommandId,
        args: &Args<'_>,
    ) -> Result<(), Denial> {
        let row = self.commands.get(command).command;
        user.check(&self.acl_call(command, args), || row.keys_of(args).0)
    }

    /// Whether a client's user may make a call that reads keys which its arguments don't name.
    pub fn may_read_all_keys(&self, id: ClientRef, command: CommandId, args: &Args<'_>) -> bool {
        let Some(client) = self.clients.get(id) else { return false };
        let row = self.commands.get(command).command;
        let user = self.users.get(client.user);
        client.flags.contains(ClientFlags::INTERNAL)
            || user.may_read_all_keys(&self.acl_call(command, args), || row.keys_of(args).0)
    }

    fn acl_call<'a>(&self, command: CommandId, args: &Args<'a>) -> Call<'a> {
        let row = self.commands.get(command).command;
        Call {
            command: command.index(),
            open: row.flags.contains(Flags::NO_AUTH),
            args: *args,
            channels: row.channels,
        }
    }

    /// Notes that a client's call was refused; returns why, in words.
    #[cold]
    pub fn deny(
        &mut self,
        id: ClientRef,
        command: CommandId,
        args: &Args<'_>,
        denial: Denial,
        context: Context,
    ) -> String {
        let Some(client) = self.clients.get(id) else { return String::new() };
        let user = self.users.get(client.user);
        let name = user.name.clone();
        let text = self.denial_text(user, command, args, denial, false);
        let full_name = self.commands.get(command).full_name.clone();
        let (reason, object) = match denial {
            Denial::Command => (Reason::Command, full_name.as_bytes()),
            Denial::Key(at) => (Reason::Key, args.get(at).unwrap_or_default()),
            Denial::Channel(at) => (Reason::Channel, args.get(at).unwrap_or_default()),
        };
        self.note_refusal(id, reason, context, object, &name);
        text
    }

    /// As [`deny`](Self::deny), for a client's own command: the error that it gets.
    #[cold]
    pub(in crate::server) fn no_permission(
        &mut self,
        id: ClientRef,
        command: CommandId,
        args: &Args<'_>,
        denial: Denial,
    ) -> Error {
        let context = self.context_of(id);
        Error::other(format!("NOPERM {}", self.deny(id, command, args, denial, context)))
    }

    /// The check of a transaction's command before it is executed: its user may have changed.
    ///
    /// # Errors
    /// If it is refused now.
    pub fn admit_queued(
        &mut self,
        id: ClientRef,
        command: CommandId,
        args: &Args<'_>,
    ) -> Result<(), Error> {
        let Some(client) = self.clients.get(id) else { return Ok(()) };
        let Err(denial) = self.check_client(client, command, args) else { return Ok(()) };
        self.deny(id, command, args, denial, Context::Multi);
        Err(match denial {
            Denial::Command => Error::ExecNoCommand,
            Denial::Key(_) => Error::ExecNoKey,
            Denial::Channel(_) => Error::ExecNoChannel,
        })
    }

    /// Why a call is refused to a user; `verbose` names the key or channel.
    pub fn denial_text(
        &self,
        user: &User,
        command: CommandId,
        args: &Args<'_>,
        denial: Denial,
        verbose: bool,
    ) -> String {
        let name = String::from_utf8_lossy(&user.name);
        let shown = |at| String::from_utf8_lossy(args.get(at).unwrap_or_default());
        match denial {
            Denial::Command => {
                let command = &self.commands.get(command).full_name;
                format!("User {name} has no permissions to run the '{command}' command")
            }
            Denial::Key(at) if verbose => {
                format!("User {name} has no permissions to access the '{}' key", shown(at))
            }
            Denial::Channel(at) if verbose => {
                format!("User {name} has no permissions to access the '{}' channel", shown(at))
            }
            Denial::Key(_) => "No permissions to access a key".to_owned(),
            Denial::Channel(_) => "No permissions to access a channel".to_owned(),
        }
    }

    /// Where a client's own command comes from.
    pub(in crate::server) fn context_of(&self, id: ClientRef) -> Context {
        match self.clients.get(id).is_some_and(Client::in_multi) {
            true => Context::Multi,
            false => Context::Toplevel,
        }
    }

    fn note_refusal(
        &mut self,
        id: ClientRef,
        reason: Reason,
        context: Context,
        object: &[u8],
        username: &[u8],
    ) {
        let counters = &mut self.counters;
        let counter = match reason {
            Reason::Command => &mut counters.access_denied_command,
            Reason::Key => &mut counters.access_denied_key,
            Reason::Channel => &mut counters.access_denied_channel,
            Reason::Auth => &mut counters.access_denied_auth,
        };
        *counter += 1;
        let client = self.clients.get(id).map(|client| self.describe_client(client, None));
        let entry = LogEntry {
            id: 0,
            count: 1,
            reason,
            context,
            object: object.into(),
            username: username.into(),
            client: client.unwrap_or_default().into(),
            created_ms: self.now_ms,
            updated_ms: self.now_ms,
        };
        self.acl_log.add(entry, self.config.acllog_max_len);
    }

    // ---- changing users ---------------------------------------------------------------------

    fn all_channels_by_default(&self) -> bool {
        self.config.acl_pubsub_default == AclPubsubDefault::Allchannels
    }

    /// Makes or changes a user; all rules or none. Clients that are subscribed to what it may no
    /// longer hear are closed.
    ///
    /// # Errors
    /// If a rule is refused.
    pub fn set_user(&mut self, name: &[u8], words: &[&[u8]]) -> Result<(), SetUserError> {
        let mut rules = Rules::new(self.users.catalog(), self.all_channels_by_default());
        let old = self.users.find(name);
        let mut user = match old {
            Some(id) => self.users.get(id).clone(),
            None => User::new(name, &rules),
        };
        user.apply_all(words, &mut rules)?;
        let deprecated = rules.deprecated;
        self.warn_of_first_args(&deprecated);
        if let Some(id) = old.filter(|id| acl::loses_channels(self.users.get(*id), &user)) {
            self.close_listeners(id, &user);
        }
        self.users.put(user);
        Ok(())
    }

    fn warn_of_first_args(&self, rules: &[Vec<u8>]) {
        for rule in rules {
            self.log.warning(format_args!(
                "Deprecation warning: Allowing a first arg of an otherwise blocked command is a \
                 misuse of ACL and may get disabled in the future (offender: +{})",
                String::from_utf8_lossy(rule)
            ));
        }
    }

    /// Deletes a user and closes its clients; says whether there was one.
    pub fn delete_user(&mut self, name: &[u8]) -> bool {
        let Some(id) = self.users.find(name).filter(|id| *id != UserId::DEFAULT) else {
            return false;
        };
        self.close_clients_where(|client| client.user == id);
        self.users.remove(name).is_some()
    }

    /// Closes the subscribers of a user that may not keep what they are subscribed to.
    fn close_listeners(&mut self, id: UserId, user: &User) {
        let must_go = |client: &&Client| {
            let subs = &client.subs;
            let plain = subs.channels.iter().chain(&subs.shard);
            client.user == id
                && !(plain.clone().all(|channel| user.may_listen(channel, false))
                    && subs.patterns.iter().all(|pattern| user.may_listen(pattern, true)))
        };
        let gone: Vec<ClientRef> =
            self.clients.iter().filter(must_go).map(|client| client.id).collect();
        gone.into_iter().for_each(|id| self.close_or_finish(id));
    }

    /// Takes their user away from clients, and closes them.
    fn close_clients_where(&mut self, is_hit: impl Fn(&Client) -> bool) {
        let hit: Vec<ClientRef> =
            self.clients.iter().filter(|client| is_hit(client)).map(|client| client.id).collect();
        for id in hit {
            if let Some(client) = self.clients.get_mut(id) {
                client.user = UserId::DEFAULT;
                client.authenticated = false;
            }
            self.close_or_finish(id);
        }
    }

    /// Closes a client at once, or if its own command is running, after the reply.
    fn close_or_finish(&mut self, id: ClientRef) {
        match self.clients.get_mut(id) {
            Some(client) if client.flags.contains(ClientFlags::EXECUTING) => {
                client.flags.insert(ClientFlags::CLOSE_AFTER_REPLY);
            }
            _ => self.close_client(id),
        }
    }

    /// Takes over a changed `requirepass`.
    pub fn set_default_password(&mut self, password: &[u8]) {
        set_default_password(&mut self.users, password);
    }

    // ---- files ------------------------------------------------------------------------------

    /// Puts the users of the configuration, or of the users' file, in force. To be called before
    /// the first client connects.
    ///
    /// # Errors
    /// If users are given in both ways, or a rule is refused: the server must not run then.
    pub fn load_first_users(&mut self) -> Result<(), String> {
        if !self.config.aclfile.is_empty() {
            if !self.config.users.is_empty() {
                return Err("Configuring the server with users defined in redis.conf and at the \
                            same setting an ACL file path is invalid. This setup is very likely \
                            to lead to configuration errors and security holes, please define \
                            either an ACL file or declare users directly in your redis.conf, but \
                            not both."
                    .into());
            }
            return self
                .load_users()
                .map_err(|error| format!("Aborting startup because of ACL errors: {error}"));
        }
        let lines = std::mem::take(&mut self.config.users);
        let declared = declared_users(&lines, &self.users, self.all_channels_by_default());
        let declared = declared.map_err(|refused| {
            format!(
                "Error while parsing ACL rule '{}' in the user '{}': {}. Critical error while \
                 loading ACLs. Exiting.",
                String::from_utf8_lossy(&refused.word),
                String::from_utf8_lossy(&refused.name),
                refused.error
            )
        })?;
        for user in declared {
            if !user.is_enabled() {
                self.log.notice(format_args!(
                    "The user '{}' is disabled (there is no 'on' modifier in the user \
                     description). Make sure this is not a configuration error.",
                    String::from_utf8_lossy(&user.name)
                ));
            }
            self.users.put(user);
        }
        Ok(())
    }

    /// Reads the users' file and puts its users in the place of all. The clients of all but the
    /// default user are closed.
    ///
    /// # Errors
    /// If it can't be read, or with all that is wrong in it; nothing changes then.
    pub fn load_users(&mut self) -> Result<(), String> {
        let shown = String::from_utf8_lossy(&self.config.aclfile).into_owned();
        let text = file::read_all(&*self.disk, &self.users_file()).map_err(|error| {
            format!("Error loading ACLs, opening file '{shown}': {}", strerror(&error))
        })?;
        let mut rules = Rules::new(self.users.catalog(), self.all_channels_by_default());
        let users = acl::parse_file(&text, &shown, &mut rules)?;
        let deprecated = rules.deprecated;
        self.warn_of_first_args(&deprecated);
        self.close_clients_where(|client| client.user != UserId::DEFAULT);
        self.users.replace(users);
        Ok(())
    }

    /// Writes all users to the users' file: whole under another name, then put in place.
    ///
    /// # Errors
    /// If that fails; the old file stays.
    pub fn save_users(&self) -> io::Result<()> {
        let path = self.users_file();
        let mut other = path.as_os_str().to_owned();
        other.push(format!(".tmp-{}-{}", std::process::id(), self.now_ms));
        let other = PathBuf::from(other);
        let written = (|| {
            let file = self.disk.create(&other)?;
            file.write_all(&acl::print_file(self.users.iter()))?;
            file.sync_all()?;
            self.disk.rename(&other, &path)
        })();
        if written.is_err() {
            let _ = self.disk.remove(&other);
            return written;
        }
        match path.parent() {
            Some(dir) if dir.as_os_str().is_empty() => self.disk.sync_dir(Path::new(".")),
            Some(dir) => self.disk.sync_dir(dir),
            None => Ok(()),
        }
    }

    /// All users as `user` lines of a configuration file; none if they have a file of their own.
    pub fn user_lines(&self) -> Vec<UserLine> {
        let line = |user: &User| {
            let rules = user.describe();
            let rules = rules.split(|byte| *byte == b' ').map(<[u8]>::to_vec);
            UserLine::new(std::iter::once(user.name.to_vec()).chain(rules).collect())
        };
        match self.config.aclfile.is_empty() {
            true => self.users.iter().map(line).collect(),
            false => Vec::new(),
        }
    }

    fn users_file(&self) -> PathBuf {
        let path = Path::new(OsStr::from_bytes(&self.config.aclfile));
        match path.is_absolute() {
            true => path.to_path_buf(),
            false => Path::new(OsStr::from_bytes(&self.config.dir)).join(path),
        }
    }
}
