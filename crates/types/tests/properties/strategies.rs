//! Strategies: one for each format, every field free.
use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any};
use proptest::prop_oneof;
use seedbank_types::{
    AccountId, Amount, Body, Certificate, Checkpoint, CommunityId, Contact, Entry, Epoch, Evidence, FileRef, Genesis,
    Hash, Header, Height, InfoHash, NumberedSignature, Order, OrderKind, POWER_TOTAL_MAX, Payment, PaymentState,
    Reader, Receipt, Refusal, Rule, ServerKey, ServerRecord, ServerSecret, ServerSet, Signature, SignedOrder,
    SignedPayment, TimeMs, tree,
};

pub(crate) fn bytes<const N: usize>() -> impl Strategy<Value = [u8; N]> {
    vec(any::<u8>(), N).prop_map(|bytes| bytes.try_into().expect("N bytes"))
}

pub(crate) fn hash() -> impl Strategy<Value = Hash> {
    bytes().prop_map(Hash)
}

pub(crate) fn account_id() -> impl Strategy<Value = AccountId> {
    bytes().prop_map(AccountId)
}

/// Thirteen keys are enough for every set; making one costs a curve operation.
pub(crate) static SECRETS: LazyLock<Vec<(ServerSecret, ServerKey)>> = LazyLock::new(|| {
    let secrets = (1..=13).map(|byte| ServerSecret::from_bytes(&[byte; 32]));
    secrets.map(|secret| (secret.clone(), secret.public())).collect()
});

/// As many servers as there are powers.
pub(crate) fn set_of(powers: impl IntoIterator<Item = u64>) -> ServerSet {
    let keys = SECRETS.iter().map(|(_, key)| *key);
    ServerSet::new(keys.zip(powers)).expect("distinct keys, powers that fit")
}

pub(crate) fn server_set() -> impl Strategy<Value = ServerSet> {
    vec(1..=POWER_TOTAL_MAX / 13, 1..=13).prop_map(set_of)
}

/// Small powers: quorums at the very edge are likely.
pub(crate) fn small_server_set() -> impl Strategy<Value = ServerSet> {
    vec(1_u64..=4, 1..=13).prop_map(set_of)
}

pub(crate) fn signatures() -> impl Strategy<Value = Vec<NumberedSignature>> {
    (any::<u16>(), bytes()).prop_map(|(which, signature)| {
        let signature = Signature(signature);
        (0..13)
            .filter(|number| which & (1 << number) != 0)
            .map(|number| NumberedSignature { number, signature })
            .collect()
    })
}

pub(crate) fn genesis() -> impl Strategy<Value = Genesis> {
    let text = || "[a-zA-Zäöü€ ]{1,60}";
    let times = (any::<u64>(), 100..=u64::MAX, 1..=u32::MAX, any::<bool>(), 0..=8_u8);
    let money = (account_id(), any::<u64>(), any::<u64>(), hash(), 1..=u64::MAX, any::<u64>());
    (times, text(), text(), money, server_set()).prop_map(|(times, name, symbol, money, servers)| Genesis {
        created: TimeMs(times.0),
        epoch_ms: times.1,
        full_interval: times.2,
        quorum: if times.3 { Rule::Majority } else { Rule::TwoThirds },
        decimals: times.4,
        name,
        symbol,
        fee_account: money.0,
        minimum_fee: Amount(money.1),
        opening_minimum: Amount(money.2),
        root: money.3,
        count: money.4,
        supply: Amount(money.5),
        servers,
    })
}

pub(crate) fn signed_payment() -> impl Strategy<Value = SignedPayment> {
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>());
    (bytes(), account_id(), numbers, vec(any::<u8>(), 0..=80), bytes()).prop_map(
        |(payer_key, payee, (amount, fee, sequence, expires), memo, signature)| {
            let (amount, fee, expires) = (Amount(amount), Amount(fee), Epoch(expires));
            SignedPayment { payment: Payment { payer_key, payee, amount, fee, sequence, expires, memo }, signature }
        },
    )
}

pub(crate) fn signed_order() -> impl Strategy<Value = SignedOrder> {
    let kind = prop_oneof![
        (account_id(), any::<u64>()).prop_map(|(account, amount)| OrderKind::Issue { account, amount: Amount(amount) }),
        any::<u64>().prop_map(|amount| OrderKind::Retire { amount: Amount(amount) }),
        server_set().prop_map(OrderKind::Servers),
    ];
    (kind, any::<u64>(), any::<u64>(), signatures()).prop_map(|(kind, sequence, last_epoch, signatures)| SignedOrder {
        order: Order { kind, sequence, last_epoch: Epoch(last_epoch) },
        signatures,
    })
}

