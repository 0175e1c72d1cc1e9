//! Properties of every format: what is written is read back, nothing else is read, and no signed
//! thing survives a flipped bit.
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::{any, prop};
use proptest::{prop_assert, prop_assert_eq, proptest};
use seedbank_types::{
    AccountRecord, Address, Amount, Body, Certificate, Checkpoint, Contact, DecodeError, Evidence, Genesis, Handover,
    Hash, Header, NumberedSignature, PaymentState, Reader, Receipt, Refusal, Rule, ServerRecord, ServerSet,
    SignedOrder, SignedPayment, TrustFile, tree,
};
use strategies::{
    SECRETS, account_id, body, certificate, checkpoint, evidence, genesis, header, payment_state, receipt,
    server_record, server_set, set_of, signed_order, signed_payment, small_server_set,
};

#[path = "golden/story.rs"]
mod story;
#[path = "properties/strategies.rs"]
mod strategies;

// The three things that hold for every format.

type Decode<T> = fn(&[u8]) -> Result<T, DecodeError>;

/// decode(encode(x)) = x; a byte less or more is refused in words that name a field.
fn holds<T: Debug + PartialEq>(value: &T, bytes: &[u8], decode: Decode<T>) {
    assert_eq!(decode(bytes).as_ref(), Ok(value));
    let extended = [bytes, &[0]].concat();
    assert_names_a_field(decode(&extended), extended.len());
    for length in 0..bytes.len() {
        assert_names_a_field(decode(&bytes[..length]), length);
    }
}

fn assert_names_a_field<T: Debug>(result: Result<T, DecodeError>, length: usize) {
    let error = result.expect_err("neither a truncation nor an extension of it is another value");
    assert!(!error.field.is_empty() && error.at <= length, "{error:?} of {length} bytes");
    assert!(error.to_string().contains(error.field), "{error}");
}

/// Whatever is read is written back as the same bytes: there is one encoding of a value.
fn is_canonical<T>(bytes: &[u8], decode: Decode<T>, encode: fn(&T) -> Vec<u8>) {
    if let Ok(value) = decode(bytes) {
        assert_eq!(encode(&value), bytes);
    }
}

fn servers_decode(bytes: &[u8]) -> Result<ServerSet, DecodeError> {
    let mut reader = Reader::new("servers", bytes);
    let set = ServerSet::read(&mut reader)?;
    reader.finish()?;
    Ok(set)
}

fn state_decode(bytes: &[u8]) -> Result<PaymentState, DecodeError> {
    let mut reader = Reader::new("payment state", bytes);
    let state = PaymentState::read(&mut reader)?;
    reader.finish()?;
    Ok(state)
}

/// Feeds bytes to every decoder: none may panic, and each accepts one encoding only.
fn feed_every_decoder(bytes: &[u8]) {
    is_canonical(bytes, Genesis::decode, Genesis::encode);
    is_canonical(bytes, SignedPayment::decode, SignedPayment::encode);
    is_canonical(bytes, SignedOrder::decode, SignedOrder::encode);
    is_canonical(bytes, Body::decode, Body::encode);
    is_canonical(bytes, Header::decode, Header::encode);
    is_canonical(bytes, Checkpoint::decode, Checkpoint::encode);
    is_canonical(bytes, Certificate::decode, Certificate::encode);
    is_canonical(bytes, Evidence::decode, Evidence::encode);
    is_canonical(bytes, Handover::decode, Handover::encode);
    is_canonical(bytes, Receipt::decode, Receipt::encode);
    is_canonical(bytes, ServerRecord::decode, ServerRecord::encode);
    is_canonical(bytes, AccountRecord::decode, |record| record.encode().to_vec());
    is_canonical(bytes, servers_decode, ServerSet::encode);
    is_canonical(bytes, state_decode, PaymentState::encode);
    if let Ok(file) = String::from_utf8_lossy(bytes).parse::<TrustFile>() {
        assert_eq!(file.to_string().parse(), Ok(file));
    }
}

/// The encodings of all values of the story: a corpus of things that are right.
static CORPUS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    vec![
        story::genesis().encode(),
        story::payment().encode(),
        story::issue().encode(),
        story::change_of_servers().encode(),
        story::body().encode(),
        story::header().encode(),
        story::certificate_of_all().encode(),
        story::evidence().encode(),
        story::handover().encode(),
        story::receipt().encode(),
        story::server_record().encode(),
        story::servers().encode(),
    ]
});

