//! Two classical tests of a sample. Both give a number that chance makes larger than its limit once in 10^6 times.

/// Pearson's chi-square against equally likely cells, as the number of standard deviations by which it exceeds its mean under
/// that hypothesis, by the cube-root transformation of Wilson and Hilferty (PNAS 17, 1931).
pub fn chi_square(cells: &[u64]) -> f64 {
    let expected = cells.iter().sum::<u64>() as f64 / cells.len() as f64;
    assert!(expected >= 5.0, "too few values for {} cells", cells.len());
    let statistic: f64 = cells
        .iter()
        .map(|&seen| (seen as f64 - expected).powi(2) / expected)
        .sum();
    let freedom = cells.len() as f64 - 1.0;
    let spread = 2.0 / (9.0 * freedom);
    ((statistic / freedom).cbrt() - (1.0 - spread)) / spread.sqrt()
}

/// Kolmogorov and Smirnov's distance between a sample and a continuous distribution, times the root of the sample's size.
pub fn kolmogorov_smirnov(mut sample: Vec<f64>, distribution: impl Fn(f64) -> f64) -> f64 {
    sample.sort_by(f64::total_cmp);
    let size = sample.len() as f64;
    let distance = sample.iter().enumerate().map(|(n, &value)| {
        let expected = distribution(value);
        (expected - n as f64 / size).max((n as f64 + 1.0) / size - expected)
    });
    distance.fold(0.0, f64::max) * size.sqrt()
}

/// Of the standard normal distribution, one-sided: 10^-6.
pub const CHI_SQUARE_LIMIT: f64 = 4.75;
/// 2 exp(−2 x²) = 10^-6.
pub const KOLMOGOROV_SMIRNOV_LIMIT: f64 = 2.69;

/// How often each of `cells` comes.
pub fn count(cells: usize, places: impl IntoIterator<Item = usize>) -> Vec<u64> {
    let mut counts = vec![0; cells];
    for place in places {
        counts[place] += 1;
    }
    counts
}

#[test]
fn the_limits_let_even_counts_pass_and_not_uneven_ones() {
    assert!(chi_square(&[1_000, 1_010, 990, 1_000]) < CHI_SQUARE_LIMIT);
    assert!(chi_square(&[1_000, 1_200, 800, 1_000]) > CHI_SQUARE_LIMIT);
    // 27.6 is exceeded once in 10^6 times with two degrees of freedom: there the transformation is at its worst, and near it.
    let third = (1_000.0_f64 * 27.6 / 2.0).sqrt().round() as u64;
    let at_the_limit = chi_square(&[1_000 - third, 1_000 + third, 1_000]);
    assert!((at_the_limit - CHI_SQUARE_LIMIT).abs() < 0.3, "{at_the_limit}");
    let even = (0..1_000).map(|n| (f64::from(n) + 0.5) / 1_000.0).collect();
    assert!(kolmogorov_smirnov(even, |value| value) < 0.1);
}
