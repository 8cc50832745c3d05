//! Tools and the choice between them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::parts::Str;
use crate::dialect::json::{Object, raw};
use crate::dialect::lost::{Lost, shown};

#[derive(Deserialize)]
struct Given<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default, borrow)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(default, borrow)]
    description: Option<Str<'a>>,
    #[serde(default, borrow)]
    parameters: Option<&'a RawValue>,
    #[serde(default)]
    strict: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Declaration<'a> {
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters_json_schema: Option<&'a RawValue>,
}

/// Gemini's `tools` and `toolConfig`; neither without a tool.
pub(super) fn read(
    given: &Object,
    lost: &mut Lost,
) -> (Option<Box<RawValue>>, Option<Box<RawValue>>) {
    let stated = |name| given.get(name).filter(|value| value.get() != "null");
    let Some(tools) = stated("tools") else {
        return (None, None);
    };
    let Ok(tools) = serde_json::from_str::<Vec<Given<'_>>>(tools.get()) else {
        lost.essential("tools");
        return (None, None);
    };
    let declared: Vec<Declaration<'_>> = tools
        .into_iter()
        .filter_map(|tool| declared(tool, lost))
        .collect();
    if declared.is_empty() {
        return (None, None);
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Tools<'a> {
        function_declarations: Vec<Declaration<'a>>,
    }
    let function_declarations = declared;
    let tools = raw(&[Tools {
        function_declarations,
    }]);
    let choice = stated("tool_choice").and_then(|given| choice(given, lost));
    let config = choice.map(|choice| raw(&json!({"functionCallingConfig": choice})));
    (Some(tools), config)
}

fn declared<'a>(tool: Given<'a>, lost: &mut Lost) -> Option<Declaration<'a>> {
    let Some(function) = tool.function.filter(|_| tool.kind == "function") else {
        lost.essential(format!("tools[type={}]", shown(&tool.kind)));
        return None;
    };
    if function.strict == Some(true) {
        lost.droppable("tools[].function.strict");
    }
    Some(Declaration {
        name: function.name,
        description: function.description.map(|Str(text)| text),
        parameters_json_schema: function.parameters,
    })
}

/// `functionCallingConfig`. A choice among some tools that leaves the model free is `VALIDATED`:
/// `AUTO` takes no names.
fn choice(given: &RawValue, lost: &mut Lost) -> Option<Value> {
    let given: Value = serde_json::from_str(given.get()).ok()?;
    let names = |list: &Value| -> Vec<Value> {
        let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
        list.iter()
            .map(|tool| tool["function"]["name"].clone())
            .filter(Value::is_string)
            .collect()
    };
    match (given.as_str(), given["type"].as_str()) {
        (Some("auto"), _) => Some(json!({"mode": "AUTO"})),
        (Some("none"), _) => Some(json!({"mode": "NONE"})),
        (Some("required"), _) => Some(json!({"mode": "ANY"})),
        (_, Some("function")) if given["function"]["name"].is_string() => {
            let name = &given["function"]["name"];
            Some(json!({"mode": "ANY", "allowedFunctionNames": [name]}))
        }
        (_, Some("allowed_tools")) => {
            let allowed = &given["allowed_tools"];
            let mode = match allowed["mode"].as_str() {
                Some("required") => "ANY",
                Some(_) | None => "VALIDATED",
            };
            let names = names(&allowed["tools"]);
            Some(json!({"mode": mode, "allowedFunctionNames": names}))
        }
        _ => {
            lost.droppable("tool_choice");
            None
        }
    }
}
