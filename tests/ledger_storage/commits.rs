//! What was committed is what is read.

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Write>),
    Reopen,
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        4 => (1..40u64, 1..33u16).prop_map(|(round, members)| Write::Record(record(round, members))),
        2 => (1..40u64).prop_map(|round| Write::Head(record(round, 3).hash)),
        2 => (1..1000u64).prop_map(|fence| Write::Promise(promise(fence))),
        1 => (1..90u64).prop_map(|n| Write::Aside(aside(n))),
        2 => prop::collection::vec((1..40u64, 1..33u16), 0..4)
            .prop_map(|list| Write::Prune(list.into_iter().map(|(round, n)| record(round, n).hash).collect())),
    ]
}

fn apply(model: &mut Stored, writes: &[Write]) {
    for write in writes {
        match write {
            Write::Record(record) => {
                if !model.records.contains(record) {
                    model.records.push(record.clone());
                }
            }
            Write::Head(hash) => model.head = Some(*hash),
            Write::Promise(promise) => model.promise = Some(promise.clone()),
            Write::Aside(aside) => {
                model.aside.retain(|known| known.head != aside.head);
                model.aside.push(aside.clone());
                if model.aside.len() > MAX_ASIDE {
                    model.aside.remove(0);
                }
            }
            Write::Prune(hashes) => model.records.retain(|record| !hashes.contains(&record.hash)),
            Write::Link(_) | Write::Unlink(_) | Write::Renew | Write::Runs(_) => unreachable!("none is made"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_list_of_commits_is_found_again_as_it_was_given(steps in prop::collection::vec(
        prop_oneof![
            5 => prop::collection::vec(write(), 0..8).prop_map(Step::Commit),
            1 => Just(Step::Reopen),
        ],
        1..12,
    )) {
        let dir = in_memory();
        let path = dir.path().join("ledger.db");
        let (mut storage, stored) = open(&path).unwrap();
        let mut model = stored;
        for step in steps {
            match step {
                Step::Commit(writes) => {
                    storage.commit(&writes).unwrap();
                    apply(&mut model, &writes);
                }
                Step::Reopen => {
                    drop(storage);
                    let (reopened, stored) = open(&path).unwrap();
                    prop_assert_eq!(sorted(stored), sorted(model.clone()));
                    storage = reopened;
                }
            }
        }
        drop(storage);
        prop_assert_eq!(sorted(open(&path).unwrap().1), sorted(model));
    }
}
