//! Rhubarb: a Redis-protocol compatible in-memory data store.
//!
//! The modules are layers; each imports only those above it in this list. ARCHITECTURE.md tells
//! how they work together, and `tests/it/layers.rs` holds the rule.

pub mod util;

pub mod ds;

pub mod resp;
pub mod spec;

pub mod value;

pub mod keyspace;

pub mod acl;
pub mod config;
pub mod persist;
pub mod script;
pub mod stats;

pub mod server;

pub mod commands;

pub mod net;

pub mod checks;
pub mod daemon;
pub mod options;
