//! Random plans: small, of everything that the language has for control flow, and always with an end.
//! It must never make a plan that only a simulator could have: what it builds, a front end could.

use crate::build::{Plans, after, dag, dynamic, given, leaf, output, retry, steps, task, text};
use crate::handwritten;
use crate::rng::Rng;
use model::plan::{
    Body, ContinueOn, Hook, Inputs, Lock, LockKind, OutputSource, Outputs, RetryPolicy, Sequence, Target, Task,
    Template, With,
};
use model::{Plan, TemplateId};

/// Leaves of one plan, about.
const LEAVES_MAX: u32 = 40;

/// A plan: one in four is written by hand.
pub fn draw(rng: &mut Rng) -> Plan {
    if rng.per_mille(300) {
        return handwritten::plan(rng.below(handwritten::COUNT));
    }
    let mut drawing = Drawing { rng, plans: Plans(Vec::new()), leaves: Vec::new() };
    let root = drawing.root();
    let mut plan = drawing.plans.plan("random", root);
    if rng.per_mille(350) {
        plan.parallelism = Some(rng.between(1, 4) as u32);
    }
    if rng.per_mille(120) {
        plan.active_deadline_s = Some(rng.between(2, 90));
    }
    plan.priority = rng.between(-1, 1) as i32;
    give_sizes(&mut plan);
    give_hooks(&mut plan);
    give_locks(&mut plan);
    plan
}

/// In every fourth plan the first leaf and the last composite have locks, and a suspended node waits a while. No draw.
fn give_locks(plan: &mut Plan) {
    if plan.templates.len() % 4 != 2 {
        return;
    }
    let lock = |name: &str, limit| Lock {
        kind: if limit == 1 { LockKind::Mutex } else { LockKind::Semaphore },
        namespace: String::new(),
        name: text(name),
        key: "key".into(),
        limit,
    };
    plan.templates[0].locks = vec![lock("one", 1), lock("many", 2)];
    if plan.templates.len().is_multiple_of(8) {
        plan.locks = vec![lock("whole", 2)];
    }
    let nap = TemplateId(plan.templates.len() as u32);
    let mut template = leaf("nap");
    (template.body, template.outputs) = (Body::Suspend { duration: Some(text("3")) }, Outputs::default());
    plan.templates.push(template);
    for template in &mut plan.templates {
        if let Body::Steps(groups) = &mut template.body {
            groups.push(vec![task("nap", nap)]);
            template.locks = vec![lock("composite", 2)];
            return;
        }
    }
}

/// In every fourth plan there are an exit handler and hooks. No draw: the plans of a seed stay what they were.
fn give_hooks(plan: &mut Plan) {
    if plan.templates.len() % 4 != 1 {
        return;
    }
    let hook = |name: &str, expression: Option<String>| Hook {
        name: name.into(),
        target: Target::Template(TemplateId(0)),
        arguments: Inputs::default(),
        expression,
    };
    plan.hooks.push(hook("exit", None));
    for template in &mut plan.templates {
        let (tasks, prefix): (Vec<&mut Task>, _) = match &mut template.body {
            Body::Steps(groups) => (groups.iter_mut().flatten().collect(), "steps"),
            Body::Dag(dag) => (dag.tasks.iter_mut().collect(), "tasks"),
            _ => continue,
        };
        for (index, task) in tasks.into_iter().enumerate() {
            let status = |status: &str| Some(format!("{prefix}.{}.status == \"{status}\"", task.name));
            match index % 3 {
                0 => task.hooks.push(hook("exit", None)),
                1 => task.hooks = vec![hook("begun", status("Running")), hook("exit", status("Failed"))],
                _ => {}
            }
        }
    }
}

/// In every third plan some leaves ask for more than a cpu, or for devices. No draw: the plans of a seed stay what they were.
fn give_sizes(plan: &mut Plan) {
    if !plan.templates.len().is_multiple_of(3) {
        return;
    }
    for (index, template) in plan.templates.iter_mut().enumerate() {
        let Body::Leaf(leaf) = &mut template.body else { continue };
        let (name, amount) = [("nvidia.com/gpu", "1"), ("cpu", "2"), ("nvidia.com/gpu", "2"), ("cpu", "1")][index % 4];
        leaf.resources.requests.insert(name.into(), text(amount));
    }
}

