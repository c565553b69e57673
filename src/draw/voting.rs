//! What is wrong with the voters, in words for the operator.

use crate::record::Voters;

/// Which voters DNS doesn't publish under `name`, and what to do; none if it publishes all.
pub fn unpublished(voters: Voters, published: &[u16], name: &str) -> Option<String> {
    let missing: Vec<u16> = voters
        .ordinals()
        .filter(|ordinal| !published.contains(ordinal))
        .collect();
    if missing.is_empty() {
        return None;
    }
    let there = usize::from(voters.count) - missing.len();
    let effect = match voters.is_majority(there) {
        true => "draws continue without them",
        false => "too few for a draw",
    };
    let advice = match published.iter().any(|ordinal| !voters.contains(*ordinal)) {
        true => format!(
            "--voters is {voters}, and the published ordinals are {}: if a start ordinal (spec.ordinals.start) is why, give --voters \
             as their range",
            ranges(published)
        ),
        false => "start them, or check the governing Service and --discovery-name".to_owned(),
    };
    Some(format!(
        "DNS publishes {there} of {} voters under {name} (missing: {}): {effect}; {advice}",
        voters.count,
        list(&missing)
    ))
}

/// Why a recovery waits, and what to do.
pub(super) fn waiting(missing: &[u16], unpublished: bool, first: bool, name: &str) -> String {
    let missing = list(missing);
    let what = match first {
        true => format!("can't begin a chain: a first chain needs every voter (missing: {missing})"),
        false => format!("can't recover the chain: waiting for a majority of voters (missing: {missing})"),
    };
    match unpublished {
        true => format!(
            "{what}; DNS doesn't publish them under {name}: start them, or check --voters and the governing Service"
        ),
        false => format!(
            "{what}; if they are lost for good, `random-generator ledger restart` on the holder starts a new chain"
        ),
    }
}

/// Why a holder without the record before the newest can't draw, and what to do.
pub(super) fn without_previous(missing: &[u16]) -> String {
    let missing = list(missing);
    format!(
        "the record before the newest is not here: waiting for a peer that has it, or for everyone who contributed to the newest \
         (missing: {missing}); if they are lost for good, `random-generator ledger restart` on the holder starts a new chain"
    )
}

/// `ordinal 0, ordinal 1`.
pub(super) fn list(ordinals: &[u16]) -> String {
    let names: Vec<String> = ordinals.iter().map(|ordinal| format!("ordinal {ordinal}")).collect();
    names.join(", ")
}

/// Ascending ordinals as `0, 5-7`.
fn ranges(ordinals: &[u16]) -> String {
    let runs = ordinals.chunk_by(|one, next| one + 1 == *next);
    let texts = runs.filter_map(|run| match (run.first()?, run.last()?) {
        (first, last) if first == last => Some(first.to_string()),
        (first, last) => Some(format!("{first}-{last}")),
    });
    texts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "_peer._tcp.rg.example.";

    #[test]
    fn a_voter_that_dns_does_not_list_is_named() {
        assert_eq!(unpublished(3.into(), &[0, 1, 2, 3], NAME), None);
        let one = unpublished(3.into(), &[0, 1], NAME).unwrap();
        assert!(
            one.contains("2 of 3 voters under _peer._tcp.rg.example. (missing"),
            "{one}"
        );
        assert!(one.contains("(missing: ordinal 2): draws continue"), "{one}");
        let none = unpublished(3.into(), &[], NAME).unwrap();
        for part in ["0 of 3 voters", "too few", "governing Service", "--discovery-name"] {
            assert!(none.contains(part), "{none}");
        }
    }

    #[test]
    fn a_holder_without_the_record_before_the_newest_names_those_it_waits_for() {
        let text = without_previous(&[1, 4]);
        assert!(text.contains("(missing: ordinal 1, ordinal 4)"), "{text}");
    }

    #[test]
    fn ordinals_and_voters_that_do_not_fit_are_both_named() {
        for (voters, published, parts) in [
            ("3", &[5, 6, 7][..], ["--voters is 3", "ordinals are 5-7"]),
            ("3", &[1, 2, 3], ["--voters is 3", "ordinals are 1-3"]),
            ("5-7", &[0, 1, 3, 7], ["--voters is 5-7", "ordinals are 0-1, 3, 7"]),
        ] {
            let text = unpublished(voters.parse().unwrap(), published, NAME).unwrap();
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        }
    }

    #[test]
    fn a_new_chain_is_no_advice_while_voters_are_only_unpublished() {
        assert!(waiting(&[1], false, false, NAME).contains("ledger restart"));
        for first in [true, false] {
            let text = waiting(&[1], true, first, NAME);
            assert!(
                !text.contains("restart") && text.contains("DNS doesn't publish them under _peer._tcp.rg.example.:"),
                "{text}"
            );
            assert_eq!(text.contains("a first chain needs every voter"), first);
        }
    }
}
