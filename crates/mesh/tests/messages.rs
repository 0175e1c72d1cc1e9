//! The messages of the mesh: golden bytes, round trips, and what a decoder must refuse.
use std::fmt::Write as _;

use proptest::prelude::*;
use seedbank_mesh::message::{BATCHES_MAX, REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX, SUBMIT_PAYMENTS_MAX};
use seedbank_mesh::{DecidedBatch, PaymentBundle, Request, RequestRefusal, Response};
use seedbank_types::{
    AccountId, AccountRecord, Amount, Certificate, Checkpoint, CommunityId, Epoch, Evidence, FileRef, Handover, Hash,
    Header, Height, InfoHash, NumberedSignature, Order, OrderKind, Payment, PaymentId, PaymentState, Refusal,
    ServerKey, ServerSecret, ServerSet, Signature, SignedOrder, SignedPayment, Stamp, TimeMs,
};

fn payment(seed: u8, memo: Vec<u8>) -> SignedPayment {
    let payment = Payment {
        payer_key: [seed; 33],
        payee: AccountId([seed.wrapping_add(1); 20]),
        amount: Amount(1000 + u64::from(seed)),
        fee: Amount(2),
        sequence: u64::from(seed),
        expires: Epoch(77),
        memo,
    };
    SignedPayment { payment, signature: [seed; 64] }
}

fn header(seed: u8) -> Header {
    Header {
        community: CommunityId([1; 32]),
        height: Height(u64::from(seed)),
        epoch: Epoch(2),
        time: TimeMs(3),
        proposer: ServerKey([4; 32]),
        previous: Hash([5; 32]),
        previous_state: Hash([6; 32]),
        payments_root: Hash([7; 32]),
        body_digest: Hash([8; 32]),
        body_length: 9,
        next_servers: Hash([10; 32]),
        previous_checkpoint: Hash([11; 32]),
    }
}

fn certificate(seed: u8) -> Certificate {
    let checkpoint = Checkpoint {
        community: CommunityId([1; 32]),
        epoch: Epoch(u64::from(seed)),
        height: Height(3),
        time: TimeMs(4),
        root: Hash([5; 32]),
        count: 6,
        supply: Amount(7),
        closing_header: Hash([8; 32]),
        previous: Hash([9; 32]),
        servers: Hash([10; 32]),
        snapshot: FileRef { info_hash: InfoHash([11; 20]), length: 12 },
        delta: FileRef::NONE,
    };
    let signatures = [0, 2].map(|number| NumberedSignature { number, signature: Signature([number; 64]) });
    Certificate { checkpoint, signatures: signatures.to_vec() }
}

fn handover(seed: u8) -> Handover {
    let key = ServerSecret::from_bytes(&[seed; 32]).public();
    Handover { certificate: certificate(seed), next: ServerSet::new([(key, 5)]).expect("one server") }
}

/// Only its form matters here: the signatures are none.
fn evidence(seed: u8) -> Evidence {
    let (a, b) = (certificate(seed).checkpoint, certificate(seed.wrapping_add(1)).checkpoint);
    let signature = |byte| Signature([byte; 64]);
    Evidence { key: ServerKey([seed; 32]), a, signature_a: signature(1), b, signature_b: signature(2) }
}

fn order(seed: u8) -> SignedOrder {
    let kind = OrderKind::Retire { amount: Amount(u64::from(seed)) };
    let signatures = vec![NumberedSignature { number: 1, signature: Signature([seed; 64]) }];
    SignedOrder { order: Order { kind, sequence: 2, last_epoch: Epoch(3) }, signatures }
}

fn batch(seed: u8) -> DecidedBatch {
    DecidedBatch { header: header(seed), body: vec![seed; 3], decision: vec![0xdd; 2] }
}

fn record(seed: u8) -> AccountRecord {
    AccountRecord { id: AccountId([seed; 20]), balance: Amount(500), sequence: 6 }
}

