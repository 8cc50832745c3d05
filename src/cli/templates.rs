//! `templates`: the starting points of `init`.

use clap::Args;
use serde_json::json;

use super::output::table;
use super::{Code, Context};
use crate::config::presets::{PRESETS, Preset, find};
use crate::config::suggest::nearest;

/// List the templates of `init`, or print one.
#[derive(Clone, Debug, Args)]
pub struct Templates {
    /// Print this one.
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}

/// Prints the list, or one template.
///
/// # Errors
/// No template has that name.
pub fn run(verb: &Templates, context: &Context) -> anyhow::Result<Code> {
    if let Some(name) = &verb.name {
        context.out.text(named(name)?.text)?;
        return Ok(Code::Ok);
    }
    let list: Vec<_> = PRESETS
        .iter()
        .map(|preset| json!({"name": preset.name, "about": preset.about}))
        .collect();
    context.out.show(&list, || {
        let rows = PRESETS.map(|preset| [preset.name.to_owned(), preset.about.to_owned()]);
        table(["TEMPLATE", "FOR"], rows)
    })?;
    Ok(Code::Ok)
}

/// The template of this name.
///
/// # Errors
/// There is none; the message says which there are.
pub(super) fn named(name: &str) -> anyhow::Result<&'static Preset> {
    let known = PRESETS.map(|preset| preset.name);
    find(name).ok_or_else(|| match nearest(name, known) {
        Some(near) => anyhow::anyhow!("no template is named `{name}`; did you mean `{near}`?"),
        None => anyhow::anyhow!(
            "no template is named `{name}`; there are {}",
            known.join(", ")
        ),
    })
}
