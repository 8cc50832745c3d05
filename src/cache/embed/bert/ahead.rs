//! Asks memory for the weights that come next while the present ones are used.

/// Bytes that memory delivers at once.
const CACHE_LINE: usize = 64;

/// Requests a share of what follows a panel, step by step.
#[derive(Clone, Copy)]
pub(super) struct Ahead {
    at: *const u8,
    /// Bytes per step; zero with so many passes that reading no longer matters.
    step: usize,
    /// Whether a step is more than one cache line.
    double: bool,
}

impl Ahead {
    /// Over the lines of this panel, in pass `pass` of `passes`, the same share of the `panels`
    /// that come after them.
    #[inline(always)]
    pub(super) fn after<L>(lines: &[L], panels: usize, pass: usize, passes: usize) -> Ahead {
        let bytes = size_of_val(lines) * panels;
        let step = size_of::<L>() * panels / passes;
        Ahead {
            at: lines
                .as_ptr()
                .cast::<u8>()
                .wrapping_add(bytes + pass * bytes / passes),
            step,
            double: step > CACHE_LINE,
        }
    }

    /// One step, with each line.
    #[inline(always)]
    pub(super) fn step(&mut self) {
        prefetch(self.at);
        if self.double {
            prefetch(self.at.wrapping_add(CACHE_LINE));
        }
        self.at = self.at.wrapping_add(self.step);
    }
}

#[inline(always)]
fn prefetch(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "the intrinsic takes a raw pointer")]
    // SAFETY: a prefetch is a hint; it reads nothing and cannot fault, whatever the address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}
