//! Permutations.

use proptest::prelude::*;
use rand::RngExt;
use random_generator::generator::distributions::permutation;

use crate::rng;
use crate::statistics::{CHI_SQUARE_LIMIT, chi_square, count};

/// Which of the 24 orders of four this is, in the factorial number system.
fn order(items: &[usize]) -> usize {
    let smaller = |place: usize| items[place + 1..].iter().filter(|&&item| item < items[place]).count();
    smaller(0) * 6 + smaller(1) * 2 + smaller(2)
}

#[test]
fn each_order_is_as_likely_and_sorting_by_coin_flips_is_rejected() {
    let mut rng = rng();
    let cells = count(24, (0..48_000).map(|_| order(&permutation(&mut rng, 4))));
    assert!(chi_square(&cells) < CHI_SQUARE_LIMIT, "{cells:?}");

    // One pass of exchanges of neighbours, each by a coin's flip, as a comparison that answers at random does.
    let flipped = (0..48_000).map(|_| {
        let mut items = [0, 1, 2, 3];
        for end in (1..4).rev() {
            for place in 0..end {
                if rng.random::<bool>() {
                    items.swap(place, place + 1);
                }
            }
        }
        order(&items)
    });
    let biased = count(24, flipped);
    assert!(chi_square(&biased) > CHI_SQUARE_LIMIT, "{biased:?}");
}

proptest! {
    #[test]
    fn every_item_is_there_once(count in 0_usize..2_000) {
        let mut items = permutation(&mut rng(), count);
        items.sort_unstable();
        prop_assert_eq!(items, (0..count).collect::<Vec<_>>());
    }
}
