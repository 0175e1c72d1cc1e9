//! Many signatures of accounts checked at once.
use k256::ecdsa::Signature as EcdsaSignature;
use k256::elliptic_curve::BatchNormalize;
use k256::elliptic_curve::ops::{MulByGeneratorVartime, Reduce};
use k256::elliptic_curve::point::AffineCoordinates;
use k256::{AffinePoint, FieldBytes, ProjectivePoint, Scalar};

use crate::AccountPublicKey;

/// That `signature` over `prehash` is by `key`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim {
    pub(crate) key: AccountPublicKey,
    pub(crate) prehash: [u8; 32],
    pub(crate) signature: [u8; 64],
}

/// A claim whose signature has the right form.
struct Open {
    index: usize,
    public: ProjectivePoint,
    hash: Scalar,
    r: Scalar,
    s: Scalar,
}

/// Whether each claim is true: what [`AccountPublicKey::verifies`] says of it, for less. ECDSA (SEC 1, section
/// 4.1.4) needs an inverse of s and one to bring a point to its affine form; here all claims share both.
pub(crate) fn verify_all(claims: &[Claim]) -> Vec<bool> {
    let open: Vec<Open> = claims.iter().enumerate().filter_map(|(index, claim)| open(index, claim)).collect();
    let inverses = inverses(&open);
    let points: Vec<ProjectivePoint> =
        open.iter().zip(&inverses).map(|(claim, inverse)| point(claim, inverse)).collect();
    let points: Vec<AffinePoint> = ProjectivePoint::batch_normalize_vartime(points.as_slice());
    let mut are_true = vec![false; claims.len()];
    for (claim, point) in open.iter().zip(points) {
        // The point at infinity has x = 0 here, which no r is.
        are_true[claim.index] = scalar(&point.x()) == claim.r;
    }
    are_true
}

/// Both numbers are between 1 and n - 1, and s is low.
fn open(index: usize, claim: &Claim) -> Option<Open> {
    let signature = EcdsaSignature::from_slice(&claim.signature).ok()?;
    let (r, s) = signature.split_scalars();
    let is_low = signature.normalize_s() == signature;
    let public = ProjectivePoint::from(claim.key.point());
    is_low.then_some(Open { index, public, hash: scalar(&claim.prehash.into()), r: *r, s: *s })
}

fn scalar(bytes: &FieldBytes) -> Scalar {
    <Scalar as Reduce<FieldBytes>>::reduce(bytes)
}

/// 1/s of each: one inversion of the product of all, then two multiplications each (Montgomery).
fn inverses(open: &[Open]) -> Vec<Scalar> {
    let mut product = Scalar::ONE;
    let mut inverses: Vec<Scalar> = Vec::with_capacity(open.len());
    for claim in open {
        inverses.push(product);
        product *= claim.s;
    }
    let mut rest = product.invert_vartime().expect("no s is zero, and n is prime");
    for (inverse, claim) in inverses.iter_mut().zip(open).rev() {
        *inverse *= rest;
        rest *= claim.s;
    }
    inverses
}

fn point(claim: &Open, inverse: &Scalar) -> ProjectivePoint {
    let (of_generator, of_key) = (claim.hash * inverse, claim.r * inverse);
    ProjectivePoint::mul_by_generator_and_mul_add_vartime(&of_generator, &of_key, &claim.public)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AccountSecret, Hash};

    fn claim(number: u8) -> Claim {
        let secret = AccountSecret::from_bytes(&[number.max(1); 32]).expect("below the group order");
        let prehash = Hash::of(&[&[number]]).0;
        Claim { key: secret.public(), prehash, signature: secret.sign(&prehash) }
    }

    fn agrees(claims: &[Claim]) -> Vec<bool> {
        let one_by_one: Vec<bool> =
            claims.iter().map(|claim| claim.key.verifies(&claim.prehash, &claim.signature)).collect();
        assert_eq!(verify_all(claims), one_by_one);
        one_by_one
    }

    #[test]
    fn good_claims_are_true_in_any_number() {
        for count in [0, 1, 2, 64] {
            let claims: Vec<Claim> = (0..count).map(claim).collect();
            assert!(agrees(&claims).into_iter().all(|is_true| is_true));
        }
    }

    #[test]
    fn every_changed_claim_is_false_and_no_other() {
        let good: Vec<Claim> = (0..8).map(claim).collect();
        for byte in 0..64 {
            let mut claims = good.clone();
            claims[3].signature[byte] ^= 1;
            claims[5].prehash[byte / 2] ^= 0x80;
            claims[6].key = claims[7].key;
            assert_eq!(agrees(&claims), [true, true, true, false, true, false, false, true]);
        }
    }

    #[test]
    fn numbers_out_of_range_and_high_s_are_false() {
        let order = hex::decode("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141").expect("hex");
        let mut claims: Vec<Claim> = (0..7).map(claim).collect();
        claims[0].signature[..32].fill(0);
        claims[1].signature[32..].fill(0);
        claims[2].signature[..32].copy_from_slice(&order);
        claims[3].signature[32..].copy_from_slice(&order);
        claims[4].signature.fill(0xff);
        let low = EcdsaSignature::from_slice(&claims[5].signature).expect("just made");
        let high = EcdsaSignature::from_scalars(low.r().to_bytes(), (-*low.s()).to_bytes()).expect("s is not zero");
        claims[5].signature = high.to_bytes().into();
        assert_eq!(agrees(&claims), [false, false, false, false, false, false, true]);
    }

    #[test]
    fn a_sum_that_is_the_point_at_infinity_is_false() {
        // u1 G + u2 Q = 0 if Q = dG and hash = -r d.
        let secret = Scalar::from(7_u64);
        let r = Scalar::from(9_u64);
        let public = (ProjectivePoint::GENERATOR * secret).to_affine();
        let key = AccountPublicKey::from_point(public);
        let signature = EcdsaSignature::from_scalars(r.to_bytes(), Scalar::from(5_u64).to_bytes()).expect("in range");
        let prehash = (-(r * secret)).to_bytes().into();
        assert_eq!(agrees(&[claim(1), Claim { key, prehash, signature: signature.to_bytes().into() }]), [true, false]);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_judged_as_one_by_one(signature: [u8; 32], prehash: [u8; 32], which in 0..4_usize) {
            let mut claims: Vec<Claim> = (0..4).map(claim).collect();
            claims[which].prehash = prehash;
            claims[(which + 1) % 4].signature[..32].copy_from_slice(&signature);
            claims[(which + 2) % 4].signature[32..].copy_from_slice(&signature);
            agrees(&claims);
        }
    }
}
