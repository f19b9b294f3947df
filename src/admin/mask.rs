//! Hides people in every text of an answer.

use serde_json::Value;

use crate::model::mask_text;

/// Hides people in every text of a JSON value.
pub(super) fn mask(value: &mut Value) {
    match value {
        Value::String(text) => *text = mask_text(text),
        Value::Array(list) => list.iter_mut().for_each(mask),
        Value::Object(map) => map.values_mut().for_each(mask),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_json_stay() {
        let mut value = serde_json::json!({ "at": 1_800_000_000_000_u64, "to": ["+447700900123"] });
        mask(&mut value);
        assert_eq!(
            value,
            serde_json::json!({ "at": 1_800_000_000_000_u64, "to": ["+44770***"] })
        );
    }
}
