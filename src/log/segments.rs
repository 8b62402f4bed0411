//! The segments of a log. Whoever takes the list keeps it: what it names can be read, whatever
//! happens to the log meanwhile.

use std::sync::Arc;

use arc_swap::Guard;

use super::partition::Log;
use super::segment::Segment;

impl Log {
    pub(crate) fn segments(&self) -> Arc<Vec<Arc<Segment>>> {
        self.segments.load_full()
    }

    /// The same for a moment, which costs less.
    pub(super) fn segments_now(&self) -> Guard<Arc<Vec<Arc<Segment>>>> {
        self.segments.load()
    }

    pub(crate) fn set_segments(&self, segments: Vec<Arc<Segment>>) {
        self.segments.store(Arc::new(segments));
    }

    /// The index in the list of the segment that holds an offset.
    pub(crate) fn segment_of(segments: &[Arc<Segment>], offset: i64) -> Option<usize> {
        segments.partition_point(|segment| segment.base_offset <= offset).checked_sub(1)
    }

    /// Bytes in `.log` files.
    pub(crate) fn size(&self) -> u64 {
        self.segments().iter().map(|segment| segment.size()).sum()
    }
}
