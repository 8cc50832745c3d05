//! Every door over every provider dialect: what a client of one hears of an upstream of the other.

use std::fmt;

use anyhow::Context;
use llm_router::provider::demo::trouble::Trouble;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::backends::Backend;
use crate::doors::{Door, Ended, Heard, Outcome, Question};
use crate::node::Node;
use crate::table::Table;
use crate::upstream::Upstream;

/// What is tried through each door over each dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// A text.
    Text,
    /// The same, streamed.
    Stream,
    /// A call of one tool.
    Tool,
    /// The same, streamed.
    ToolStream,
    /// Two calls at once.
    Parallel,
    /// The same, streamed.
    ParallelStream,
    /// Two calls, their results, and the answer to those.
    Turn,
    /// A call after sealed thinking, which goes back with the result.
    Thinking,
    /// An error of the upstream's own.
    Error,
    /// The same for a stream.
    ErrorStream,
}

impl Case {
    /// All of them.
    pub const ALL: [Case; 10] = [
        Case::Text,
        Case::Stream,
        Case::Tool,
        Case::ToolStream,
        Case::Parallel,
        Case::ParallelStream,
        Case::Turn,
        Case::Thinking,
        Case::Error,
        Case::ErrorStream,
    ];

    fn name(self) -> &'static str {
        match self {
            Case::Text => "text",
            Case::Stream => "stream",
            Case::Tool => "tool",
            Case::ToolStream => "tool~",
            Case::Parallel => "two tools",
            Case::ParallelStream => "two tools~",
            Case::Turn => "results",
            Case::Thinking => "thinking",
            Case::Error => "error",
            Case::ErrorStream => "error~",
        }
    }

    /// Both dialects have what it needs.
    fn applies(self, door: Door, backend: Backend) -> bool {
        match self {
            Case::Text | Case::Stream | Case::Error | Case::ErrorStream => true,
            Case::Tool | Case::ToolStream | Case::Parallel | Case::ParallelStream | Case::Turn => {
                door.has_tools()
            }
            Case::Thinking => door.keeps_seals() && backend.seals_thoughts(),
        }
    }

    /// The upstream's model that plays it.
    fn model(self) -> &'static str {
        match self {
            Case::Text | Case::Stream => "echo",
            Case::Tool | Case::ToolStream => "tools",
            Case::Parallel | Case::ParallelStream | Case::Turn => "parallel",
            Case::Thinking => "thinking",
            Case::Error | Case::ErrorStream => "lorem",
        }
    }
}

/// What is tried.
#[derive(Clone, Debug)]
pub struct Options {
    /// Through these.
    pub doors: Vec<Door>,
    /// Over these.
    pub backends: Vec<Backend>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            doors: Door::ALL.to_vec(),
            backends: Backend::ALL.to_vec(),
        }
    }
}

/// One field of the matrix.
#[derive(Debug)]
pub struct Cell {
    door: Door,
    backend: Backend,
    case: Case,
    /// What was not as it should be; `None` where all was, or nothing is to be tried.
    problem: Option<String>,
}

/// The matrix.
#[derive(Debug, Default)]
pub struct Report {
    cells: Vec<Cell>,
}

impl Report {
    /// Every field is as it should be.
    pub fn holds(&self) -> bool {
        self.problems().next().is_none()
    }

