//! The values that keys hold: one type per Redis type, each a clone-is-snapshot structure.
//!
//! Owns encodings and their conversions. Knows neither keys nor databases, neither clients nor time.

pub mod hash;
pub mod list;
mod prefetch;
mod sample;
pub mod set;
pub mod stream;
pub mod zset;

use triomphe::Arc;

use hash::Hash;
use list::List;
use set::Set;
use stream::Stream;
use zset::ZSet;

/// The type of a value, as `TYPE` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Type {
    String,
    List,
    Set,
    ZSet,
    Hash,
    Stream,
}

impl Type {
    /// The name that `TYPE` replies.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::List => "list",
            Self::Set => "set",
            Self::ZSet => "zset",
            Self::Hash => "hash",
            Self::Stream => "stream",
        }
    }

    /// The type of that name, in any case.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        [Self::String, Self::List, Self::Set, Self::ZSet, Self::Hash, Self::Stream]
            .into_iter()
            .find(|kind| name.eq_ignore_ascii_case(kind.name().as_bytes()))
    }
}

/// A value too large, or of a kind, not to stand inside its entry. Cloning shares.
#[derive(Debug, Clone)]
pub enum Value {
    /// A string that is an integer.
    Int(i64),
    /// A long string, or one that has been appended to.
    Str(Arc<Vec<u8>>),
    /// A list.
    List(Arc<List>),
    /// A set.
    Set(Arc<Set>),
    /// A sorted set.
    ZSet(Arc<ZSet>),
    /// A hash.
    Hash(Arc<Hash>),
    /// A stream.
    Stream(Arc<Stream>),
}

impl Value {
    /// The value's type.
    pub fn kind(&self) -> Type {
        match self {
            Self::Int(_) | Self::Str(_) => Type::String,
            Self::List(_) => Type::List,
            Self::Set(_) => Type::Set,
            Self::ZSet(_) => Type::ZSet,
            Self::Hash(_) => Type::Hash,
            Self::Stream(_) => Type::Stream,
        }
    }

    /// The name that `OBJECT ENCODING` replies.
    pub fn encoding(&self) -> &'static str {
        match self {
            Self::Int(_) => "int",
            Self::Str(_) => "raw",
            Self::List(list) => list.encoding(),
            Self::Set(set) => set.encoding(),
            Self::ZSet(zset) => zset.encoding(),
            Self::Hash(hash) => hash.encoding(),
            Self::Stream(stream) => stream.encoding(),
        }
    }

    /// Number of elements; 1 for a string.
    pub fn len(&self) -> usize {
        match self {
            Self::Int(_) | Self::Str(_) => 1,
            Self::List(list) => list.len(),
            Self::Set(set) => set.len(),
            Self::ZSet(zset) => zset.len(),
            Self::Hash(hash) => hash.len(),
            Self::Stream(stream) => stream.len(),
        }
    }

    /// Whether this is a collection without elements, which no key may hold. Streams are never
    /// that: what they remember stays when their entries are gone.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.kind() != Type::Stream
    }

    /// How many parts are to be freed with it.
    pub fn effort(&self) -> usize {
        match self {
            Self::Stream(stream) => stream.effort(),
            _ => self.len(),
        }
    }

    /// Bytes on the heap, estimated as `MEMORY USAGE` does.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Int(_) => 0,
            Self::Str(bytes) => size_of::<Vec<u8>>() + 8 + bytes.capacity(),
            Self::List(list) => size_of::<List>() + 8 + list.heap_bytes(),
            Self::Set(set) => size_of::<Set>() + 8 + set.heap_bytes(),
            Self::ZSet(zset) => size_of::<ZSet>() + 8 + zset.heap_bytes(),
            Self::Hash(hash) => size_of::<Hash>() + 8 + hash.heap_bytes(),
            Self::Stream(stream) => size_of::<Stream>() + 8 + stream.heap_bytes(),
        }
    }
}

/// A collection type that a [`Value`] can hold: what the typed lookups are generic over.
pub trait Collection: Clone + Default {
    /// Its type.
    const TYPE: Type;
    /// The collection inside `value`, if it is of this type.
    fn of(value: &Value) -> Option<&Self>;
    /// The same to write to: copied first if a snapshot shares it.
    fn of_mut(value: &mut Value) -> Option<&mut Self>;
    /// A value that holds this collection.
    fn into_value(self) -> Value;
    /// Number of elements.
    fn len(&self) -> usize;
    /// Whether it has no elements.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

macro_rules! collection {
    ($($kind:ident),*) => {$(
        impl Collection for $kind {
            const TYPE: Type = Type::$kind;

            fn of(value: &Value) -> Option<&Self> {
                if let Value::$kind(inner) = value { Some(inner) } else { None }
            }

            fn of_mut(value: &mut Value) -> Option<&mut Self> {
                if let Value::$kind(inner) = value { Some(Arc::make_mut(inner)) } else { None }
            }

            fn into_value(self) -> Value {
                Value::$kind(Arc::new(self))
            }

            fn len(&self) -> usize {
                $kind::len(self)
            }
        }
    )*};
}

collection!(List, Set, ZSet, Hash, Stream);

/// Why stored bytes can't be a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// They are no whole elements of the type.
    Form,
    /// An element is there twice.
    Duplicate,
}

/// The thresholds between small and large encodings: settings of these names, with their defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `hash-max-listpack-entries`
    pub hash_max_listpack_entries: usize,
    /// `hash-max-listpack-value`, in bytes
    pub hash_max_listpack_value: usize,
    /// `list-max-listpack-size`: elements per node, or -1 to -5 for 4 to 64 KiB
    pub list_max_listpack_size: i32,
    /// `set-max-intset-entries`
    pub set_max_intset_entries: usize,
    /// `set-max-listpack-entries`
    pub set_max_listpack_entries: usize,
    /// `set-max-listpack-value`, in bytes
    pub set_max_listpack_value: usize,
    /// `zset-max-listpack-entries`
    pub zset_max_listpack_entries: usize,
    /// `zset-max-listpack-value`, in bytes
    pub zset_max_listpack_value: usize,
    /// `stream-node-max-bytes`; 0 is no limit
    pub stream_node_max_bytes: usize,
    /// `stream-node-max-entries`; 0 is no limit
    pub stream_node_max_entries: u64,
}

impl Limits {
    /// The defaults of the settings.
    pub const DEFAULT: Self = Self {
        hash_max_listpack_entries: 512,
        hash_max_listpack_value: 64,
        list_max_listpack_size: -2,
        set_max_intset_entries: 512,
        set_max_listpack_entries: 128,
        set_max_listpack_value: 64,
        zset_max_listpack_entries: 128,
        zset_max_listpack_value: 64,
        stream_node_max_bytes: 4096,
        stream_node_max_entries: 100,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
