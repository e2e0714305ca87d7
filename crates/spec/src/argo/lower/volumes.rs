//! Volumes and what a variable is taken from: ConfigMaps, Secrets, claims.
//! It must never read a Secret's value: a reference to it is all that the plan has.

use super::Lowering;
use crate::argo::view::{field, flag, items, text, word};
use crate::suggest;
use crate::yaml::Node;
use model::Text;
use model::plan::{EnvVar, KeyRef, Scope, SecretKey, VolumeSource};
use std::collections::BTreeMap;
use std::rc::Rc;

impl Lowering<'_> {
    /// What is mounted under this name: of the template, of its document, of the workflow.
    pub(super) fn volume(&mut self, name: &str, template: &Node, scope: &Scope) -> VolumeSource {
        let specs = [self.spec(scope).cloned(), Some(Rc::clone(&self.effective.spec))];
        let lists = core::iter::once(template).chain(specs.iter().flatten().map(|spec| &**spec));
        let found = lists.flat_map(|node| items(node, "volumes")).find(|volume| text(volume, "name") == name).cloned();
        match found {
            Some(node) => self.source(&node),
            None if specs.iter().flatten().any(|spec| super::leaf::claims(spec).iter().any(|claim| claim == name)) => {
                VolumeSource::Run
            }
            None => VolumeSource::EmptyDir,
        }
    }

    fn source(&mut self, volume: &Node) -> VolumeSource {
        if let Some(claim) = field(volume, "persistentVolumeClaim") {
            return VolumeSource::Home(text(claim, "claimName"));
        }
        if let Some(secret) = field(volume, "secret") {
            let optional = flag(secret, "optional").unwrap_or_default();
            self.secret_is_there(secret, "secretName", optional);
            return VolumeSource::Secret { name: text(secret, "secretName"), items: paths(secret), optional };
        }
        let Some(map) = field(volume, "configMap") else { return VolumeSource::EmptyDir };
        let data = self.config_map(map, "name", flag(map, "optional").unwrap_or_default());
        let chosen = paths(map);
        let named = |(key, path): &(String, String)| Some((path.clone(), data.get(key)?.clone()));
        VolumeSource::Files(if chosen.is_empty() { data } else { chosen.iter().filter_map(named).collect() })
    }

    /// A ConfigMap of the given files; one that is not there is a fault, unless nobody needs it.
    pub(super) fn config_map(&mut self, node: &Node, key: &str, optional: bool) -> BTreeMap<String, String> {
        let name = text(node, key);
        let found = self.library.config_maps.get(&name).cloned();
        if found.is_none() && !optional && !self.lint {
            let help = suggest::help(&name, self.library.config_maps.keys().map(String::as_str), GIVE);
            let span = word(node, key).map_or(node.span, |w| w.span);
            self.faults.error("E0615", span, format!("there is no ConfigMap `{name}` among the files"), Some(help));
        }
        found.unwrap_or_default()
    }

    fn secret_is_there(&mut self, node: &Node, key: &str, optional: bool) {
        let name = text(node, key);
        if !optional && !self.lint && !self.library.secrets.contains_key(&name) {
            let help = suggest::help(&name, self.library.secrets.keys().map(String::as_str), GIVE);
            let span = word(node, key).map_or(node.span, |w| w.span);
            self.faults.error("E0615", span, format!("there is no Secret `{name}` among the files"), Some(help));
        }
    }

    /// `env` after `envFrom`: what is written later wins.
    pub(super) fn environment(&mut self, container: &Node) -> Vec<EnvVar> {
        let mut variables = Vec::new();
        for node in items(container, "envFrom") {
            let prefix = text(node, "prefix");
            if let Some(map) = field(node, "configMapRef") {
                let data = self.config_map(map, "name", flag(map, "optional").unwrap_or_default());
                let one = |(key, value): (String, String)| EnvVar {
                    name: Text(format!("{prefix}{key}")),
                    value: Text(value),
                    literal: true,
                    secret: None,
                };
                variables.extend(data.into_iter().map(one));
            }
            if let Some(secret) = field(node, "secretRef") {
                let optional = flag(secret, "optional").unwrap_or_default();
                self.secret_is_there(secret, "name", optional);
                let secret = Some(SecretKey { name: text(secret, "name"), key: String::new(), optional });
                variables.push(EnvVar { name: Text(prefix), value: Text::default(), literal: true, secret });
            }
        }
        let own: Vec<EnvVar> = items(container, "env").iter().map(|node| self.variable(node)).collect();
        variables.extend(own);
        variables
    }

    fn variable(&mut self, node: &Node) -> EnvVar {
        let mut variable =
            EnvVar { name: Text(text(node, "name")), value: Text(text(node, "value")), literal: false, secret: None };
        let Some(from) = field(node, "valueFrom") else { return variable };
        if let Some(key) = field(from, "configMapKeyRef") {
            let optional = flag(key, "optional").unwrap_or_default();
            let value = self.config_map(key, "name", optional).get(&text(key, "key")).cloned();
            if value.is_none() && !optional && self.library.config_maps.contains_key(&text(key, "name")) {
                self.no_key(key);
            }
            (variable.value, variable.literal) = (Text(value.unwrap_or_default()), true);
        }
        if let Some(key) = field(from, "secretKeyRef") {
            let optional = flag(key, "optional").unwrap_or_default();
            self.secret_is_there(key, "name", optional);
            let (name, key_name) = (text(key, "name"), text(key, "key"));
            let there = self.library.secrets.get(&name).is_none_or(|data| data.contains_key(&key_name));
            if !there && !optional {
                self.no_key(key);
            }
            variable.secret = Some(SecretKey { name, key: key_name, optional });
        }
        variable
    }

    pub(super) fn no_key(&mut self, node: &Node) {
        let (name, key) = (text(node, "name"), text(node, "key"));
        let span = word(node, "key").map_or(node.span, |w| w.span);
        let help = Some(format!("add it to the `data` of `{name}`, or set `optional: true`"));
        self.faults.error("E0615", span, format!("`{name}` has no key `{key}`"), help);
    }

    /// `valueFrom.configMapKeyRef` of a parameter. With tags it is looked up when they are known.
    pub(super) fn key_ref(&mut self, from: &Node, has_default: bool) -> Option<KeyRef> {
        let node = field(from, "configMapKeyRef")?;
        let optional = flag(node, "optional").unwrap_or_default();
        let key = KeyRef { name: Text(text(node, "name")), key: Text(text(node, "key")), optional };
        if !key.name.has_tags() {
            let data = self.config_map(node, "name", optional || has_default);
            let known = self.library.config_maps.contains_key(&key.name.0);
            if known && !key.key.has_tags() && !data.contains_key(&key.key.0) && !optional && !has_default {
                self.no_key(node);
            }
        }
        Some(key)
    }
}

const GIVE: &str = "give the file that defines it as well";

/// `items`: key and file.
fn paths(node: &Node) -> Vec<(String, String)> {
    items(node, "items").iter().map(|item| (text(item, "key"), text(item, "path"))).collect()
}
