//! The record: what a server puts under its key into the DHT.
use crate::codec::{DecodeError, Reader, Writer, count_u8};
use crate::{Certificate, ServerSet};

/// Longest value of a record. BEP44 says 1000, nodes in the field take 996.
pub const RECORD_BYTES_MAX: usize = 996;

/// Most signatures that fit beside the checkpoint: 1 + 257 + 1 + 11 * 65 + 1 = 975 bytes.
const RECORD_SIGNATURES_MAX: usize = 11;

/// Where the server can be reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contact {
    /// Kind 1: a multiaddr of the mesh, as text.
    Mesh(String),
    /// Kind 2: an API's URL.
    Api(String),
}

impl Contact {
    fn parts(&self) -> (u8, &str) {
        match self {
            Self::Mesh(text) => (1, text),
            Self::Api(text) => (2, text),
        }
    }
}

/// The value of the BEP44 item: the newest certificate and the server's contacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerRecord {
    /// The newest certificate, with as few signatures as its grade needs.
    pub certificate: Certificate,
    /// Where the server can be reached.
    pub contacts: Vec<Contact>,
}

impl ServerRecord {
    /// The record of a server: the certificate compacted, and as many contacts as fit.
    ///
    /// Two thirds of the power always fit if the servers' powers are equal. A set of 13 in which
    /// one has nearly as much as all others together may need 12 signatures without that one;
    /// then the weakest are left out, because a longer record would be taken by nobody.
    #[must_use]
    pub fn new(certificate: &Certificate, servers: &ServerSet, contacts: &[Contact]) -> Self {
        let certificate = strongest(certificate.compact(servers), servers, RECORD_SIGNATURES_MAX);
        let mut record = Self { certificate, contacts: Vec::new() };
        for contact in contacts {
            if contact.parts().1.len() > usize::from(u8::MAX) || record.contacts.len() == usize::from(u8::MAX) {
                continue;
            }
            record.contacts.push(contact.clone());
            if record.encode().len() > RECORD_BYTES_MAX {
                record.contacts.pop();
            }
        }
        record
    }

    /// `version u8 ‖ checkpoint 257 ‖ n u8 ‖ n x (number u8 ‖ signature 64) ‖ m u8 ‖ m x (kind u8 ‖ length u8 ‖ bytes)`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let start = Writer::with_capacity(RECORD_BYTES_MAX).u8(1).bytes(&self.certificate.encode());
        let start = start.u8(count_u8(self.contacts.len()));
        self.contacts
            .iter()
            .map(Contact::parts)
            .fold(start, |writer, (kind, text)| writer.u8(kind).short(text.as_bytes()))
            .finish()
    }

    /// Reads what [`ServerRecord::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("record", bytes);
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(reader.error("length", format!("{} bytes, at most {RECORD_BYTES_MAX}", bytes.len())));
        }
        reader.version()?;
        let certificate = Certificate::read(&mut reader)?;
        let count = reader.u8("number of contacts")?;
        let contacts = (0..count).map(|_| Self::read_contact(&mut reader)).collect::<Result<_, _>>()?;
        reader.finish()?;
        Ok(Self { certificate, contacts })
    }

    fn read_contact(reader: &mut Reader<'_>) -> Result<Contact, DecodeError> {
        match reader.u8("kind of contact")? {
            1 => Ok(Contact::Mesh(reader.text("mesh address")?.to_owned())),
            2 => Ok(Contact::Api(reader.text("API URL")?.to_owned())),
            other => Err(reader.error("kind of contact", format!("no contact has kind {other}"))),
        }
    }
}

/// The certificate with at most `count` signatures, those of the most power.
fn strongest(mut certificate: Certificate, servers: &ServerSet, count: usize) -> Certificate {
    let power = |number| servers.member(number).map_or(0, |(_, power)| power);
    certificate.signatures.sort_by_key(|one| (std::cmp::Reverse(power(one.number)), one.number));
    certificate.signatures.truncate(count);
    certificate.signatures.sort_by_key(|one| one.number);
    certificate
}
