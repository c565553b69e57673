//! The members' paths as plans: the query, how many values one answer holds, and what they look like.

use super::plan::{Part, Plan, Shape, parameter};

/// Values and bytes in one answer of a member, at most.
pub(super) const VALUES: u64 = 10_000;
pub(super) const BYTES: u64 = 1 << 20;
pub(super) const IDS: u64 = 1_000;
/// Strings are longer than numbers: about this many bytes fit in one answer.
pub(super) const TEXT_BYTES: u64 = 4 << 20;

pub(super) fn shown(value: Option<impl ToString>) -> Option<String> {
    value.map(|value| value.to_string())
}

/// A path with the parameters that were given.
pub(super) fn values_of(path: &str, query: &[(&str, Option<String>)], total: u64, batch: u64, shape: Shape) -> Plan {
    let given = query
        .iter()
        .filter_map(|(name, value)| Some(parameter(name, value.as_deref()?)));
    let query: Vec<String> = given.collect();
    Plan {
        path: match query.is_empty() {
            true => path.to_owned(),
            false => format!("{path}?{}", query.join("&")),
        },
        total,
        batch,
        part: Part::Count,
        shape,
    }
}

/// The path itself decides the number of values.
pub(super) fn once(plan: Plan) -> Plan {
    Plan {
        part: Part::Whole,
        ..plan
    }
}

pub(super) fn integers(min: i64, max: i64, count: u64) -> Plan {
    let query = [("min", shown(Some(min))), ("max", shown(Some(max)))];
    values_of("/integers", &query, count, VALUES, INTEGERS)
}

/// Numbers of one answer, which the member makes distinct.
pub(super) fn unique_integers(min: i64, max: i64, total: u64) -> Plan {
    let plain = integers(min, max, total);
    Plan {
        path: format!("{}&unique=true", plain.path),
        ..plain
    }
}

pub(super) const INTEGERS: Shape = Shape::Lines {
    valid: |line| line.parse::<i64>().is_ok(),
    quoted: false,
};

pub(super) const DECIMALS: Shape = Shape::Lines {
    valid: |line| line.parse::<f64>().is_ok_and(f64::is_finite),
    quoted: false,
};

pub(super) const TEXTS: Shape = Shape::Lines {
    valid: |_| true,
    quoted: true,
};

/// JavaScript rounds numbers above 2^53.
pub(super) const NUMBERS_AS_TEXT: Shape = Shape::Lines {
    valid: |line| line.parse::<u64>().is_ok(),
    quoted: true,
};

pub(super) fn random_bytes(total: u64) -> Plan {
    Plan {
        path: "/bytes".into(),
        total,
        batch: BYTES,
        part: Part::Count,
        shape: Shape::Bytes,
    }
}

/// `/`: its number, or the JSON around it.
pub(super) fn number(json: bool) -> Plan {
    Plan {
        path: "/".into(),
        total: 1,
        batch: 1,
        part: Part::Whole,
        shape: if json { Shape::Object } else { INTEGERS },
    }
}
