//! The dependency graph of a DAG template, computed once from its `depends` texts.
//! It must never know a run: only names and indices.

use crate::depends;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use model::plan::Dag;

/// Indices are those of `Dag::tasks`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// Per task: the tasks that its `depends` names, in the order of the tasks.
    pub refs: Vec<Vec<u32>>,
    /// Per task: the tasks that name it.
    pub dependents: Vec<Vec<u32>>,
    pub index: BTreeMap<String, u32>,
    /// Names in `depends` that are no task: (task, name). The front end refuses such plans.
    pub unknown: Vec<(u32, String)>,
}

impl Graph {
    pub fn of(dag: &Dag) -> Self {
        let count = dag.tasks.len();
        let index: BTreeMap<String, u32> =
            dag.tasks.iter().enumerate().map(|(i, task)| (task.name.clone(), i as u32)).collect();
        let mut graph =
            Self { refs: vec![Vec::new(); count], dependents: vec![Vec::new(); count], index, unknown: Vec::new() };
        for (task, body) in dag.tasks.iter().enumerate() {
            // Each name once, so each task once: names of tasks are unique.
            for name in depends::names(&body.depends) {
                match graph.index.get(&name) {
                    Some(&dep) => {
                        graph.refs[task].push(dep);
                        graph.dependents[dep as usize].push(task as u32);
                    }
                    None => graph.unknown.push((task as u32, name)),
                }
            }
        }
        graph
    }

    /// Tasks that nothing depends on.
    pub fn leaves(&self) -> Vec<u32> {
        (0..self.dependents.len() as u32).filter(|&task| self.dependents[task as usize].is_empty()).collect()
    }

    /// The named targets with all that they need, as a mask. Unknown names are left out.
    pub fn wanted(&self, targets: &[u32]) -> Vec<bool> {
        let mut wanted = vec![false; self.refs.len()];
        let mut stack = targets.to_vec();
        while let Some(task) = stack.pop() {
            if !core::mem::replace(&mut wanted[task as usize], true) {
                stack.extend(&self.refs[task as usize]);
            }
        }
        wanted
    }

    /// All tasks that `task` depends on, directly or not.
    pub fn ancestors(&self, task: u32) -> Vec<u32> {
        let mut wanted = self.wanted(&self.refs[task as usize]);
        wanted[task as usize] = false;
        (0..wanted.len() as u32).filter(|&t| wanted[t as usize]).collect()
    }
}
