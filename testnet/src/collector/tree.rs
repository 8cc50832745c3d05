//! The spans of a trace as the tree they are, and how it is drawn.
//!
//! ```text
//! trace 0af7651916cd43dd8448eb211c80319c: 4 spans, 2 nodes, 12.4 ms
//! below b7ad6b7169203331, which is not here
//! span                         node  kind      start ms        ms  status
//! POST /v1/chat/completions    n1    server         0.0      12.4  ok 200
//! └─ chat gpt                  n1    internal       0.1      12.2  ok cache=exact
//!    └─ cache_lookup           n1    internal       0.2       2.1  ok cache=exact
//!       └─ …CacheService/Fly   n1    client         0.3       1.9  ok answer=held to=n2
//!          └─ …                n2    server         0.9       0.7  ok answer=held
//! ```

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::span::{Kind, Span};

/// Attributes that are shown beside the status, by a shorter name.
const SHOWN: [(&str, &str); 6] = [
    ("llm_router.cache", "cache"),
    ("llm_router.answer", "answer"),
    ("llm_router.attempt", "attempt"),
    ("llm_router.failures", "failures"),
    ("gen_ai.response.model", "model"),
    ("gen_ai.usage.output_tokens", "tokens"),
];
/// Longest name drawn, in characters.
const MAX_NAME: usize = 60;
/// Beyond this depth nothing is indented further.
const MAX_INDENT: usize = 24;

/// A trace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tree {
    spans: Vec<Span>,
    /// In the order they are drawn: each span with how deep it is and whether it is the last below
    /// its parent.
    rows: Vec<Row>,
}

#[derive(Clone, Debug, PartialEq)]
struct Row {
    at: usize,
    /// For every level above: whether more of it follows below.
    more: Vec<bool>,
    last: bool,
}

impl Tree {
    /// Spans of one trace, in any order. Whatever they say of their parents, each is drawn once.
    pub fn of(mut spans: Vec<Span>) -> Self {
        spans.sort_by(|a, b| (a.start_ns, &a.id).cmp(&(b.start_ns, &b.id)));
        let rows = rows(&spans);
        Tree { spans, rows }
    }

    /// How many spans there are.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// All of them, the earliest first.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Those of this name.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Span> {
        self.spans.iter().filter(move |span| span.name == name)
    }

    /// Spans below this one, the earliest first.
    pub fn below<'a>(&'a self, above: &'a Span) -> impl Iterator<Item = &'a Span> {
        let is_child = move |span: &&Span| span.parent.as_deref() == Some(above.id.as_str());
        self.spans.iter().filter(is_child)
    }

    /// Spans whose parent is not among them: one, for a request that is told as a whole.
    pub fn roots(&self) -> impl Iterator<Item = &Span> {
        let known: HashSet<&str> = self.spans.iter().map(|span| span.id.as_str()).collect();
        let is_root = move |span: &&Span| {
            let parent = span.parent.as_deref();
            parent.is_none_or(|parent| !known.contains(parent))
        };
        self.spans.iter().filter(is_root)
    }

    /// The nodes that took part, by name.
    pub fn nodes(&self) -> Vec<&str> {
        let mut nodes: Vec<&str> = self.spans.iter().map(|span| span.node.as_str()).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    /// The tree in as few words as tests compare: a line each, indented by depth, as
    /// `  n1 client chat gpt`.
    pub fn outline(&self) -> String {
        let line = |row: &Row| {
            let span = &self.spans[row.at];
            let indent = "  ".repeat(row.more.len());
            format!("{indent}{} {} {}\n", span.node, span.kind, span.name)
        };
        self.rows.iter().map(line).collect()
    }
}

/// Depth first, each span once. Spans that name one another in a circle hang from the earliest.
fn rows(spans: &[Span]) -> Vec<Row> {
    let places: HashMap<&str, usize> = spans.iter().map(|span| span.id.as_str()).zip(0..).collect();
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); spans.len()];
    let mut roots = Vec::new();
    for (at, span) in spans.iter().enumerate() {
        let parent = span.parent.as_deref().and_then(|parent| places.get(parent));
        match parent.filter(|parent| **parent != at) {
            Some(&parent) => children[parent].push(at),
            None => roots.push(at),
        }
    }
    let mut drawn = vec![false; spans.len()];
    let mut rows = Vec::with_capacity(spans.len());
    let starts = roots.into_iter().chain(0..spans.len());
    for start in starts {
        let mut stack = vec![Row {
            at: start,
            more: Vec::new(),
            last: true,
        }];
        while let Some(row) = stack.pop() {
            if std::mem::replace(&mut drawn[row.at], true) {
                continue;
            }
            let mut more = row.more.clone();
            if more.len() < MAX_INDENT {
                more.push(!row.last);
            }
            let below = &children[row.at];
            // the stack turns them round
            for (number, &at) in below.iter().enumerate().rev() {
                stack.push(Row {
                    at,
                    more: more.clone(),
                    last: number + 1 == below.len(),
                });
            }
            rows.push(row);
        }
    }
    rows
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.spans.first() else {
            return writeln!(f, "no spans");
        };
        let end = self.spans.iter().map(|span| span.end_ns).max();
        let whole = millis(end.unwrap_or(first.start_ns), first.start_ns);
        let (spans, nodes) = (self.spans.len(), self.nodes().len());
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        writeln!(
            f,
            "trace {}: {spans} span{}, {nodes} node{}, {whole:.1} ms",
            clean(&first.trace),
            plural(spans),
            plural(nodes)
        )?;
        for parent in self.roots().filter_map(|root| root.parent.as_deref()) {
            writeln!(f, "below {}, which is not here", clean(parent))?;
        }
        let names: Vec<String> = self.rows.iter().map(|row| self.name(row)).collect();
        let wide = |text: &str| text.chars().count();
        let name = names
            .iter()
            .map(|name| wide(name))
            .max()
            .unwrap_or(0)
            .max(4);
        let node = self
            .nodes()
            .iter()
            .map(|node| wide(node))
            .max()
            .unwrap_or(0)
            .max(4);
        writeln!(
            f,
            "{:<name$}  {:<node$}  {:<8}  {:>8}  {:>8}  status",
            "span", "node", "kind", "start ms", "ms"
        )?;
        for (row, shown) in self.rows.iter().zip(&names) {
            let span = &self.spans[row.at];
            writeln!(
                f,
                "{shown:<name$}  {:<node$}  {:<8}  {:>8.1}  {:>8.1}  {}",
                clean(&span.node),
                span.kind,
                millis(span.start_ns, first.start_ns),
                millis(span.end_ns, span.start_ns),
                status(span)
            )?;
        }
        Ok(())
    }
}

