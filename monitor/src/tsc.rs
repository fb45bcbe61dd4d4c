//! The frequency of the host's time stamp counter. A guest under emulation sees that very counter and fails to
//! calibrate it on a busy host, so it is told.

/// How long is measured, in nanoseconds.
#[cfg(target_arch = "x86_64")]
const SPAN_NS: u64 = 20_000_000;

/// The counter's frequency in kHz, measured against the clock that nothing adjusts (CLOCK_MONOTONIC_RAW, QueryPerformanceCounter).
#[cfg(target_arch = "x86_64")]
pub fn khz() -> Option<u64> {
    let (clock, counter) = sample();
    std::thread::sleep(std::time::Duration::from_nanos(SPAN_NS));
    let (clock_end, counter_end) = sample();
    let elapsed = clock_end.checked_sub(clock).filter(|&ns| ns > 0)?;
    let ticks = counter_end.checked_sub(counter).filter(|&ticks| ticks > 0)?;
    Some((u128::from(ticks) * 1_000_000 / u128::from(elapsed)) as u64)
}

#[cfg(not(target_arch = "x86_64"))]
pub fn khz() -> Option<u64> {
    None
}

/// Clock and counter at the same moment: of several readings the one that was interrupted least.
#[cfg(target_arch = "x86_64")]
fn sample() -> (u64, u64) {
    let mut best = (u64::MAX, 0, 0);
    for _ in 0..16 {
        // SAFETY: every x86-64 processor has the counter.
        let before = unsafe { core::arch::x86_64::_rdtsc() };
        let now = crate::sys::monotonic_raw_ns();
        // SAFETY: as above.
        let after = unsafe { core::arch::x86_64::_rdtsc() };
        let width = after.wrapping_sub(before);
        if width < best.0 {
            best = (width, now, before.wrapping_add(width / 2));
        }
    }
    (best.1, best.2)
}
