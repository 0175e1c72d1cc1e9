//! A certified state in the place of the present one, while everything else runs on.
use std::collections::BTreeMap;

use seedbank_quorum::Quorum;
use seedbank_store::{Install, StoreError};

use super::{Accounts, Engine, EngineEvent, Installation, give};
use crate::exit::Failure;
use crate::handovers;
use crate::recovery::{self, GUARD};

impl Engine {
    /// Takes a state over and begins again from what is on the disk then. Everything that the quorum wanted
    /// written is written first. Payments that waited are told to the other servers again by the main loop.
    pub(super) fn install(&mut self, installation: Installation) -> Result<(), Failure> {
        self.settle()?;
        self.answer();
        if self.has_diverged {
            give(installation.reply, Err("this server diverged: its database stays as it is".to_owned()));
            return Ok(());
        }
        match self.store_state(&installation) {
            Ok(()) => {}
            Err(StoreError::NotTheState(why)) => {
                give(installation.reply, Err(why));
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        self.quorum = Quorum::new(self.settings.clone(), recovery::recover(&self.store)?).map_err(Failure::usage)?;
        self.accounts = Accounts::new(self.store.clone());
        self.effects.clear();
        self.admitted = BTreeMap::new();
        self.has_joined = false;
        let epoch = installation.state.epoch;
        self.certified = Some((epoch.certificate.clone(), epoch.grade));
        self.tell(EngineEvent::Installed(Box::new((epoch.certificate, epoch.grade, epoch.signers))));
        give(installation.reply, Ok(()));
        Ok(())
    }

    fn store_state(&self, installation: &Installation) -> Result<(), StoreError> {
        let Installation { state, accounts, last_change, .. } = installation;
        let epoch = &state.epoch;
        let mut values = handovers::values_of(&self.store, &epoch.first, &epoch.handovers)?;
        values.push((GUARD.to_owned(), self.quorum.guard_after(state).encode()));
        let handovers = epoch.handovers.iter().map(|handover| handover.certificate.clone());
        let mut certificates: Vec<_> = handovers.collect();
        let is_there = certificates.iter().any(|one| one.checkpoint.epoch == epoch.certificate.checkpoint.epoch);
        if !is_there {
            certificates.push(epoch.certificate.clone());
        }
        let install = Install {
            state: &state.ledger_state(*last_change),
            header: &state.closing.header,
            body: &state.closing.body,
            decision: &state.closing.decision.encode(),
            certificates: &certificates,
            values: &values,
        };
        self.store.install(accounts, &install)
    }
}
