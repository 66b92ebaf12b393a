//! The processor's prefetch hint.
//!
//! Owns its absence on other processors than x86-64. It never reads anything itself.

/// Asks for the cache line at the start of `place`, to be there when it is read soon.
#[inline]
pub fn prefetch<T>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    safe_arch::prefetch_t0(place);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// Asks for all cache lines of `bytes`, as [`prefetch`] does for one.
#[inline]
pub fn prefetch_all(bytes: &[u8]) {
    const LINE: usize = 64;
    bytes.iter().step_by(LINE).for_each(prefetch);
}
