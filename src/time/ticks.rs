//! The processor's own counter: the cheapest clock there is, and only good for small differences.

/// The time stamp counter, where there is one. Unlike the operating system's clocks, which wait
/// until everything before them is done, reading it costs a few nanoseconds.
#[inline]
pub(super) fn ticks() -> Option<u64> {
    #[cfg(target_arch = "x86_64")]
    {
        #[expect(unsafe_code, reason = "the intrinsic is declared unsafe")]
        // SAFETY: RDTSC reads a register, touches no memory and exists on every x86-64 processor. A
        // system may forbid it to programs, but not without breaking its own `clock_gettime`.
        let ticks = unsafe { core::arch::x86_64::_rdtsc() };
        Some(ticks)
    }
    #[cfg(not(target_arch = "x86_64"))]
    None
}
