//! `LedgerService`.

use switchyard_proto::{
    clock, money,
    v1::{
        AccountPeriod, Difference as DifferenceMessage, Proof as ProofMessage, ProveRequest,
        ledger_service_server::LedgerService,
    },
};
use tonic::{Request, Response, Status};

use crate::{
    domain::proof::{Difference, Of, Proof, shown_line},
    grpc::{Admin, common::timestamp, enter},
    service,
};

/// Differences of one answer.
const MOST: usize = 1_000;

#[tonic::async_trait]
impl LedgerService for Admin {
    async fn prove(&self, request: Request<ProveRequest>) -> Result<Response<ProofMessage>, Status> {
        let (actor, _) = enter(self, request).await?;
        let proof = service::ledger::prove(&self.0, &actor).await?;
        Ok(Response::new(to_proto(proof)))
    }
}

fn to_proto(proof: Proof) -> ProofMessage {
    ProofMessage {
        holds: proof.holds(),
        accounts: proof.accounts,
        tenants: proof.tenants,
        lines: proof.lines,
        differences: proof.differences.into_iter().take(MOST).map(difference).collect(),
        at: timestamp(clock::now()),
    }
}

fn difference(difference: Difference) -> DifferenceMessage {
    let what = difference.of.as_str().to_owned();
    let (account, line) = match difference.of {
        Of::Account(account, _) => {
            let period =
                AccountPeriod { kind: account.kind.into(), owner: account.owner, period: account.period };
            (Some(period), String::new())
        }
        Of::Credits => (None, String::new()),
        Of::Line(id, attempt) => (None, shown_line(id, attempt)),
    };
    DifferenceMessage {
        what,
        account,
        tenant: difference.tenant,
        line,
        recorded_usd: money::signed(difference.recorded_nano),
        proven_usd: money::signed(difference.proven_nano),
    }
}