proptest! {
    #[test]
    fn genesis_is_read_back(value in genesis()) {
        holds(&value, &value.encode(), Genesis::decode);
    }

    #[test]
    fn payment_is_read_back(value in signed_payment()) {
        holds(&value, &value.encode(), SignedPayment::decode);
    }

    #[test]
    fn order_is_read_back(value in signed_order()) {
        holds(&value, &value.encode(), SignedOrder::decode);
    }

    #[test]
    fn body_is_read_back(value in body()) {
        holds(&value, &value.encode(), Body::decode);
    }

    #[test]
    fn header_is_read_back(value in header()) {
        holds(&value, &value.encode(), Header::decode);
    }

    #[test]
    fn checkpoint_is_read_back(value in checkpoint()) {
        holds(&value, &value.encode(), Checkpoint::decode);
    }

    #[test]
    fn certificate_is_read_back(value in certificate()) {
        holds(&value, &value.encode(), Certificate::decode);
    }

    #[test]
    fn evidence_is_read_back(value in evidence()) {
        holds(&value, &value.encode(), Evidence::decode);
    }

    #[test]
    fn handover_is_read_back((certificate, next) in (certificate(), server_set())) {
        let value = Handover { certificate, next };
        holds(&value, &value.encode(), Handover::decode);
    }

    #[test]
    fn receipt_is_read_back(value in receipt()) {
        holds(&value, &value.encode(), Receipt::decode);
    }

    #[test]
    fn server_record_is_read_back(value in server_record()) {
        holds(&value, &value.encode(), ServerRecord::decode);
    }

    #[test]
    fn account_record_is_read_back(id in account_id(), balance in any::<u64>(), sequence in any::<u64>()) {
        let value = AccountRecord { id, balance: Amount(balance), sequence };
        holds(&value, &value.encode(), AccountRecord::decode);
    }

    #[test]
    fn servers_are_read_back(value in server_set()) {
        holds(&value, &value.encode(), servers_decode);
    }

    #[test]
    fn payment_state_is_read_back(value in payment_state()) {
        holds(&value, &value.encode(), state_decode);
    }

    #[test]
    fn address_is_read_back(id in account_id()) {
        prop_assert_eq!(Address(id).to_string().parse(), Ok(Address(id)));
    }

    #[test]
    fn amount_is_read_back(amount in 1..=u64::MAX, decimals in 0..=8_u8) {
        prop_assert_eq!(Amount::parse(&Amount(amount).display(decimals), decimals), Ok(Amount(amount)));
    }

    #[test]
    fn no_decoder_panics_on_random_bytes(bytes in vec(any::<u8>(), 0..800)) {
        feed_every_decoder(&bytes);
    }

    #[test]
    fn no_decoder_panics_on_bytes_that_are_nearly_right(
        which in any::<prop::sample::Index>(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = which.get(&CORPUS[..]).clone();
        for (place, byte) in changes {
            *place.get_mut(&mut bytes) = byte;
        }
        feed_every_decoder(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        feed_every_decoder(&bytes);
    }

    #[test]
    fn text_that_is_no_address_is_refused_without_panic(text in "\\PC{0,80}") {
        let _: Result<Address, _> = text.parse();
        let _: Result<TrustFile, _> = text.parse();
        let _: Result<Amount, _> = Amount::parse(&text, 2);
    }

    #[test]
    fn a_leaf_is_proved_at_its_own_place_only(count in 1..200_usize, at in any::<prop::sample::Index>(), other in any::<u64>()) {
        let leaves: Vec<Hash> = (0..count).map(|number| tree::leaf(&number.to_be_bytes())).collect();
        let (at, count, root) = (at.index(count), count as u64, Some(tree::root(leaves.clone())));
        let path = tree::path(&leaves, at);
        prop_assert_eq!(tree::root_of_path(leaves[at], at as u64, count, &path), root);
        let elsewhere = other % count;
        if elsewhere != at as u64 {
            prop_assert!(tree::root_of_path(leaves[at], elsewhere, count, &path) != root);
        }
        prop_assert!(tree::root_of_path(tree::leaf(b"another"), at as u64, count, &path) != root);
    }

    #[test]
    fn two_quorums_share_more_than_the_rule_allows_to_lie(set in small_server_set(), one in any::<u16>(), other in any::<u16>()) {
        let power = |which: u16| -> u64 {
            set.members().iter().enumerate().filter(|(number, _)| which & (1 << number) != 0).map(|(_, (_, power))| power).sum()
        };
        let quorum = |rule: Rule, which: u16| rule.is_quorum(power(which), set.total());
        if quorum(Rule::Majority, one) && quorum(Rule::Majority, other) {
            prop_assert!(one & other != 0 && power(one & other) > 0);
        }
        if quorum(Rule::TwoThirds, one) && quorum(Rule::TwoThirds, other) {
            prop_assert!(3 * power(one & other) > set.total());
        }
        if quorum(Rule::TwoThirds, one) {
            prop_assert!(quorum(Rule::Majority, one), "the stricter rule includes the other");
        }
    }
}

fn signed_by(set: &ServerSet, which: u16) -> Certificate {
    let checkpoint = story::checkpoint();
    let message = checkpoint.signed_bytes();
    let mut signatures: Vec<_> = (SECRETS.iter())
        .filter_map(|(secret, key)| Some((set.number(key)?, secret)))
        .filter(|(number, _)| which & (1 << number) != 0)
        .map(|(number, secret)| NumberedSignature { number, signature: secret.sign(&message) })
        .collect();
    signatures.sort_by_key(|one| one.number);
    Certificate { checkpoint, signatures }
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(48))]

    #[test]
    fn compact_keeps_the_grade_and_every_record_fits(set in small_server_set(), which in any::<u16>()) {
        let whole = signed_by(&set, which);
        let compact = whole.compact(&set);
        let grade = |certificate: &Certificate| certificate.verify(&set, Rule::Majority, &BTreeSet::new()).ok();
        prop_assert_eq!(grade(&compact), grade(&whole));
        prop_assert!(compact.signatures.iter().all(|one| whole.signatures.contains(one)));
        prop_assert_eq!(compact.compact(&set), compact);

        let contacts = vec![Contact::Mesh("/ip4/127.0.0.1/tcp/6882".into()), Contact::Api("x".repeat(300))];
        let record = ServerRecord::new(&whole, &set, &contacts);
        prop_assert_eq!(ServerRecord::decode(&record.encode()), Ok(record));
    }

    #[test]
    fn a_double_signer_counts_zero_of_the_same_total(set in small_server_set(), which in any::<u16>(), liar in 0..13_u8) {
        let certificate = signed_by(&set, which);
        let Some((key, _)) = set.member(liar) else { return Ok(()) };
        let without = signed_by(&set, which & !(1 << liar));
        let grade = certificate.verify(&set, Rule::Majority, &[key].into()).ok();
        prop_assert_eq!(grade, without.verify(&set, Rule::Majority, &BTreeSet::new()).ok());
    }
}

