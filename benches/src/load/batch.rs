//! A case in batches, so that no packet is made while the clock runs.

/// Something that is done again and again, a batch at a time.
pub trait Case {
    /// Makes the packets of the next batch; the clock stands still.
    fn prepare(&mut self);

    /// Carries them; answers how many units that were.
    fn run(&mut self) -> u32;

    /// Says what is wrong if the batch that was carried last was not what it should have been; the clock
    /// stands still again.
    ///
    /// # Errors
    /// What went wrong.
    fn check(&mut self) -> Result<(), String> {
        Ok(())
    }
}

impl<C: Case + ?Sized> Case for &mut C {
    fn prepare(&mut self) {
        (**self).prepare();
    }

    fn run(&mut self) -> u32 {
        (**self).run()
    }

    fn check(&mut self) -> Result<(), String> {
        (**self).check()
    }
}
