//! The file in which a node keeps what it knows from one run to the next.
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use seedbank_dht_proto::{Item, NodeInfo, Saved, SavedItem};
use tokio::task::JoinHandle;

/// Longest file that is read.
const STATE_BYTES_MAX: u64 = 32 << 20;
/// An own item counts as long as nodes of the DHT keep it.
const OWN_FOR: Duration = Duration::from_secs(2 * 60 * 60);

/// The file, and the writing that is under way.
#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    /// The nodes in the file: better than none, if the net is not there for a while.
    nodes: Vec<NodeInfo>,
    writing: Option<JoinHandle<()>>,
}

/// What the last run left.
#[derive(Debug, Default)]
pub(crate) struct Left {
    pub(crate) file: Option<StateFile>,
    pub(crate) saved: Option<Saved>,
    /// The items that this node put for its owner.
    pub(crate) own: Vec<Item>,
}

/// Reads the file, if one is set and there. A file that cannot be used is a cold start, never a failure.
pub(crate) async fn load(path: Option<PathBuf>, loopback_only: bool) -> Left {
    let Some(path) = path else { return Left::default() };
    let to_read = path.clone();
    let read = tokio::task::spawn_blocking(move || read(&to_read)).await;
    let saved = match read.unwrap_or_else(|panic| Err(panic.to_string())) {
        Ok(saved) => saved,
        Err(why) => {
            tracing::info!(path = %path.display(), why, "the state of the DHT node is not used: it starts cold");
            None
        }
    };
    let mut left = Left { file: Some(StateFile { path, nodes: vec![], writing: None }), ..Left::default() };
    if let Some(saved) = saved {
        left.take(saved, loopback_only);
    }
    left
}

impl Left {
    fn take(&mut self, mut saved: Saved, loopback_only: bool) {
        // Nobody on loopback is of use beyond it, and the other way round.
        saved.nodes.retain(|node| node.address.ip().is_loopback() == loopback_only);
        let (own, others) = saved.items.into_iter().partition::<Vec<_>, _>(|item| item.own);
        saved.items = others;
        self.own = own.into_iter().map(|item| item.item).collect();
        if let Some(file) = &mut self.file {
            file.nodes.clone_from(&saved.nodes);
        }
        self.saved = Some(saved);
    }
}

impl StateFile {
    /// Writes off the runtime's threads, unless it still writes.
    pub(crate) fn write(&mut self, saved: Saved, own: Vec<Item>) {
        if self.writing.as_ref().is_some_and(|writing| !writing.is_finished()) {
            tracing::debug!("the state of the DHT node is still being written");
            return;
        }
        let saved = self.complete(saved, own);
        let path = self.path.clone();
        self.writing = Some(tokio::task::spawn_blocking(move || {
            if let Err(error) = write(&path, &saved.encode()) {
                tracing::warn!(path = %path.display(), %error, "the state of the DHT node is not written");
            }
        }));
    }

    /// Waits until what is being written is on the disk.
    pub(crate) async fn written(&mut self) {
        if let Some(writing) = self.writing.take()
            && let Err(error) = writing.await
        {
            tracing::error!(%error, "writing the state of the DHT node died");
        }
    }

    fn complete(&mut self, mut saved: Saved, own: Vec<Item>) -> Saved {
        if saved.nodes.is_empty() {
            saved.nodes.clone_from(&self.nodes);
        } else {
            self.nodes.clone_from(&saved.nodes);
        }
        saved.items.retain(|item| !item.own);
        saved.items.extend(own.into_iter().map(|item| SavedItem { item, own: true, remaining: OWN_FOR }));
        saved
    }
}

fn read(path: &Path) -> Result<Option<Saved>, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let written = file.metadata().and_then(|metadata| metadata.modified()).map_err(|error| error.to_string())?;
    let mut bytes = vec![];
    file.take(STATE_BYTES_MAX).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let mut saved = Saved::decode(&bytes).map_err(|error| error.to_string())?;
    age(&mut saved, SystemTime::now().duration_since(written).unwrap_or_default());
    Ok(Some(saved))
}

/// What lives for a while has lived on while it was in the file.
fn age(saved: &mut Saved, elapsed: Duration) {
    for item in &mut saved.items {
        item.remaining = item.remaining.saturating_sub(elapsed);
    }
    saved.items.retain(|item| !item.remaining.is_zero());
}

/// Whoever reads the file, and whenever the system stops, finds all of it or what was there before.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut staged = OsString::from(path);
    staged.push(".new");
    let written = File::create(&staged).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.and_then(|()| fs::rename(&staged, path)).inspect_err(|_error| drop(fs::remove_file(&staged)))?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}