/// Flips each bit in turn; `believed` says whether the bytes are still taken for true.
fn survivors(bytes: &[u8], believed: impl Fn(&[u8]) -> bool) -> Vec<usize> {
    assert!(believed(bytes), "the untouched bytes are believed");
    let mut bytes = bytes.to_vec();
    let flip = |bytes: &mut Vec<u8>, bit: usize| bytes[bit / 8] ^= 1 << (bit % 8);
    (0..bytes.len() * 8)
        .filter(|bit| {
            flip(&mut bytes, *bit);
            let survives = believed(&bytes);
            flip(&mut bytes, *bit);
            survives
        })
        .collect()
}

#[test]
fn any_flipped_bit_of_a_payment_is_refused() {
    let community = story::community();
    let believed = |bytes: &[u8]| SignedPayment::decode(bytes).is_ok_and(|payment| payment.check(&community).is_ok());
    assert_eq!(survivors(&story::payment().encode(), believed), Vec::<usize>::new());
}

#[test]
fn any_flipped_bit_of_an_order_is_refused() {
    let (community, servers) = (story::community(), story::servers());
    let believed = |bytes: &[u8]| {
        SignedOrder::decode(bytes).is_ok_and(|order| order.check(&community, &servers, Rule::Majority).is_ok())
    };
    for order in [story::issue(), story::retire(), story::change_of_servers()] {
        assert_eq!(survivors(&order.encode(), believed), Vec::<usize>::new());
    }
}

