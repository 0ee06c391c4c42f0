//! How much may be in flight toward the receiver, and how fast it may be sent.
//!
//! One vocabulary of events for every controller, told by whoever detects losses; the answer is
//! a window in octets and a rate. Controllers are plain old data in the flow slot and matched
//! statically by [`Controller`], so a flow chooses its own at run time. What they share (initial and
//! restart window, loss window, episodes, proportional rate reduction) is in `window` and `prr`; what
//! makes one differ from another is in its own file.

#[cfg(feature = "bbr")]
mod bbr;
mod controller;
#[cfg(feature = "cubic")]
mod cubic;
mod events;
#[cfg(feature = "cubic")]
mod hystart;
mod provisioned;
mod prr;
mod reduction;
mod reno;
mod window;
mod words;

pub use controller::{Controller, Provision};
pub(crate) use events::{Ack, LostNow, SentNow, Start};

use crate::time::Instant;
#[cfg(feature = "bbr")]
use bbr::Bbr;
#[cfg(feature = "cubic")]
use cubic::Cubic;
pub(crate) use provisioned::Provisioned;
use prr::Progress;
use reduction::Reduction;
use reno::Reno;
use window::{AFTER_TIMEOUT, CongestionWindow, OPEN, RECOVERY, TIMED_OUT};
use words::{NOTHING, Words};

/// Pacing of window-based controllers in hundredths of a window per round trip: while the window
/// doubles each round trip (rule H12.1), and otherwise.
const SLOW_START_PACE: u64 = 200;
const AVOIDANCE_PACE: u64 = 120;
/// Octets of the window up to which a flow of BBR may be paced by it: short transfers are over by then.
#[cfg(feature = "bbr")]
const FIRST_WINDOWS: u32 = 64 * 1024;

/// The controller of one direction. Plain old data; all zeroes before
/// [`ControllerState::on_established`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub(crate) struct ControllerState {
    window: CongestionWindow,
    words: Words,
}

/// Which algorithm is in charge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Reno,
    #[cfg(feature = "cubic")]
    Cubic,
    #[cfg(feature = "bbr")]
    Bbr,
    Provisioned,
}

impl ControllerState {
    /// No connection yet.
    pub(crate) const EMPTY: Self = Self {
        window: CongestionWindow::EMPTY,
        words: NOTHING,
    };

    /// This algorithm will be in charge when the connection is established.
    pub(crate) fn nominate(&mut self, controller: Controller) {
        self.window.kind = controller.tag();
        self.words = NOTHING;
        if let Controller::Provisioned(provision) = controller {
            Provisioned::of(&provision).store(&mut self.words);
        }
    }

    /// This algorithm is in charge from now on; it takes over the window as it is, if there is one.
    pub(crate) fn choose(&mut self, controller: Controller, start: &Start) {
        self.nominate(controller);
        if self.window.mss > 0 {
            self.begin(start);
        }
    }

    /// The algorithm in charge.
    pub(crate) fn controller(&self) -> Controller {
        match self.kind() {
            Kind::Reno => Controller::Reno,
            #[cfg(feature = "cubic")]
            Kind::Cubic => Controller::Cubic,
            #[cfg(feature = "bbr")]
            Kind::Bbr => Controller::Bbr,
            Kind::Provisioned => {
                let share = controller::share_of(self.window.kind);
                Controller::Provisioned(Provisioned::load(&self.words).provision(share))
            }
        }
    }

    /// The connection is established; the algorithm was chosen before.
    pub(crate) fn on_established(&mut self, start: &Start) {
        self.window = CongestionWindow::new(self.window.kind, start.mss, start.initial_segments);
        self.begin(start);
    }

    fn begin(&mut self, start: &Start) {
        match self.kind() {
            Kind::Reno => self.words = NOTHING,
            #[cfg(feature = "cubic")]
            Kind::Cubic => self.words = NOTHING,
            #[cfg(feature = "bbr")]
            Kind::Bbr => {
                let bbr = Bbr::begin(&mut self.window, start);
                bbr.store(&mut self.words);
            }
            Kind::Provisioned => {
                Provisioned::load(&self.words).resize(&mut self.window, start.rtt_us);
            }
        }
    }

