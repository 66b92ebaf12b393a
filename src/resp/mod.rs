//! The Redis serialization protocol: requests in, replies out. Sans I/O: never touches a socket.

pub mod args;
pub mod error;
pub mod parser;
pub mod reply;
pub mod request;

pub use args::{ArgBuf, Args, Span};
pub use error::Error;
pub use parser::{Limits, Parsed, ProtocolError, RequestParser, parse_whole};
pub use reply::{Mark, Proto, Reply};
