//! Labelled questions from a tab-separated file with a header and no quoting.

use std::collections::HashMap;

/// The file cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unreadable {
    /// The header lacks a column.
    #[error("the header has no column {0}, it has: {1}")]
    NoColumn(&'static str, String),
    /// A row has another number of columns than the header.
    #[error("line {line} has {found} columns, the header has {expected}")]
    Ragged {
        /// Counted from 1.
        line: usize,
        /// In the row.
        found: usize,
        /// In the header.
        expected: usize,
    },
    /// A label is neither 0 nor 1.
    #[error("line {0}: the label is neither 0 nor 1")]
    NotALabel(usize),
    /// There is a header and nothing else.
    #[error("no rows below the header")]
    Empty,
}

/// Two texts and whether they may share an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The stored question.
    pub a: String,
    /// The question asked.
    pub b: String,
    /// They may share an answer.
    pub same: bool,
    /// Its kind, from the column `tag`, `tags` or `kind`.
    pub tag: Option<String>,
}

/// A question and the class of questions that share its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The class.
    pub class: String,
    /// The question.
    pub text: String,
    /// Its kind.
    pub tag: Option<String>,
}

struct Table<'a> {
    columns: HashMap<&'a str, usize>,
    header: &'a str,
    rows: Vec<Vec<&'a str>>,
}

impl<'a> Table<'a> {
    fn read(text: &'a str) -> Result<Table<'a>, Unreadable> {
        let mut lines = text.lines();
        let header = lines
            .next()
            .unwrap_or_default()
            .trim_start_matches('\u{feff}');
        let names: Vec<&str> = header.split('\t').map(str::trim).collect();
        let rows = lines
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty())
            .map(|(at, line)| {
                let row: Vec<&str> = line.split('\t').collect();
                match row.len() == names.len() {
                    true => Ok(row),
                    false => Err(Unreadable::Ragged {
                        line: at + 2,
                        found: row.len(),
                        expected: names.len(),
                    }),
                }
            })
            .collect::<Result<Vec<_>, _>>()?;
        if rows.is_empty() {
            return Err(Unreadable::Empty);
        }
        let columns = names
            .iter()
            .enumerate()
            .map(|(at, name)| (*name, at))
            .collect();
        Ok(Table {
            columns,
            header,
            rows,
        })
    }

    fn column(&self, name: &'static str) -> Result<usize, Unreadable> {
        let found = self.columns.get(name).copied();
        found.ok_or_else(|| Unreadable::NoColumn(name, self.header.replace('\t', ", ")))
    }

    fn tag(&self) -> Option<usize> {
        ["tag", "tags", "kind"]
            .iter()
            .find_map(|name| self.columns.get(name).copied())
    }
}

/// Pairs: columns `text_a`, `text_b` and `label` (0 or 1).
///
/// # Errors
/// [`Unreadable`], with the line.
pub fn pairs(text: &str) -> Result<Vec<Pair>, Unreadable> {
    let table = Table::read(text)?;
    let (a, b, label) = (
        table.column("text_a")?,
        table.column("text_b")?,
        table.column("label")?,
    );
    let tag = table.tag();
    table
        .rows
        .iter()
        .enumerate()
        .map(|(at, row)| {
            let same = match row[label].trim() {
                "1" => true,
                "0" => false,
                _ => return Err(Unreadable::NotALabel(at + 2)),
            };
            Ok(Pair {
                a: row[a].to_owned(),
                b: row[b].to_owned(),
                same,
                tag: tag.map(|tag| row[tag].to_owned()),
            })
        })
        .collect()
}

/// Members of classes: columns `class_id` and `text`, in the order they come.
///
/// # Errors
/// [`Unreadable`], with the line.
pub fn members(text: &str) -> Result<Vec<Member>, Unreadable> {
    let table = Table::read(text)?;
    let (class, column) = (table.column("class_id")?, table.column("text")?);
    let tag = table.tag();
    let members = table.rows.iter().map(|row| Member {
        class: row[class].to_owned(),
        text: row[column].to_owned(),
        tag: tag.map(|tag| row[tag].to_owned()),
    });
    Ok(members.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_used_is_refused_with_its_line() {
        let refusal = |text: &str| pairs(text).unwrap_err();
        assert_eq!(refusal("text_a\ttext_b\tlabel\n"), Unreadable::Empty);
        assert!(matches!(
            refusal("text_a\tlabel\nx\t1\n"),
            Unreadable::NoColumn("text_b", _)
        ));
        assert_eq!(
            refusal("text_a\ttext_b\tlabel\na\tb\t1\na\tb\n"),
            Unreadable::Ragged {
                line: 3,
                found: 2,
                expected: 3
            }
        );
        assert_eq!(
            refusal("text_a\ttext_b\tlabel\na\tb\tyes\n"),
            Unreadable::NotALabel(2)
        );
    }

    #[test]
    fn columns_are_found_by_name_in_any_order() {
        let read = pairs("id\tlabel\ttext_b\ttext_a\ttags\n1\t0\tb\ta\tneg\n").unwrap();
        let expected = Pair {
            a: "a".to_owned(),
            b: "b".to_owned(),
            same: false,
            tag: Some("neg".to_owned()),
        };
        assert_eq!(read, [expected]);
        assert_eq!(members("class_id\ttext\nc\tx\n").unwrap()[0].class, "c");
    }
}
