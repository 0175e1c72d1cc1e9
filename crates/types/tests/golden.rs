//! Golden bytes: every format, hash and signature, compared with files under `tests/golden/`.
//!
//! A file has sections `[name]` of hex lines; `#` begins a comment. The bytes are fixed for good:
//! a change of one of them is a change of the protocol.
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;

use seedbank_types::{
    AccountId, AccountRecord, Address, Amount, Body, CHECKPOINT_BYTES, Certificate, Checkpoint, DecodeError, Entry,
    Epoch, Evidence, Genesis, Grade, HEADER_BYTES, Handover, Hash, Header, Height, PaymentState, Reader, Receipt,
    Refusal, Rule, ServerRecord, ServerSet, SignedOrder, SignedPayment, Stamp, TrustFile, tree,
};
use story::{community, servers};

#[path = "golden/story.rs"]
mod story;

/// The sections of one golden file.
struct Golden(BTreeMap<String, Vec<u8>>);

impl Golden {
    fn read(name: &str) -> Self {
        let mut sections: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut section = String::new();
        for line in text(&format!("{name}.hex")).lines() {
            match line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                Some(title) => {
                    title.clone_into(&mut section);
                    sections.insert(section.clone(), Vec::new());
                }
                None if line.is_empty() || line.starts_with('#') => {}
                None => {
                    let bytes = hex::decode(line).expect("hex digits");
                    sections.entry(section.clone()).or_default().extend(bytes);
                }
            }
        }
        Self(sections)
    }

    fn section(&self, section: &str) -> &[u8] {
        self.0.get(section).unwrap_or_else(|| panic!("no section [{section}]"))
    }

    /// Compares `bytes` with a section, in hex, so that a difference can be read.
    #[track_caller]
    fn is(&self, section: &str, bytes: impl AsRef<[u8]>) {
        assert_eq!(hex::encode(bytes.as_ref()), hex::encode(self.section(section)), "[{section}]");
    }

    /// Both directions: `value` has the bytes of the section, which are read as `value`.
    #[track_caller]
    fn is_format<T: Debug + PartialEq>(
        &self,
        section: &str,
        value: &T,
        encoded: impl AsRef<[u8]>,
        decode: impl Fn(&[u8]) -> Result<T, DecodeError>,
    ) {
        self.is(section, encoded);
        assert_eq!(decode(self.section(section)).as_ref(), Ok(value), "[{section}]");
    }
}