impl Tree {
    fn name(&self, row: &Row) -> String {
        let mut line = String::new();
        for more in row.more.iter().skip(1) {
            line.push_str(if *more { "│  " } else { "   " });
        }
        if !row.more.is_empty() {
            line.push_str(if row.last { "└─ " } else { "├─ " });
        }
        let name = clean(&self.spans[row.at].name);
        if name.chars().count() > MAX_NAME {
            line.extend(name.chars().take(MAX_NAME - 1));
            line.push('…');
        } else {
            line.push_str(&name);
        }
        line
    }
}

/// How it went, and what is worth a word.
fn status(span: &Span) -> String {
    let mut words = match (span.failed, span.attribute("error.type")) {
        (false, _) => vec!["ok".to_owned()],
        (true, "") => vec!["failed".to_owned()],
        (true, why) => vec!["failed".to_owned(), why.to_owned()],
    };
    let code = span.attribute("http.response.status_code");
    if !code.is_empty() && !words.iter().any(|word| word == code) {
        words.push(code.to_owned());
    }
    for (key, short) in SHOWN {
        let value = span.attribute(key);
        if !value.is_empty() {
            words.push(format!("{short}={value}"));
        }
    }
    if span.kind == Kind::Client && !span.attribute("llm_router.peer").is_empty() {
        words.push(format!("to={}", span.attribute("llm_router.peer")));
    }
    for (trace, _) in span.links.iter().filter(|(trace, _)| *trace != span.trace) {
        words.push(format!("see={trace}"));
    }
    clean(&words.join(" "))
}

fn millis(time: u64, since: u64) -> f64 {
    // clocks of two nodes differ: what is below may seem to begin before what is above
    let nanos = i128::from(time) - i128::from(since);
    let nanos = nanos as f64;
    nanos / 1e6
}

/// Nothing that a terminal would obey.
fn clean(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: &str, parent: Option<&str>, start_ms: u64) -> Span {
        Span {
            trace: "t".to_owned(),
            id: id.to_owned(),
            parent: parent.map(str::to_owned),
            node: "n1".to_owned(),
            name: format!("span {id}"),
            start_ns: start_ms * 1_000_000,
            end_ns: (start_ms + 1) * 1_000_000,
            ..Span::default()
        }
    }

    #[test]
    fn a_tree_is_drawn_in_the_order_things_began() {
        let mut failed = span("d", Some("b"), 3);
        failed.failed = true;
        failed.node = "n2".to_owned();
        failed.kind = Kind::Client;
        failed.attributes = [
            ("error.type", "late"),
            ("llm_router.peer", "n3"),
            ("llm_router.attempt", "2"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let spans = vec![
            span("c", Some("a"), 5),
            failed,
            span("b", Some("a"), 2),
            span("a", Some("caller"), 1),
        ];
        let drawn = Tree::of(spans).to_string();
        let lines: Vec<&str> = drawn.lines().map(str::trim_end).collect();
        assert_eq!(
            lines,
            [
                "trace t: 4 spans, 2 nodes, 5.0 ms",
                "below caller, which is not here",
                "span          node  kind      start ms        ms  status",
                "span a        n1    internal       0.0       1.0  ok",
                "├─ span b     n1    internal       1.0       1.0  ok",
                "│  └─ span d  n2    client         2.0       1.0  failed late attempt=2 to=n3",
                "└─ span c     n1    internal       4.0       1.0  ok",
            ]
        );
    }

    #[test]
    fn whatever_spans_say_of_their_parents_each_is_drawn_once() {
        let circle = Tree::of(vec![
            span("a", Some("b"), 1),
            span("b", Some("a"), 2),
            span("c", Some("c"), 3),
        ]);
        assert_eq!(circle.to_string().matches("span ").count(), 4, "{circle}");
        let deep = |at: u64| {
            let parent = at.checked_sub(1).map(|above| above.to_string());
            span(&at.to_string(), parent.as_deref(), at)
        };
        let chain = Tree::of((0..2000).map(deep).collect());
        assert_eq!(chain.to_string().lines().count(), 2002);
        assert_eq!(chain.roots().count(), 1);
    }

    #[test]
    fn a_name_cannot_give_orders_to_a_terminal() {
        let mut evil = span("a", None, 1);
        evil.name = "\u{1b}[2J boo".to_owned();
        let drawn = Tree::of(vec![evil]).to_string();
        assert!(!drawn.contains('\u{1b}') && drawn.contains("boo"));
    }
}
