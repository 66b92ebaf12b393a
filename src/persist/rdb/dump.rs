//! The payload of DUMP and RESTORE: one value, the version of its format, and a checksum; and that of
//! FUNCTION DUMP, which holds sources of libraries instead.

use super::decode::{Decoder, Problem};
use super::encode::Encoder;
use super::value::Options;
use super::{VERSION, VERSION_MAX, opcode};
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
    sealed(encoder)
}

/// Bytes that a value takes in a snapshot.
pub fn saved_len(entry: &Entry, compress: bool) -> usize {
    let mut encoder = Encoder::whole(compress);
    encoder.kind_and_value(entry);
    // The kind stands apart.
    encoder.into_bytes().len().saturating_sub(1)
}

/// The payload of libraries of functions.
pub fn dump_functions<'a>(sources: impl Iterator<Item = &'a [u8]>, compress: bool) -> Vec<u8> {
    let mut encoder = Encoder::whole(compress);
    sources.for_each(|source| encoder.function(source));
    sealed(encoder)
}

/// What was written, with the footer.
fn sealed(mut encoder: Encoder<'static>) -> Vec<u8> {
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

/// The sources of a payload of libraries. `trusting` believes the checksum.
///
/// # Errors
/// If it isn't one.
pub fn restore_functions(payload: &[u8], trusting: bool) -> Result<Vec<Vec<u8>>, Refused> {
    let body = checked(payload, trusting).ok_or(Refused::Footer)?;
    let mut decoder = Decoder::of(body);
    let mut sources = Vec::new();
    while decoder.offset() < body.len() as u64 {
        match decoder.byte() {
            Ok(opcode::FUNCTION2) => sources.push(decoder.vec().map_err(Refused::Corrupt)?),
            Ok(_) => {
                let what = "given type is not a function".into();
                return Err(Refused::Corrupt(Problem::Unsupported(what)));
            }
            Err(problem) => return Err(Refused::Corrupt(problem)),
        }
    }
    Ok(sources)
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
