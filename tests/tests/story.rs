//! The story that the demo shows, asserted.
use std::time::Duration;

use anyhow::Result;
use seedbank_testnet::{Narrator, story};

/// Acceptance: the story takes at most this long once everything is built.
const STORY_LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn the_story_of_the_demo_comes_true_within_a_minute() -> Result<()> {
    let mut narrator = Narrator::silent();
    story::tell(&seedbank_tests::quick(), &mut narrator).await?;
    assert!(narrator.elapsed() <= STORY_LIMIT, "{:?}: {:#?}", narrator.elapsed(), narrator.steps());
    Ok(())
}
