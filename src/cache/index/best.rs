//! The best few of many.

/// The best so far; `floor` is the score a newcomer must beat once there is no more room.
#[derive(Debug)]
pub(super) struct Best<T> {
    room: usize,
    held: Vec<(T, f32)>,
    floor: f32,
}

impl<T> Default for Best<T> {
    fn default() -> Self {
        Best::new(1)
    }
}

impl<T> Best<T> {
    /// With room for so many, at least one.
    pub(super) fn new(room: usize) -> Self {
        let room = room.max(1);
        Best {
            room,
            held: Vec::with_capacity(room),
            floor: f32::NEG_INFINITY,
        }
    }

    /// Whether `offer` would take this score.
    pub(super) fn wants(&self, score: f32) -> bool {
        score > self.floor
    }

    /// Takes the newcomer if it is among the best.
    pub(super) fn offer(&mut self, item: T, score: f32) {
        if self.held.len() < self.room {
            self.held.push((item, score));
        } else if self.wants(score)
            && let Some(worst) = self.held.iter_mut().min_by(|a, b| a.1.total_cmp(&b.1))
        {
            *worst = (item, score);
        }
        if self.held.len() == self.room {
            let scores = self.held.iter().map(|(_, score)| *score);
            self.floor = scores.fold(f32::INFINITY, f32::min);
        }
    }

    /// What was taken, in no order.
    pub(super) fn into_held(self) -> Vec<(T, f32)> {
        self.held
    }
}