pub(crate) fn body() -> impl Strategy<Value = Body> {
    let entry = prop_oneof![signed_payment().prop_map(Entry::Payment), signed_order().prop_map(Entry::Order)];
    vec(entry, 0..6).prop_map(|entries| Body { entries })
}

pub(crate) fn header() -> impl Strategy<Value = Header> {
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>());
    let hashes = (hash(), hash(), hash(), hash(), hash(), hash());
    (hash(), hash(), numbers, hashes).prop_map(|(community, proposer, numbers, hashes)| Header {
        community: CommunityId(community.0),
        height: Height(numbers.0),
        epoch: Epoch(numbers.1),
        time: TimeMs(numbers.2),
        proposer: ServerKey(proposer.0),
        previous: hashes.0,
        previous_state: hashes.1,
        payments_root: hashes.2,
        body_digest: hashes.3,
        body_length: numbers.3,
        next_servers: hashes.4,
        previous_checkpoint: hashes.5,
    })
}

pub(crate) fn checkpoint() -> impl Strategy<Value = Checkpoint> {
    let file = || (bytes(), any::<u64>()).prop_map(|(hash, length)| FileRef { info_hash: InfoHash(hash), length });
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>());
    (hash(), numbers, (hash(), hash(), hash(), hash()), (file(), file())).prop_map(
        |(community, numbers, hashes, (snapshot, delta))| Checkpoint {
            community: CommunityId(community.0),
            epoch: Epoch(numbers.0),
            height: Height(numbers.1),
            time: TimeMs(numbers.2),
            root: hashes.0,
            count: numbers.3,
            supply: Amount(numbers.4),
            closing_header: hashes.1,
            previous: hashes.2,
            servers: hashes.3,
            snapshot,
            delta,
        },
    )
}

pub(crate) fn certificate() -> impl Strategy<Value = Certificate> {
    (checkpoint(), signatures()).prop_map(|(checkpoint, signatures)| Certificate { checkpoint, signatures })
}

pub(crate) fn evidence() -> impl Strategy<Value = Evidence> {
    (hash(), checkpoint(), bytes(), checkpoint(), bytes()).prop_map(|(key, a, one, b, other)| Evidence {
        key: ServerKey(key.0),
        a,
        signature_a: Signature(one),
        b,
        signature_b: Signature(other),
    })
}

pub(crate) fn receipt() -> impl Strategy<Value = Receipt> {
    let place = || (1..100_000_u32).prop_flat_map(|count| (0..count, Just(count), vec(hash(), 17)));
    (signed_payment(), place(), header(), place(), header(), certificate()).prop_map(
        |(
            payment,
            (index, count, mut path),
            header,
            (header_index, header_count, mut header_path),
            closing,
            certificate,
        )| {
            path.truncate(tree::path_length(count.into()));
            header_path.truncate(tree::path_length(header_count.into()));
            Receipt {
                payment,
                index,
                count,
                path,
                header,
                header_index,
                header_count,
                header_path,
                closing,
                certificate,
            }
        },
    )
}

pub(crate) fn server_record() -> impl Strategy<Value = ServerRecord> {
    let contact = prop_oneof!["[ -~]{0,80}".prop_map(Contact::Mesh), "[ -~]{0,80}".prop_map(Contact::Api)];
    (certificate(), vec(contact, 0..4)).prop_map(|(mut certificate, mut contacts)| {
        certificate.signatures.truncate(11);
        if certificate.signatures.len() > 4 {
            contacts.clear();
        }
        ServerRecord { certificate, contacts }
    })
}

pub(crate) fn refusal() -> impl Strategy<Value = Refusal> {
    (any::<u8>(), prop_oneof![Just(0), any::<u64>()]).prop_filter_map("a known refusal", |(number, detail)| {
        let bytes = [&[number][..], &detail.to_be_bytes()].concat();
        Refusal::read(&mut Reader::new("refusal", &bytes)).ok()
    })
}

pub(crate) fn payment_state() -> impl Strategy<Value = PaymentState> {
    prop_oneof![
        Just(PaymentState::Unknown),
        Just(PaymentState::Sent),
        (any::<u64>(), hash()).prop_map(|(height, header)| PaymentState::Final { height: Height(height), header }),
        (any::<u64>(), hash(), any::<u64>()).prop_map(|(height, header, epoch)| PaymentState::Certified {
            height: Height(height),
            header,
            epoch: Epoch(epoch)
        }),
        refusal().prop_map(PaymentState::Refused),
    ]
}
