//! The cubic curve W(t) = C * (t - K)^3 + W_max (RFC 9438 section 4.2) in integers.

/// Longest distance from K that is told apart, in microseconds: there the curve is already beyond
/// every window, even of segments of one octet.
const FARTHEST_US: u64 = 2_000_000_000;

/// A curve. C is 0.4 segments per cubic second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Curve {
    /// Octets at the plateau.
    pub(super) w_max: u32,
    /// When it is reached, in microseconds.
    pub(super) k_us: u32,
    /// Octets of a full-size segment.
    pub(super) segment: u32,
}

impl Curve {
    /// The window at `age_us` microseconds, in octets; saturates. Time is told apart to 2^-20 s.
    pub(super) fn at(&self, age_us: u64) -> u32 {
        let k_us = u64::from(self.k_us);
        let away_us = age_us.abs_diff(k_us).min(FARTHEST_US);
        // Seconds with 20 binary places: 2^20 / 10^6 = 2^14 / 15625.
        let away = u128::from((away_us << 14) / 15_625);
        // Below 2^93 with 60 places, then below 2^53 with 20.
        let cube = away.saturating_mul(away).saturating_mul(away) >> 40;
        let fifths = u64::try_from(cube)
            .unwrap_or(u64::MAX)
            .saturating_mul(self.segment.into());
        let octets = u32::try_from((fifths / 5) >> 19).unwrap_or(u32::MAX);
        if age_us < k_us {
            self.w_max.saturating_sub(octets)
        } else {
            self.w_max.saturating_add(octets)
        }
    }
}

/// K = cbrt(missing / C), in microseconds: how long a window that has lost `missing` octets takes to
/// win them back. Exact to a part in 2^15 or better, and in 2^16 with usual segments.
pub(super) fn k_us(missing: u32, segment: u32) -> u32 {
    // missing / (0.4 * segment) = 5 * missing / (2 * segment), with as many binary places as fit; a
    // multiple of three of them, of which the root keeps a third.
    let dividend = u64::from(missing).saturating_mul(5);
    let places = dividend.leading_zeros().saturating_add(1) / 3;
    let shift = places.saturating_mul(3).saturating_sub(1);
    let Some(cube) = dividend
        .checked_shl(shift)
        .and_then(|wide| wide.checked_div(segment.into()))
    else {
        return 0;
    };
    let micros = u64::from(cube_root(cube)).saturating_mul(1_000_000);
    let micros = micros.checked_shr(places).unwrap_or(0);
    u32::try_from(micros).unwrap_or(u32::MAX)
}

/// The largest number whose cube is not above `cube`. One bit of it is found at a time, in 22 steps.
pub(super) fn cube_root(cube: u64) -> u32 {
    let mut root = 0_u64;
    for bit in (0..22_u32).rev() {
        let candidate = root | 1_u64.checked_shl(bit).unwrap_or(0);
        let fits = candidate
            .checked_mul(candidate)
            .and_then(|square| square.checked_mul(candidate))
            .is_some_and(|power| power <= cube);
        if fits {
            root = candidate;
        }
    }
    u32::try_from(root).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, clippy::float_arithmetic)]
    #![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]

    use super::*;
    use proptest::prelude::*;

    /// The cube root of the largest cube in 64 bits.
    const LARGEST: u64 = 2_642_245;

    #[test]
    fn cube_roots_are_exact_at_every_edge() {
        let edges = (0..=30_000)
            .chain((0..22).flat_map(|bit| (1_u64 << bit).saturating_sub(40)..(1 << bit) + 40))
            .chain(LARGEST - 3_000..LARGEST);
        for root in edges.filter(|root| *root < LARGEST) {
            let cube = root * root * root;
            let next = (root + 1) * (root + 1) * (root + 1);
            assert_eq!(u64::from(cube_root(cube)), root);
            assert_eq!(u64::from(cube_root(next - 1)), root);
            assert_eq!(u64::from(cube_root(next)), root + 1);
        }
        assert_eq!(u64::from(cube_root(u64::MAX)), LARGEST);
    }

    #[test]
    fn rfc9438_4_2_k_by_hand() {
        // W_max 100, cwnd_epoch 70: cbrt(30 / 0.4) = 4.21716 s.
        assert!(k_us(30_000, 1000).abs_diff(4_217_163) <= 64);
        // 1000 and 700: cbrt(750) = 9.08560 s.
        assert!(k_us(300 * 1460, 1460).abs_diff(9_085_603) <= 139);
        assert_eq!(k_us(0, 1460), 0);
        assert_eq!(k_us(1 << 30, 0), 0, "no segment size, no curve");
    }

    proptest! {
        #[test]
        fn cube_roots_are_floors(cube: u64) {
            let root = u128::from(cube_root(cube));
            prop_assert!(root.pow(3) <= cube.into() && (root + 1).pow(3) > cube.into());
        }

        #[test]
        fn k_agrees_with_floats(missing in 0..=1_u32 << 30, segment in 1_u32..=65_535) {
            let exact = (f64::from(missing) / (0.4 * f64::from(segment))).cbrt() * 1e6;
            let error = (f64::from(k_us(missing, segment)) - exact).abs();
            prop_assert!(error <= 1.0 + exact / 32_768.0, "{error} of {exact}");
        }

        #[test]
        fn the_curve_agrees_with_floats(
            w_max in 0..=1_u32 << 30,
            k_us in 0..1_400_000_000_u32,
            away_us in prop_oneof![-2_000_000..2_000_000_i64, -1_400_000_000..8_000_000_000_i64],
            segment in 1_u32..=65_535,
        ) {
            let age_us = u64::from(k_us).saturating_add_signed(away_us);
            let away = (age_us as f64 - f64::from(k_us)) / 1e6;
            let grown = 0.4 * away.powi(3) * f64::from(segment);
            let exact = f64::from(w_max) + grown;
            // The rounding of time, and then of octets.
            let slack = 2.0 + 1.2 * away.powi(2) * f64::from(segment) / f64::from(1 << 20);
            let at = f64::from(Curve { w_max, k_us, segment }.at(age_us));
            if exact < 0.0 {
                prop_assert!(at <= slack);
            } else if exact < f64::from(1_u32 << 31) {
                prop_assert!((at - exact).abs() <= slack, "{at} for {exact}");
            } else {
                prop_assert!(at >= f64::from(1_u32 << 31) - slack);
            }
        }
    }
}
