//! `google.protobuf.Struct` as JSON.

use prost_types::value::Kind as Held;
use prost_types::{Struct, Value as Given};
use serde_json::{Map, Number, Value};

use crate::dialect::json::MAX_DEPTH;

/// Largest whole number a double holds exactly; up to here `5.0` is written as `5`.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Why a value has no JSON, continuing "field … ".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotJson {
    /// JSON has no NaN and no infinity.
    #[error("holds a number that is not finite")]
    NotFinite,
    /// Deeper than any request may nest.
    #[error("is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

/// A struct's fields as a JSON object.
pub(super) fn object(given: Struct) -> Result<Map<String, Value>, NotJson> {
    nested(given, MAX_DEPTH)
}

fn nested(given: Struct, depth: usize) -> Result<Map<String, Value>, NotJson> {
    let below = depth.checked_sub(1).ok_or(NotJson::TooDeep)?;
    given
        .fields
        .into_iter()
        .map(|(name, held)| Ok((name, value(held, below)?)))
        .collect()
}

fn value(given: Given, depth: usize) -> Result<Value, NotJson> {
    Ok(match given.kind {
        None | Some(Held::NullValue(_)) => Value::Null,
        Some(Held::BoolValue(truth)) => Value::Bool(truth),
        Some(Held::StringValue(text)) => Value::String(text),
        Some(Held::NumberValue(number)) => number_value(number)?,
        Some(Held::StructValue(fields)) => Value::Object(nested(fields, depth)?),
        Some(Held::ListValue(list)) => {
            let below = depth.checked_sub(1).ok_or(NotJson::TooDeep)?;
            let items = list.values.into_iter().map(|item| value(item, below));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
    })
}

fn number_value(number: f64) -> Result<Value, NotJson> {
    if number.fract() == 0.0 && number.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
        let whole = number as i64;
        return Ok(whole.into());
    }
    Number::from_f64(number)
        .map(Value::Number)
        .ok_or(NotJson::NotFinite)
}
