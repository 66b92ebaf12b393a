//! The processor's prefetch hint.
//!
//! One of the two files with `unsafe`: the standard library offers the hint only as an unsafe
//! function. It never reads anything itself.

/// Asks for the cache line of `place`, to be there when it is read soon. Any address will do.
#[inline]
pub fn prefetch<T>(place: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch is a hint. It doesn't fault and changes nothing that the program
        // sees, whatever the address; and every x86_64 processor has the instruction.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast::<i8>()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// Asks for all cache lines of `places`, as [`prefetch`] does for one.
#[inline]
pub fn prefetch_all<T>(places: &[T]) {
    const LINE: usize = 64;
    let start = places.as_ptr().cast::<u8>();
    for at in (0..size_of_val(places)).step_by(LINE) {
        prefetch(start.wrapping_add(at));
    }
}
