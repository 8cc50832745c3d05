//! "Did you mean": the nearest known word, when one is near enough.

/// The known word nearest to `given`, unless all of them are too far away to be a slip.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let slips = (given.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|word| (distance(&given.to_lowercase(), &word.to_lowercase()), word))
        .filter(|(distance, _)| *distance <= slips)
        .min()
        .map(|(_, word)| word)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.chars().take(128).collect(), b.chars().take(128).collect());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if swapped {
                best = best.min(before_last[j - 2] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_far_word_is_no_suggestion() {
        assert_eq!(nearest("cluster", ["models", "routes", "cache"]), None);
        assert_eq!(nearest("x", ["ab"]), None);
    }

    #[test]
    fn slips_and_swaps_find_their_word() {
        assert_eq!(nearest("modle", ["models", "model"]), Some("model"));
        assert_eq!(
            nearest("max_concurency", ["max_queue_depth", "max_concurrency"]),
            Some("max_concurrency")
        );
        assert_eq!(nearest("Routes", ["routes"]), Some("routes"));
    }

    #[test]
    fn a_swap_of_neighbours_counts_once() {
        assert_eq!(distance("modle", "model"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
    }
}
