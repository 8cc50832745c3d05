use super::*;

fn same_entries(left: &[EntryOf<TypeConfig>], right: &[EntryOf<TypeConfig>]) -> bool {
    let same = |(left, right): (&EntryOf<TypeConfig>, &EntryOf<TypeConfig>)| {
        left.log_id == right.log_id && left.payload == right.payload
    };
    left.len() == right.len() && left.iter().zip(right).all(same)
}

proptest! {
    #[test]
    fn appends_come_back(
        vote in any_vote(),
        log in option::of(log_id()).prop_flat_map(|previous| {
            let first = previous.map_or(0, |id| id.index + 1);
            (Just(previous), entries(first.min(MAX_INDEX - 8)))
        }),
        leader_commit in maybe_log_id(),
    ) {
        let (prev_log_id, entries) = log;
        let prev_log_id = prev_log_id.filter(|id| id.index < MAX_INDEX - 8);
        let first = entries.first().map_or(0, |entry| entry.log_id.index);
        prop_assume!(entries.is_empty() || prev_log_id.map_or(0, |id| id.index + 1) == first);
        let request = AppendEntriesRequest { vote, prev_log_id, entries, leader_commit };
        let (message, cut) = append::request_out(&request);
        prop_assert_eq!(cut, None);
        let back = append::request_in(sent(&message)).unwrap();
        prop_assert_eq!(back.vote, request.vote);
        prop_assert_eq!(back.prev_log_id, request.prev_log_id);
        prop_assert_eq!(back.leader_commit, request.leader_commit);
        prop_assert!(same_entries(&back.entries, &request.entries));
    }

    #[test]
    fn answers_to_appends_come_back(vote in any_vote(), last in maybe_log_id()) {
        for answer in [
            AppendEntriesResponse::Success,
            AppendEntriesResponse::PartialSuccess(last),
            AppendEntriesResponse::Conflict,
            AppendEntriesResponse::HigherVote(vote),
        ] {
            let back = append::response_in(sent(&append::response_out(&answer)));
            prop_assert_eq!(back, Ok(answer));
        }
    }

    #[test]
    fn votes_come_back(vote in any_vote(), last_log_id in maybe_log_id(), yes in any::<bool>()) {
        let request = VoteRequest { vote, last_log_id, leadership_transfer: yes };
        prop_assert_eq!(vote::request_in(sent(&vote::request_out(&request))), Ok(request));
        let answer = VoteResponse { vote, last_log_id, vote_granted: yes };
        prop_assert_eq!(vote::response_in(sent(&vote::response_out(&answer))), Ok(answer));
    }

    #[test]
    fn transfers_come_back(
        votes in (any_vote(), any_vote()),
        to in any::<u64>(),
        ids in (maybe_log_id(), maybe_log_id()),
    ) {
        let request = TransferLeaderRequest::new(votes.0, to, ids.0);
        prop_assert_eq!(vote::transfer_in(sent(&vote::transfer_out(&request))), Ok(request));
        for answer in [
            Ok(()),
            Err(TransferLeaderError::VoteChanged { expected: votes.0, actual: votes.1 }),
            Err(TransferLeaderError::LogNotFlushed { expected: ids.0, actual: ids.1 }),
        ] {
            let back = vote::transferred_in(sent(&vote::transferred_out(&answer)));
            prop_assert_eq!(back, Ok(answer));
        }
    }

    #[test]
    fn snapshot_heads_come_back(
        vote in any_vote(),
        last in maybe_log_id(),
        membership in (maybe_log_id(), members()),
        bytes in 0..=MAX_SNAPSHOT,
        sha256 in any::<[u8; 32]>(),
    ) {
        let last_log_id = last.filter(|last| last.leader_id <= vote.leader_id);
        let last_membership = StoredMembership::new(membership.0, membership.1);
        let meta = SnapshotMeta { last_log_id, last_membership };
        let head = Head { vote, meta, bytes, sha256 };
        prop_assert_eq!(head_in(sent(&head_out(&head))), Ok(head));
    }

    #[test]
    fn joins_come_back(
        cluster in option::of(name()),
        node in name(),
        address in "[ -~]{0,260}",
        level in any::<u16>(),
        request in any::<u128>(),
        member in 0..=MAX_INDEX,
        seal_key in any::<[u8; 32]>(),
    ) {
        let cluster = cluster.map(|name| ClusterId::parse(name.as_str()).unwrap());
        let join = JoinRequest { request: RequestId(request), cluster, node, address, level };
        let back = member::join_in(sent(&member::join_out(&join)));
        prop_assert_eq!(back, Ok(join.clone()));
        let cluster = ClusterId::parse(join.node.as_str()).unwrap();
        let joined = Joined { cluster, member: MemberId(member), seal_key };
        prop_assert_eq!(member::joined_in(sent(&member::joined_out(&joined))), Ok(joined));
    }

    #[test]
    fn orders_come_back(node in name(), to in option::of(name())) {
        for order in [
            Order::Promote(node.clone()),
            Order::Remove(node.clone()),
            Order::TransferLeader(to.clone()),
            Order::Snapshot,
        ] {
            let back = member::order_in(sent(&member::order_out(&order)));
            prop_assert_eq!(back, Ok(order));
        }
    }

    #[test]
    fn a_leader_s_place_comes_back(id in 0..=MAX_INDEX, peer in peer()) {
        for leader in [None, Some((MemberId(id), peer))] {
            let back = fault_in(sent(&fault_out(&Fault::NotLeader(leader.clone())))).unwrap();
            match back {
                Fault::NotLeader(back) => prop_assert_eq!(back, leader),
                Fault::Error(error) => prop_assert!(false, "{}", error),
            }
        }
    }

    #[test]
    fn no_bytes_make_the_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(message) = v1::AppendRequest::decode(bytes.as_slice()) {
            let _ = append::request_in(message);
        }
        if let Ok(message) = v1::SnapshotHead::decode(bytes.as_slice()) {
            let _ = head_in(message);
        }
        if let Ok(message) = v1::Fault::decode(bytes.as_slice()) {
            let _ = fault_in(message);
        }
    }
}
