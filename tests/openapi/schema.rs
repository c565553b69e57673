//! Whether an answer is what its schema says: as much of JSON Schema as the description uses, and nothing that it doesn't.

use serde_json::Value;

const KEYWORDS: [&str; 12] = [
    "$ref",
    "additionalProperties",
    "description",
    "enum",
    "format",
    "items",
    "maximum",
    "minimum",
    "oneOf",
    "pattern",
    "properties",
    "required",
];

/// The schema itself, where it is a reference.
pub fn resolved<'a>(description: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => description.pointer(&reference[1..]).unwrap(),
        None => schema,
    }
}

/// What is wrong with `value`, by its place; nothing if it is as described.
pub fn check(description: &Value, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    let schema = resolved(description, schema);
    for keyword in schema.as_object().unwrap().keys() {
        assert!(
            keyword == "type" || KEYWORDS.contains(&keyword.as_str()),
            "{keyword} is not checked here"
        );
    }
    let wrong = |what: String| Err(format!("{place} is {value}: {what}"));
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = |choice: &&Value| check(description, choice, value, place).is_ok();
        return match choices.iter().filter(fits).count() {
            1 => Ok(()),
            fitting => wrong(format!("{fitting} of {schema} fit")),
        };
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is = |allowed: &Value| allowed == kind || (allowed == "number" && kind == "integer");
    let allowed = &schema["type"];
    if !is(allowed) && !allowed.as_array().is_some_and(|kinds| kinds.iter().any(is)) {
        return wrong(format!("not of type {allowed}"));
    }
    if let (Some(number), Some(minimum)) = (value.as_f64(), schema["minimum"].as_f64())
        && number < minimum
    {
        return wrong(format!("below {minimum}"));
    }
    if let (Some(number), Some(maximum)) = (value.as_f64(), schema["maximum"].as_f64())
        && number > maximum
    {
        return wrong(format!("above {maximum}"));
    }
    if let Some(text) = value.as_str() {
        let choices = schema["enum"].as_array();
        if choices.is_some_and(|choices| !choices.contains(value)) {
            return wrong("none of the choices".to_owned());
        }
        if let Some(pattern) = schema["pattern"].as_str()
            && !matches(pattern, text)
        {
            return wrong(format!("not {pattern}"));
        }
        let formatted = match schema["format"].as_str() {
            None | Some("binary") => true,
            Some("date-time") => text.parse::<jiff::Timestamp>().is_ok(),
            Some("uuid") => text.parse::<uuid::Uuid>().is_ok(),
            other => panic!("{other:?} is not checked here"),
        };
        if !formatted {
            return wrong(format!("no {}", schema["format"]));
        }
    }
    for (place_in, item) in value.as_array().into_iter().flatten().enumerate() {
        check(description, &schema["items"], item, &format!("{place}[{place_in}]"))?;
    }
    if let Some(members) = value.as_object() {
        for name in schema["required"].as_array().into_iter().flatten() {
            if !members.contains_key(name.as_str().unwrap()) {
                return wrong(format!("{name} is missing"));
            }
        }
        for (name, member) in members {
            match schema["properties"].get(name) {
                Some(schema) => check(description, schema, member, &format!("{place}.{name}"))?,
                None => return wrong(format!("{name} is not described")),
            }
        }
    }
    Ok(())
}

/// Patterns of this form alone: `^literal[ranges]+$`, or `{n}` in place of `+`.
fn matches(pattern: &str, text: &str) -> bool {
    let inner = pattern.strip_prefix('^').unwrap().strip_suffix('$').unwrap();
    let (literal, rest) = inner.split_once('[').unwrap();
    let (class, times) = rest.split_once(']').unwrap();
    let Some(rest) = text.strip_prefix(literal) else {
        return false;
    };
    let length = match times.strip_prefix('{') {
        Some(times) => rest.len() == times.strip_suffix('}').unwrap().parse::<usize>().unwrap(),
        None => times == "+" && !rest.is_empty(),
    };
    let class: Vec<char> = class.chars().collect();
    let within = |c: char| class.contains(&c) || class.windows(3).any(|w| w[1] == '-' && (w[0]..=w[2]).contains(&c));
    length && rest.chars().all(within)
}
