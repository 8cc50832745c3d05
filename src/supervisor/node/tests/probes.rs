//! Who probes, and who does not.

use super::*;

fn leased(epoch: u64) -> BreakerRecord {
    BreakerRecord {
        holder: Some(MemberId(1)),
        ..record(epoch, Phase::HalfOpen)
    }
}

#[tokio::test]
async fn the_holder_probes_an_upstream_nobody_asks_for_and_reports_how_it_went() {
    let node = node(false).await;
    node.agree(record(1, Phase::Open));
    eventually("open", async || node.state() == "open").await;
    node.agree(BreakerRecord {
        holder: Some(MemberId(1)),
        ..record(2, Phase::HalfOpen)
    });
    let target = node.model.spec.target.clone();
    let report = node
        .stand
        .reported(|report| {
            let probe = report
                .evidence
                .get(&target)
                .and_then(|evidence| evidence.probe);
            probe.is_some_and(|probe| probe.good >= 2)
        })
        .await;
    assert_eq!(report.evidence[&target].epoch, 2);
    assert_eq!(
        node.state(),
        "half_open",
        "the leader closes it, nobody else"
    );
    node.agree(record(3, Phase::Closed));
    eventually("closed", async || node.state() == "closed").await;
    ask(&node.model).await.unwrap();
    node.fleet.stop().await;
}

#[tokio::test]
async fn a_node_that_is_not_the_holder_never_probes() {
    let node = node(false).await;
    node.agree(BreakerRecord {
        holder: Some(MemberId(2)),
        ..record(2, Phase::HalfOpen)
    });
    eventually("half-open", async || node.state() == "half_open").await;
    for _ in 0..20 {
        assert!(ask(&node.model).await.is_err());
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(node.asked(), 0);
    node.fleet.stop().await;
}

#[tokio::test]
async fn an_upstream_that_refuses_the_nodes_own_question_is_there() {
    let node = node_of(Some(Class::Caller)).await;
    node.agree(leased(2));
    let target = node.model.spec.target.clone();
    let proved = |report: &Report| {
        let evidence = report.evidence.get(&target)?;
        evidence.probe
    };
    let proof = |report: &Report| proved(report).is_some_and(|probe| probe.good >= 1);
    node.stand.reported(proof).await;
    let before = node.asked();
    assert!(ask(&node.model).await.is_err());
    eventually("asked again", async || node.asked() > before).await;
    node.fleet.stop().await;
}

#[tokio::test]
async fn a_node_that_drains_begins_no_probe_and_says_so() {
    let node = node(false).await;
    node.stand.drain();
    node.agree(leased(2));
    let target = node.model.spec.target.clone();
    let declines = |report: &Report| {
        let evidence = report.evidence.get(&target);
        evidence.is_some_and(|told| told.declines && told.epoch == 2)
    };
    node.stand.reported(declines).await;
    assert!(ask(&node.model).await.is_err());
    assert_eq!(node.asked(), 0);
    node.fleet.stop().await;
}

#[tokio::test]
async fn a_lease_that_is_found_out_of_contact_is_declined() {
    let node = node(false).await;
    node.stand.isolate();
    node.agree(leased(2));
    let epoch = async || node.model.status(Moment::now()).circuit_breaker.epoch == 2;
    eventually("the record is seen", epoch).await;
    node.stand.heal();
    let target = node.model.spec.target.clone();
    let declines = |report: &Report| {
        let evidence = report.evidence.get(&target);
        evidence.is_some_and(|told| told.declines)
    };
    node.stand.reported(declines).await;
    assert!(ask(&node.model).await.is_err());
    assert_eq!(node.asked(), 0);
    // told anew, it is taken
    node.agree(leased(3));
    eventually("probed", async || node.asked() > 0).await;
    node.fleet.stop().await;
}

#[tokio::test]
async fn silence_for_the_first_tokens_time_is_an_answer_to_the_nodes_own_question() {
    let upstream = Upstream {
        hangs: true,
        ..Upstream::default()
    };
    let patience = Duration::from_millis(50);
    let node = node_over(upstream, |config| {
        config.timeouts.first_token = patience.into()
    })
    .await;
    node.agree(leased(2));
    let target = node.model.spec.target.clone();
    let failed = |report: &Report| {
        let probe = report.evidence.get(&target).and_then(|told| told.probe);
        probe.is_some_and(|probe| probe.failed)
    };
    node.stand.reported(failed).await;
    let refused = ask(&node.model).await.unwrap_err();
    let AttemptError::Refused(Refusal::Breaker(denied)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(denied.to_string(), "breaker half-open, no leave to probe");
    node.fleet.stop().await;
}

#[tokio::test]
async fn a_request_that_cannot_wait_for_the_proof_is_no_probe_of_a_lease() {
    let node = node(false).await;
    node.agree(leased(2));
    eventually("half-open", async || node.state() == "half_open").await;
    // it has five seconds, and the first token may take longer
    assert!(ask(&node.model).await.is_err());
    // the node asks by itself
    eventually("probed", async || node.asked() > 0).await;
    node.fleet.stop().await;
}
