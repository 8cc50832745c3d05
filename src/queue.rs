//! Admission: who waits, who runs, who is refused.
