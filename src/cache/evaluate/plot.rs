//! The evaluation as a picture: what is served wrongly over what is served rightly.

use std::fmt::Write as _;

use super::report::Report;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
const EDGE: f64 = 60.0;

/// An SVG of the plain-cosine curve with this cache's point on it.
pub fn svg(report: &Report) -> String {
    let baseline: Vec<(f64, f64)> = report
        .baseline
        .iter()
        .filter(|one| one.served > 0)
        .map(|one| {
            (
                share(one.true_served, report.true_pairs),
                share(one.wrong, one.served),
            )
        })
        .collect();
    let ours = (report.coverage, report.wrong_rate);
    let all = || baseline.iter().chain([&ours]);
    let widest = all().map(|at| at.0).fold(0.05, f64::max);
    let highest = all().map(|at| at.1).fold(0.02, f64::max);
    let place = |(x, y): (f64, f64)| {
        (
            EDGE + x / widest * (WIDTH - 2.0 * EDGE),
            HEIGHT - EDGE - y / highest * (HEIGHT - 2.0 * EDGE),
        )
    };
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    let (left, low) = place((0.0, 0.0));
    let (right, high) = place((widest, highest));
    // writing to a String cannot fail
    _ = writeln!(
        out,
        "<path d=\"M{left:.0} {high:.0}V{low:.0}H{right:.0}\" fill=\"none\" stroke=\"black\"/>\n\
         <text x=\"{left:.0}\" y=\"{:.0}\">served wrongly, of served: 0 to {:.1} %</text>\n\
         <text x=\"{right:.0}\" y=\"{:.0}\" text-anchor=\"end\">served rightly, of those that could be: 0 to {:.1} %</text>",
        high - 12.0,
        highest * 100.0,
        low + 28.0,
        widest * 100.0
    );
    let points: Vec<String> = baseline
        .iter()
        .map(|at| place(*at))
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    _ = writeln!(
        out,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"gray\" stroke-width=\"2\"/>",
        points.join(" ")
    );
    for one in report.baseline.iter().filter(|one| one.served > 0) {
        let at = (
            share(one.true_served, report.true_pairs),
            share(one.wrong, one.served),
        );
        let (x, y) = place(at);
        _ = writeln!(
            out,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"gray\"><title>plain cosine at {:.2}: {} served, {} wrong</title></circle>",
            one.threshold, one.served, one.wrong
        );
    }
    let (x, y) = place(ours);
    _ = writeln!(
        out,
        "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"6\" fill=\"#0a6\"><title>llm-router: {} served, {} wrong</title></circle>\n\
         <text x=\"{x:.1}\" y=\"{:.1}\" fill=\"#0a6\" text-anchor=\"middle\">llm-router</text>\n</svg>",
        report.served,
        report.wrong,
        y - 12.0
    );
    out
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}