#[test]
fn any_flipped_bit_of_a_certificate_is_refused() {
    let servers = story::servers();
    let believed = |bytes: &[u8]| {
        let verify = |certificate: Certificate| certificate.verify(&servers, Rule::Majority, &BTreeSet::new());
        Certificate::decode(bytes).is_ok_and(|certificate| verify(certificate).is_ok())
    };
    assert_eq!(survivors(&story::certificate_of_all().encode(), believed), Vec::<usize>::new());
}

#[test]
fn any_flipped_bit_of_evidence_is_refused() {
    let believed = |bytes: &[u8]| Evidence::decode(bytes).is_ok_and(|evidence| evidence.verify().is_ok());
    assert_eq!(survivors(&story::evidence().encode(), believed), Vec::<usize>::new());
}

#[test]
fn any_flipped_bit_of_a_handover_is_refused() {
    let servers = story::servers();
    let believed =
        |bytes: &[u8]| Handover::decode(bytes).is_ok_and(|handover| handover.verify(&servers, Rule::TwoThirds).is_ok());
    assert_eq!(survivors(&story::handover().encode(), believed), Vec::<usize>::new());
}

#[test]
fn any_flipped_bit_of_a_receipt_is_refused() {
    let (community, servers) = (story::community(), story::servers());
    let believed = |bytes: &[u8]| {
        Receipt::decode(bytes).is_ok_and(|receipt| receipt.verify(&community, &servers, Rule::Majority).is_ok())
    };
    assert_eq!(survivors(&story::receipt().encode(), believed), Vec::<usize>::new());
}

#[test]
fn any_flipped_bit_of_the_certificate_in_a_record_is_refused() {
    let servers = story::servers();
    let contacts = story::server_record().contacts;
    let believed = |bytes: &[u8]| {
        ServerRecord::decode(bytes).is_ok_and(|record| {
            record.contacts == contacts && record.certificate.verify(&servers, Rule::Majority, &BTreeSet::new()).is_ok()
        })
    };
    assert_eq!(survivors(&story::server_record().encode(), believed), Vec::<usize>::new());
}

#[test]
fn a_server_listed_twice_does_not_count_twice() {
    let mut certificate = story::certificate();
    certificate.signatures[1] = certificate.signatures[0];
    assert!(certificate.verify(&story::servers(), Rule::Majority, &BTreeSet::new()).is_err());
    let mut order = story::issue();
    order.signatures[1] = order.signatures[0];
    assert_eq!(order.check(&story::community(), &story::servers(), Rule::Majority), Err(Refusal::OrderNoQuorum));
}

#[test]
fn a_record_of_thirteen_servers_fits_even_without_the_strongest() {
    let set = set_of([6].into_iter().chain([1; 12]));
    let heavy = set.members().iter().position(|(_, power)| *power == 6).expect("the strongest");
    let certificate = signed_by(&set, !(1 << heavy));
    assert_eq!(certificate.compact(&set).signatures.len(), 12, "12 of 18 is not more than two thirds");
    let record = ServerRecord::new(&certificate, &set, &[]);
    assert_eq!(ServerRecord::decode(&record.encode()).as_ref(), Ok(&record));
    assert!(record.certificate.verify(&set, Rule::Majority, &BTreeSet::new()).is_ok());
}

#[test]
fn too_long_a_memo_is_refused_before_it_is_encoded() {
    let mut payment = story::payment();
    payment.payment.memo = vec![b'x'; 300];
    assert_eq!(payment.check(&story::community()), Err(Refusal::MemoTooLong));
}

#[test]
fn a_fault_is_placed_where_its_field_begins() {
    let mut bytes = story::header().encode();
    bytes[0] = 2;
    let error = Header::decode(&bytes).expect_err("version 2");
    assert_eq!((error.field, error.at), ("version", 0));
    let mut bytes = story::certificate().encode();
    bytes[258] = 9;
    bytes[258 + 65] = 1;
    let error = Certificate::decode(&bytes).expect_err("numbers do not ascend");
    assert_eq!((error.field, error.at), ("server number", 258 + 65));
}
