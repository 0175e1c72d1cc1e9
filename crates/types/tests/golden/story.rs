//! The community that all golden bytes are about, built with this crate. The bytes themselves were
//! written by another program, in another language, from the design alone.
use seedbank_types::{
    AccountId, AccountSecret, Amount, Body, Certificate, Checkpoint, CommunityId, Contact, Entry, Epoch, Evidence,
    FileRef, Genesis, Handover, Hash, Header, Height, InfoHash, NumberedSignature, Order, OrderKind, Payment, Receipt,
    Rule, ServerRecord, ServerSecret, ServerSet, SignedOrder, SignedPayment, TimeMs, tree,
};

pub(crate) const CREATED: TimeMs = TimeMs(1_790_000_000_000);

pub(crate) fn hash(hex: &str) -> Hash {
    hex.parse().expect("64 hex digits")
}

pub(crate) fn secret(byte: u8) -> ServerSecret {
    ServerSecret::from_bytes(&[byte; 32])
}

pub(crate) fn account(byte: u8) -> AccountSecret {
    AccountSecret::from_bytes(&[byte; 32]).expect("below the group order")
}

pub(crate) fn id(byte: u8) -> AccountId {
    account(byte).public().id()
}

pub(crate) fn servers() -> ServerSet {
    ServerSet::new([1, 2, 3].map(|byte| (secret(byte).public(), 1))).expect("three servers")
}

pub(crate) fn next_servers() -> ServerSet {
    ServerSet::new([(1, 1), (2, 2), (4, 1)].map(|(byte, power)| (secret(byte).public(), power))).expect("three")
}

pub(crate) fn signatures(message: &[u8], bytes: &[u8]) -> Vec<NumberedSignature> {
    let number = |byte: u8| servers().number(&secret(byte).public()).expect("a server of the set");
    let mut all: Vec<_> = bytes
        .iter()
        .map(|byte| NumberedSignature { number: number(*byte), signature: secret(*byte).sign(message) })
        .collect();
    all.sort_by_key(|one| one.number);
    all
}

pub(crate) fn genesis() -> Genesis {
    Genesis {
        created: CREATED,
        epoch_ms: 60_000,
        full_interval: 1,
        quorum: Rule::Majority,
        decimals: 2,
        name: "Testville".to_owned(),
        symbol: "TST".to_owned(),
        fee_account: id(0x33),
        minimum_fee: Amount(1),
        opening_minimum: Amount(10),
        root: hash("4cf6ab9f1838b823b13c4bb363010220735efe61667b8af3d0b3a8cf5f625c85"),
        count: 4,
        supply: Amount(1_050_000),
        servers: servers(),
    }
}

pub(crate) fn community() -> CommunityId {
    genesis().community()
}

pub(crate) fn payment() -> SignedPayment {
    let payment = Payment {
        payer_key: account(0x11).public().to_bytes(),
        payee: id(0x22),
        amount: Amount(12_345),
        fee: Amount(5),
        sequence: 0,
        expires: Epoch(10),
        memo: b"for the bread".to_vec(),
    };
    payment.sign(&community(), &account(0x11))
}

pub(crate) fn payment_without_memo() -> SignedPayment {
    let payment = Payment {
        payer_key: account(0x22).public().to_bytes(),
        payee: id(0x11),
        amount: Amount(100),
        fee: Amount(1),
        sequence: 0,
        expires: Epoch(1_000),
        memo: Vec::new(),
    };
    payment.sign(&community(), &account(0x22))
}

fn order(kind: OrderKind, sequence: u64, last_epoch: u64, signers: &[u8]) -> SignedOrder {
    let order = Order { kind, sequence, last_epoch: Epoch(last_epoch) };
    let signatures = signatures(&order.signed_bytes(&community()), signers);
    SignedOrder { order, signatures }
}

pub(crate) fn issue() -> SignedOrder {
    order(OrderKind::Issue { account: id(0x22), amount: Amount(7_000) }, 0, 5, &[1, 2])
}

pub(crate) fn retire() -> SignedOrder {
    order(OrderKind::Retire { amount: Amount(3) }, 1, 6, &[2, 3])
}

pub(crate) fn change_of_servers() -> SignedOrder {
    order(OrderKind::Servers(next_servers()), 2, 7, &[1, 2, 3])
}

pub(crate) fn body() -> Body {
    Body { entries: vec![Entry::Payment(payment()), Entry::Order(issue())] }
}

