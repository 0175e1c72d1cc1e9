//! `seedbank dht`: looks into the DHT for operators, with a node that only asks and remembers nothing.
mod ask;
mod flags;
mod get;
mod item;
mod peers;
mod ping;
mod put;
mod status;
mod value;

pub(crate) use flags::DhtFlags;

use crate::errors::Failure;
use crate::report::Answer;
use crate::settings::Settings;

use ask::Way;
use flags::DhtCommand;

pub(crate) async fn run(settings: &Settings, flags: DhtFlags) -> Result<Answer, Failure> {
    let hosts = flags.bootstrap;
    match flags.command {
        DhtCommand::Ping(flags) => ping::run(settings, hosts, &flags).await,
        DhtCommand::Get(flags) => get::run(settings, &Way::new(settings, hosts)?, &flags).await,
        DhtCommand::Put(flags) => put::run(&Way::new(settings, hosts)?, &flags).await,
        DhtCommand::Peers(flags) => peers::run(settings, &Way::new(settings, hosts)?, &flags).await,
        DhtCommand::Status => status::run(settings, &Way::new(settings, hosts)?).await,
    }
}
