//! What a direction that is only watched does by itself, for the sake of its arrangement.

use super::Work;
use crate::flow::stream::StreamFlags;
use crate::policy::Direction;
use crate::sink::Sink;

impl<S: Sink + ?Sized> Work<'_, S> {
    /// Repeats from copies, and passes on windows and acknowledgements that were held back.
    pub(super) fn tend(&mut self, direction: Direction) {
        if self.flow.stream(direction).is_active() {
            return;
        }
        self.run_copies(direction);
        self.tend_window(direction);
        self.tend_acks(direction);
        self.flow
            .stream_mut(direction)
            .flags
            .clear(StreamFlags::ACK_OWED);
    }
}