    /// The flow's part of a vouched rate; `None` under any other controller.
    pub(crate) fn provisioned(&self) -> Option<Provisioned> {
        (self.kind() == Kind::Provisioned).then(|| Provisioned::load(&self.words))
    }

    /// Keeps what has become of the flow's part of a vouched rate. Nothing happens under any other
    /// controller.
    pub(crate) fn set_provisioned(&mut self, vouched: Provisioned, srtt_us: Option<u32>) {
        if self.kind() == Kind::Provisioned {
            vouched.store(&mut self.words);
            if self.window.episode != TIMED_OUT {
                vouched.resize(&mut self.window, srtt_us);
            }
        }
    }

    /// Keeps what the flow may still send in its turn at a vouched rate.
    pub(crate) fn set_deficit(&mut self, deficit: u32) {
        if let Some(mut vouched) = self.provisioned() {
            vouched.deficit = deficit;
            vouched.store(&mut self.words);
        }
    }

    /// Which vouched rate the flow shares; `None` under any other controller.
    pub(crate) fn share(&self) -> Option<u8> {
        (self.kind() == Kind::Provisioned).then(|| controller::share_of(self.window.kind))
    }

    /// The flow may use so large a window and so high a rate from now on, although it has not grown
    /// there itself (Careful Resume).
    pub(crate) fn jump(&mut self, cwnd: u32, rate: u32) {
        self.set_cwnd(cwnd);
        #[cfg(feature = "bbr")]
        if self.kind() == Kind::Bbr {
            let mut bbr = Bbr::load(&self.words);
            bbr.jump(rate);
            bbr.store(&mut self.words);
        }
        #[cfg(not(feature = "bbr"))]
        let _ = rate;
    }

    /// What the jump sent has arrived; the earlier flow had so many octets a second.
    pub(crate) fn confirm_jump(&mut self, now: Instant, rate: u32) {
        #[cfg(feature = "bbr")]
        if self.kind() == Kind::Bbr {
            let mut bbr = Bbr::load(&self.words);
            bbr.confirm_jump(now, rate);
            bbr.store(&mut self.words);
        }
        #[cfg(not(feature = "bbr"))]
        let _ = (now, rate);
    }

    /// The jump was too far: what it led to measure counts for nothing.
    pub(crate) fn retreat(&mut self, cwnd: u32) {
        self.set_cwnd(cwnd);
        self.window.ssthresh = self.window.cwnd;
        #[cfg(feature = "bbr")]
        if self.kind() == Kind::Bbr {
            let mut bbr = Bbr::load(&self.words);
            bbr.retreat();
            bbr.store(&mut self.words);
        }
    }

    /// The window becomes so many octets. Nothing happens at a vouched rate.
    pub(crate) fn set_cwnd(&mut self, octets: u32) {
        if self.kind() != Kind::Provisioned {
            self.window.cwnd = octets.clamp(self.window.segment(), window::WINDOW_LIMIT);
        }
    }

    /// The threshold becomes so many octets.
    pub(crate) fn end_retreat(&mut self, ssthresh: u32) {
        self.window.ssthresh = ssthresh.max(self.window.segment().saturating_mul(2));
    }

    /// The retreat is over, and `ack` tells what its flight has lost. A controller that takes some losses
    /// for chance looks on for the rate if they were no more.
    pub(crate) fn search_on(&mut self, ack: &Ack) {
        #[cfg(feature = "bbr")]
        if self.kind() == Kind::Bbr {
            let mut bbr = Bbr::load(&self.words);
            bbr.search_on(&self.window, &ack.rate);
            bbr.store(&mut self.words);
        }
        #[cfg(not(feature = "bbr"))]
        let _ = ack;
    }

    /// The threshold that earlier flows to the same place learned (RFC 9040), in octets.
    pub(crate) fn set_threshold(&mut self, octets: u32) {
        let least = self.window.segment().saturating_mul(2);
        self.window.ssthresh = self.window.ssthresh.min(octets.max(least));
    }

