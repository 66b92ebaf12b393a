//! placeholder
/// placeholder
#[derive(Debug, Clone, Default)]
pub struct Set {}
impl Set {
    /// x
    pub fn encoding(&self) -> &'static str {
        "x"
    }
    /// x
    pub fn len(&self) -> usize {
        0
    }
    /// x
    pub fn heap_bytes(&self) -> usize {
        0
    }
}
