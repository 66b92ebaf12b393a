//! The allocator's size classes.
//!
//! Owns what a request of some bytes really takes, so that structures can use all of it and count
//! it truly.

/// The bytes that jemalloc sets aside for a request: 8, multiples of 16 up to 128, from there on
/// four classes to a doubling.
pub(super) fn size_class(bytes: usize) -> usize {
    if bytes <= 8 {
        return bytes.next_multiple_of(8);
    }
    let step = ((1 << (bytes - 1).ilog2()) / 4).max(16);
    bytes.next_multiple_of(step)
}

#[cfg(test)]
mod tests {
    use super::size_class;

    #[test]
    fn classes_are_the_allocators() {
        let requests = [0, 1, 8, 9, 16, 17, 113, 128, 129, 160, 161, 257, 321, 4097, 8192, 8193];
        let classes = [0, 8, 8, 16, 16, 32, 128, 128, 160, 160, 192, 320, 384, 5120, 8192, 10240];
        assert_eq!(requests.map(size_class), classes);
    }
}