    /// Segments were handed to the path.
    pub(crate) fn on_sent(&mut self, sent: &SentNow) {
        if self.window.episode == RECOVERY && self.follows_window() {
            let mut reduction = Reduction::load(&self.words);
            reduction.prr.on_sent(sent.octets);
            reduction.store(&mut self.words);
        }
        match self.kind() {
            Kind::Reno | Kind::Provisioned => {}
            #[cfg(feature = "cubic")]
            // Only when it begins to send again is there something to note.
            Kind::Cubic if sent.in_flight > 0 => {}
            #[cfg(feature = "cubic")]
            Kind::Cubic => {
                let mut cubic = Cubic::load(&self.words);
                cubic.on_restart(sent.now);
                cubic.store(&mut self.words);
            }
            #[cfg(feature = "bbr")]
            Kind::Bbr => {
                let mut bbr = Bbr::load(&self.words);
                bbr.on_sent(&mut self.window, sent);
                bbr.store(&mut self.words);
            }
        }
    }

    /// An acknowledgement brought news. Tell what it showed to be lost first.
    pub(crate) fn on_ack(&mut self, ack: &Ack) {
        if ack.acked > 0 && self.window.episode == TIMED_OUT {
            self.window.episode = AFTER_TIMEOUT;
        }
        match self.kind() {
            Kind::Reno => {
                if self.may_grow(ack) {
                    let mut reno = Reno::load(&self.words);
                    reno.on_ack(&mut self.window, ack.acked);
                    reno.store(&mut self.words);
                }
            }
            #[cfg(feature = "cubic")]
            Kind::Cubic => {
                let mut cubic = Cubic::load(&self.words);
                cubic.on_round(&mut self.window, ack);
                if self.may_grow(ack) {
                    cubic.on_ack(&mut self.window, ack);
                }
                cubic.store(&mut self.words);
            }
            #[cfg(feature = "bbr")]
            Kind::Bbr => {
                let mut bbr = Bbr::load(&self.words);
                bbr.on_ack(&mut self.window, ack);
                bbr.store(&mut self.words);
            }
            Kind::Provisioned => {
                if self.window.episode != TIMED_OUT {
                    Provisioned::load(&self.words).resize(&mut self.window, ack.srtt_us);
                }
            }
        }
    }

    /// Whether an acknowledgement grows a window that follows RFC 5681; in recovery it moves by
    /// proportional rate reduction instead.
    fn may_grow(&mut self, ack: &Ack) -> bool {
        if self.window.episode == RECOVERY {
            let progress = Progress {
                delivered: ack.delivered,
                in_flight: ack.in_flight,
                is_safe: ack.acked > 0 && ack.lost == 0,
                ssthresh: self.window.ssthresh,
                segment: self.window.segment(),
            };
            if ack.delivered > 0 {
                let mut reduction = Reduction::load(&self.words);
                let cwnd = reduction.prr.on_ack(&progress);
                reduction.store(&mut self.words);
                self.window.cwnd = cwnd.clamp(self.window.segment(), window::WINDOW_LIMIT);
            }
            return false;
        }
        ack.cwnd_limited && ack.acked > 0
    }

    /// Octets were found lost. Tell it before the [`ControllerState::on_congestion`] that follows from
    /// it: a congestion without a loss is an ECN echo.
    pub(crate) fn on_lost(&mut self, lost: &LostNow) {
        match self.kind() {
            Kind::Reno | Kind::Provisioned => {
                let _ = lost;
            }
            #[cfg(feature = "cubic")]
            Kind::Cubic => {}
            #[cfg(feature = "bbr")]
            Kind::Bbr => {
                let mut bbr = Bbr::load(&self.words);
                bbr.on_lost(&mut self.window, lost);
                bbr.store(&mut self.words);
            }
        }
    }

    /// The first loss of a flight was found, or an ECN echo arrived (RFC 3168 section 6.1.2), with
    /// `in_flight` octets outstanding. Tell it once per flight, and
    /// [`ControllerState::on_recovery_exit`] when that flight is acknowledged.
    pub(crate) fn on_congestion(&mut self, now: Instant, in_flight: u32) {
        let reduction = Reduction::begin(&self.window, in_flight);
        match self.kind() {
            Kind::Reno => self.reduce_reno(in_flight),
            #[cfg(feature = "cubic")]
            Kind::Cubic => self.reduce_cubic(in_flight),
            #[cfg(feature = "bbr")]
            Kind::Bbr => {
                let mut bbr = Bbr::load(&self.words);
                bbr.on_recovery(&mut self.window, now, in_flight);
                bbr.store(&mut self.words);
            }
            Kind::Provisioned => {
                let _ = now;
            }
        }
        if self.follows_window() {
            reduction.store(&mut self.words);
        }
        self.window.episode = RECOVERY;
    }

