//! All users, by identifier and by name.

use std::collections::BTreeMap;

use super::catalog::Catalog;
use super::rules::Rules;
use super::user::User;

/// A user's place. It stays while the user exists; the default user's is always the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UserId(u32);

impl UserId {
    /// The default user.
    pub const DEFAULT: Self = Self(0);

    fn index(self) -> usize {
        self.0 as usize
    }
}

/// All users.
#[derive(Debug)]
pub struct Users {
    catalog: Catalog,
    /// By identifier. The places of deleted users hold a user that may do nothing.
    slots: Vec<User>,
    free: Vec<UserId>,
    by_name: BTreeMap<Box<[u8]>, UserId>,
}

impl Users {
    /// The default user alone, who may do everything.
    pub fn new(catalog: Catalog) -> Self {
        let default = User::default_user(&Rules::new(&catalog, false));
        let by_name = BTreeMap::from([(default.name.clone(), UserId::DEFAULT)]);
        Self { catalog, slots: vec![default], free: Vec::new(), by_name }
    }

    /// The commands that rules know.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// A user by its place.
    #[inline]
    pub fn get(&self, id: UserId) -> &User {
        &self.slots[id.index()]
    }

    /// Whether who connects may go on as the default user without logging in.
    pub fn admit_anybody(&self) -> bool {
        let default = self.get(UserId::DEFAULT);
        default.is_enabled() && default.needs_no_password()
    }

    /// The user of that name.
    pub fn find(&self, name: &[u8]) -> Option<UserId> {
        self.by_name.get(name).copied()
    }

    /// All users, by name in ascending order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &User> {
        self.by_name.values().map(|id| self.get(*id))
    }

    /// Puts a user in the place of the one of its name, or adds it.
    pub fn put(&mut self, user: User) -> UserId {
        if let Some(id) = self.find(&user.name) {
            self.slots[id.index()] = user;
            return id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            UserId(u32::try_from(self.slots.len()).expect("fewer users than fit into memory"))
        });
        self.by_name.insert(user.name.clone(), id);
        match self.slots.get_mut(id.index()) {
            Some(slot) => *slot = user,
            None => self.slots.push(user),
        }
        id
    }

    /// Deletes a user; says which it was. Whoever refers to it must stop before another is added.
    /// The default user stays.
    pub fn remove(&mut self, name: &[u8]) -> Option<UserId> {
        let id = self.find(name).filter(|id| *id != UserId::DEFAULT)?;
        self.by_name.remove(name);
        self.slots[id.index()] = User::new(b"", &Rules::new(&self.catalog, false));
        self.free.push(id);
        Some(id)
    }

    /// Puts other users in the place of all, with a default user as of old if none of them is it.
    /// As in [`remove`](Self::remove), nobody may refer to any but the default user any more.
    pub fn replace(&mut self, users: Vec<User>) {
        let mut all = Self::new(std::mem::take(&mut self.catalog));
        for user in users {
            all.put(user);
        }
        *self = all;
    }
}