struct Drawing<'a> {
    rng: &'a mut Rng,
    plans: Plans,
    /// How many leaves one invocation of each template comes to.
    leaves: Vec<u32>,
}

impl Drawing<'_> {
    fn add(&mut self, template: Template, leaves: u32) -> TemplateId {
        self.leaves.push(leaves);
        self.plans.add(template)
    }

    fn root(&mut self) -> TemplateId {
        for number in 0..self.rng.between(1, 3) {
            let template = self.leaf(&format!("leaf{number}"));
            self.add(template, 1);
        }
        if self.rng.per_mille(350) {
            self.dynamic("flow");
        }
        for level in 0..self.rng.between(1, 3) {
            self.composite(&format!("level{level}"));
        }
        let last = self.plans.0.len() - 1;
        if self.rng.per_mille(200) {
            self.dynamic("outer-flow");
            return TemplateId(self.plans.0.len() as u32 - 1);
        }
        TemplateId(last as u32)
    }

    fn leaf(&mut self, name: &str) -> Template {
        let mut template = leaf(name);
        self.strategies(&mut template);
        if self.rng.per_mille(120) {
            template.active_deadline = Some(text(&self.rng.between(1, 20).to_string()));
        }
        if self.rng.per_mille(120) {
            template.timeout = Some(text(&format!("{}s", self.rng.between(1, 30))));
        }
        template.at_most_once = self.rng.per_mille(80);
        template
    }

    fn strategies(&mut self, template: &mut Template) {
        if self.rng.per_mille(300) {
            let backoff = self.rng.flip().then(|| self.rng.between(1, 8) as u32);
            let mut strategy = retry(self.rng.between(0, 3) as u32, backoff);
            strategy.policy = *self.rng.pick(&[None, Some(RetryPolicy::Always), Some(RetryPolicy::OnError)]);
            if self.rng.per_mille(150) {
                strategy.expression = Some("asInt(lastRetry.exitCode) < 3".into());
            }
            template.retry = Some(strategy);
        }
    }

    fn dynamic(&mut self, name: &str) {
        let count = self.rng.between(1, 4);
        let callees: Vec<usize> = (0..count).filter_map(|_| self.callee(8)).collect();
        let names: Vec<String> = callees.iter().map(|index| self.plans.0[*index].name.clone()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut template = dynamic(name, &names);
        self.strategies(&mut template);
        let leaves = 1 + callees.iter().map(|index| self.leaves[*index]).sum::<u32>();
        self.add(template, leaves);
    }

    /// A template that comes to at most so many leaves.
    fn callee(&mut self, leaves_max: u32) -> Option<usize> {
        let small: Vec<usize> = (0..self.leaves.len()).filter(|index| self.leaves[*index] <= leaves_max).collect();
        (!small.is_empty()).then(|| *self.rng.pick(&small))
    }

    fn composite(&mut self, name: &str) {
        let is_dag = self.rng.flip();
        let (mut tasks, mut leaves) = (Vec::new(), 0);
        let prefix = if is_dag { "tasks" } else { "steps" };
        for number in 0..self.rng.between(1, 6) {
            let Some(index) = self.callee((LEAVES_MAX.saturating_sub(leaves)) / 2) else { break };
            let own = self.leaves[index];
            let (task, times) = self.task(&format!("t{number}"), TemplateId(index as u32), &tasks, prefix, own);
            leaves += own * times;
            tasks.push(task);
        }
        let names: Vec<String> = tasks.iter().map(|task: &Task| task.name.clone()).collect();
        let mut template = if is_dag { self.dag(name, tasks) } else { self.steps(name, tasks) };
        self.strategies(&mut template);
        if self.rng.per_mille(200) {
            template.parallelism = Some(self.rng.between(1, 3) as u32);
        }
        template.fail_fast = self.rng.per_mille(200);
        if self.rng.per_mille(250) && !names.is_empty() {
            let of = self.rng.pick(&names).clone();
            let mut out =
                output("out", OutputSource::Parameter(text(&format!("{{{{{prefix}.{of}.outputs.parameters.out}}}}"))));
            out.default = self.rng.flip().then(|| text("none"));
            template.outputs.parameters.push(out);
        }
        let leaves = leaves.max(1) * template.retry.as_ref().map_or(1, |_| 2);
        self.add(template, leaves);
    }

    fn dag(&mut self, name: &str, mut tasks: Vec<Task>) -> Template {
        for index in 1..tasks.len() {
            let before: Vec<String> = tasks[..index].iter().map(|task| task.name.clone()).collect();
            let mut terms: Vec<String> = Vec::new();
            for _ in 0..self.rng.between(0, 2) {
                let result =
                    *self.rng.pick(&["", "", "", ".Succeeded", ".Failed", ".Omitted", ".Skipped", ".Daemoned"][..7]);
                terms.push(format!("{}{result}", self.rng.pick(&before)));
            }
            let joiner = *self.rng.pick(&[" && ", " && ", " || "]);
            tasks[index] = after(tasks[index].clone(), &terms.join(joiner));
        }
        // A task may look only at what it waits for.
        for task in &mut tasks {
            let depends = task.depends.clone();
            let mentions = |value: &str| {
                value.split("{{tasks.").skip(1).all(|rest| {
                    let name = rest.split('.').next().unwrap_or_default();
                    depends.split([' ', '.', '&', '|']).any(|word| word == name)
                })
            };
            task.arguments.parameters.retain(|p| p.value.as_ref().is_none_or(|value| mentions(value.as_str())));
            if task.when.as_ref().is_some_and(|when| !mentions(when.as_str())) {
                task.when = None;
            }
            if matches!(&task.with, Some(With::Param(list)) if !mentions(list.as_str())) {
                task.with = None;
                task.arguments.parameters.clear();
            }
        }
        dag(name, tasks)
    }

    fn steps(&mut self, name: &str, tasks: Vec<Task>) -> Template {
        // A step may look only at earlier groups: each that looks at something begins one.
        let mut groups: Vec<Vec<Task>> = Vec::new();
        for task in tasks {
            let looks = format!("{:?}{:?}{:?}", task.arguments, task.when, task.with).contains("{{steps.");
            match groups.last_mut() {
                Some(group) if !looks && self.rng.flip() => group.push(task),
                _ => groups.push(vec![task]),
            }
        }
        steps(name, groups)
    }

    /// A call site and how often it calls.
    fn task(&mut self, name: &str, target: TemplateId, before: &[Task], prefix: &str, leaves: u32) -> (Task, u32) {
        let mut task = task(name, target);
        let earlier: Option<String> = (!before.is_empty()).then(|| self.rng.pick(before).name.clone());
        let mut times = 1;
        if leaves <= 3 && self.rng.per_mille(250) {
            let count = self.rng.between(0, 5);
            times = count.max(1) as u32;
            task.with = Some(match (self.rng.below(3), &earlier) {
                (0, Some(earlier)) => {
                    times = 3;
                    With::Param(text(&format!("{{{{{prefix}.{earlier}.outputs.result}}}}")))
                }
                (1, _) => With::Sequence(Sequence { count: Some(text(&count.to_string())), ..Sequence::default() }),
                _ => With::Items((0..count).map(|i| text(&i.to_string())).collect()),
            });
            task = given(task, "{{item}}");
        } else if let (Some(earlier), true) = (&earlier, self.rng.per_mille(400)) {
            let what = *self.rng.pick(&["outputs.parameters.out", "outputs.result", "status"]);
            task = given(task, &format!("{{{{{prefix}.{earlier}.{what}}}}}"));
        }
        if self.rng.per_mille(200) {
            let condition = match (&earlier, self.rng.flip()) {
                (Some(earlier), true) => format!("{{{{{prefix}.{earlier}.status}}}} == Succeeded"),
                _ => self.rng.pick(&["1 == 1", "1 == 2"]).to_string(),
            };
            task.when = Some(text(&condition));
        }
        if self.rng.per_mille(200) {
            task.continue_on = ContinueOn { error: self.rng.flip(), failed: self.rng.flip() };
        }
        (task, times)
    }
}
