//! The payload of DUMP and RESTORE: one value, the version of its format, and a checksum.

use super::decode::{Decoder, Problem};
use super::encode::Encoder;
use super::value::Options;
use super::{VERSION, VERSION_MAX};
use crate::keyspace::Entry;

/// Bytes after the value: version and checksum.
const FOOTER: usize = 10;

/// Why a payload is refused.
#[derive(Debug)]
pub enum Refused {
    /// Its version isn't known, or its checksum is wrong.
    Footer,
    /// It holds no value.
    Corrupt(Problem),
}

/// The payload of a value.
pub fn dump(entry: &Entry, compress: bool) -> Vec<u8> {
    let mut encoder = Encoder::whole(compress);
    encoder.kind_and_value(entry);
    encoder.put(&VERSION.to_le_bytes());
    let mut payload = encoder.into_bytes();
    let crc = crc64::crc64(0, &payload);
    payload.extend_from_slice(&crc.to_le_bytes());
    payload
}

/// The value of a payload, as the entry of a key. `trusting` believes the checksum.
///
/// # Errors
/// If it isn't one.
pub fn restore(
    payload: &[u8],
    key: &[u8],
    deadline: Option<i64>,
    trusting: bool,
    options: &Options,
) -> Result<Entry, Refused> {
    let body = checked(payload, trusting).ok_or(Refused::Footer)?;
    let mut decoder = Decoder::of(body);
    let kind = decoder.byte().map_err(Refused::Corrupt)?;
    decoder.entry(kind, key, deadline, options).map_err(Refused::Corrupt)
}

/// What stands before the footer, if that is as it should be.
pub fn checked(payload: &[u8], trusting: bool) -> Option<&[u8]> {
    let body = payload.len().checked_sub(FOOTER)?;
    let (summed, crc) = payload.split_at(body + 2);
    let version = u16::from_le_bytes(*summed.last_chunk()?);
    let crc = u64::from_le_bytes(*crc.first_chunk()?);
    let intact = trusting || crc64::crc64(0, summed) == crc;
    (version <= VERSION_MAX && intact).then(|| &payload[..body])
}