    fn reduce_reno(&mut self, in_flight: u32) {
        let mut reno = Reno::load(&self.words);
        self.window.ssthresh = reno.on_reduction(&self.window, self.window.flight(in_flight));
        reno.store(&mut self.words);
    }

    #[cfg(feature = "cubic")]
    fn reduce_cubic(&mut self, in_flight: u32) {
        let mut cubic = Cubic::load(&self.words);
        self.window.ssthresh = cubic.on_reduction(&self.window, self.window.flight(in_flight));
        cubic.store(&mut self.words);
    }

    #[cfg(feature = "cubic")]
    fn time_out_cubic(&mut self, in_flight: u32) {
        let mut cubic = Cubic::load(&self.words);
        self.window.ssthresh = cubic.on_timeout(&self.window, self.window.flight(in_flight));
        cubic.store(&mut self.words);
    }

    /// Everything that was in flight when the loss was found or the timer expired is acknowledged.
    pub(crate) fn on_recovery_exit(&mut self) {
        let was = self.window.episode;
        self.window.episode = OPEN;
        match self.kind() {
            Kind::Reno => self.arrive(was),
            #[cfg(feature = "cubic")]
            Kind::Cubic => self.arrive(was),
            #[cfg(feature = "bbr")]
            Kind::Bbr => {
                let mut bbr = Bbr::load(&self.words);
                bbr.on_recovery_exit(&mut self.window);
                bbr.store(&mut self.words);
            }
            Kind::Provisioned => {}
        }
    }

    /// Reduction ends at the threshold (RFC 6937 section 3).
    fn arrive(&mut self, episode: u8) {
        if episode == RECOVERY {
            self.window.cwnd = self.window.ssthresh;
        }
    }

    /// The retransmission timer expired with `in_flight` octets outstanding.
    pub(crate) fn on_timeout(&mut self, now: Instant, in_flight: u32) {
        // RFC 5681 section 3.1: the threshold is held while the same segment times out again.
        let is_first = self.window.episode != TIMED_OUT;
        if is_first && self.follows_window() {
            Reduction::begin(&self.window, in_flight).store(&mut self.words);
        }
        match self.kind() {
            Kind::Reno if is_first => self.reduce_reno(in_flight),
            #[cfg(feature = "cubic")]
            Kind::Cubic if is_first => self.time_out_cubic(in_flight),
            #[cfg(feature = "bbr")]
            Kind::Bbr => {
                let mut bbr = Bbr::load(&self.words);
                bbr.on_timeout(&mut self.window);
                bbr.store(&mut self.words);
            }
            Kind::Provisioned => {
                let _ = now;
            }
            Kind::Reno => {}
            #[cfg(feature = "cubic")]
            Kind::Cubic => {}
        }
        self.window.cwnd = self.window.segment();
        self.window.episode = TIMED_OUT;
    }

    /// Nothing was lost after all (RFC 3522, RFC 4015, RFC 5682, RFC 2883): the last reduction is
    /// taken back.
    pub(crate) fn on_spurious(&mut self) {
        let mut is_restored = true;
        if self.follows_window() {
            let mut reduction = Reduction::load(&self.words);
            is_restored = reduction.take_back(&mut self.window);
            reduction.store(&mut self.words);
        }
        self.window.episode = OPEN;
        match self.kind() {
            Kind::Reno | Kind::Provisioned => {
                let _ = is_restored;
            }
            // A window that has outgrown the old one goes on with its own curve (RFC 9438
            // section 4.9.2).
            #[cfg(feature = "cubic")]
            Kind::Cubic if !is_restored => {}
            #[cfg(feature = "cubic")]
            Kind::Cubic => {
                let mut cubic = Cubic::load(&self.words);
                cubic.on_spurious();
                cubic.store(&mut self.words);
            }
            #[cfg(feature = "bbr")]
            Kind::Bbr => {
                let mut bbr = Bbr::load(&self.words);
                bbr.on_spurious(&mut self.window);
                bbr.store(&mut self.words);
            }
        }
    }