    /// What is not, a line each.
    pub fn problems(&self) -> impl Iterator<Item = String> {
        self.cells.iter().filter_map(|cell| {
            let problem = cell.problem.as_ref()?;
            let (door, backend) = (cell.door.name(), cell.backend.name());
            Some(format!(
                "{door} over {backend}, {}: {problem}",
                cell.case.name()
            ))
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head: Vec<&str> = std::iter::once("client over provider")
            .chain(Case::ALL.map(Case::name))
            .collect();
        let mut table = Table::new(&head);
        let mut pairs: Vec<(Door, Backend)> = Vec::new();
        for cell in &self.cells {
            if !pairs.contains(&(cell.door, cell.backend)) {
                pairs.push((cell.door, cell.backend));
            }
        }
        for (door, backend) in pairs {
            let mark = |case: Case| {
                let same = |c: &&Cell| (c.door, c.backend, c.case) == (door, backend, case);
                let cell = self.cells.iter().find(same);
                match cell.map(|cell| cell.problem.is_none()) {
                    Some(true) => "✓".to_owned(),
                    Some(false) => "✗".to_owned(),
                    None => "-".to_owned(),
                }
            };
            let name = format!("{} over {}", door.name(), backend.name());
            table.row(std::iter::once(name).chain(Case::ALL.map(mark)).collect());
        }
        writeln!(f, "{table}")?;
        let problems: Vec<String> = self.problems().collect();
        let good = self.cells.len() - problems.len();
        writeln!(f, "{good} of {} hold", self.cells.len())?;
        problems
            .iter()
            .try_for_each(|problem| writeln!(f, "✗ {problem}"))
    }
}

/// Starts one node over one scripted upstream a dialect and tries everything.
///
/// # Errors
/// When the node or an upstream does not start.
pub async fn run(options: &Options) -> anyhow::Result<Report> {
    let mut upstreams = Vec::new();
    let mut config = String::from("models:\n");
    for backend in &options.backends {
        let upstream = backend.upstream().await?;
        for case in Case::ALL {
            let name = name(*backend, case);
            if !config.contains(&format!("  {name}:")) {
                config.push_str(&backend.model(&upstream, (&name, case.model()), ""));
            }
        }
        upstreams.push(upstream);
    }
    config.push_str("retry: { max_attempts: 1 }\ncircuit_breaker: { failure_threshold: 1000 }\n");
    let node = Node::start(&config)
        .await
        .context("a node over every dialect")?;
    let node = std::sync::Arc::new(node);
    let mut lanes = JoinSet::new();
    for (backend, upstream) in options.backends.iter().copied().zip(upstreams) {
        let (node, doors) = (std::sync::Arc::clone(&node), options.doors.clone());
        lanes.spawn(async move { lane(&node, backend, &upstream, &doors).await });
    }
    let mut report = Report::default();
    while let Some(cells) = lanes.join_next().await {
        report.cells.extend(cells?);
    }
    let at = |cell: &Cell| {
        let door = options.doors.iter().position(|door| *door == cell.door);
        (
            door,
            options
                .backends
                .iter()
                .position(|backend| *backend == cell.backend),
        )
    };
    report.cells.sort_by_key(at);
    Ok(report)
}

fn name(backend: Backend, case: Case) -> String {
    format!("{}-{}", backend.name(), case.model())
}

async fn lane(node: &Node, backend: Backend, upstream: &Upstream, doors: &[Door]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for door in doors.iter().copied() {
        for case in Case::ALL
            .into_iter()
            .filter(|case| case.applies(door, backend))
        {
            upstream.heal();
            let problem = attempt(node, (door, backend, case), upstream).await.err();
            cells.push(Cell {
                door,
                backend,
                case,
                problem,
            });
        }
    }
    cells
}

type Verdict = Result<(), String>;

async fn attempt(
    node: &Node,
    (door, backend, case): (Door, Backend, Case),
    upstream: &Upstream,
) -> Verdict {
    let prompt = format!(
        "{} says: grüß dich, “world” 🌍 & more\n(second line)",
        door.name()
    );
    let question = Question::new(name(backend, case), prompt.as_str());
    match case {
        Case::Text | Case::Stream => {
            let question = question.streamed(case == Case::Stream);
            let heard = door.ask(node, &question).await;
            answered(&heard, Ended::Stop)?;
            same(&heard, "text", &heard.text, &prompt)
        }
        Case::Tool | Case::ToolStream => {
            let question = question.with_tools(1).streamed(case == Case::ToolStream);
            called(&door.ask(node, &question).await, &["f"], &prompt)
        }
        Case::Parallel | Case::ParallelStream => {
            let question = question
                .with_tools(2)
                .streamed(case == Case::ParallelStream);
            called(&door.ask(node, &question).await, &["f", "g"], &prompt)
        }
        Case::Turn => {
            let question = question.with_tools(2);
            let heard = door.ask(node, &question).await;
            called(&heard, &["f", "g"], &prompt)?;
            let heard = door
                .ask(node, &question.after(heard, &["forty", "two"]))
                .await;
            answered(&heard, Ended::Stop)?;
            same(&heard, "text", &heard.text, "The tool answered: forty, two")
        }
        Case::Thinking => think(node, door, question.with_tools(1).thinking(), &prompt).await,
        Case::Error | Case::ErrorStream => {
            upstream.set_fault(Trouble::ContextLength);
            let question = question.streamed(case == Case::ErrorStream);
            let heard = door.ask(node, &question).await;
            expect(
                &heard,
                heard.outcome() == Outcome::Refused,
                "an error, well told",
            )?;
            let refused = door == Door::Grpc || heard.status == 400;
            expect(&heard, refused, "status 400")?;
            let words = heard.error.as_deref().unwrap_or("").to_lowercase();
            let told = ["context length", "too long", "token count"];
            // gRPC quotes no upstream: its words may hold a prompt
            let told = door == Door::Grpc || told.iter().any(|told| words.contains(told));
            expect(&heard, told, "the upstream's own words")
        }
    }
}

/// Thinking goes out, comes back under its seal, and is taken by an upstream that checks it.
async fn think(node: &Node, door: Door, question: Question, prompt: &str) -> Verdict {
    let heard = door.ask(node, &question).await;
    called(&heard, &["f"], prompt)?;
    expect(&heard, heard.thinking.starts_with("They ask:"), "thinking")?;
    let streamed = door.ask(node, &question.clone().streamed(true)).await;
    called(&streamed, &["f"], prompt)?;
    same(
        &streamed,
        "streamed thinking",
        &streamed.thinking,
        &heard.thinking,
    )?;
    let heard = door.ask(node, &question.after(heard, &["forty two"])).await;
    answered(&heard, Ended::Stop)?;
    same(&heard, "text", &heard.text, "The tool answered: forty two")
}

fn expect(heard: &Heard, held: bool, what: &str) -> Verdict {
    match held {
        true => Ok(()),
        false => Err(format!("wanted {what}; heard {}", heard.told())),
    }
}

fn same(heard: &Heard, what: &str, found: &str, wanted: &str) -> Verdict {
    expect(
        heard,
        found == wanted,
        &format!("{what} {wanted:?}, not {found:?}"),
    )
}

fn answered(heard: &Heard, ended: Ended) -> Verdict {
    expect(heard, heard.outcome() == Outcome::Answered, "an answer")?;
    expect(
        heard,
        heard.ended == Some(ended),
        &format!("an end by {ended:?}"),
    )?;
    let counted = heard
        .usage
        .is_some_and(|(prompt, answer)| prompt > 0 && answer > 0);
    // the older completions stream no counts unless asked for them
    expect(heard, counted || heard.usage.is_none(), "token counts")
}

fn called(heard: &Heard, names: &[&str], prompt: &str) -> Verdict {
    answered(heard, Ended::Tools)?;
    let found: Vec<&str> = heard.calls.iter().map(|call| call.name.as_str()).collect();
    expect(heard, found == names, &format!("calls of {names:?}"))?;
    let mut ids: Vec<&str> = heard.calls.iter().map(|call| call.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let distinct = ids.len() == names.len() && !ids.contains(&"");
    expect(heard, distinct, "ids of their own")?;
    for call in &heard.calls {
        let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
        expect(heard, arguments["q"] == prompt, "the prompt as argument")?;
    }
    Ok(())
}