fn requests() -> Vec<(&'static str, Request)> {
    vec![
        ("request genesis", Request::Genesis),
        ("request submit payments", Request::SubmitPayments(vec![payment(2, vec![]), payment(3, b"rent".to_vec())])),
        ("request payment state", Request::PaymentState(PaymentId([1; 32]))),
        ("request account with proof", Request::AccountWithProof(AccountId([2; 20]))),
        ("request next sequence", Request::NextSequence(AccountId([3; 20]))),
        ("request batches", Request::Batches { from: Height(4), max: 5 }),
        ("request body", Request::Body { digest: Hash([6; 32]) }),
        ("request checkpoint newest", Request::Checkpoint(None)),
        ("request checkpoint", Request::Checkpoint(Some(Epoch(7)))),
        ("request handovers", Request::Handovers { from: Hash([8; 32]) }),
        ("request evidence", Request::Evidence),
        ("request submit stamped", Request::SubmitStamped(vec![(Stamp(7), payment(2, vec![]))])),
        ("request submit order", Request::SubmitOrder(order(7))),
    ]
}

fn responses() -> Vec<(&'static str, Response)> {
    let reached = (Height(1), Hash([2; 32]));
    let states = vec![
        PaymentState::Unknown,
        PaymentState::Sent,
        PaymentState::Final { height: reached.0, header: reached.1 },
        PaymentState::Certified { height: reached.0, header: reached.1, epoch: Epoch(3) },
        PaymentState::Refused(Refusal::FeeTooLow { minimum: 4 }),
    ];
    vec![
        ("response refused busy", Response::Refused(RequestRefusal::Busy)),
        ("response refused too many", Response::Refused(RequestRefusal::TooMany)),
        ("response refused not here", Response::Refused(RequestRefusal::NotHere)),
        ("response refused malformed", Response::Refused(RequestRefusal::Malformed)),
        ("response refused too large", Response::Refused(RequestRefusal::TooLarge)),
        ("response refused later", Response::Refused(RequestRefusal::Later { ms: 1_500 })),
        ("response genesis", Response::Genesis(b"genesis".to_vec())),
        ("response submitted", Response::Submitted(states)),
        ("response payment state", Response::PaymentState(PaymentState::Sent)),
        ("response account", Response::Account { proof: Some(vec![9; 4]), record: Some(record(5)), epoch: Epoch(7) }),
        ("response account absent", Response::Account { proof: None, record: None, epoch: Epoch(7) }),
        ("response next sequence", Response::NextSequence { sequence: 8 }),
        ("response batches", Response::Batches(vec![batch(1), batch(2)])),
        ("response body", Response::Body(Some(b"body".to_vec()))),
        ("response body absent", Response::Body(None)),
        ("response checkpoint", Response::Checkpoint(Some(certificate(9)))),
        ("response checkpoint absent", Response::Checkpoint(None)),
        ("response handovers", Response::Handovers(vec![handover(1)])),
        ("response evidence", Response::Evidence(vec![evidence(1)])),
        ("response order state", Response::OrderState(PaymentState::Sent)),
        ("response pruned", Response::Pruned { lowest: Height(9) }),
    ]
}

#[test]
fn every_message_has_its_golden_bytes() {
    let mut lines = String::new();
    let mut line = |name: &str, bytes: &[u8]| writeln!(lines, "{name} = {}", hex::encode(bytes)).expect("a string");
    for (name, request) in requests() {
        line(name, &request.encode().expect("within its maximum"));
    }
    for (name, response) in responses() {
        line(name, &response.encode().expect("within its maximum"));
    }
    let bundle = PaymentBundle { payments: vec![payment(2, vec![]), payment(3, b"rent".to_vec())], stamps: vec![] };
    line("payment bundle", &bundle.encode().expect("within its maximum"));
    let bundle = PaymentBundle { stamps: vec![Stamp(5), Stamp(6)], ..bundle };
    line("payment bundle stamped", &bundle.encode().expect("within its maximum"));
    let golden = include_str!("golden/messages.txt");
    assert!(lines == golden, "the bytes changed; they are now:\n{lines}");
}

