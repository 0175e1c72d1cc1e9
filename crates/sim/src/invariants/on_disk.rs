//! Nothing is said before what it rests on is on the disk.
use seedbank_quorum::Event;
use seedbank_types::{Height, ServerKey};

use crate::Disk;
use crate::wire::Spoken;

/// Panics if a crash now could make an honest server forget what it just said.
pub(super) fn said(key: ServerKey, disk: &Disk, bytes: &[u8], spoken: &Spoken) {
    match spoken {
        Spoken::Vote(vote) if vote.key == key => logged(key, disk, Height(vote.height), &bytes[1..]),
        Spoken::Proposal(proposal) if proposal.key == key => logged(key, disk, Height(proposal.height), &bytes[1..]),
        Spoken::Checkpoint { key: signer, checkpoint } if *signer == key => {
            let intent = disk.kept().intents().get(&checkpoint.epoch);
            let epoch = checkpoint.epoch;
            assert_eq!(intent, Some(&**checkpoint), "server {} signed epoch {epoch} without an intent", key.short());
        }
        _ => {}
    }
}

/// What is said at a height must be in the log (whose entries are messages without their version
/// byte) until the height is decided.
fn logged(key: ServerKey, disk: &Disk, height: Height, entry: &[u8]) {
    let kept = disk.kept();
    let is_logged = kept.state().height >= height || kept.log().iter().any(|(_, logged)| logged == entry);
    assert!(is_logged, "server {} spoke at height {height} before it was on its disk", key.short());
}

/// Panics if an honest server reports what a crash now would undo.
pub(super) fn reported(key: ServerKey, disk: &Disk, event: &Event) {
    match event {
        Event::Decided { height, .. } => {
            let kept = disk.kept().state().height;
            assert!(kept >= *height, "server {} called height {height} final before it was on its disk", key.short());
        }
        Event::Certified { certificate, .. } => {
            let epoch = certificate.checkpoint.epoch;
            let is_kept = disk.kept().certificates().contains_key(&epoch);
            assert!(is_kept, "server {} called epoch {epoch} certified before it was on its disk", key.short());
        }
        _ => {}
    }
}
