//! Plans written by hand: each stands for a rule that a random plan meets too seldom.
//! It must never depend on chance.

use crate::build::{Plans, after, dag, dynamic, given, leaf, retry, steps, task, text};
use model::Plan;
use model::plan::{ContinueOn, RetryPolicy, Sequence, With};

/// How many there are.
pub const COUNT: u64 = 13;

/// The plan with this number, below `COUNT`.
pub fn plan(number: u64) -> Plan {
    match number {
        0 => one_leaf(),
        1 => chain(),
        2 => diamond(),
        3 => backs_off(),
        4 => narrow_loop(),
        5 => loop_over_outputs(),
        6 => calls_in_parallel(),
        7 => calls_that_call(),
        8 => fails_fast(),
        9 => continues(),
        10 => times_out(),
        11 => whole_deadline(),
        _ => at_most_once(),
    }
}

fn none() -> Plans {
    Plans(Vec::new())
}

fn one_leaf() -> Plan {
    let mut plans = none();
    let root = plans.add(leaf("hello"));
    plans.plan("hello", root)
}

fn chain() -> Plan {
    let mut plans = none();
    let work = plans.add(leaf("work"));
    let groups = vec![
        vec![task("a", work)],
        vec![given(task("b", work), "{{steps.a.outputs.parameters.out}}"), task("c", work)],
        vec![given(task("d", work), "{{steps.b.outputs.result}}")],
    ];
    let root = plans.add(steps("main", groups));
    plans.plan("chain", root)
}

fn diamond() -> Plan {
    let mut plans = none();
    let work = plans.add(leaf("work"));
    let tasks = vec![
        task("a", work),
        after(given(task("b", work), "{{tasks.a.outputs.parameters.out}}"), "a"),
        after(task("c", work), "a"),
        after(task("d", work), "b && (c || c.Failed)"),
        after(task("e", work), "b.Failed || c.Errored"),
    ];
    let root = plans.add(dag("main", tasks));
    plans.plan("diamond", root)
}

fn backs_off() -> Plan {
    let mut plans = none();
    let mut flaky = leaf("flaky");
    flaky.retry = Some(retry(4, Some(3)));
    let flaky = plans.add(flaky);
    let root = plans.add(steps("main", vec![vec![task("a", flaky), task("b", flaky)], vec![task("c", flaky)]]));
    plans.plan("backs-off", root)
}

fn narrow_loop() -> Plan {
    let mut plans = none();
    let mut flaky = leaf("flaky");
    flaky.retry = Some(retry(2, None));
    let flaky = plans.add(flaky);
    let mut each = given(task("each", flaky), "{{item}}");
    each.with = Some(With::Sequence(Sequence { count: Some(text("9")), ..Sequence::default() }));
    let mut root = steps("main", vec![vec![each]]);
    root.parallelism = Some(2);
    let root = plans.add(root);
    plans.plan("narrow-loop", root)
}

fn loop_over_outputs() -> Plan {
    let mut plans = none();
    let work = plans.add(leaf("work"));
    let mut each = given(task("each", work), "{{item}}");
    each.with = Some(With::Param(text("{{tasks.list.outputs.result}}")));
    let tasks = vec![
        task("list", work),
        after(each, "list"),
        after(given(task("sum", work), "{{tasks.each.outputs.parameters.out}}"), "each"),
    ];
    let root = plans.add(dag("main", tasks));
    plans.plan("loop-over-outputs", root)
}

fn calls_in_parallel() -> Plan {
    let mut plans = none();
    let mut flaky = leaf("flaky");
    flaky.retry = Some(retry(1, Some(1)));
    let flaky = plans.add(flaky);
    plans.add(steps("two", vec![vec![task("a", flaky)], vec![task("b", flaky)]]));
    let root = plans.add(dynamic("flow", &["flaky", "two", "flaky", "flaky"]));
    plans.plan("calls", root)
}

fn calls_that_call() -> Plan {
    let mut plans = none();
    let work = plans.add(leaf("work"));
    let inner = plans.add(dynamic("inner", &["work", "work"]));
    let mut outer = dynamic("outer", &["inner", "work"]);
    outer.retry = Some(retry(2, None));
    let outer = plans.add(outer);
    let root = plans.add(steps("main", vec![vec![task("a", outer), task("b", work)], vec![task("c", inner)]]));
    plans.plan("calls-that-call", root)
}

fn fails_fast() -> Plan {
    let mut plans = none();
    let work = plans.add(leaf("work"));
    let mut each = given(task("each", work), "{{item}}");
    each.with = Some(With::Items((0..6).map(|i| text(&i.to_string())).collect()));
    let mut root = dag("main", vec![each, task("beside", work), after(task("last", work), "each && beside")]);
    (root.fail_fast, root.parallelism) = (true, Some(2));
    let root = plans.add(root);
    plans.plan("fails-fast", root)
}

fn continues() -> Plan {
    let mut plans = none();
    let work = plans.add(leaf("work"));
    let mut a = task("a", work);
    a.continue_on = ContinueOn { error: true, failed: true };
    let mut b = task("b", work);
    b.when = Some(text("{{steps.a.status}} != Succeeded"));
    let root = plans.add(steps("main", vec![vec![a], vec![b, task("c", work)]]));
    plans.plan("continues", root)
}

fn times_out() -> Plan {
    let mut plans = none();
    let mut slow = leaf("slow");
    slow.timeout = Some(text("6s"));
    slow.retry = Some(retry(2, Some(2)));
    slow.retry.as_mut().into_iter().for_each(|strategy| strategy.policy = Some(RetryPolicy::Always));
    let slow = plans.add(slow);
    let mut short = leaf("short");
    short.active_deadline = Some(text("3"));
    let short = plans.add(short);
    let root = plans.add(steps("main", vec![vec![task("a", slow), task("b", slow), task("c", short)]]));
    plans.plan("times-out", root)
}

fn whole_deadline() -> Plan {
    let mut plans = none();
    let work = plans.add(leaf("work"));
    let root = plans.add(steps("main", (0..5).map(|i| vec![task(&format!("s{i}"), work)]).collect()));
    let mut plan = plans.plan("deadline", root);
    plan.active_deadline_s = Some(12);
    plan
}

fn at_most_once() -> Plan {
    let mut plans = none();
    plans.add(leaf("work"));
    let mut once = leaf("once");
    once.at_most_once = true;
    let once = plans.add(once);
    let mut flow = dynamic("flow", &["once", "work"]);
    flow.at_most_once = true;
    let flow = plans.add(flow);
    let root = plans.add(dag("main", vec![task("a", once), task("b", flow), after(task("c", once), "a || b")]));
    plans.plan("at-most-once", root)
}
