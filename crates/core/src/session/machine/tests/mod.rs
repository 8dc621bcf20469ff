//! The machine under random sequences of calls, answers, failures and departures: nothing is lost,
//! nothing is made twice, all is in order, and nothing is shown before it is durable.

mod answers;
mod readers;
mod replies;
mod store;
mod world;

use proptest::prelude::{Just, ProptestConfig, Strategy, prop, prop_oneof};
use proptest::{collection, proptest};
use world::{Luck, Plan, World};

#[derive(Debug, Clone)]
enum Action {
    Call(Plan),
    GoOn(usize),
    Leave(usize),
    Delete,
    Push(usize, bool),
    Beat(usize),
    Settle(usize),
    LeaveExtension(usize),
    Abandon(usize),
    Follow(usize),
    AnswerMake(usize, Luck),
    Send,
    Answer(Luck),
    AnswerExtension(usize, Luck),
    AnswerTouch(Luck),
    OtherWriter,
    Evict,
    Watch,
    Read(u64),
    /// A reader of a shared store begins.
    Ask,
    LeaveRead(usize),
    /// Watchers want news, perhaps after a hint.
    Want(bool),
    /// The store works out the answer to a question.
    WorkOut,
    AnswerQuestion(Luck),
    /// The store makes the commit, and the answer is on its way.
    Apply,
}

fn plan() -> impl Strategy<Value = Plan> {
    prop_oneof![
        6 => (1..4_usize).prop_map(Plan::Append),
        2 => (0..12_usize).prop_map(Plan::Again),
        1 => Just(Plan::SetApp),
        2 => (1..12_u64).prop_map(Plan::Replace),
        1 => Just(Plan::Pop),
        1 => (1..12_u64).prop_map(Plan::Remove),
        1 => (1..8_u64).prop_map(Plan::ForgetBefore),
        3 => Just(Plan::Turn),
        3 => Just(Plan::Open),
        2 => (0..4_usize).prop_map(Plan::End),
    ]
}

fn luck() -> impl Strategy<Value = Luck> {
    prop_oneof![
        8 => Just(Luck::Works),
        1 => Just(Luck::FailsBefore),
        1 => Just(Luck::FailsAfter),
        1 => Just(Luck::ComesSecond),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        10 => plan().prop_map(Action::Call),
        4 => (0..30_usize).prop_map(Action::GoOn),
        2 => (0..30_usize).prop_map(Action::Leave),
        1 => Just(Action::Delete),
        5 => ((0..4_usize), prop::bool::ANY).prop_map(|(at, more)| Action::Push(at, more)),
        1 => (0..4_usize).prop_map(Action::Beat),
        1 => (0..4_usize).prop_map(Action::Settle),
        1 => (0..4_usize).prop_map(Action::LeaveExtension),
        1 => (0..4_usize).prop_map(Action::Abandon),
        2 => (0..4_usize).prop_map(Action::Follow),
        2 => ((0..3_usize), luck()).prop_map(|(at, luck)| Action::AnswerMake(at, luck)),
        8 => Just(Action::Send),
        8 => luck().prop_map(Action::Answer),
        3 => ((0..3_usize), luck()).prop_map(|(at, luck)| Action::AnswerExtension(at, luck)),
        1 => luck().prop_map(Action::AnswerTouch),
        1 => Just(Action::OtherWriter),
        1 => Just(Action::Evict),
        1 => Just(Action::Watch),
        1 => (0..1_000_000_u64).prop_map(Action::Read),
    ]
}

/// A store that fails more often.
fn bad_luck() -> impl Strategy<Value = Luck> {
    prop_oneof![4 => luck(), 1 => Just(Luck::FailsBefore), 2 => Just(Luck::FailsAfter)]
}

