//! The one integration test binary: the server in process, with a clock that tests turn.

mod bad_input;
mod digest;
mod harness;
mod layers;
mod propagation;
mod transcripts;