#[test]
fn every_message_is_read_back() {
    for (name, request) in requests() {
        assert_eq!(Request::decode(&request.encode().expect("fits")).as_ref(), Ok(&request), "{name}");
    }
    for (name, response) in responses() {
        assert_eq!(Response::decode(&response.encode().expect("fits")).as_ref(), Ok(&response), "{name}");
    }
}

#[test]
fn a_message_cut_short_or_too_long_is_refused() {
    for (name, request) in requests() {
        let mut bytes = request.encode().expect("fits");
        assert!((0..bytes.len()).all(|length| Request::decode(&bytes[..length]).is_err()), "{name}");
        bytes.push(0);
        assert!(Request::decode(&bytes).is_err(), "{name}");
    }
    for (name, response) in responses() {
        let mut bytes = response.encode().expect("fits");
        assert!((0..bytes.len()).all(|length| Response::decode(&bytes[..length]).is_err()), "{name}");
        bytes.push(0);
        assert!(Response::decode(&bytes).is_err(), "{name}");
    }
}

#[test]
fn unknown_versions_kinds_and_presences_are_refused() {
    for bytes in [&[2, 1][..], &[1, 0], &[1, 12], &[1, 14], &[1, 8, 2], &[]] {
        assert!(Request::decode(bytes).is_err(), "{bytes:?}");
    }
    for bytes in [&[2, 0, 1][..], &[1, 0, 0], &[1, 0, 6], &[1, 12], &[1, 7, 2], &[]] {
        assert!(Response::decode(bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn more_than_500_payments_are_refused() {
    let most = Request::SubmitStamped(vec![(Stamp(1), payment(1, vec![7; 80])); SUBMIT_PAYMENTS_MAX]);
    let bytes = most.encode().expect("500 fit");
    assert_eq!(bytes.len(), REQUEST_BYTES_MAX);
    assert!(Request::decode(&bytes).is_ok());
    assert!(Request::SubmitPayments(vec![payment(1, vec![]); SUBMIT_PAYMENTS_MAX + 1]).encode().is_err());
    let too_many = [&[1, 2, 1, 245][..], &payment(1, vec![]).encode().repeat(501)].concat();
    let error = Request::decode(&too_many).expect_err("501 payments");
    assert_eq!(error.field, "number of payments");
}

#[test]
fn an_announced_length_costs_nothing() {
    let long_body = [1, 7, 1, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(Response::decode(&long_body).expect_err("no such body").field, "body");
    let many_batches = [&[1, 6][..], &BATCHES_MAX.to_be_bytes()].concat();
    assert!(Response::decode(&many_batches).is_err());
    assert!(Response::decode(&vec![1; RESPONSE_BYTES_MAX + 1]).is_err());
}

fn any_bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..=max)
}

fn any_payments(max: usize) -> impl Strategy<Value = Vec<SignedPayment>> {
    prop::collection::vec((any::<u8>(), any_bytes(80)).prop_map(|(seed, memo)| payment(seed, memo)), 1..=max)
}

fn any_request() -> impl Strategy<Value = Request> {
    prop_oneof![
        Just(Request::Genesis),
        any_payments(20).prop_map(Request::SubmitPayments),
        (any::<u64>(), any_payments(20)).prop_map(|(stamp, payments)| {
            Request::SubmitStamped(payments.into_iter().map(|payment| (Stamp(stamp), payment)).collect())
        }),
        any::<[u8; 32]>().prop_map(|id| Request::PaymentState(PaymentId(id))),
        any::<[u8; 20]>().prop_map(|id| Request::AccountWithProof(AccountId(id))),
        any::<[u8; 20]>().prop_map(|id| Request::NextSequence(AccountId(id))),
        (any::<u64>(), any::<u16>()).prop_map(|(from, max)| Request::Batches { from: Height(from), max }),
        any::<[u8; 32]>().prop_map(|digest| Request::Body { digest: Hash(digest) }),
        any::<Option<u64>>().prop_map(|epoch| Request::Checkpoint(epoch.map(Epoch))),
        any::<[u8; 32]>().prop_map(|from| Request::Handovers { from: Hash(from) }),
        Just(Request::Evidence),
        any::<u8>().prop_map(|seed| Request::SubmitOrder(order(seed))),
    ]
}

fn any_state() -> impl Strategy<Value = PaymentState> {
    let reached = (any::<u64>(), any::<[u8; 32]>(), any::<u64>());
    prop_oneof![
        Just(PaymentState::Unknown),
        Just(PaymentState::Sent),
        any::<u64>().prop_map(|expected| PaymentState::Refused(Refusal::WrongSequence { expected })),
        reached.prop_map(|(height, header, epoch)| PaymentState::Certified {
            height: Height(height),
            header: Hash(header),
            epoch: Epoch(epoch)
        }),
    ]
}

fn any_batch() -> impl Strategy<Value = DecidedBatch> {
    (any::<u8>(), any_bytes(300), any_bytes(100)).prop_map(|(seed, body, decision)| DecidedBatch {
        header: header(seed),
        body,
        decision,
    })
}

fn any_response() -> impl Strategy<Value = Response> {
    prop_oneof![
        any_bytes(300).prop_map(Response::Genesis),
        prop::collection::vec(any_state(), 0..20).prop_map(Response::Submitted),
        any_state().prop_map(Response::PaymentState),
        (any::<Option<u8>>(), prop::option::of(any_bytes(300)), any::<u64>()).prop_map(|(seed, proof, epoch)| {
            Response::Account { proof, record: seed.map(record), epoch: Epoch(epoch) }
        }),
        any::<u64>().prop_map(|sequence| Response::NextSequence { sequence }),
        any::<u64>().prop_map(|lowest| Response::Pruned { lowest: Height(lowest) }),
        prop::collection::vec(any_batch(), 0..5).prop_map(Response::Batches),
        prop::option::of(any_bytes(300)).prop_map(Response::Body),
        any::<Option<u8>>().prop_map(|seed| Response::Checkpoint(seed.map(certificate))),
        prop::collection::vec(any::<u8>().prop_map(handover), 0..3).prop_map(Response::Handovers),
        prop::collection::vec(any::<u8>().prop_map(evidence), 0..3).prop_map(Response::Evidence),
    ]
}

proptest! {
    #[test]
    fn any_request_is_read_back(request in any_request()) {
        prop_assert_eq!(Request::decode(&request.encode().expect("within its maximum")), Ok(request));
    }

    #[test]
    fn any_response_is_read_back(response in any_response()) {
        prop_assert_eq!(Response::decode(&response.encode().expect("within its maximum")), Ok(response));
    }

    #[test]
    fn any_bundle_is_read_back(payments in any_payments(50), stamp in any::<Option<u64>>()) {
        let stamps = stamp.map_or_else(Vec::new, |stamp| vec![Stamp(stamp); payments.len()]);
        let bundle = PaymentBundle { payments, stamps };
        prop_assert_eq!(PaymentBundle::decode(&bundle.encode().expect("within its maximum")), Ok(bundle));
    }

    #[test]
    fn a_decoder_accepts_one_encoding_only(kind in 0_u8..11, rest in any_bytes(64)) {
        let bytes = [&[1, kind][..], &rest].concat();
        if let Ok(request) = Request::decode(&bytes) {
            prop_assert_eq!(request.encode(), Ok(bytes.clone()));
        }
        if let Ok(response) = Response::decode(&bytes) {
            prop_assert_eq!(response.encode(), Ok(bytes));
        }
    }
}