fn header_of(height: u64, epoch_ms: u64, previous: Hash, previous_state: &str, root: Hash, body: &[u8]) -> Header {
    Header {
        community: community(),
        height: Height(height),
        epoch: Epoch(1),
        time: CREATED.plus_ms(epoch_ms),
        proposer: servers().members()[0].0,
        previous,
        previous_state: hash(previous_state),
        payments_root: root,
        body_digest: Body::digest(body),
        body_length: u32::try_from(body.len()).expect("a short body"),
        next_servers: servers().hash(),
        previous_checkpoint: Hash::ZERO,
    }
}

pub(crate) fn header() -> Header {
    let state = "d857d85eaca8b15a4b92a5ad95dfea81e2acc256f7198a9bb2c87c3d7a379e87";
    let root = body().payments_root(&community());
    header_of(1, 10_000, community().into(), state, root, &body().encode())
}

fn second_header() -> Header {
    let state = "b93bdc2128a689d41800f0135cdab96f50d0b377f73c70a8c24d5c92f9248456";
    let body = Body { entries: vec![Entry::Payment(payment_without_memo())] };
    header_of(2, 20_000, header().hash(), state, body.payments_root(&community()), &body.encode())
}

fn leaves_of_headers() -> Vec<Hash> {
    [header(), second_header()].map(|header| tree::leaf(&header.hash().0)).to_vec()
}

/// Closes epoch 1, so it names no checkpoint and its body is empty.
pub(crate) fn closing_header() -> Header {
    let state = "d6344381b9e6db80ca583f7083d28d45249bf183c0c9cb6e84a26be72c9b888c";
    header_of(3, 60_000, second_header().hash(), state, tree::root(leaves_of_headers()), &[])
}

fn snapshot() -> FileRef {
    let info_hash = "37756332b79fda03af3e819f4fce149b29837b0d".parse().expect("40 hex digits");
    FileRef { info_hash, length: 308 }
}

pub(crate) fn checkpoint() -> Checkpoint {
    Checkpoint {
        community: community(),
        epoch: Epoch(1),
        height: Height(3),
        time: closing_header().time,
        root: hash("036b6e74d1ff571e847a0393f15c43766899f4126544d16d727e05f80f852291"),
        count: 4,
        supply: Amount(1_057_000),
        closing_header: closing_header().hash(),
        previous: Hash::ZERO,
        servers: servers().hash(),
        snapshot: snapshot(),
        delta: FileRef::NONE,
    }
}

pub(crate) fn certificate_by(checkpoint: Checkpoint, signers: &[u8]) -> Certificate {
    let signatures = signatures(&checkpoint.signed_bytes(), signers);
    Certificate { checkpoint, signatures }
}

pub(crate) fn certificate() -> Certificate {
    certificate_by(checkpoint(), &[1, 2])
}

pub(crate) fn certificate_of_all() -> Certificate {
    certificate_by(checkpoint(), &[1, 2, 3])
}

pub(crate) fn evidence() -> Evidence {
    let liar = secret(3);
    let other = Checkpoint { supply: Amount(1_057_001), ..checkpoint() };
    let signed = |checkpoint: Checkpoint| (checkpoint.clone(), checkpoint.sign(&liar));
    Evidence::new(liar.public(), signed(checkpoint()), signed(other)).expect("two statements about one epoch")
}

pub(crate) fn handover() -> Handover {
    let last = Checkpoint {
        epoch: Epoch(2),
        height: Height(5),
        time: CREATED.plus_ms(120_000),
        closing_header: Hash::of(&[b"stands for a closing header"]),
        previous: checkpoint().hash(),
        servers: next_servers().hash(),
        delta: FileRef { info_hash: InfoHash([0xdd; 20]), length: 1_234 },
        ..checkpoint()
    };
    Handover { certificate: certificate_by(last, &[1, 2, 3]), next: next_servers() }
}

pub(crate) fn receipt() -> Receipt {
    Receipt {
        payment: payment(),
        index: 0,
        count: 2,
        path: tree::path(&body().leaves(&community()), 0),
        header: header(),
        header_index: 0,
        header_count: 2,
        header_path: tree::path(&leaves_of_headers(), 0),
        closing: closing_header(),
        certificate: certificate(),
    }
}

pub(crate) fn server_record() -> ServerRecord {
    let contacts =
        [Contact::Mesh("/ip4/127.0.0.1/tcp/6882".to_owned()), Contact::Api("http://127.0.0.1:6883".to_owned())];
    ServerRecord::new(&certificate_of_all(), &servers(), &contacts)
}
