//! `synchronization`: the mutexes and semaphores of a workflow or a template.
//! It must never ask for one.

use super::Lowering;
use crate::argo::view::{field, items, text, word};
use crate::yaml::Node;
use model::Text;
use model::plan::{Lock, LockKind};

impl Lowering<'_> {
    pub(super) fn locks(&mut self, node: &Node) -> Vec<Lock> {
        let Some(node) = field(node, "synchronization") else { return Vec::new() };
        let old = [("mutex", LockKind::Mutex), ("semaphore", LockKind::Semaphore)];
        let new = [("mutexes", LockKind::Mutex), ("semaphores", LockKind::Semaphore)];
        let mut locks = Vec::new();
        for (key, kind) in old {
            locks.extend(field(node, key).cloned().and_then(|lock| self.lock(&lock, kind)));
        }
        for (key, kind) in new {
            for lock in items(node, key) {
                locks.extend(self.lock(lock, kind));
            }
        }
        locks
    }

    fn lock(&mut self, node: &Node, kind: LockKind) -> Option<Lock> {
        let namespace = text(node, "namespace");
        if kind == LockKind::Mutex {
            let (name, key) = (Text(text(node, "name")), String::new());
            return Some(Lock { kind, namespace, name, key, limit: 1 });
        }
        if let Some(database) = field(node, "database") {
            let help = Some("write the limit into a ConfigMap, and name it with `configMapKeyRef`".to_owned());
            self.faults.error("E0210", database.span, "a semaphore of a database is not supported yet", help);
            return None;
        }
        let reference = field(node, "configMapKeyRef")?;
        let (name, key) = (text(reference, "name"), text(reference, "key"));
        if name.contains("{{") || key.contains("{{") {
            let help = Some("write the name of the ConfigMap and its key".to_owned());
            self.faults.error("E0210", reference.span, "a semaphore whose name has tags is not supported yet", help);
            return None;
        }
        let data = self.config_map(reference, "name", false);
        let limit = data.get(&key).map(|limit| limit.trim().parse::<u32>());
        match limit {
            Some(Ok(limit)) => Some(Lock { kind, namespace, name: Text(name), key, limit }),
            Some(Err(_)) => {
                let span = word(reference, "key").map_or(reference.span, |w| w.span);
                let help = Some("write how many may have it at once".to_owned());
                self.faults.error("E0615", span, format!("`{key}` of `{name}` is no number"), help);
                None
            }
            None => {
                if self.library.config_maps.contains_key(&name) {
                    self.no_key(reference);
                }
                None
            }
        }
    }
}
