//! Small communities for the unit tests.
use seedbank_types::{
    AccountId, AccountSecret, Amount, Bootstrap, Certificate, Checkpoint, CommunityId, Epoch, FileRef, Genesis, Hash,
    Height, InfoHash, NumberedSignature, Payment, PaymentId, Rule, ServerSecret, ServerSet, SignedPayment, TimeMs,
    TrustFile,
};

pub(crate) const COMMUNITY: CommunityId = CommunityId([1; 32]);
pub(crate) const NOW: TimeMs = TimeMs(1_800_000_000_000);

/// Three servers' secrets in the order of their public keys.
pub(crate) fn secrets() -> Vec<ServerSecret> {
    let mut secrets: Vec<_> = (1..=3).map(|n| ServerSecret::from_bytes(&[n; 32])).collect();
    secrets.sort_by_key(ServerSecret::public);
    secrets
}

pub(crate) fn servers() -> ServerSet {
    ServerSet::new(secrets().iter().map(|secret| (secret.public(), 1))).expect("three different keys")
}

pub(crate) fn trust() -> TrustFile {
    let (quorum, bootstrap) = (Rule::Majority, Bootstrap::None);
    TrustFile { servers: servers(), quorum, community: None, bootstrap, apis: Vec::new() }
}

pub(crate) fn genesis(quorum: Rule) -> Genesis {
    Genesis {
        created: TimeMs(NOW.0 - 3_600_000),
        epoch_ms: 60_000,
        full_interval: 1,
        quorum,
        decimals: 2,
        name: "Village".to_owned(),
        symbol: "VIL".to_owned(),
        fee_account: AccountId([3; 20]),
        minimum_fee: Amount(1),
        opening_minimum: Amount(10),
        root: Hash([4; 32]),
        count: 10,
        supply: Amount(1000),
        servers: servers(),
    }
}

/// A certificate of [`COMMUNITY`]; `root` tells one checkpoint of an epoch from another.
pub(crate) fn certificate(epoch: u64, root: u8, signers: &[u8]) -> Certificate {
    signed(COMMUNITY, epoch, root, signers)
}

pub(crate) fn signed(community: CommunityId, epoch: u64, root: u8, signers: &[u8]) -> Certificate {
    sign(checkpoint(community, epoch, root, Hash::ZERO), signers)
}

pub(crate) fn checkpoint(community: CommunityId, epoch: u64, root: u8, previous: Hash) -> Checkpoint {
    Checkpoint {
        community,
        epoch: Epoch(epoch),
        height: Height(epoch * 10),
        time: TimeMs(NOW.0 - 1_000_000 + epoch * 1000),
        root: Hash([root; 32]),
        count: 10,
        supply: Amount(1000),
        closing_header: Hash([6; 32]),
        previous,
        servers: servers().hash(),
        snapshot: FileRef { info_hash: InfoHash([root; 20]), length: 100 },
        delta: FileRef::NONE,
    }
}

pub(crate) fn sign(checkpoint: Checkpoint, signers: &[u8]) -> Certificate {
    let secrets = secrets();
    let sign =
        |number: &u8| NumberedSignature { number: *number, signature: checkpoint.sign(&secrets[usize::from(*number)]) };
    let signatures = signers.iter().map(sign).collect();
    Certificate { checkpoint, signatures }
}

pub(crate) fn payment(sequence: u64, amount: u64) -> (PaymentId, SignedPayment) {
    let secret = AccountSecret::from_bytes(&[7; 32]).expect("a key");
    let payment = Payment {
        payer_key: secret.public().to_bytes(),
        payee: AccountId([1; 20]),
        amount: Amount(amount),
        fee: Amount(1),
        sequence,
        expires: Epoch(70),
        memo: Vec::new(),
    };
    (payment.id(&COMMUNITY), payment.sign(&COMMUNITY, &secret))
}