    /// Nothing was sent for longer than a retransmission time-out: the window says nothing of the
    /// path any more, and shrinks to the restart window, which is as large as the initial one
    /// (RFC 5681 section 4.1).
    pub(crate) fn on_idle_restart(&mut self, initial_segments: u32) {
        match self.kind() {
            Kind::Reno => self.restart_window(initial_segments),
            #[cfg(feature = "cubic")]
            Kind::Cubic => self.restart_window(initial_segments),
            // They pace: what they learned of the path bounds the burst.
            #[cfg(feature = "bbr")]
            Kind::Bbr => {}
            Kind::Provisioned => {}
        }
    }

    fn restart_window(&mut self, initial_segments: u32) {
        self.window.cwnd = self.window.cwnd.min(self.window.initial(initial_segments));
    }

    /// Segments now carry at most `mss` octets.
    pub(crate) fn on_mss_change(&mut self, mss: u16) {
        self.window.resize(mss);
    }

    /// Payload octets of a full-size segment (SMSS); zero before the connection is established.
    pub(crate) const fn mss(&self) -> u16 {
        self.window.mss
    }

    /// Octets that may be in flight.
    pub(crate) const fn cwnd(&self) -> u32 {
        self.window.cwnd
    }

    /// Below this the window grows exponentially, in octets.
    pub(crate) const fn ssthresh(&self) -> u32 {
        self.window.ssthresh
    }

    /// Whether losses reduce the window as RFC 5681 has it.
    fn follows_window(&self) -> bool {
        !self.needs_pacing()
    }

    /// Whether the rate is part of the algorithm, and not only a kindness to the path.
    pub(crate) fn needs_pacing(&self) -> bool {
        match self.kind() {
            Kind::Reno => false,
            #[cfg(feature = "cubic")]
            Kind::Cubic => false,
            #[cfg(feature = "bbr")]
            Kind::Bbr => true,
            Kind::Provisioned => true,
        }
    }

    /// Whether it still looks for what the path carries, twice as much in each round trip.
    pub(crate) fn is_starting(&self) -> bool {
        match self.kind() {
            #[cfg(feature = "bbr")]
            Kind::Bbr => Bbr::load(&self.words).is_starting(),
            _ => self.window.in_slow_start(),
        }
    }

    /// Octets per second at which segments may leave; `None` if nothing is known of the path yet.
    pub(crate) fn pacing_rate(&self, srtt_us: Option<u32>) -> Option<u32> {
        match self.kind() {
            Kind::Reno => self.window_pace(srtt_us),
            #[cfg(feature = "cubic")]
            Kind::Cubic => self.window_pace(srtt_us),
            #[cfg(feature = "bbr")]
            Kind::Bbr => {
                let bbr = Bbr::load(&self.words);
                let measured = bbr.pacing_rate()?;
                // That is a round trip old, in which the window has doubled: of a short transfer that is most
                // (rule H12.1).
                let is_short = self.window.cwnd <= FIRST_WINDOWS && bbr.is_starting();
                let by_window = if is_short {
                    self.window_pace(srtt_us).unwrap_or(0)
                } else {
                    0
                };
                Some(measured.max(by_window))
            }
            // Its share paces it.
            Kind::Provisioned => None,
        }
    }

    fn window_pace(&self, srtt_us: Option<u32>) -> Option<u32> {
        let gain = if self.window.in_slow_start() {
            SLOW_START_PACE
        } else {
            AVOIDANCE_PACE
        };
        let per_second = u64::from(self.window.cwnd)
            .saturating_mul(gain.saturating_mul(10_000))
            .checked_div(u64::from(srtt_us?))?;
        Some(u32::try_from(per_second).unwrap_or(u32::MAX))
    }

    fn kind(&self) -> Kind {
        // Damaged memory must still send safely.
        match controller::algorithm_of(self.window.kind) {
            #[cfg(feature = "cubic")]
            controller::CUBIC => Kind::Cubic,
            #[cfg(feature = "bbr")]
            controller::BBR => Kind::Bbr,
            controller::PROVISIONED => Kind::Provisioned,
            _ => Kind::Reno,
        }
    }
}

#[cfg(test)]
mod tests;
