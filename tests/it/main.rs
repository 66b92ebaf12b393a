//! The one integration test binary: the server in process, with a clock that tests turn.

mod acl;
mod aof;
mod background;
mod bad_input;
mod broken_rdb;
mod client_memory;
mod command_table;
mod differential;
mod digest;
mod functions;
mod harness;
mod layers;
mod pipelines;
mod process;
mod propagation;
mod rdb;
mod round_trips;
mod streams;
mod transcripts;
mod wait;
mod wire;
