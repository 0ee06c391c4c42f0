//! The window that a host offers (RFC 9293 section 3.8.6, RFC 7323 section 2).

/// The receive window.
#[derive(Clone, Debug)]
pub(in crate::model) struct Window {
    room: i64,
    shift: u8,
    /// What the application has read.
    read: i64,
    pub(in crate::model) stalled: bool,
    /// Half of the window is taken back, as long as this is so (rule H2.8).
    pub(in crate::model) shrinks: bool,
    /// The right edge of all windows so far.
    edge: i64,
    /// What was said last.
    said: i64,
}

impl Window {
    pub(super) const fn new(room: i64, shift: u8) -> Self {
        Self {
            room,
            shift,
            read: 0,
            stalled: false,
            shrinks: false,
            edge: room,
            said: room,
        }
    }

    pub(in crate::model) const fn shrink(&mut self) {
        self.shrinks = !self.shrinks;
    }

    pub(super) fn first_field(&self) -> u16 {
        u16::try_from(self.room).expect("a small window")
    }

    pub(in crate::model) const fn edge(&self) -> i64 {
        self.edge
    }

    /// The application reads what is there, if it reads. True if the window may have grown by what
    /// is worth telling.
    pub(in crate::model) fn read(&mut self, rcv: i64, mss: i64) -> bool {
        if !self.stalled {
            self.read = rcv;
        }
        self.read + self.room - self.said >= mss.min(self.room / 2) && self.said - rcv < mss
    }

    /// The field of a segment that acknowledges `rcv`; `sent`: it really leaves.
    pub(super) fn announce(&mut self, rcv: i64, sent: bool) -> u16 {
        let unit = 1 << self.shift;
        let wish = self.read + self.room;
        let field = if self.shrinks {
            (self.edge - rcv) / 2 / unit
        } else if wish >= self.edge + unit {
            (wish - rcv) / unit
        } else {
            (self.edge - rcv + unit - 1) / unit
        };
        let field = field.clamp(0, 0xffff);
        if sent {
            self.said = rcv + field * unit;
            self.edge = self.edge.max(self.said);
        }
        u16::try_from(field).expect("limited")
    }
}
