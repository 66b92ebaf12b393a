//! The process's hash seed, drawn once: what keeps clients from choosing keys that collide.

use std::sync::OnceLock;

static SEED: OnceLock<(u64, u64)> = OnceLock::new();

/// The seed of every hash table in this process.
pub fn hash_seed() -> (u64, u64) {
    *SEED.get_or_init(|| (random_u64(), random_u64()))
}

/// Fixes the seed, for tests that replay; without effect once it has been read.
pub fn fix_hash_seed(seed: (u64, u64)) {
    let _ = SEED.set(seed);
}

/// Eight bytes from the operating system's generator.
pub fn random_u64() -> u64 {
    // Without the system's generator the address of a stack variable is the best there is.
    let fallback = 0u8;
    getrandom::u64().unwrap_or(ptr_bits(&fallback))
}

fn ptr_bits(place: &u8) -> u64 {
    std::ptr::from_ref(place).addr() as u64
}

/// `N` random hexadecimal digits, as run identifiers use them.
pub fn random_hex(digits: usize) -> String {
    let mut text = String::with_capacity(digits + 16);
    while text.len() < digits {
        text.push_str(&format!("{:016x}", random_u64()));
    }
    text.truncate(digits);
    text
}
