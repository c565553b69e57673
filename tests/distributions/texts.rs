//! Strings and UUIDs.

use std::collections::HashSet;

use proptest::prelude::*;
use rand::Rng;
use random_generator::generator::distributions::DistributionError;
use random_generator::generator::timed_uuids::TimedUuids;
use uuid::{Uuid, Variant, Version};

use crate::statistics::{CHI_SQUARE_LIMIT, chi_square, count};
use crate::{random_uuids, rng, strings};

#[test]
fn each_character_is_as_likely_and_a_byte_modulo_62_is_rejected() {
    let characters: Vec<char> = ('0'..='9').chain('A'..='Z').chain('a'..='z').collect();
    let place = |character| characters.iter().position(|&one| one == character).unwrap();
    let text = strings(&mut rng(), &characters, 16, 10_000).unwrap();
    assert!(text.iter().all(|one| one.len() == 16));
    let cells = count(62, text.iter().flat_map(|one| one.chars()).map(place));
    assert!(chi_square(&cells) < CHI_SQUARE_LIMIT, "{cells:?}");

    let mut rng = rng();
    let biased = count(62, (0..160_000).map(|_| (rng.next_u32() as u8 % 62) as usize));
    assert!(chi_square(&biased) > CHI_SQUARE_LIMIT, "{biased:?}");
}

#[test]
fn strings_are_of_the_characters_that_were_given_and_of_no_none() {
    let text = strings(&mut rng(), &['ä', '🎲'], 5, 100).unwrap();
    assert!(
        text.iter()
            .all(|one| one.chars().count() == 5 && one.chars().all(|c| "ä🎲".contains(c)))
    );
    assert_eq!(strings(&mut rng(), &[], 5, 1), Err(DistributionError::NoCharacters));
}

/// How often each of the bits of `range` is set, and how often not.
fn bits(uuids: &[Uuid], range: impl Iterator<Item = usize>) -> Vec<u64> {
    let set = |bit: usize| {
        uuids
            .iter()
            .filter(|uuid| uuid.as_u128() >> (127 - bit) & 1 == 1)
            .count() as u64
    };
    range.map(set).flat_map(|set| [set, uuids.len() as u64 - set]).collect()
}

#[test]
fn the_122_bits_of_version_4_are_random_and_those_of_version_7_are_rejected() {
    let free = || (0..128).filter(|bit| !(48..52).contains(bit) && !(64..66).contains(bit));
    assert_eq!(free().count(), 122);
    let uuids = random_uuids(&mut rng(), 10_000);
    let cells = bits(&uuids, free());
    assert!(chi_square(&cells) < CHI_SQUARE_LIMIT, "{cells:?}");
    assert!(uuids.iter().all(|uuid| uuid.get_version() == Some(Version::Random)));
    assert!(uuids.iter().all(|uuid| uuid.get_variant() == Variant::RFC4122));

    let timed: Vec<Uuid> = (0..10_000)
        .flat_map(|_| TimedUuids::default().take(&mut rng(), 1_800_000_000_000, 1))
        .collect();
    assert!(chi_square(&bits(&timed, free())) > CHI_SQUARE_LIMIT);
}

#[test]
fn version_7_begins_with_the_time_ascends_and_repeats_nothing() {
    let mut rng = rng();
    let mut first = Vec::new();
    for _ in 0..2_000 {
        let uuids = TimedUuids::default().take(&mut rng, 0x0123_4567_89ab, 50);
        assert!(uuids.is_sorted_by(|before, after| before < after));
        assert_eq!(uuids.iter().collect::<HashSet<_>>().len(), 50);
        for uuid in &uuids {
            assert_eq!(uuid.get_version(), Some(Version::SortRand));
            assert_eq!(uuid.get_variant(), Variant::RFC4122);
            assert_eq!(uuid.as_u128() >> 80, 0x0123_4567_89ab);
        }
        first.push(uuids[0]);
    }
    // The first of each response: all random bits but the highest, which leaves room to ascend.
    let random = || (53..64).chain(66..128);
    let cells = bits(&first, random());
    assert!(chi_square(&cells) < CHI_SQUARE_LIMIT, "{cells:?}");
    assert!(first.iter().all(|uuid| uuid.as_u128() >> 75 & 1 == 0));
}

proptest! {
    #[test]
    fn version_7_ascends_over_all_answers_whatever_the_clock_says(answers in prop::collection::vec((0_u64..5, 0_usize..300), 1..40)) {
        let (source, mut rng) = (TimedUuids::default(), rng());
        let mut given = Vec::new();
        let mut latest = 0;
        for (clock, count) in answers {
            let milliseconds = 1_800_000_000_000 + clock;
            latest = latest.max(milliseconds);
            let uuids = source.take(&mut rng, milliseconds, count);
            prop_assert_eq!(uuids.len(), count);
            prop_assert!(uuids.iter().all(|uuid| uuid.as_u128() >> 80 == u128::from(latest)));
            given.extend(uuids);
        }
        prop_assert!(given.is_sorted_by(|one, next| one < next));
    }
}