fn text(file: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn read_all<T>(bytes: &[u8], read: impl FnOnce(&mut Reader<'_>) -> Result<T, DecodeError>) -> Result<T, DecodeError> {
    let mut reader = Reader::new("golden", bytes);
    let value = read(&mut reader)?;
    reader.finish()?;
    Ok(value)
}

#[test]
fn genesis_and_community() {
    let golden = Golden::read("genesis");
    let genesis = story::genesis();
    golden.is_format("genesis", &genesis, genesis.encode(), Genesis::decode);
    golden.is("community", community().0);
}

#[test]
fn trust_file() {
    let golden: TrustFile = text("trust.keys").parse().expect("a trust file");
    assert_eq!(golden.servers, story::next_servers());
    assert_eq!((golden.quorum, golden.community), (Rule::TwoThirds, Some(community())));
    assert_eq!(golden.to_string(), text("trust.keys"));
}

#[test]
fn payment_id_and_address() {
    let golden = Golden::read("payment");
    let payment = story::payment();
    golden.is_format("signed payment", &payment, payment.encode(), SignedPayment::decode);
    golden.is("id", payment.payment.id(&community()).0);
    golden.is("payer account", payment.payment.payer().0);
    golden.is("payer address", Address(payment.payment.payer()).to_string());
    assert_eq!(payment.check(&community()), Ok(()));

    let without = story::payment_without_memo();
    golden.is_format("signed payment without memo", &without, without.encode(), SignedPayment::decode);
    golden.is("id without memo", without.payment.id(&community()).0);
}

#[test]
fn order_of_each_kind() {
    let golden = Golden::read("order");
    let orders = [("issue", story::issue()), ("retire", story::retire()), ("servers", story::change_of_servers())];
    for (kind, order) in orders {
        golden.is_format(kind, &order, order.encode(), SignedOrder::decode);
        golden.is(&format!("{kind} id"), order.order.id(&community()).0);
        assert_eq!(order.check(&community(), &servers(), Rule::Majority), Ok(()));
    }
}

#[test]
fn body_digest_and_payments_root() {
    let golden = Golden::read("body");
    let body = story::body();
    golden.is_format("body", &body, body.encode(), Body::decode);
    golden.is("digest", Body::digest(&body.encode()).0);
    golden.is("payments root", body.payments_root(&community()).0);
    assert_eq!(body.entries[1], Entry::Order(story::issue()));
}

#[test]
fn header_and_closing_header() {
    let golden = Golden::read("header");
    let (header, closing) = (story::header(), story::closing_header());
    golden.is_format("header", &header, header.encode(), Header::decode);
    golden.is("hash", header.hash().0);
    golden.is_format("closing header", &closing, closing.encode(), Header::decode);
    golden.is("closing hash", closing.hash().0);
    assert_eq!(header.encode().len(), HEADER_BYTES);
}

#[test]
fn checkpoint_and_signature() {
    let golden = Golden::read("checkpoint");
    let checkpoint = story::checkpoint();
    golden.is_format("checkpoint", &checkpoint, checkpoint.encode(), Checkpoint::decode);
    golden.is("hash", checkpoint.hash().0);
    golden.is("signature", checkpoint.sign(&story::secret(1)).0);
    assert_eq!(checkpoint.encode().len(), CHECKPOINT_BYTES);
}

#[test]
fn certificate_of_each_grade() {
    let golden = Golden::read("certificate");
    for (grade, name, certificate) in
        [(Grade::Crash, "crash", story::certificate()), (Grade::Byzantine, "byzantine", story::certificate_of_all())]
    {
        golden.is_format(name, &certificate, certificate.encode(), Certificate::decode);
        assert_eq!(certificate.verify(&servers(), Rule::Majority, &[].into()), Ok(grade));
        assert_eq!(grade.to_string(), name);
    }
}

#[test]
fn evidence() {
    let evidence = story::evidence();
    Golden::read("evidence").is_format("evidence", &evidence, evidence.encode(), Evidence::decode);
    assert_eq!(evidence.verify(), Ok(()));
}

#[test]
fn handover() {
    let golden = Golden::read("handover");
    let handover = story::handover();
    golden.is_format("handover", &handover, handover.encode(), Handover::decode);
    golden.is("next servers hash", handover.next.hash().0);
    assert_eq!(handover.verify(&servers(), Rule::TwoThirds), Ok(()));
}

#[test]
fn receipt() {
    let receipt = story::receipt();
    Golden::read("receipt").is_format("receipt", &receipt, receipt.encode(), Receipt::decode);
    assert_eq!(receipt.verify(&community(), &servers(), Rule::Majority), Ok(Grade::Crash));
}

#[test]
fn account_record() {
    let record = AccountRecord { id: story::id(0x22), balance: Amount(69_244), sequence: 1 };
    Golden::read("account_record").is_format("record", &record, record.encode(), AccountRecord::decode);
}

#[test]
fn server_record() {
    let record = story::server_record();
    Golden::read("server_record").is_format("record", &record, record.encode(), ServerRecord::decode);
}

#[test]
fn every_refusal() {
    let golden = Golden::read("refusal");
    for (code, bytes) in &golden.0 {
        let refusal = read_all(bytes, Refusal::read).expect("a refusal");
        assert_eq!(refusal.code(), code);
        golden.is(code, refusal.encode());
    }
    let known = (0..=u8::MAX).filter(|number| read_all(&refusal_bytes(*number), Refusal::read).is_ok());
    assert_eq!(known.count(), golden.0.len(), "a refusal has no golden bytes");
}

fn refusal_bytes(number: u8) -> [u8; Refusal::BYTES] {
    let mut bytes = [0; Refusal::BYTES];
    bytes[0] = number;
    bytes
}

#[test]
fn every_payment_state() {
    let golden = Golden::read("payment_state");
    let (height, header, epoch) = (Height(1), story::header().hash(), Epoch(1));
    for state in [
        PaymentState::Unknown,
        PaymentState::Sent,
        PaymentState::Final { height, header },
        PaymentState::Certified { height, header, epoch },
        PaymentState::Refused(Refusal::WrongSequence { expected: 2 }),
    ] {
        golden.is_format(state.code(), &state, state.encode(), |bytes| read_all(bytes, PaymentState::read));
    }
}

#[test]
fn hash_tree() {
    let golden = Golden::read("tree");
    let leaves = |count: u8| (0..count).map(|byte| tree::leaf(&[byte])).collect::<Vec<Hash>>();
    for count in [0, 1, 2, 3, 5, 8] {
        golden.is(&format!("root of {count}"), tree::root(leaves(count)).0);
    }
    let path: Vec<u8> = tree::path(&leaves(5), 2).iter().flat_map(|hash| hash.0).collect();
    golden.is("path of 2 of 5", path);
}

#[test]
fn servers_and_their_hash() {
    let golden = Golden::read("servers");
    for (name, set) in [("first", servers()), ("second", story::next_servers())] {
        golden.is_format(name, &set, set.encode(), |bytes| read_all(bytes, ServerSet::read));
        golden.is(&format!("{name} hash"), set.hash().0);
    }
}

#[test]
fn addresses_of_well_known_accounts() {
    let reserved = Address(seedbank_types::RESERVED_ORDERS_ACCOUNT);
    assert_eq!(reserved.to_string(), "SeXZeGvZyebwvvrroqipQchH5UvwsqGeVJ");
    let bob: AccountId = "4c98afd617dc61c12995e7cd96067f2c4c29fd97".parse().expect("40 hex digits");
    assert_eq!("SUH1JHmnu4PvMKo6i3GQFEwogqz1T7xLgV".parse(), Ok(Address(bob)));
}

/// Alice's payment in section 21 of docs/protocol.md; the number was found by another program.
#[test]
fn a_stamp_is_the_first_number_with_the_bits() {
    let id = story::payment().payment.id(&story::community());
    let stamp = Stamp(70893);
    assert_eq!(stamp.bits(&id), 17);
    assert_eq!(Stamp::search(&id, 16, 0, 1 << 24), Some(stamp));
    assert_eq!(Stamp(stamp.0 - 1).bits(&id), 0);
}