/// Mostly about replies.
fn reply_action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => ((0..2_usize), prop::bool::ANY).prop_map(|(at, more)| Action::Push(at, more)),
        8 => ((0..2_usize), bad_luck()).prop_map(|(at, luck)| Action::AnswerExtension(at, luck)),
        10 => Just(Action::Send),
        6 => bad_luck().prop_map(Action::Answer),
        2 => Just(Action::Call(Plan::Open)),
        3 => (0..2_usize).prop_map(|which| Action::Call(Plan::End(which))),
        2 => plan().prop_map(Action::Call),
        1 => (0..30_usize).prop_map(Action::Leave),
        2 => (0..2_usize).prop_map(Action::Abandon),
        2 => (0..2_usize).prop_map(Action::Follow),
        3 => ((0..2_usize), bad_luck()).prop_map(|(at, luck)| Action::AnswerMake(at, luck)),
        1 => (0..2_usize).prop_map(Action::Beat),
        1 => (0..2_usize).prop_map(Action::Settle),
        1 => (0..2_usize).prop_map(Action::LeaveExtension),
        1 => Just(Action::OtherWriter),
        1 => Just(Action::Evict),
        1 => Just(Action::Read(0)),
    ]
}

fn run(actions: Vec<Action>) {
    let mut world = World::new();
    for action in actions {
        match action {
            Action::Call(plan) => world.call(plan),
            Action::GoOn(at) if at < world.calls.len() => world.go_on(at),
            Action::Leave(at) if at < world.calls.len() => world.leave(at),
            Action::GoOn(_) | Action::Leave(_) => {}
            Action::Delete => world.delete(),
            Action::Push(at, more) => world.push(at, more),
            Action::Beat(at) => world.beat(at),
            Action::Settle(at) => world.settle_chunks(at),
            Action::LeaveExtension(at) => world.leave_extension(at),
            Action::Abandon(at) => world.abandon(at),
            Action::Follow(at) => world.follow(at),
            Action::AnswerMake(at, luck) => world.answer_make(at, luck),
            Action::Send => world.send(),
            Action::Answer(luck) => world.answer(luck),
            Action::AnswerExtension(at, luck) => world.answer_extension(at, luck),
            Action::AnswerTouch(luck) => world.answer_touch(luck),
            Action::OtherWriter => world.other_writer(),
            Action::Evict => drop(world.machine.evict()),
            Action::Watch => world.watch(),
            Action::Read(now) => world.read(now),
            Action::Ask => world.ask(),
            Action::LeaveRead(at) => world.leave_read(at),
            Action::Want(hinted) => world.want(hinted),
            Action::WorkOut => world.work_out(),
            Action::AnswerQuestion(luck) => world.answer_question(luck),
            Action::Apply => world.apply(),
        }
        world.check();
    }
    world.finish();
}

/// Mostly about readers, beside writers here and elsewhere.
fn read_action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => Just(Action::Ask),
        6 => Just(Action::Send),
        6 => Just(Action::WorkOut),
        6 => luck().prop_map(Action::AnswerQuestion),
        4 => Just(Action::OtherWriter),
        4 => plan().prop_map(Action::Call),
        4 => luck().prop_map(Action::Answer),
        4 => Just(Action::Apply),
        1 => Just(Action::Delete),
        1 => Just(Action::Evict),
        1 => Just(Action::Watch),
        1 => prop::bool::ANY.prop_map(Action::Want),
        1 => (0..30_usize).prop_map(Action::LeaveRead),
        1 => (0..30_usize).prop_map(Action::Leave),
        1 => (0..30_usize).prop_map(Action::GoOn),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn readers_of_a_shared_store_get_a_state_that_was_current_after_they_began(
        actions in collection::vec(read_action(), 0..80)
    ) {
        run(actions);
    }

    #[test]
    fn calls_are_made_once_in_order_and_shown_only_when_they_are_durable(
        actions in collection::vec(action(), 0..80)
    ) {
        run(actions);
    }

    #[test]
    fn replies_lose_and_double_no_chunk_and_end_once(
        actions in collection::vec(reply_action(), 0..80)
    ) {
        let works = || Action::Answer(Luck::Works);
        let open = [Action::Call(Plan::Open), Action::Send, works(), Action::Send, works()];
        run(open.into_iter().chain([Action::Follow(0)]).chain(actions).collect());
    }
}

/// The store works an answer out, and it arrives after a later state has come and gone.
#[test]
fn an_answer_from_before_an_eviction_is_not_taken_into_memory() {
    run(vec![
        Action::OtherWriter,
        Action::Want(false),
        Action::Send,
        Action::WorkOut,
        Action::OtherWriter,
        Action::Call(Plan::Append(1)),
        Action::Send,
        Action::Answer(Luck::Works),
        Action::Evict,
        Action::AnswerQuestion(Luck::Works),
    ]);
}
