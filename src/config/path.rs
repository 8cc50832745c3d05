//! Where in a document a value stands: `models.gpu-fast.timeouts.idle`, `routes[2].targets[0]`.

use std::fmt;

/// One step down from a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Into a map.
    Key(String),
    /// Into a list, from 0.
    Index(usize),
}

/// Steps from the top of the document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Path(Vec<Step>);

impl Path {
    /// The document itself.
    pub fn top() -> Self {
        Path::default()
    }

    /// One step into a map.
    pub fn key(&self, key: impl AsRef<str>) -> Self {
        self.with(Step::Key(key.as_ref().to_owned()))
    }

    /// One step into a list.
    pub fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    /// Steps through maps along `keys`, which are separated by dots.
    pub fn keys(&self, keys: &str) -> Self {
        keys.split('.')
            .fold(self.clone(), |path, key| path.key(key))
    }

    /// The steps.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The path without its last step; `None` at the top.
    pub fn parent(&self) -> Option<Self> {
        let (_, rest) = self.0.split_last()?;
        Some(Path(rest.to_vec()))
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Path(steps)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if position == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
